//! Small problems to reason about by hand; all their placements and random ones in the files beside.

use std::collections::BTreeMap;

mod enumerate;
mod habits;
mod random;

pub use enumerate::{enumerate, placements};
pub use habits::{named, placed, placements_of_habit, why_not};
pub use random::Random;

use apportion::hardware::{Device, DeviceKind};
use apportion::memory::{ComponentDemand, Workspace};
use apportion::model::{ComponentId, ComponentKind};
use apportion::placement::Placement;
use apportion::problem::{Component, DeviceSet, Objective, ObjectiveKind, Problem, Rule, Sends};
use apportion::units::Ratio;

/// Weights per component kind, in bytes, unless a component is given its own.
#[derive(Clone, Debug)]
pub struct Weights {
    pub embedding: u64,
    pub attention: u64,
    pub router: u64,
    pub mlp: u64,
    pub shared_expert: u64,
    pub expert: u64,
    pub final_norm: u64,
    pub output_head: u64,
}

/// A model and a machine in a few lines.
///
/// `Tiny::new(4, 2)` has 4 layers of 2 experts (dense with 0), one expert per token, and no devices.
/// Defaults: embedding and head 5 bytes, attention 3, router 1, mlp 8, shared expert 2, expert 4, norm 1;
/// no KV cache, workspace, staging; objectives peak (1 %) then traffic, preceded by spill with a CPU.
#[derive(Clone, Debug)]
pub struct Tiny {
    pub layers: u32,
    pub experts: u32,
    pub experts_per_token: u64,
    /// So many first layers have an mlp instead of experts.
    pub dense_layers: u32,
    pub shared_expert: bool,
    pub tied: bool,
    pub weights: Weights,
    /// Of every attention block.
    pub kv_cache_bytes: u64,
    pub workspace: Workspace,
    pub host_staging_bytes: u64,
    pub devices: Vec<Device>,
    /// `None` for the defaults.
    pub objectives: Option<Vec<Objective>>,
    weights_of: BTreeMap<ComponentId, u64>,
    rounding_of: BTreeMap<ComponentId, u64>,
    staging_of: BTreeMap<ComponentId, u64>,
    visits_of: BTreeMap<ComponentId, u64>,
    rules: Vec<(String, bool, DeviceSet, Vec<ComponentId>)>,
}

impl Tiny {
    pub fn new(layers: u32, experts: u32) -> Self {
        Self {
            layers,
            experts,
            experts_per_token: 1,
            dense_layers: 0,
            shared_expert: false,
            tied: false,
            weights: Weights {
                embedding: 5,
                attention: 3,
                router: 1,
                mlp: 8,
                shared_expert: 2,
                expert: 4,
                final_norm: 1,
                output_head: 5,
            },
            kv_cache_bytes: 0,
            workspace: Workspace::default(),
            host_staging_bytes: 0,
            devices: Vec::new(),
            objectives: None,
            weights_of: BTreeMap::new(),
            rounding_of: BTreeMap::new(),
            staging_of: BTreeMap::new(),
            visits_of: BTreeMap::new(),
            rules: Vec::new(),
        }
    }

    /// Changes any field.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub fn gpu(self, capacity_bytes: u64) -> Self {
        self.device(DeviceKind::Gpu, capacity_bytes, 0)
    }

    pub fn gpus(self, count: usize, capacity_bytes: u64) -> Self {
        (0..count).fold(self, |tiny, _| tiny.gpu(capacity_bytes))
    }

    pub fn cpu(self, capacity_bytes: u64) -> Self {
        self.device(DeviceKind::Cpu, capacity_bytes, 0)
    }

    /// Adds a device; GPUs must come before CPUs.
    pub fn device(mut self, kind: DeviceKind, capacity_bytes: u64, reserve_bytes: u64) -> Self {
        let id = match kind {
            DeviceKind::Gpu => format!("gpu{}", self.devices.len()),
            DeviceKind::Cpu => "cpu".to_owned(),
        };
        self.devices.push(Device { id, kind, capacity_bytes, reserve_bytes });
        self
    }

    pub fn tied(self) -> Self {
        self.with(|tiny| tiny.tied = true)
    }

    /// Gives a component its own weights.
    pub fn weigh(mut self, id: &str, bytes: u64) -> Self {
        self.weights_of.insert(parse(id), bytes);
        self
    }

    /// Lets a component stage a matrix of so many bytes while it is loaded.
    pub fn stage(mut self, id: &str, bytes: u64) -> Self {
        self.staging_of.insert(parse(id), bytes);
        self
    }

    /// Gives a component its own visits, in units of one over the number of experts.
    pub fn visit(mut self, id: &str, visits: u64) -> Self {
        self.visits_of.insert(parse(id), visits);
        self
    }

    /// A user's pin of components to one device.
    pub fn pin(self, ids: &[&str], device: usize) -> Self {
        let text = format!("--pin {}=gpu{device}", ids.join(","));
        self.rule(text, false, DeviceSet::only(device), ids)
    }

    /// A user's ban of components from one device.
    pub fn forbid(self, ids: &[&str], device: usize) -> Self {
        let text = format!("--forbid {}=gpu{device}", ids.join(","));
        self.rule(text, false, DeviceSet(!DeviceSet::only(device).0), ids)
    }

    /// The default pins: the embedding and the feed-forward part of layer 0 on GPU 0.
    pub fn default_pins(self) -> Self {
        let ids: Vec<String> = self
            .ids()
            .into_iter()
            .filter(|id| {
                let feed_forward = id.kind().is_feed_forward() && id.layer() == Some(0);
                *id == ComponentId::Embedding || feed_forward
            })
            .map(|id| id.to_string())
            .collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.rule("default pins".to_owned(), true, DeviceSet::only(0), &ids)
    }

    fn rule(mut self, text: String, default: bool, devices: DeviceSet, ids: &[&str]) -> Self {
        self.rules.push((text, default, devices, ids.iter().map(|id| parse(id)).collect()));
        self
    }

    /// Drops one rule, by the index it has in the problem.
    pub fn without_rule(mut self, rule: usize) -> Self {
        self.rules.remove(rule);
        self
    }

    /// Drops the default pins.
    pub fn without_default_pins(mut self) -> Self {
        self.rules.retain(|rule| !rule.1);
        self
    }

    /// The components in canonical order.
    pub fn ids(&self) -> Vec<ComponentId> {
        let mut ids = vec![ComponentId::Embedding, ComponentId::FinalNorm];
        if !self.tied {
            ids.push(ComponentId::OutputHead);
        }
        for layer in 0..self.layers {
            ids.push(ComponentId::Attention(layer));
            if layer < self.dense_layers || self.experts == 0 {
                ids.push(ComponentId::Mlp(layer));
                continue;
            }
            ids.push(ComponentId::Router(layer));
            ids.extend(self.shared_expert.then_some(ComponentId::SharedExpert(layer)));
            ids.extend((0..self.experts).map(|expert| ComponentId::Expert(layer, expert)));
        }
        ids.sort_unstable();
        ids
    }

    pub fn problem(&self) -> Problem {
        let ids = self.ids();
        let every = DeviceSet::first(self.devices.len());
        let mut components: Vec<Component> = ids
            .iter()
            .map(|&id| Component {
                demand: self.demand(id),
                allowed: every,
                lives_with: self.lives_with(id),
                visits: self.visits(id),
            })
            .collect();
        let mut rules = Vec::new();
        for (text, default, devices, matched) in &self.rules {
            let matched: Vec<usize> =
                matched.iter().map(|id| ids.binary_search(id).unwrap()).collect();
            for &index in &matched {
                components[index].allowed = components[index].allowed.and(*devices);
            }
            let (text, devices) = (text.clone(), devices.and(every));
            rules.push(Rule {
                text,
                default: *default,
                fixed: false,
                devices,
                components: matched,
            });
        }
        Problem {
            components,
            devices: self.devices.clone(),
            workspace: self.workspace,
            host_staging_bytes: self.host_staging_bytes,
            tied_head: self.tied,
            traffic_denominator: u64::from(self.experts.max(1)),
            rules,
            objectives: self.objectives.clone().unwrap_or_else(|| self.default_objectives()),
            headroom_bytes: Vec::new(),
            devices_max: None,
            sends: Sends::PerExpert,
            current: None,
            decode: None,
            prefill: None,
            everywhere: Vec::new(),
            affinity: None,
            moved_bytes_max: None,
        }
    }

    fn demand(&self, id: ComponentId) -> ComponentDemand {
        let weights = &self.weights;
        let of_kind = match id.kind() {
            ComponentKind::Embedding => weights.embedding,
            ComponentKind::Attention => weights.attention,
            ComponentKind::Router => weights.router,
            ComponentKind::Mlp => weights.mlp,
            ComponentKind::SharedExpert => weights.shared_expert,
            ComponentKind::Expert | ComponentKind::ExpertMatrix => weights.expert,
            ComponentKind::FinalNorm => weights.final_norm,
            ComponentKind::OutputHead => weights.output_head,
        };
        let attention = id.kind() == ComponentKind::Attention;
        ComponentDemand {
            id,
            weights_bytes: self.weights_of.get(&id).copied().unwrap_or(of_kind),
            rounding_bytes: self.rounding_of.get(&id).copied().unwrap_or(0),
            kv_cache_bytes: if attention { self.kv_cache_bytes } else { 0 },
            staging_bytes: self.staging_of.get(&id).copied().unwrap_or(0),
        }
    }

    fn lives_with(&self, id: ComponentId) -> ComponentId {
        match id {
            ComponentId::Router(layer) => ComponentId::Attention(layer),
            ComponentId::FinalNorm if self.tied => ComponentId::Embedding,
            ComponentId::FinalNorm => ComponentId::OutputHead,
            id => id,
        }
    }

    fn visits(&self, id: ComponentId) -> u64 {
        let by_kind = match id.kind() {
            ComponentKind::Mlp | ComponentKind::SharedExpert => u64::from(self.experts.max(1)),
            ComponentKind::Expert => self.experts_per_token,
            _ => 0,
        };
        self.visits_of.get(&id).copied().unwrap_or(by_kind)
    }

    fn default_objectives(&self) -> Vec<Objective> {
        let exact = |kind| Objective { kind, tolerance: Ratio::ZERO };
        let cpu = self.devices.iter().any(|device| device.kind == DeviceKind::Cpu);
        let percent = Ratio::new(1, 100);
        cpu.then_some(exact(ObjectiveKind::SpillBytes))
            .into_iter()
            .chain([Objective { kind: ObjectiveKind::PeakUtilization, tolerance: percent }])
            .chain([exact(ObjectiveKind::Traffic)])
            .collect()
    }
}

fn parse(id: &str) -> ComponentId {
    id.parse().unwrap()
}

/// A placement from names: everything on device 0 but these.
pub fn place(problem: &Problem, elsewhere: &[(&str, usize)]) -> Placement {
    let mut device_of = vec![0; problem.components.len()];
    for &(id, device) in elsewhere {
        device_of[problem.index_of(parse(id)).unwrap()] = device;
    }
    Placement { device_of }
}

/// Mixtral 8x7B with every matrix of attention and experts at this many bits a weight.
pub fn mixtral(bits_times_16: u64) -> Tiny {
    let at = |parameters: u64| parameters * bits_times_16 / 128;
    Tiny::new(32, 8).with(|tiny| {
        tiny.experts_per_token = 2;
        tiny.weights.embedding = 262_144_000;
        tiny.weights.attention = at(41_943_040) + 16_384;
        tiny.weights.router = 65_536;
        tiny.weights.expert = at(176_160_768);
        tiny.weights.final_norm = 8_192;
        tiny.weights.output_head = 262_144_000;
        for id in tiny.ids().into_iter().filter(|id| id.kind() == ComponentKind::Expert) {
            *tiny = tiny.clone().stage(&id.to_string(), 4096 * 14336 * 2);
        }
    })
}
