//! What a model consists of: kinds of layers, and what its bytes are for.

use std::collections::BTreeMap;

use crate::memory::Demand;
use crate::model::{ComponentId, ComponentKind, Tensor, TensorRole};

/// Components of a layer that are alike, or one outside the layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) kind: ComponentKind,
    pub(super) count: u64,
    /// Of each.
    pub(super) weights_bytes: u64,
    pub(super) kv_cache_bytes: u64,
    pub(super) elements: u64,
}

impl Part {
    /// All of them as one.
    pub(super) fn all(&self) -> Self {
        let times = |each: u64| each.saturating_mul(self.count);
        Self {
            count: 1,
            weights_bytes: times(self.weights_bytes),
            kv_cache_bytes: times(self.kv_cache_bytes),
            elements: times(self.elements),
            ..self.clone()
        }
    }
}

/// Layers of equal parts.
#[derive(Clone, Debug)]
pub(super) struct LayerKind {
    /// Ascending.
    pub(super) layers: Vec<u32>,
    /// In component order; experts of equal bytes together.
    pub(super) parts: Vec<Part>,
}

impl LayerKind {
    /// `16 layers: 0-3, 6, 9, .., 27-31`: in full while the runs are few.
    pub(super) fn name(&self) -> String {
        const RUNS_MAX: usize = 4;
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for &layer in &self.layers {
            match runs.last_mut() {
                Some((_, last)) if layer.saturating_sub(*last) == 1 => *last = layer,
                _ => runs.push((layer, layer)),
            }
        }
        let run = |&(first, last): &(u32, u32)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        let mut names: Vec<String> = runs.iter().map(run).collect();
        if names.len() > RUNS_MAX {
            names.splice(RUNS_MAX - 1..names.len() - 1, ["..".to_owned()]);
        }
        match self.layers.len() {
            1 => format!("layer {}", names.join(", ")),
            count => format!("layers {} ({count}), each", names.join(", ")),
        }
    }

    /// One such layer as one part.
    pub(super) fn whole(&self) -> Part {
        let sum = |of: fn(&Part) -> u64| {
            self.parts.iter().map(|part| of(&part.all())).fold(0, u64::saturating_add)
        };
        Part {
            kind: ComponentKind::Attention,
            count: 1,
            weights_bytes: sum(|part| part.weights_bytes),
            kv_cache_bytes: sum(|part| part.kv_cache_bytes),
            elements: sum(|part| part.elements),
        }
    }
}

/// Every component as a part of its own, in order.
fn parts(demand: &Demand) -> Vec<(ComponentId, Part)> {
    let mut elements: BTreeMap<ComponentId, u64> = BTreeMap::new();
    for tensor in demand.storage.tensors.iter() {
        *elements.entry(tensor.component).or_default() += tensor.elements();
    }
    // A runtime's own copy of a tied embedding has no tensors of its own.
    if let Some(copied) = elements.get(&ComponentId::Embedding).copied() {
        elements.entry(ComponentId::OutputHead).or_insert(copied);
    }
    let part = |c: &crate::memory::ComponentDemand| {
        let part = Part {
            kind: c.id.kind(),
            count: 1,
            weights_bytes: c.weights_bytes,
            kv_cache_bytes: c.kv_cache_bytes,
            elements: elements.get(&c.id).copied().unwrap_or(0),
        };
        (c.id, part)
    };
    demand.components.iter().map(part).collect()
}

/// What stands before the layers and after them.
pub(super) fn outside_layers(demand: &Demand) -> (Vec<Part>, Vec<Part>) {
    let outside = parts(demand).into_iter().filter(|(id, _)| id.layer().is_none());
    let outside = outside.map(|(_, part)| part);
    outside.partition(|part| part.kind == ComponentKind::Embedding)
}

/// Layers that are alike together, by their first layer.
pub(super) fn kinds_of_layers(demand: &Demand) -> Vec<LayerKind> {
    let mut layers: BTreeMap<u32, Vec<Part>> = BTreeMap::new();
    for (id, part) in parts(demand) {
        let Some(layer) = id.layer() else { continue };
        let of_layer = layers.entry(layer).or_default();
        let like = |other: &&mut Part| Part { count: 1, ..(**other).clone() } == part;
        match of_layer.iter_mut().find(like) {
            Some(other) => other.count += 1,
            None => of_layer.push(part),
        }
    }
    let mut kinds: Vec<LayerKind> = Vec::new();
    for (layer, parts) in layers {
        match kinds.iter_mut().find(|kind| kind.parts == parts) {
            Some(kind) => kind.layers.push(layer),
            None => kinds.push(LayerKind { layers: vec![layer], parts }),
        }
    }
    kinds
}

/// What weights are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    Embedding,
    Attention,
    Routers,
    Mlp,
    SharedExperts,
    Experts,
    Norms,
    Head,
}

impl Purpose {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Attention => "attention",
            Self::Routers => "routers",
            Self::Mlp => "mlp",
            Self::SharedExperts => "shared_experts",
            Self::Experts => "experts",
            Self::Norms => "norms",
            Self::Head => "head",
        }
    }

    /// A norm is one wherever it lives; everything else is for what its component is.
    fn of(tensor: &Tensor) -> Self {
        match (tensor.role, tensor.component.kind()) {
            (TensorRole::Norm, _) | (_, ComponentKind::FinalNorm) => Self::Norms,
            (_, ComponentKind::Embedding) => Self::Embedding,
            (_, ComponentKind::Attention) => Self::Attention,
            (_, ComponentKind::Router) => Self::Routers,
            (_, ComponentKind::Mlp) => Self::Mlp,
            (_, ComponentKind::SharedExpert) => Self::SharedExperts,
            (_, ComponentKind::Expert | ComponentKind::ExpertMatrix) => Self::Experts,
            (_, ComponentKind::OutputHead) => Self::Head,
        }
    }
}

/// What one purpose takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) purpose: Purpose,
    pub(super) elements: u64,
    pub(super) weights_bytes: u64,
}

/// The purposes there are; their sums are the model's.
pub(super) fn shares(demand: &Demand) -> Vec<Share> {
    let mut sums: BTreeMap<Purpose, (u64, u64)> = BTreeMap::new();
    for (tensor, stored) in demand.storage.tensors.iter().zip(&demand.storage.stored) {
        let (elements, bytes) = sums.entry(Purpose::of(tensor)).or_default();
        *elements += tensor.elements();
        *bytes += stored.bytes;
    }
    let share = |(purpose, (elements, weights_bytes))| Share { purpose, elements, weights_bytes };
    sums.into_iter().map(share).collect()
}

/// The largest components by weights, larger first, earlier first among equals.
pub(super) fn largest_components(demand: &Demand, count: usize) -> Vec<(ComponentId, u64)> {
    let mut all: Vec<(ComponentId, u64)> =
        demand.components.iter().map(|c| (c.id, c.weights_bytes)).collect();
    all.sort_by_key(|&(id, bytes)| (std::cmp::Reverse(bytes), id));
    all.truncate(count);
    all
}
