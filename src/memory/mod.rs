//! What each component and each device needs: weights, KV cache, workspace, staging.

mod kv;
mod load;
mod workspace;

use crate::error::Error;
use crate::model::{ComponentId, Model};
use crate::quant::{Scheme, Storage};
use crate::units::BYTES_MAX;

pub use crate::quant::Staging;
pub use kv::KvType;
pub use load::Load;

/// Bytes one component needs wherever it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentDemand {
    /// Which component.
    pub id: ComponentId,
    /// Resident weights.
    pub weights_bytes: u64,
    /// KV cache of its layer; only attention has one.
    pub kv_cache_bytes: u64,
    /// The largest 16-bit matrix its loading stages on the device that quantizes; 0 when none.
    pub staging_bytes: u64,
}

/// Workspace a device needs for a kind of work it hosts; buffers are reused, so a device needs the
/// largest of the kinds it hosts, not their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workspace {
    /// Hosting the embedding.
    pub embedding_bytes: u64,
    /// Hosting an attention block (and its router).
    pub attention_bytes: u64,
    /// Hosting an mlp, a shared expert or an expert.
    pub feed_forward_bytes: u64,
    /// Hosting the output head (or the embedding it is tied to).
    pub head_bytes: u64,
}

impl Workspace {
    /// The bytes of every kind of work.
    pub fn kinds(&self) -> [u64; 4] {
        [self.embedding_bytes, self.attention_bytes, self.feed_forward_bytes, self.head_bytes]
    }
}

/// One figure of the estimate and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What it is, e.g. `kv_cache_per_layer` or `workspace.attention`.
    pub name: &'static str,
    /// Its value.
    pub bytes: u64,
    /// The formula with its numbers filled in.
    pub formula: String,
    /// Why the formula is right.
    pub source: &'static str,
}

/// Everything a model needs under a scheme and a load, component by component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Each component's bytes, in canonical order.
    pub components: Vec<ComponentDemand>,
    /// Each tensor and its bytes.
    pub storage: Storage,
    /// What a device needs beside what lives on it.
    pub workspace: Workspace,
    /// Staged in host memory while loading; 0 unless staging is on the host.
    pub host_staging_bytes: u64,
    /// Where quantizing stages: the load's choice, or the scheme's.
    pub staging: Staging,
    /// The figures that are not weights.
    pub terms: Vec<Term>,
}

impl Demand {
    /// The demand of a model.
    ///
    /// A tied head is no component: its matrix is the embedding's. Staging is the largest matrix
    /// quantized at a time, because loaders quantize one matrix after the other.
    ///
    /// # Errors
    /// A context or batch out of bounds, a KV type that does not fit the heads, or sums beyond
    /// [`BYTES_MAX`].
    ///
    /// ```
    /// use apportion::{memory::{Demand, Load}, model::Model, quant::Scheme};
    /// let model = Model::from_catalogue("mixtral-8x7b").unwrap();
    /// let scheme = Scheme::parse("nf4").unwrap();
    /// let demand = Demand::of(&model, &scheme, &Load::default()).unwrap();
    /// assert_eq!(demand.weights_bytes(), 26_647_595_008);
    /// ```
    pub fn of(model: &Model, scheme: &Scheme, load: &Load) -> Result<Self, Error> {
        Self::of_stored(model, scheme, scheme.store(model)?, load)
    }

    /// As [`Self::of`], from what [`Scheme::store`] has said of this model under this scheme: loads differ
    /// in cache and workspace only, so whoever asks for many of them stores once.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn of_stored(
        model: &Model,
        scheme: &Scheme,
        storage: Storage,
        load: &Load,
    ) -> Result<Self, Error> {
        load.check()?;
        let staging = load.staging.unwrap_or_else(|| scheme.default_staging());
        let mut terms = Vec::new();
        let caches = caches(model, load, &mut terms)?;
        let components = components(&storage, &caches, staging);
        check_total(&components)?;
        let largest = storage.stored.iter().map(|t| t.staged_bytes).max().unwrap_or(0);
        let workspace = workspace(model, load, &mut terms)?;
        terms.push(staging_term(staging, largest));
        let host_staging_bytes = if staging == Staging::Host { largest } else { 0 };
        Ok(Self { components, storage, workspace, host_staging_bytes, staging, terms })
    }

    /// Weights of all components.
    pub fn weights_bytes(&self) -> u64 {
        self.components.iter().map(|c| c.weights_bytes).sum()
    }

    /// KV cache of all layers.
    pub fn kv_cache_bytes(&self) -> u64 {
        self.components.iter().map(|c| c.kv_cache_bytes).sum()
    }
}

/// Recurrent state of all layers in bytes, whatever the context: part of [`Demand::kv_cache_bytes`].
///
/// # Errors
/// As [`Demand::of`].
pub fn state_bytes(model: &Model, load: &Load) -> Result<u64, Error> {
    load.check()?;
    let per_sequence: u128 = model.cache.iter().map(kv::state_bytes).sum();
    bounded("recurrent state", per_sequence * u128::from(load.batch))
}

/// Each layer's cache in bytes; layers with equal caches share a term.
fn caches(model: &Model, load: &Load, terms: &mut Vec<Term>) -> Result<Vec<u64>, Error> {
    let mut caches = Vec::with_capacity(model.cache.len());
    for cache in &model.cache {
        let (bytes, formula) = kv::layer_bytes(cache, load)?;
        let bytes = bounded("kv_cache_per_layer", bytes)?;
        let name = "kv_cache_per_layer";
        if !terms.iter().any(|term| term.formula == formula) {
            let source = "keys and values of every token a layer looks back on, without padding";
            terms.push(Term { name, bytes, formula, source });
        }
        caches.push(bytes);
    }
    Ok(caches)
}

fn components(storage: &Storage, caches: &[u64], staging: Staging) -> Vec<ComponentDemand> {
    let mut components: Vec<ComponentDemand> = Vec::new();
    // Tensors come in component order, so a component's tensors are next to each other.
    for (tensor, stored) in storage.tensors.iter().zip(&storage.stored) {
        let staged = if staging == Staging::Device { stored.staged_bytes } else { 0 };
        let last = components.last_mut().filter(|last| last.id == tensor.component);
        if let Some(component) = last {
            component.weights_bytes += stored.bytes;
            component.staging_bytes = component.staging_bytes.max(staged);
            continue;
        }
        let layer = match tensor.component {
            ComponentId::Attention(layer) => usize::try_from(layer).ok(),
            _ => None,
        };
        components.push(ComponentDemand {
            id: tensor.component,
            weights_bytes: stored.bytes,
            kv_cache_bytes: layer.and_then(|layer| caches.get(layer)).copied().unwrap_or(0),
            staging_bytes: staged,
        });
    }
    components
}

fn workspace(model: &Model, load: &Load, terms: &mut Vec<Term>) -> Result<Workspace, Error> {
    let [embedding, attention, feed_forward, head] = workspace::sizes(&model.geometry, load);
    let mut add = |sized: workspace::Sized| {
        let bytes = bounded(sized.name, sized.bytes)?;
        terms.push(Term {
            name: sized.name,
            bytes,
            formula: sized.formula,
            source: "the reference runtime: f32 activations, 512 tokens of a prompt at once",
        });
        Ok::<u64, Error>(bytes)
    };
    Ok(Workspace {
        embedding_bytes: add(embedding)?,
        attention_bytes: add(attention)?,
        feed_forward_bytes: add(feed_forward)?,
        head_bytes: add(head)?,
    })
}

fn staging_term(staging: Staging, largest: u64) -> Term {
    let (name, bytes, formula) = match staging {
        Staging::Device => (
            "staging.device",
            largest,
            format!("the largest 16-bit matrix that a device quantizes, at most {largest} B"),
        ),
        Staging::Host => (
            "staging.host",
            largest,
            format!("the largest 16-bit matrix that is quantized, {largest} B"),
        ),
        Staging::None => ("staging.none", 0, "nothing is quantized while loading".to_owned()),
    };
    Term {
        name,
        bytes,
        formula,
        source: "matrices are quantized one after the other, each from 2 bytes per weight",
    }
}

fn check_total(components: &[ComponentDemand]) -> Result<(), Error> {
    let total =
        components.iter().map(|c| u128::from(c.weights_bytes) + u128::from(c.kv_cache_bytes)).sum();
    bounded("weights and KV cache", total).map(|_| ())
}

fn bounded(name: &str, bytes: u128) -> Result<u64, Error> {
    u64::try_from(bytes).ok().filter(|&bytes| bytes < BYTES_MAX).ok_or_else(|| {
        Error::new("size the memory")
            .place(name)
            .expected("less than 1024 PiB")
            .found(format!("{bytes} bytes"))
            .hint("reduce the context or the batch")
    })
}
