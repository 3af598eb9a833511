//! Experts by matrix: what passing them costs, step by step along a token's way, and random problems of them.

use std::sync::Arc;

use apportion::hardware::{Device, DeviceKind};
use apportion::model::{ComponentId, Matrix};
use apportion::problem::{Component, Objective, ObjectiveKind, Problem, Sends, Timing};
use apportion::runtime::{LayerDevices, SendRule};
use apportion::units::Ratio;

use super::cases::{random_problem, random_rules};
use super::times::{random_timing, way};
use crate::support::Random;

/// A layer's matrices as a token passes them: component and device.
pub fn matrices(problem: &Problem, layer: u32, device_of: &[usize]) -> Vec<(usize, usize)> {
    let order = [Matrix::Up, Matrix::Gate, Matrix::GateUp, Matrix::Down];
    let index = |matrix: Matrix| {
        let id = ComponentId::ExpertMatrix(layer, matrix);
        problem.components.iter().position(|c| c.demand.id == id)
    };
    order.into_iter().filter_map(index).map(|part| (part, device_of[part])).collect()
}

/// What passing them sends, in units of one over the traffic denominator.
pub fn traffic(problem: &Problem, layer: u32, home: usize, device_of: &[usize]) -> u64 {
    let passed = matrices(problem, layer, device_of);
    let mut units = 0;
    let mut reached = vec![home];
    for (place, &(part, device)) in passed.iter().enumerate() {
        let last = place + 1 == passed.len();
        let once = problem.sends != Sends::PerExpert;
        if !last && device != home && !(once && reached.contains(&device)) {
            units += problem.traffic_denominator;
            reached.push(device);
        }
        let next = if last { home } else { passed[place + 1].1 };
        if device != next {
            units += problem.components[part].visits;
        }
    }
    units
}

/// How long passing them takes, beside what every token visits, given per device.
pub fn time(timing: &Timing, home: usize, passed: &[(usize, usize)], beside: &[u64]) -> u64 {
    let (&(last, device), before) = passed.split_last().unwrap();
    let mut busy = beside.to_vec();
    let mut reached = vec![home];
    for &(part, device) in before {
        busy[device] += timing.visit_ps[part][device];
        let once = timing.sends == SendRule::PerDevice;
        if !(once && reached.contains(&device)) {
            busy[device] += way(timing, home, device, timing.tokens_milli);
            reached.push(device);
        }
    }
    let mut time = match timing.devices {
        LayerDevices::Sequential => busy.iter().sum(),
        LayerDevices::Concurrent => *busy.iter().max().unwrap(),
    };
    for pair in passed.windows(2) {
        time += way(timing, pair[0].1, pair[1].1, timing.expert_tokens_milli[pair[0].0]);
    }
    time += timing.visit_ps[last][device];
    time + way(timing, device, home, timing.expert_tokens_milli[last])
}

/// A tiny problem whose experts are placed by matrix.
fn random_matrices(random: &mut Random, layers_max: u64) -> Problem {
    let mut problem = random_problem(random, layers_max);
    if random.coin() {
        // As many experts as there could be, of which a token visits one.
        problem.sends = Sends::PerDevice { experts: 3, experts_per_token: 1 };
    }
    let wide = random.within(1, 7);
    let fused = random.one_in(4);
    let mut components: Vec<Component> = Vec::new();
    for component in &problem.components {
        let ComponentId::Expert(layer, number) = component.demand.id else {
            components.push(component.clone());
            continue;
        };
        let kept = if fused {
            [Matrix::GateUp, Matrix::Down].as_slice()
        } else {
            &[Matrix::Up, Matrix::Gate, Matrix::Down]
        };
        for &matrix in kept.iter().filter(|_| number == 0) {
            let id = ComponentId::ExpertMatrix(layer, matrix);
            let mut part = component.clone();
            part.demand.id = id;
            part.demand.weights_bytes = random.within(2, 9);
            part.lives_with = id;
            part.visits = if matrix == Matrix::Down { problem.traffic_denominator } else { wide };
            components.push(part);
        }
    }
    components.sort_by_key(|component| component.demand.id);
    problem.components = components;
    problem.rules = random_rules(random, &problem);
    problem.apply_rules();
    problem
}

/// Traffic is all there is to minimise, or is before or after the peak.
pub fn random_traffic(seed: u64) -> Problem {
    let mut random = Random::new(seed);
    let mut problem = random_matrices(&mut random, 4);
    let objective = |kind, tolerance| Objective { kind, tolerance };
    let traffic = objective(ObjectiveKind::Traffic, Ratio::ZERO);
    let peak = objective(ObjectiveKind::PeakUtilization, Ratio::new(1, 20));
    problem.objectives = match random.below(3) {
        0 => vec![traffic],
        1 => vec![peak, traffic],
        _ => vec![traffic, peak],
    };
    problem
}

/// A time is all there is to minimise.
pub fn random_timed(seed: u64) -> Problem {
    let mut random = Random::new(seed);
    let mut problem = random_matrices(&mut random, 3);
    let mut timing = random_timing(&mut random, &problem);
    timing.expert_tokens_milli =
        problem.components.iter().map(|_| random.within(1, 9) * 700).collect();
    problem.decode = Some(Arc::new(timing));
    let kind = ObjectiveKind::DecodeLatency;
    problem.objectives = vec![Objective { kind, tolerance: Ratio::ZERO }];
    problem
}

/// Whatever else is minimised, in any order.
pub fn random_any(seed: u64) -> Problem {
    let mut random = Random::new(seed);
    let mut problem = random_matrices(&mut random, 4);
    let timing = random_timing(&mut random, &problem);
    problem.decode = Some(Arc::new(timing));
    let kind = ObjectiveKind::DecodeLatency;
    let at = random.index(problem.objectives.len() + 1);
    if random.coin() {
        problem.objectives.insert(at, Objective { kind, tolerance: Ratio::new(1, 20) });
    }
    problem
}

/// The same with more GPUs, on which nothing fits: too many for every way of a layer to be listed. `None` where there
/// is a CPU, which comes last.
pub fn beside_full_devices(mut problem: Problem, devices: usize) -> Option<Problem> {
    if problem.cpus().next().is_some() {
        return None;
    }
    for number in problem.devices.len()..devices {
        let id = format!("gpu{number}");
        let full = Device { id, kind: DeviceKind::Gpu, capacity_bytes: 1, reserve_bytes: 1 };
        problem.devices.push(full);
    }
    if let Some(timing) = problem.decode.as_mut().map(Arc::make_mut) {
        timing.visit_ps.iter_mut().for_each(|row| row.resize(devices, 1));
        for table in [&mut timing.latency_ps, &mut timing.token_ps] {
            table.resize(devices, Vec::new());
            for (from, row) in table.iter_mut().enumerate() {
                row.resize(devices, 1);
                row[from] = 0;
            }
        }
    }
    problem.apply_rules();
    Some(problem)
}
