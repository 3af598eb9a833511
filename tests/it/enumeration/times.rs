//! What a step takes, straight from the definitions: every set of experts a step may visit is looked at, one
//! by one. And random machines to take it on.

use std::sync::Arc;

use apportion::model::{ComponentId, ComponentKind};
use apportion::problem::{Draw, Objective, ObjectiveKind, Problem, Timing};
use apportion::runtime::{LayerDevices, SendRule};
use apportion::units::Ratio;

use super::cases::random_problem;
use super::matrices;
use crate::support::Random;

/// The time under the statistics that make it longest.
pub fn time(problem: &Problem, timing: &Timing, device_of: &[usize]) -> u64 {
    (0..timing.draws.len()).map(|set| time_under(problem, timing, set, device_of)).max().unwrap()
}

fn time_under(problem: &Problem, timing: &Timing, set: usize, device_of: &[usize]) -> u64 {
    let index = |id: ComponentId| problem.components.iter().position(|c| c.demand.id == id);
    let on = |id: ComponentId| index(id).map(|index| device_of[index]);
    let mut chain: Vec<usize> = on(ComponentId::Embedding).into_iter().collect();
    chain.extend((0..problem.layers()).map(|l| on(ComponentId::Attention(l)).unwrap()));
    let head = if problem.tied_head { ComponentId::Embedding } else { ComponentId::OutputHead };
    chain.extend(on(head));
    let mut sum: u64 = chain.windows(2).map(|w| way(timing, w[0], w[1], timing.tokens_milli)).sum();
    for (index, component) in problem.components.iter().enumerate() {
        if !component.demand.id.kind().is_feed_forward() {
            sum += timing.visit_ps[index][device_of[index]];
        }
    }
    for layer in 0..problem.layers() {
        let home = on(ComponentId::Attention(layer)).unwrap();
        let parts: Vec<usize> = (0..problem.components.len())
            .filter(|&index| {
                let id = problem.components[index].demand.id;
                id.layer() == Some(layer) && id.kind().is_feed_forward()
            })
            .collect();
        sum += layer_time(problem, timing, set, layer, home, &parts, device_of);
    }
    sum
}

fn layer_time(
    problem: &Problem,
    timing: &Timing,
    set: usize,
    layer: u32,
    home: usize,
    parts: &[usize],
    device_of: &[usize],
) -> u64 {
    let experts: Vec<u32> = parts
        .iter()
        .filter_map(|&part| match problem.components[part].demand.id {
            ComponentId::Expert(_, number) => Some(number),
            _ => None,
        })
        .collect();
    let passed = matrices::matrices(problem, layer, device_of);
    if !passed.is_empty() {
        let whole = |part: &usize| passed.iter().all(|(matrix, _)| matrix != part);
        let beside: Vec<u64> = (0..problem.devices.len())
            .map(|device| {
                let here =
                    parts.iter().copied().filter(|part| whole(part) && device_of[*part] == device);
                busy(problem, timing, home, device, &here.collect::<Vec<_>>())
            })
            .collect();
        return matrices::time(timing, home, &passed, &beside);
    }
    let draw = &timing.draws[set][layer as usize];
    let (mut sum, mut all) = (0_u128, 0_u128);
    for (visited, weight) in listed(draw, &experts) {
        let visited: Vec<usize> = parts
            .iter()
            .copied()
            .filter(|&part| match problem.components[part].demand.id {
                ComponentId::Expert(_, number) => visited.contains(&number),
                _ => true,
            })
            .collect();
        let busy = (0..problem.devices.len()).map(|device| {
            let here: Vec<usize> =
                visited.iter().copied().filter(|&part| device_of[part] == device).collect();
            busy(problem, timing, home, device, &here)
        });
        let together: u64 = match timing.devices {
            LayerDevices::Sequential => busy.sum(),
            LayerDevices::Concurrent => busy.max().unwrap(),
        };
        sum += weight * u128::from(together);
        all += weight;
    }
    u64::try_from((sum + all / 2) / all).unwrap()
}

/// Every set with its weight; weights of different sizes are brought to one denominator.
fn listed(draw: &Draw, experts: &[u32]) -> Vec<(Vec<u32>, u128)> {
    let subsets = || {
        (0..1_u32 << experts.len()).map(|bits| -> Vec<u32> {
            (0..experts.len()).filter(|i| bits >> i & 1 == 1).map(|i| experts[i]).collect()
        })
    };
    match draw {
        Draw::Even(sizes) if sizes.is_empty() => vec![(Vec::new(), 1)],
        Draw::Even(sizes) => {
            let many = |size: u32| subsets().filter(|s| s.len() == size as usize).count() as u128;
            let whole: u128 = sizes.iter().map(|&(size, _)| many(size)).product();
            let of = |&(size, weight): &(u32, u64)| {
                let each = whole / many(size) * u128::from(weight);
                subsets().filter(move |s| s.len() == size as usize).map(move |s| (s, each))
            };
            sizes.iter().flat_map(of).collect()
        }
        Draw::Sets(sets) => {
            sets.iter().map(|(set, weight)| (set.clone(), u128::from(*weight))).collect()
        }
    }
}

fn busy(problem: &Problem, timing: &Timing, home: usize, device: usize, here: &[usize]) -> u64 {
    let visits: u64 = here.iter().map(|&part| timing.visit_ps[part][device]).sum();
    if device == home || here.is_empty() {
        return visits;
    }
    let tokens = |part: usize| match problem.components[part].demand.id.kind() {
        ComponentKind::Expert => timing.expert_tokens_milli[part],
        _ => timing.tokens_milli,
    };
    let round = |tokens| way(timing, home, device, tokens) + way(timing, device, home, tokens);
    visits
        + match timing.sends {
            SendRule::PerExpert => here.iter().map(|&part| round(tokens(part))).sum(),
            SendRule::PerDevice => {
                round(here.iter().map(|&p| tokens(p)).sum::<u64>().min(timing.tokens_milli))
            }
        }
}

pub fn way(timing: &Timing, from: usize, to: usize, tokens_milli: u64) -> u64 {
    if from == to {
        return 0;
    }
    timing.latency_ps[from][to] + (timing.token_ps[from][to] * tokens_milli).div_ceil(1000)
}

/// A tiny problem in which time is an objective: alone, first, or after others.
pub fn random_timed(seed: u64) -> Problem {
    let mut random = Random::new(seed);
    let layers = random.within(1, 3);
    let mut problem = random_problem(&mut random, layers);
    if random.one_in(4) {
        coarsen(&mut random, &mut problem);
    }
    problem.decode = Some(Arc::new(random_timing(&mut random, &problem)));
    problem.prefill = Some(Arc::new(random_timing(&mut random, &problem)));
    let kind =
        if random.coin() { ObjectiveKind::DecodeLatency } else { ObjectiveKind::PrefillTime };
    let tolerance = if random.coin() { Ratio::ZERO } else { Ratio::new(1, 20) };
    let time = Objective { kind, tolerance };
    match random.below(3) {
        0 => problem.objectives = vec![time],
        1 => problem.objectives.insert(0, time),
        _ => {
            let at = random.index(problem.objectives.len() + 1);
            problem.objectives.insert(at, time);
        }
    }
    problem
}

/// Whole layers, or all experts of a layer together.
fn coarsen(random: &mut Random, problem: &mut Problem) {
    let layers = random.coin();
    for component in &mut problem.components {
        match component.demand.id {
            ComponentId::Expert(layer, _)
            | ComponentId::Mlp(layer)
            | ComponentId::SharedExpert(layer)
                if layers =>
            {
                component.lives_with = ComponentId::Attention(layer);
            }
            ComponentId::Expert(layer, _) => component.lives_with = ComponentId::Expert(layer, 0),
            _ => {}
        }
    }
    problem.apply_rules();
}

pub fn random_timing(random: &mut Random, problem: &Problem) -> Timing {
    let devices = problem.devices.len();
    let slow: Vec<u64> = (0..devices).map(|_| random.within(1, 4)).collect();
    let even = random.coin();
    let equal = random.coin();
    let mut of_layer = std::collections::BTreeMap::new();
    let mut visit_ps = Vec::new();
    for component in &problem.components {
        let fresh = random.within(1, 900) * 1000;
        let ps = match component.demand.id {
            ComponentId::Expert(layer, _) if even || equal => {
                *of_layer.entry(layer).or_insert(fresh)
            }
            _ => fresh,
        };
        visit_ps.push(slow.iter().map(|factor| ps * factor).collect());
    }
    let scale = [1, 100, 10_000][random.index(3)] * 10;
    let uniform = random.coin();
    let common = random.within(1, 50) * scale;
    let mut between = |more: u64| -> Vec<Vec<u64>> {
        (0..devices)
            .map(|a| {
                let fresh = |b: usize, random: &mut Random| match (a == b, uniform) {
                    (true, _) => 0,
                    (_, true) => common,
                    _ => random.within(1, 60) * scale + more,
                };
                (0..devices).map(|b| fresh(b, random)).collect()
            })
            .collect()
    };
    let (latency_ps, token_ps) = (between(0), between(1));
    let tokens_milli = random.within(1, 4) * 1000;
    let expert_tokens = random.within(1000, tokens_milli);
    let expert_tokens_milli = problem.components.iter().map(|component| {
        if component.demand.id.kind() == ComponentKind::Expert { expert_tokens } else { 0 }
    });
    let expert_tokens_milli = expert_tokens_milli.collect();
    let sets = if random.one_in(3) { 2 } else { 1 };
    let draws = (0..sets)
        .map(|_| (0..problem.layers()).map(|l| random_draw(random, problem, l, even)).collect())
        .collect();
    Timing {
        visit_ps,
        latency_ps,
        token_ps,
        tokens_milli,
        expert_tokens_milli,
        sends: if random.coin() { SendRule::PerExpert } else { SendRule::PerDevice },
        devices: if random.coin() { LayerDevices::Sequential } else { LayerDevices::Concurrent },
        draws,
    }
}

fn random_draw(random: &mut Random, problem: &Problem, layer: u32, even: bool) -> Draw {
    let of_layer = |component: &&apportion::problem::Component| matches!(component.demand.id, ComponentId::Expert(l, _) if l == layer);
    let experts = u32::try_from(problem.components.iter().filter(of_layer).count()).unwrap();
    if experts == 0 {
        return Draw::Even(Vec::new());
    }
    let size = u32::try_from(random.within(1, experts.into())).unwrap();
    if even {
        let mut sizes = vec![(size, random.within(1, 9))];
        if random.one_in(3) && size < experts {
            sizes.push((size + 1, random.within(1, 9)));
        }
        return Draw::Even(sizes);
    }
    let subsets = (1..1_u32 << experts).filter(|bits| bits.count_ones() == size);
    let sets = subsets.map(|bits| {
        let set: Vec<u32> = (0..experts).filter(|i| bits >> i & 1 == 1).collect();
        (set, random.within(1, 40))
    });
    Draw::Sets(sets.collect())
}
