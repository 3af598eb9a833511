//! Tiny random problems of replicated attention, and what their divisions cost, counted from the definition.

use std::sync::Arc;

use apportion::hardware::{Device, DeviceKind};
use apportion::memory::{ComponentDemand, Workspace};
use apportion::model::ComponentId;
use apportion::placement::Placement;
use apportion::problem::{
    Affinity, Component, DeviceSet, Objective, ObjectiveKind, Problem, Rule, Sends,
};
use apportion::units::Ratio;

use crate::support::Random;

/// Layers of so many experts, as what they need.
pub fn demand(id: ComponentId, weights_bytes: u64) -> ComponentDemand {
    ComponentDemand { id, weights_bytes, rounding_bytes: 0, kv_cache_bytes: 0, staging_bytes: 0 }
}

/// Two layers of attention that are everywhere, experts to divide, GPUs of these sizes, no counts.
pub fn plain(layers: u32, experts: u32, capacities: &[u64]) -> Problem {
    let all = DeviceSet::first(capacities.len());
    let ids = (0..layers).flat_map(|l| (0..experts).map(move |e| ComponentId::Expert(l, e)));
    let expert = |id| Component { demand: demand(id, 4), allowed: all, lives_with: id, visits: 0 };
    let gpu = |(g, &capacity_bytes): (usize, &u64)| Device {
        id: format!("gpu{g}"),
        kind: DeviceKind::Gpu,
        capacity_bytes,
        reserve_bytes: 0,
    };
    let attentions = (0..layers).map(|l| demand(ComponentId::Attention(l), 3));
    Problem {
        components: ids.map(expert).collect(),
        devices: capacities.iter().enumerate().map(gpu).collect(),
        workspace: Workspace::default(),
        host_staging_bytes: 0,
        tied_head: false,
        traffic_denominator: 1,
        rules: Vec::new(),
        objectives: vec![exact(ObjectiveKind::PeakUtilization)],
        headroom_bytes: Vec::new(),
        devices_max: None,
        sends: Sends::PerExpert,
        current: None,
        decode: None,
        prefill: None,
        everywhere: attentions.collect(),
        affinity: None,
        moved_bytes_max: None,
    }
}

pub fn exact(kind: ObjectiveKind) -> Objective {
    Objective { kind, tolerance: Ratio::ZERO }
}

/// Gives it counts, and crossings as its only objective.
pub fn counted(
    mut problem: Problem,
    tokens: u64,
    top_k: u64,
    pairs: Vec<Vec<Vec<u64>>>,
) -> Problem {
    let affinity = Affinity { tokens, top_k, pair_counts: pairs };
    problem.traffic_denominator = affinity.denominator();
    problem.affinity = Some(Arc::new(affinity));
    problem.objectives = vec![exact(ObjectiveKind::Crossings)];
    problem
}

/// Uneven shares, pins, unequal devices and experts, staging, workspace, reserve, headroom, tolerances, both
/// orders of objectives; some infeasible.
pub fn random(random: &mut Random) -> Problem {
    let layers = u32::try_from(random.within(1, 3)).unwrap();
    let devices = random.within(1, 3);
    let experts = u32::try_from(random.within(1, if layers == 3 { 3 } else { 4 })).unwrap();
    let mut problem = plain(layers, experts, &vec![1; usize::try_from(devices).unwrap()]);
    let varied = random.coin();
    for component in &mut problem.components {
        let demand = &mut component.demand;
        demand.weights_bytes = if varied { random.within(1, 9) } else { 4 };
        demand.rounding_bytes = random.below(2);
        demand.staging_bytes = if random.one_in(3) { random.below(12) } else { 0 };
    }
    for demand in &mut problem.everywhere {
        demand.kv_cache_bytes = random.below(3);
    }
    problem.workspace = Workspace {
        attention_bytes: random.below(4),
        feed_forward_bytes: random.below(6),
        ..Workspace::default()
    };
    let held: u64 = problem.components.iter().map(|c| c.demand.weights_bytes).sum();
    let base = u64::from(layers) * 5 + 8;
    let even = random.coin();
    let fill = random.within(90, 220);
    for device in &mut problem.devices {
        let share = base + held * fill / 100 / devices;
        device.capacity_bytes =
            if even { share } else { random.within(share / 2, share * 2).max(1) };
        device.reserve_bytes = if even { 1 } else { random.below(3) };
    }
    if random.one_in(3) {
        problem.headroom_bytes = problem.devices.iter().map(|_| random.below(3)).collect();
    }
    if random.one_in(3) {
        pin(random, &mut problem);
    }
    let top_k = random.within(1, 2);
    let tokens = random.within(1, 20);
    let pairs = (1..layers).map(|_| pairs(random, experts, tokens * top_k * top_k)).collect();
    let mut problem = counted(problem, tokens, top_k, pairs);
    let tolerance = if random.coin() { Ratio::ZERO } else { Ratio::new(1, 5) };
    problem.objectives[0].tolerance = tolerance;
    problem.objectives.push(Objective { kind: ObjectiveKind::PeakUtilization, tolerance });
    if random.coin() {
        problem.objectives.reverse();
    }
    problem
}

/// So many pairs of experts of two layers, thrown anywhere, some more likely.
pub fn pairs(random: &mut Random, experts: u32, total: u64) -> Vec<Vec<u64>> {
    let experts = usize::try_from(experts).unwrap();
    let mut counts = vec![vec![0; experts]; experts];
    for _ in 0..total {
        let from = random.index(experts);
        let to = if random.coin() { (from + 1) % experts } else { random.index(experts) };
        counts[from][to] += 1;
    }
    counts
}

fn pin(random: &mut Random, problem: &mut Problem) {
    let only = DeviceSet::only(random.index(problem.devices.len()));
    let all = DeviceSet::first(problem.devices.len());
    let devices = if random.coin() || only == all { only } else { all.without(only) };
    let several = random.within(1, 2);
    let components = (0..several).map(|_| random.index(problem.components.len())).collect();
    let text = "own".to_owned();
    problem.rules.push(Rule { text, default: false, fixed: false, devices, components });
    problem.apply_rules();
}

/// What a division costs, or `None` when it is none: from the definition, with none of the program's code.
pub fn costs(problem: &Problem, placement: &Placement) -> Option<(u64, Ratio)> {
    let devices = problem.devices.len();
    let mut here = vec![std::collections::BTreeMap::<u32, usize>::new(); devices];
    for (component, &device) in problem.components.iter().zip(&placement.device_of) {
        let ComponentId::Expert(layer, _) = component.demand.id else { return None };
        *here[device].entry(layer).or_default() += 1;
    }
    let mut peak = Ratio::ZERO;
    for (index, device) in problem.devices.iter().enumerate() {
        let mut bytes = device.reserve_bytes;
        let (mut cache, mut staged) = (0, 0);
        let mut workspace = problem.workspace.attention_bytes;
        let experts = problem.components.iter().zip(&placement.device_of);
        let experts = experts.filter(|(_, home)| **home == index).map(|(c, _)| &c.demand);
        for demand in problem.everywhere.iter().chain(experts) {
            bytes += demand.weights_bytes + demand.rounding_bytes;
            cache += demand.kv_cache_bytes;
            staged = staged.max(demand.staging_bytes);
            if let ComponentId::Expert(..) = demand.id {
                workspace = workspace.max(problem.workspace.feed_forward_bytes);
            }
        }
        let required = bytes + staged.max(cache + workspace);
        let headroom = problem.headroom_bytes.get(index).copied().unwrap_or(0);
        if required + headroom > device.capacity_bytes {
            return None;
        }
        peak = peak.max(Ratio::new(required, device.capacity_bytes));
    }
    let layers: std::collections::BTreeSet<u32> =
        problem.components.iter().filter_map(|c| c.demand.id.layer()).collect();
    for layer in &layers {
        let counts: Vec<usize> =
            here.iter().map(|of| of.get(layer).copied().unwrap_or(0)).collect();
        if counts.iter().max()? - counts.iter().min()? > 1 {
            return None;
        }
    }
    Some((crossing(problem, placement), peak))
}

fn crossing(problem: &Problem, placement: &Placement) -> u64 {
    let home = |layer: u32, expert: usize| {
        let expert = u32::try_from(expert).unwrap();
        placement.device_of[problem.index_of(ComponentId::Expert(layer, expert)).unwrap()]
    };
    let mut sum = 0;
    for (l, counts) in problem.affinity.as_ref().unwrap().pair_counts.iter().enumerate() {
        let layer = u32::try_from(l).unwrap();
        for (from, row) in counts.iter().enumerate() {
            for (to, count) in row.iter().enumerate() {
                sum += if home(layer, from) == home(layer + 1, to) { 0 } else { *count };
            }
        }
    }
    sum
}
