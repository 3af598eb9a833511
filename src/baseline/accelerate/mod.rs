//! Hugging Face accelerate's `device_map="balanced"` with decoder layers that are not split.
//!
//! The arithmetic ([`balanced_caps`], [`infer_device_map`]) is a faithful restatement over a tree of
//! module sizes and knows nothing of problems; this file builds that tree and reads the map back.
//! accelerate counts weights and nothing else, and so does this; what it forgets is measured elsewhere.

mod caps;
mod greedy;

pub use caps::{MaxMemory, balanced_caps};
pub use greedy::{Assignment, Target, infer_device_map};

use super::Baseline;
use crate::model::{ComponentId, ComponentKind};
use crate::placement::Placement;
use crate::problem::{Component, Problem};
use crate::units::format_bytes;

/// A module of a model as accelerate sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Dotted path from the model.
    pub name: String,
    /// Weights of everything below it.
    pub bytes: u64,
    /// Final modules (those that hold parameters and no modules) at or below it.
    pub leaves: u64,
    /// Whether its class is among those never split across devices.
    pub no_split: bool,
    /// Its submodules in order of definition. It holds no parameters beside them.
    pub children: Vec<Self>,
}

impl Module {
    /// A module that contains no others, or none that matter.
    pub fn leaf(name: impl Into<String>, bytes: u64) -> Self {
        Self { name: name.into(), bytes, leaves: 1, no_split: false, children: Vec::new() }
    }

    /// A module that is the sum of its submodules.
    pub fn parent(name: impl Into<String>, children: Vec<Self>) -> Self {
        let bytes = children.iter().fold(0, |sum: u64, child| sum.saturating_add(child.bytes));
        let leaves = children.iter().map(|child| child.leaves).sum();
        Self { name: name.into(), bytes, leaves, no_split: false, children }
    }

    /// A decoder layer: never split, with this many final modules.
    pub fn layer(name: impl Into<String>, bytes: u64, leaves: u64) -> Self {
        Self { name: name.into(), bytes, leaves, no_split: true, children: Vec::new() }
    }
}

pub(super) struct Balanced;

impl Baseline for Balanced {
    fn name(&self, _: &Problem) -> &'static str {
        "accelerate balanced"
    }

    fn description(&self) -> &'static str {
        "Hugging Face accelerate's device_map=\"balanced\": whole layers, weights only"
    }

    fn place(&self, problem: &Problem) -> Result<Placement, String> {
        let gpus: Vec<usize> = problem.gpus().collect();
        if gpus.is_empty() {
            return Err("needs a GPU".to_owned());
        }
        let cpu = problem.cpus().next();
        let modules = modules(problem);
        // Its users are told to subtract the driver's context and a margin by hand, so they get credit for it.
        let usable =
            |d: usize| problem.limit_bytes(d).saturating_sub(problem.devices[d].reserve_bytes);
        let given =
            MaxMemory { gpus: gpus.iter().map(|&d| usable(d)).collect(), cpu: cpu.map(usable) };
        let map = infer_device_map(&modules, &balanced_caps(&modules, &given));
        let home = |id| match target_of(&map, id) {
            Some(Target::Gpu(index)) => gpus.get(index).copied(),
            Some(Target::Cpu) => cpu,
            Some(Target::Disk) | None => None,
        };
        // A layer is one module, so that it is looked up once.
        let layer = |c: &Component| c.demand.id.layer();
        let blocks = problem.components.chunk_by(|a, b| layer(a).is_some() && layer(a) == layer(b));
        let homes = blocks.flat_map(|block| {
            let home = block.first().and_then(|first| home(first.demand.id));
            std::iter::repeat_n(home, block.len())
        });
        let homes: Vec<Option<usize>> = homes.collect();
        let complete: Option<Vec<usize>> = homes.iter().copied().collect();
        complete
            .map(|device_of| Placement { device_of })
            .ok_or_else(|| offloaded(problem, &homes, cpu.is_some()))
    }
}

fn offloaded(problem: &Problem, homes: &[Option<usize>], cpu: bool) -> String {
    let off = || problem.components.iter().zip(homes).filter(|(_, home)| home.is_none());
    let bytes = off().fold(0, |sum: u64, (c, _)| sum.saturating_add(c.demand.weights_bytes));
    let from = off().next().map_or_else(String::new, |(c, _)| match c.demand.id.layer() {
        Some(layer) => format!("layers.{layer}"),
        None => c.demand.id.to_string(),
    });
    let to = if cpu { "disk" } else { "CPU or disk" };
    format!("would offload {} to {to} from {from} on", format_bytes(bytes))
}

/// The module tree of a decoder model as transformers defines it. A tied head has no bytes of its own
/// and goes with the embedding, so it is left out.
fn modules(problem: &Problem) -> Vec<Module> {
    let of = |kind| problem.components.iter().find(move |c| c.demand.id.kind() == kind);
    let leaf =
        |kind| of(kind).map(|c| Module::leaf(module_name(c.demand.id), c.demand.weights_bytes));
    let layered: Vec<&Component> =
        problem.components.iter().filter(|c| c.demand.id.layer().is_some()).collect();
    let layers = layered.chunk_by(|a, b| a.demand.id.layer() == b.demand.id.layer()).map(layer);
    let decoder = leaf(ComponentKind::Embedding)
        .into_iter()
        .chain([Module::parent("model.layers", layers.collect())])
        .chain(leaf(ComponentKind::FinalNorm));
    [Module::parent("model", decoder.collect())]
        .into_iter()
        .chain(leaf(ComponentKind::OutputHead))
        .collect()
}

fn layer(parts: &[&Component]) -> Module {
    let bytes = parts.iter().fold(0, |sum: u64, c| sum.saturating_add(c.demand.weights_bytes));
    let leaves = parts.iter().map(|c| final_modules(c.demand.id.kind())).sum();
    Module::layer(
        parts.first().map_or_else(String::new, |c| module_name(c.demand.id)),
        bytes,
        leaves,
    )
}

/// How many final modules a component is made of: four projections and two norms; gate, up and down.
fn final_modules(kind: ComponentKind) -> u64 {
    match kind {
        ComponentKind::Attention => 6,
        ComponentKind::Mlp | ComponentKind::SharedExpert | ComponentKind::Expert => 3,
        _ => 1,
    }
}

/// The unsplit module a component belongs to.
fn module_name(id: ComponentId) -> String {
    match id {
        ComponentId::Embedding => "model.embed_tokens".to_owned(),
        ComponentId::FinalNorm => "model.norm".to_owned(),
        ComponentId::OutputHead => "lm_head".to_owned(),
        ComponentId::Attention(layer)
        | ComponentId::Router(layer)
        | ComponentId::Mlp(layer)
        | ComponentId::SharedExpert(layer)
        | ComponentId::Expert(layer, _)
        | ComponentId::ExpertMatrix(layer, _) => format!("model.layers.{layer}"),
    }
}

/// The device of the entry that owns a component's module: itself or a prefix of its path.
fn target_of(map: &[Assignment], id: ComponentId) -> Option<Target> {
    let name = module_name(id);
    let owns = |a: &&Assignment| greedy::is_at_or_below(&name, &a.module);
    map.iter().find(owns).map(|a| a.target)
}
