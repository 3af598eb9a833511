//! What each component and each device needs: weights, KV cache, workspace, staging.

mod device;
mod kv;
mod load;
mod requests;
mod rounding;
mod workspace;

use crate::error::Error;
use crate::model::{ComponentId, LayerCache, Model};
use crate::quant::{Scheme, Storage};
use crate::runtime::{Profile, Rounding};
use crate::units::BYTES_MAX;

pub use crate::quant::Staging;
pub use crate::runtime::KvType;
pub use device::PerDevice;
pub use load::Load;
pub(crate) use requests::{CacheParts, activations, cache_parts};
pub(crate) use rounding::added;

/// Bytes one component needs wherever it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentDemand {
    /// Which component.
    pub id: ComponentId,
    /// Resident weights.
    pub weights_bytes: u64,
    /// What the runtime's allocator adds to them.
    pub rounding_bytes: u64,
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
    pub source: String,
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
    /// Where quantizing stages: the load's choice, or the runtime's, or the scheme's.
    pub staging: Staging,
    /// What the runtime keeps on a device beside what is placed there.
    pub per_device: PerDevice,
    /// Whether the head is the embedding matrix itself, and no component of its own.
    pub tied_head: bool,
    /// Whether the embedding may only live in host memory.
    pub embedding_on_host: bool,
    /// The figures that are not weights.
    pub terms: Vec<Term>,
}

impl Demand {
    /// The demand of a model.
    ///
    /// A tied head is no component: its matrix is the embedding's, unless the runtime keeps the embedding
    /// on the host and a copy for the head. Staging is the largest matrix quantized at a time, because
    /// loaders quantize one matrix after the other.
    ///
    /// # Errors
    /// A context or batch out of bounds, a KV type that the runtime's cache cannot have or that does not
    /// fit the heads, or sums beyond [`BYTES_MAX`].
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
        kv::check_type(load)?;
        let staging = load.staging_of(scheme);
        let mut terms = Vec::new();
        let caches = caches(model, load, &mut terms)?;
        let rules = load.runtime.rules();
        let mut components = components(&storage, &caches, staging, rules.rounding);
        let copied = rules.embedding_on_host && model.geometry.tied_head;
        if copied {
            components.extend(head_copy(&components));
        }
        check_total(&components)?;
        let largest = storage.stored.iter().map(|t| t.staged_bytes).max().unwrap_or(0);
        let workspace = workspace(model, load, &mut terms)?;
        terms.push(staging_term(staging, largest, &load.runtime));
        let host_staging_bytes = if staging == Staging::Host { largest } else { 0 };
        let per_device = PerDevice::of(model, load)?;
        terms.extend(per_device.terms(&load.runtime));
        terms.extend(rounding_term(&components, &load.runtime));
        terms.extend(host_term(&components, load, model));
        Ok(Self {
            components,
            storage,
            workspace,
            host_staging_bytes,
            staging,
            per_device,
            tied_head: model.geometry.tied_head && !copied,
            embedding_on_host: rules.embedding_on_host,
            terms,
        })
    }

    /// Weights of all components.
    pub fn weights_bytes(&self) -> u64 {
        self.components.iter().map(|c| c.weights_bytes).sum()
    }

    /// What the allocator adds to the weights of all components.
    pub fn rounding_bytes(&self) -> u64 {
        self.components.iter().map(|c| c.rounding_bytes).sum()
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
            let source = load.runtime.source(cells_rule(cache)).to_owned();
            terms.push(Term { name, bytes, formula, source });
        }
        caches.push(bytes);
    }
    Ok(caches)
}

/// The rule that says how many cells a layer has.
fn cells_rule(cache: &LayerCache) -> &'static str {
    if cache.window.is_some() { "kv_window_extra_tokens" } else { "kv_cells_multiple" }
}

/// The head's own copy of a tied embedding.
fn head_copy(components: &[ComponentDemand]) -> Option<ComponentDemand> {
    let embedding = components.iter().find(|c| c.id == ComponentId::Embedding)?;
    Some(ComponentDemand { id: ComponentId::OutputHead, ..embedding.clone() })
}

fn components(
    storage: &Storage,
    caches: &[u64],
    staging: Staging,
    rounding: Rounding,
) -> Vec<ComponentDemand> {
    let mut components: Vec<ComponentDemand> = Vec::new();
    // Tensors come in component order, so a component's tensors are next to each other.
    for (tensor, stored) in storage.tensors.iter().zip(&storage.stored) {
        let staged = if staging == Staging::Device { stored.staged_bytes } else { 0 };
        let added = added(rounding, tensor, stored);
        let last = components.last_mut().filter(|last| last.id == tensor.component);
        if let Some(component) = last {
            component.weights_bytes += stored.bytes;
            component.rounding_bytes = component.rounding_bytes.saturating_add(added);
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
            rounding_bytes: added,
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
            source: load.runtime.source("workspace").to_owned(),
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

fn staging_term(staging: Staging, largest: u64, runtime: &Profile) -> Term {
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
    Term { name, bytes, formula, source: runtime.source("staging").to_owned() }
}

/// What rounding adds over all components, where it adds anything.
fn rounding_term(components: &[ComponentDemand], runtime: &Profile) -> Option<Term> {
    let bytes = components.iter().fold(0_u64, |sum, c| sum.saturating_add(c.rounding_bytes));
    let rounded = components.iter().filter(|c| c.rounding_bytes > 0).count();
    (bytes > 0).then(|| Term {
        name: "rounding",
        bytes,
        formula: format!("over {rounded} components, wherever they live"),
        source: runtime.source("rounding").to_owned(),
    })
}

/// What stays in host memory whatever the placement.
fn host_term(components: &[ComponentDemand], load: &Load, model: &Model) -> Option<Term> {
    if !load.runtime.rules().embedding_on_host {
        return None;
    }
    let embedding = components.iter().find(|c| c.id == ComponentId::Embedding)?;
    let logits = u128::from(model.geometry.vocab) * u128::from(load.batch) * 4;
    let formula = format!(
        "the token embedding, {} B, and an output buffer of {} x {} x 4 B",
        embedding.weights_bytes, model.geometry.vocab, load.batch
    );
    let bytes = u128::from(embedding.weights_bytes) + logits;
    let source = load.runtime.source("embedding").to_owned();
    Some(Term { name: "host", bytes: bounded("host", bytes).ok()?, formula, source })
}

fn check_total(components: &[ComponentDemand]) -> Result<(), Error> {
    let of = |c: &ComponentDemand| [c.weights_bytes, c.rounding_bytes, c.kv_cache_bytes];
    let total = components.iter().flat_map(of).map(u128::from).sum();
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
