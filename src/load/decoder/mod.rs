//! The decoder: embedding, layers, head, each part on the device where the map put it.
//!
//! A run takes the tokens of one sequence, many or one. Between parts that live apart activations go through
//! one file, `fabric.rs`, which counts them; everything else happens on one device at a time, on that device's threads,
//! except that [`Mode::Concurrent`] lets the experts of a layer work on all their devices at once.

mod attend;
mod cache;
mod cells;
mod choose;
mod experts;
mod fabric;
mod layer;
mod parts;
mod relocate;
mod rope;

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::devices::Purpose;
use super::manifest::{Architecture, Rope, Slot};
use super::{Placed, failed};
use crate::error::Error;
use crate::model::ComponentId;
use cache::{Cache, CacheShape};
pub(in crate::load) use fabric::{Activation, Fabric};
use layer::LayerPlan;
use parts::Part;
use rope::Angles;

pub use choose::Observer;
pub use fabric::Transfers;
pub use relocate::Moved;

/// Whether the devices of a layer's experts take turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One device after the other.
    #[default]
    Sequential,
    /// All at once.
    Concurrent,
}

/// Which tokens of a run logits are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The last one's.
    Last,
    /// Everyone's.
    All,
}

/// A placed model with room for the sequences it was planned for.
pub struct Decoder {
    placed: Placed,
    fabric: Fabric,
    mode: Mode,
    layers: Vec<LayerPlan>,
    frequencies: Vec<f32>,
    sequences: Vec<Sequence>,
    observer: Option<Box<dyn Observer>>,
}

/// What is kept of one sequence.
struct Sequence {
    /// Tokens it has so far.
    tokens: usize,
    /// One per layer.
    caches: Vec<Cache>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("placed", &self.placed)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// Makes the caches of all sequences; their bytes are in the ledgers then.
    ///
    /// # Errors
    /// A model that lacks a part, and devices whose budgets the caches exceed.
    pub fn new(placed: Placed, mode: Mode) -> Result<Self, Error> {
        let layers = (0..placed.architecture.layers)
            .map(|layer| LayerPlan::new(&placed, layer))
            .collect::<Result<Vec<_>, _>>()?;
        let sequences = (0..placed.batch)
            .map(|_| {
                let caches = layers.iter().map(|layer| make_cache(&placed, layer));
                Ok(Sequence { tokens: 0, caches: caches.collect::<Result<_, Error>>()? })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Self {
            frequencies: frequencies(&placed)?,
            fabric: Fabric::new(Arc::clone(&placed.devices)),
            placed,
            mode,
            layers,
            sequences,
            observer: None,
        })
    }

    /// The model.
    pub fn placed(&self) -> &Placed {
        &self.placed
    }

    /// Activations sent between devices so far.
    pub fn transfers(&self) -> Transfers {
        self.fabric.transfers()
    }

    /// How the devices of a layer work together from now on.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// Lets somebody hear which experts are chosen from now on.
    pub fn observe(&mut self, observer: Option<Box<dyn Observer>>) -> Option<Box<dyn Observer>> {
        std::mem::replace(&mut self.observer, observer)
    }

    /// Forgets a sequence.
    pub fn reset(&mut self, sequence: usize) {
        if let Some(sequence) = self.sequences.get_mut(sequence) {
            sequence.tokens = 0;
        }
    }

    /// Tokens a sequence has so far.
    pub fn tokens(&self, sequence: usize) -> usize {
        self.sequences.get(sequence).map_or(0, |sequence| sequence.tokens)
    }

    /// Appends tokens to a sequence and computes logits, one `[vocabulary]` row for each token wanted.
    ///
    /// # Errors
    /// No tokens, tokens outside the vocabulary, more than the sequence has room for; and what a device refuses,
    /// after which the sequence is forgotten.
    pub fn forward(
        &mut self,
        sequence: usize,
        tokens: &[u32],
        wanted: Wanted,
    ) -> Result<Vec<Vec<f32>>, Error> {
        self.check(sequence, tokens)?;
        let logits = self.run(sequence, tokens, wanted);
        match (&logits, self.sequences.get_mut(sequence)) {
            (Ok(_), Some(sequence)) => sequence.tokens += tokens.len(),
            // Some layers have its tokens and others do not.
            (Err(_), Some(sequence)) => sequence.tokens = 0,
            (_, None) => {}
        }
        logits
    }

    fn check(&self, sequence: usize, tokens: &[u32]) -> Result<(), Error> {
        let refuse = || Error::new("run the model");
        let Some(kept) = self.sequences.get(sequence) else {
            return Err(refuse()
                .place(format!("sequence {sequence}"))
                .expected(format!("one of the {} that were planned", self.sequences.len())));
        };
        if tokens.is_empty() {
            return Err(refuse().expected("at least one token"));
        }
        let vocabulary = self.placed.architecture.vocabulary;
        let known = |token: u32| usize::try_from(token).is_ok_and(|token| token < vocabulary);
        if let Some(token) = tokens.iter().copied().find(|&token| !known(token)) {
            return Err(refuse()
                .place(format!("token {token}"))
                .expected(format!("a number below {vocabulary}, the vocabulary")));
        }
        let (count, context) = (kept.tokens.saturating_add(tokens.len()), self.placed.context);
        if count > context {
            return Err(refuse()
                .expected(format!("at most {context} tokens, the context it was planned for"))
                .found(format!("{count}"))
                .hint("solve again with a larger --context"));
        }
        Ok(())
    }

    /// All of it on the threads of the first layer's home, which wait where another device works: every change
    /// of threads costs a wake-up.
    fn run(
        &mut self,
        sequence: usize,
        tokens: &[u32],
        wanted: Wanted,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let devices = Arc::clone(&self.placed.devices);
        let home = self.layers.first().and_then(|layer| devices.get(layer.home));
        let home = home.ok_or_else(|| Error::new("run the model").found("no layers"))?;
        home.run(|| self.step(sequence, tokens, wanted))
    }

    fn step(
        &mut self,
        sequence: usize,
        tokens: &[u32],
        wanted: Wanted,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let first = self.tokens(sequence);
        let interleaved = self.placed.architecture.rope.interleaved;
        let angles = Angles::new(&self.frequencies, interleaved, first, tokens.len());
        let mut x = self.embed(tokens)?;
        let run = layer::Run { placed: &self.placed, fabric: &self.fabric, mode: self.mode };
        let caches = self.sequences.get_mut(sequence).map(|s| s.caches.as_mut_slice());
        let mut caches = caches.unwrap_or_default().iter_mut();
        // A home keeps its layers in a row.
        for stretch in self.layers.chunk_by(|a, b| a.home == b.home) {
            let home = self.fabric.device(stretch[0].home)?;
            x = home.run(|| {
                let mut x = self.fabric.send(&x, home.index)?;
                for layer in stretch {
                    let Some(cache) = caches.next() else {
                        return Err(Error::new("run the model").found("a layer without a cache"));
                    };
                    let observer = self.observer.as_deref_mut();
                    x = run.layer(layer, &x, cache, &angles, first, observer)?;
                }
                Ok(x)
            })?;
        }
        if wanted == Wanted::Last {
            x = self.last_row(&x)?;
        }
        self.head(&x)
    }

    fn home(&self, component: ComponentId) -> Result<usize, Error> {
        home(&self.placed, component)
    }

    fn embed(&self, tokens: &[u32]) -> Result<Activation, Error> {
        let at = self.home(ComponentId::Embedding)?;
        let part = Part::on(&self.placed, ComponentId::Embedding, at)?;
        let rows = self.fabric.device(at)?.run(|| part.rows(Slot::Embedding, tokens))?;
        Ok(Activation::new(rows, at))
    }

    /// Only the last token's, with memory of its own: a copy would take all the others along.
    fn last_row(&self, x: &Activation) -> Result<Activation, Error> {
        let tensor = x.on(x.at())?;
        let row = self
            .fabric
            .device(x.at())?
            .run(|| tensor.narrow(0, tensor.dim(0)? - 1, 1)?.force_contiguous());
        Ok(Activation::new(row.map_err(failed("take the last token"))?, x.at()))
    }

    /// Final norm and output head, or the embedding where the head is tied.
    fn head(&self, x: &Activation) -> Result<Vec<Vec<f32>>, Error> {
        let norm_at = self.home(ComponentId::FinalNorm)?;
        let x = self.fabric.send(x, norm_at)?;
        let norm = Part::on(&self.placed, ComponentId::FinalNorm, norm_at)?;
        let tensor = x.on(norm_at)?;
        let x = self.fabric.device(norm_at)?.run(|| norm.normalize(Slot::FinalNorm, tensor))?;
        let (component, slot) = if self.placed.architecture.tied_head {
            (ComponentId::Embedding, Slot::Embedding)
        } else {
            (ComponentId::OutputHead, Slot::Head)
        };
        let at = self.home(component)?;
        let x = self.fabric.send(&Activation::new(x, norm_at), at)?;
        let head = Part::on(&self.placed, component, at)?;
        let tensor = x.on(at)?;
        self.fabric.device(at)?.run(|| {
            let logits: Tensor = head.apply(slot, tensor)?;
            logits.to_dtype(DType::F32).and_then(|l| l.to_vec2()).map_err(failed("read the logits"))
        })
    }
}

/// The rotary frequencies; a table of divisors that was loaded goes before those of the config.
fn frequencies(placed: &Placed) -> Result<Vec<f32>, Error> {
    let Architecture { rope, head_width, .. } = &placed.architecture;
    let table = placed.weights.iter().find(|((_, slot), _)| *slot == Slot::RopeFactors);
    let Some((_, table)) = table else { return Ok(rope::frequencies(rope, *head_width)) };
    let divisors = table.vector().and_then(|table| table.to_vec1());
    let divisors = divisors.map_err(failed("read the rotary factors"))?;
    Ok(rope::frequencies(&Rope { divisors, ..rope.clone() }, *head_width))
}

/// Where the map put a component.
fn home(placed: &Placed, component: ComponentId) -> Result<usize, Error> {
    placed.homes.get(&component).copied().ok_or_else(|| {
        Error::new("run the model").object(component.to_string()).found("the map does not have it")
    })
}

/// A layer's cache for one sequence, in the ledger before it is made.
fn make_cache(placed: &Placed, layer: &LayerPlan) -> Result<Cache, Error> {
    let architecture = &placed.architecture;
    let cells = architecture.window.map_or(placed.context, |window| window.min(placed.context));
    let (heads, width) = (architecture.kv_heads, architecture.head_width);
    let device = placed.devices.get(layer.home).ok_or_else(|| Error::new("find the device"))?;
    let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let (elements, bytes) = placed.kv_type.block();
    let both = [heads, cells, width].iter().try_fold(2_u64, |all, &n| all.checked_mul(wide(n)));
    let all = both.and_then(|both| (both / elements).checked_mul(bytes));
    let all =
        all.ok_or_else(|| Error::new("make the KV cache").found("more than 64 bits of bytes"))?;
    device.ledger.keep(ComponentId::Attention(layer.layer), Purpose::KvCache, all)?;
    let cache = Cache::new(placed.kv_type, CacheShape { heads, cells, width }, device)?;
    if wide(cache.bytes()) != all {
        return Err(Error::new("make the KV cache")
            .expected(format!("{all} bytes"))
            .found(cache.bytes().to_string()));
    }
    Ok(cache)
}
