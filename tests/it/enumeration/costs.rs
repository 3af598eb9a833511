//! What a placement costs, straight from the definitions, and all placements there are.

use apportion::hardware::DeviceKind;
use apportion::model::{ComponentId, ComponentKind};
use apportion::problem::{Component, Problem};
use apportion::units::Ratio;

const PLACEMENTS_MAX: u64 = 60_000;

/// What one placement costs: (spill, peak, traffic units), or `None` when it breaks a constraint.
pub type Costs = (u64, Ratio, u64);

pub fn costs(problem: &Problem, device_of: &[usize]) -> Option<Costs> {
    let index =
        |id: ComponentId| problem.components.iter().position(|c| c.demand.id == id).unwrap();
    let mut peak = Ratio::ZERO;
    let mut spill = 0;
    for (d, device) in problem.devices.iter().enumerate() {
        let here: Vec<&Component> = problem
            .components
            .iter()
            .zip(device_of)
            .filter(|&(_, &on)| on == d)
            .map(|(c, _)| c)
            .collect();
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
        if required > device.capacity_bytes {
            return None;
        }
        if cpu {
            spill += weights + kv;
        } else {
            peak = peak.max(Ratio::new(required, device.capacity_bytes));
        }
    }
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
    for (component, &on) in problem.components.iter().zip(device_of) {
        let id = component.demand.id;
        if id.kind().is_feed_forward() && on != home(id.layer().unwrap()) {
            traffic += 2 * component.visits;
        }
    }
    Some((spill, peak, traffic))
}

fn workspace(problem: &Problem, component: &Component) -> u64 {
    let w = &problem.workspace;
    match component.demand.id.kind() {
        ComponentKind::Embedding if problem.tied_head => w.embedding_bytes.max(w.head_bytes),
        ComponentKind::Embedding => w.embedding_bytes,
        ComponentKind::Attention | ComponentKind::Router => w.attention_bytes,
        ComponentKind::Mlp | ComponentKind::SharedExpert | ComponentKind::Expert => {
            w.feed_forward_bytes
        }
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
