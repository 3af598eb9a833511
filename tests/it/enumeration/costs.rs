//! What a placement costs, straight from the definitions, and all placements there are.

use apportion::hardware::DeviceKind;
use apportion::model::{ComponentId, ComponentKind};
use apportion::problem::{Component, ObjectiveKind, Problem, Sends};
use apportion::units::Ratio;

use super::{matrices, times};

const PLACEMENTS_MAX: u64 = 60_000;

/// What one placement costs.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    pub spill: u64,
    pub peak: Ratio,
    pub traffic: u64,
    pub devices: u64,
    pub migration: u64,
    pub decode: u64,
    pub prefill: u64,
}

/// `None` when it breaks a constraint.
pub fn costs(problem: &Problem, device_of: &[usize]) -> Option<Costs> {
    let mut peak = Ratio::ZERO;
    let mut spill = 0;
    let mut devices = 0;
    for (d, device) in problem.devices.iter().enumerate() {
        let here: Vec<&Component> = problem
            .components
            .iter()
            .zip(device_of)
            .filter(|&(_, &on)| on == d)
            .map(|(c, _)| c)
            .collect();
        devices += u64::from(!here.is_empty());
        let cpu = device.kind == DeviceKind::Cpu;
        let staging = here.iter().map(|c| c.demand.staging_bytes).max().unwrap_or(0);
        let staging = staging.max(if cpu { problem.host_staging_bytes } else { 0 });
        let weights: u64 =
            here.iter().map(|c| c.demand.weights_bytes + c.demand.rounding_bytes).sum();
        let kv: u64 = here.iter().map(|c| c.demand.kv_cache_bytes).sum();
        let workspace = here.iter().map(|c| workspace(problem, c)).max().unwrap_or(0);
        let occupied = !here.is_empty() || (cpu && problem.host_staging_bytes > 0);
        let reserve = if occupied { device.reserve_bytes } else { 0 };
        let required = weights + reserve + (kv + workspace).max(staging);
        let headroom = problem.headroom_bytes.get(d).copied().unwrap_or(0);
        if required + headroom > device.capacity_bytes {
            return None;
        }
        if cpu {
            spill += weights + kv;
        } else {
            peak = peak.max(Ratio::new(required, device.capacity_bytes));
        }
    }
    if problem.devices_max.is_some_and(|most| devices > most as u64) {
        return None;
    }
    let moved = problem.current.as_ref().map_or(0, |current| {
        let all = problem.components.iter().zip(device_of.iter().zip(&current.device_of));
        all.filter(|(_, (a, b))| a != b).map(|(c, _)| c.demand.weights_bytes).sum()
    });
    Some(Costs {
        spill,
        peak,
        traffic: traffic(problem, device_of),
        devices,
        migration: moved,
        decode: time(problem, ObjectiveKind::DecodeLatency, device_of),
        prefill: time(problem, ObjectiveKind::PrefillTime, device_of),
    })
}

/// Hand-overs and sends, in units of one over the traffic denominator.
fn traffic(problem: &Problem, device_of: &[usize]) -> u64 {
    let index =
        |id: ComponentId| problem.components.iter().position(|c| c.demand.id == id).unwrap();
    let home = |l| device_of[index(ComponentId::Attention(l))];
    let embedding = problem.components[0].demand.id == ComponentId::Embedding;
    let mut chain: Vec<usize> = embedding.then(|| device_of[0]).into_iter().collect();
    chain.extend((0..problem.layers()).map(home));
    chain.push(if problem.tied_head {
        chain[0]
    } else {
        device_of[index(ComponentId::OutputHead)]
    });
    let changes = chain.windows(2).filter(|w| w[0] != w[1]).count() as u64;
    let mut traffic = changes * problem.traffic_denominator;
    for layer in 0..problem.layers() {
        for device in (0..problem.devices.len()).filter(|&d| d != home(layer)) {
            let here = problem.components.iter().zip(device_of).filter(|&(c, &on)| {
                let id = c.demand.id;
                let whole = id.kind() != ComponentKind::ExpertMatrix;
                on == device && whole && id.kind().is_feed_forward() && id.layer() == Some(layer)
            });
            traffic += 2 * sends(problem, here.map(|(component, _)| component));
        }
        traffic += matrices::traffic(problem, layer, home(layer), device_of);
    }
    traffic
}

/// The time of an objective; 0 where nothing asks for it.
fn time(problem: &Problem, kind: ObjectiveKind, device_of: &[usize]) -> u64 {
    let asked = problem.objectives.iter().any(|objective| objective.kind == kind);
    let timing =
        if kind == ObjectiveKind::DecodeLatency { &problem.decode } else { &problem.prefill };
    let timing = timing.as_ref().filter(|_| asked);
    timing.map_or(0, |timing| times::time(problem, timing, device_of))
}

/// One way to a device that holds these parts of a layer that lives elsewhere.
fn sends<'a>(problem: &Problem, here: impl Iterator<Item = &'a Component>) -> u64 {
    let here: Vec<&Component> = here.collect();
    let Sends::PerDevice { experts, experts_per_token } = problem.sends else {
        return here.iter().map(|component| component.visits).sum();
    };
    let routed = here.iter().filter(|c| c.demand.id.kind() == ComponentKind::Expert).count();
    if routed < here.len() {
        return problem.traffic_denominator;
    }
    visited(problem.traffic_denominator, experts, experts_per_token, routed)
}

/// The chance that a token visits one of the first `n` experts, by looking at every choice it has; rounded
/// up to one over `denominator`.
pub fn visited(denominator: u64, experts: u32, experts_per_token: u32, n: usize) -> u64 {
    let choices = (0..1_u32 << experts).filter(|set| set.count_ones() == experts_per_token);
    let ours = (1_u32 << n) - 1;
    let (mut hit, mut all) = (0_u64, 0_u64);
    for set in choices {
        hit += u64::from(set & ours != 0);
        all += 1;
    }
    (denominator * hit).div_ceil(all)
}

fn workspace(problem: &Problem, component: &Component) -> u64 {
    let w = &problem.workspace;
    match component.demand.id.kind() {
        ComponentKind::Embedding if problem.tied_head => w.embedding_bytes.max(w.head_bytes),
        ComponentKind::Embedding => w.embedding_bytes,
        ComponentKind::Attention | ComponentKind::Router => w.attention_bytes,
        ComponentKind::Mlp
        | ComponentKind::SharedExpert
        | ComponentKind::Expert
        | ComponentKind::ExpertMatrix => w.feed_forward_bytes,
        ComponentKind::FinalNorm => 0,
        ComponentKind::OutputHead => w.head_bytes,
    }
}

/// The costs of every placement that keeps together what must be and stays where it may; `None` when
/// there are too many.
pub fn enumerate(problem: &Problem) -> Option<Vec<Costs>> {
    let leaders: Vec<usize> = (0..problem.components.len())
        .filter(|&c| problem.components[c].lives_with == problem.components[c].demand.id)
        .collect();
    let choices: Vec<Vec<usize>> =
        leaders.iter().map(|&c| problem.components[c].allowed.iter().collect()).collect();
    let count = choices.iter().try_fold(1_u64, |n, c| n.checked_mul(c.len() as u64))?;
    if count > PLACEMENTS_MAX {
        return None;
    }
    let mut found = Vec::new();
    for mut number in 0..count {
        let mut device_of = vec![0; problem.components.len()];
        for (&leader, devices) in leaders.iter().zip(&choices) {
            let device = devices[usize::try_from(number % devices.len() as u64).unwrap()];
            number /= devices.len() as u64;
            for (index, component) in problem.components.iter().enumerate() {
                if component.lives_with == problem.components[leader].demand.id {
                    device_of[index] = device;
                }
            }
        }
        found.extend(costs(problem, &device_of));
    }
    Some(found)
}
