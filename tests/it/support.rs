//! Small problems to reason about by hand, all their placements, and random ones.

use std::collections::BTreeMap;

use apportion::hardware::{Device, DeviceKind};
use apportion::memory::{ComponentDemand, Workspace};
use apportion::model::{ComponentId, ComponentKind};
use apportion::placement::Placement;
use apportion::problem::{Component, DeviceSet, Objective, ObjectiveKind, Problem, Rule};
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
            rules.push(Rule { text, default: *default, devices, components: matched });
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
            ComponentKind::Expert => weights.expert,
            ComponentKind::FinalNorm => weights.final_norm,
            ComponentKind::OutputHead => weights.output_head,
        };
        let attention = id.kind() == ComponentKind::Attention;
        ComponentDemand {
            id,
            weights_bytes: self.weights_of.get(&id).copied().unwrap_or(of_kind),
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

/// Every placement that keeps together what lives together and respects `allowed`, each once, the last
/// free component turning fastest. Capacities are not looked at.
pub fn enumerate(problem: &Problem) -> impl Iterator<Item = Placement> {
    let components = &problem.components;
    let roots: Vec<usize> = (0..components.len())
        .filter(|&i| components[i].lives_with == components[i].demand.id)
        .collect();
    // The wheel each component turns with.
    let wheel_of: Vec<usize> = components
        .iter()
        .map(|component| {
            let root = problem.index_of(component.lives_with).unwrap();
            roots.binary_search(&root).unwrap()
        })
        .collect();
    let mut allowed = vec![DeviceSet::first(problem.devices.len()); roots.len()];
    for (component, &wheel) in components.iter().zip(&wheel_of) {
        allowed[wheel] = allowed[wheel].and(component.allowed);
    }
    let choices: Vec<Vec<usize>> = allowed.iter().map(|set| set.iter().collect()).collect();
    let mut wheels = choices.iter().all(|c| !c.is_empty()).then(|| vec![0; choices.len()]);
    std::iter::from_fn(move || {
        let current = wheels.clone()?;
        wheels = turned(current.clone(), &choices);
        let device_of = wheel_of.iter().map(|&w| choices[w][current[w]]).collect();
        Some(Placement { device_of })
    })
}

/// The odometer one step on; `None` after its last position.
fn turned(mut wheels: Vec<usize>, choices: &[Vec<usize>]) -> Option<Vec<usize>> {
    for wheel in (0..wheels.len()).rev() {
        wheels[wheel] += 1;
        if wheels[wheel] < choices[wheel].len() {
            return Some(wheels);
        }
        wheels[wheel] = 0;
    }
    None
}

/// A deterministic generator (xorshift64*): the same seed gives the same tests everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number in `[0, end)`; `end` must be positive.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number in `[from, to]`.
    pub fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    pub fn coin(&mut self) -> bool {
        self.below(2) == 1
    }

    /// An index below `len`.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap())).unwrap()
    }

    /// A small problem of any shape: dense or not, tied or not, uneven sizes, with workspace, KV cache,
    /// staging, reserves, perhaps a CPU, perhaps default pins. Capacities are about what is needed.
    pub fn tiny(&mut self) -> Tiny {
        let layers = u32::try_from(self.within(1, 3)).unwrap();
        let experts = u32::try_from(self.below(4)).unwrap();
        let mut tiny = Tiny::new(layers, experts);
        tiny.experts_per_token = self.within(1, u64::from(experts.max(1)));
        tiny.dense_layers = u32::try_from(self.below(2)).unwrap();
        tiny.shared_expert = self.coin();
        tiny.tied = self.coin();
        tiny.kv_cache_bytes = self.below(3);
        tiny.workspace = Workspace {
            embedding_bytes: self.below(3),
            attention_bytes: self.below(3),
            feed_forward_bytes: self.below(3),
            head_bytes: self.below(6),
        };
        for id in tiny.ids() {
            tiny.weights_of.insert(id, self.within(1, 9));
            tiny.staging_of.insert(id, self.below(8));
        }
        let total: u64 = tiny.weights_of.values().sum();
        let gpus = self.within(1, 3);
        for _ in 0..gpus {
            let capacity = self.within(total / gpus, total / gpus * 2 + 10);
            let reserve = self.below(3);
            tiny = tiny.device(DeviceKind::Gpu, capacity, reserve);
        }
        if self.coin() {
            tiny.host_staging_bytes = self.below(8);
            tiny = tiny.cpu(self.within(total / 2, total * 2));
        }
        if self.coin() { tiny.default_pins() } else { tiny }
    }

    /// Any placement, allowed or not.
    pub fn placement(&mut self, problem: &Problem) -> Placement {
        let device = |_| self.index(problem.devices.len());
        Placement { device_of: problem.components.iter().map(device).collect() }
    }
}
