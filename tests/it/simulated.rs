//! The expected maximum beside the mean of what happens: tokens that choose their experts one by one, on
//! machines whose devices work at the same time or take turns.

use apportion::model::ComponentId;
use apportion::problem::{ObjectiveKind, ObjectiveValue, Placement, Problem, Timing};
use apportion::runtime::{LayerDevices, SendRule};
use apportion::scenario::Limits;
use apportion::verify::verify;

use crate::evaluates::timed;
use crate::support::Random;

/// Tokens steps that are played, all layers of each.
const STEPS: u32 = 3_000;

/// Mixtral and `OLMoE` with even routing: the mean of thousands of steps is within a few standard errors of the
/// law, for single tokens and batches.
#[test]
fn the_law_of_times_is_the_mean_of_simulated_steps() {
    for (model, quant) in [("mixtral-8x7b", "f16"), ("olmoe-1b-7b-0924", "f16")] {
        for devices in [LayerDevices::Concurrent, LayerDevices::Sequential] {
            for batch in [1, 3] {
                compare(model, quant, devices, batch);
            }
        }
    }
}

fn compare(model: &str, quant: &str, devices: LayerDevices, batch: u64) {
    let mut asked = timed(model, quant);
    asked.load.batch = batch;
    let sends = Some(SendRule::PerDevice);
    asked.limits = Limits { layer_devices: Some(devices), sends, ..asked.limits };
    let problem = asked.problem().unwrap();
    let mut random = Random::new(17 + batch);
    // Some experts of every layer away from home, another number of them in each.
    let components = problem.components.iter();
    let device_of = components.map(|c| match c.demand.id {
        ComponentId::Expert(layer, expert) => usize::from(expert % 5 < layer % 4),
        _ => 0,
    });
    let placement = Placement { device_of: device_of.collect() };
    let kind = ObjectiveKind::DecodeLatency;
    let Ok(measured) = verify(&problem, &placement) else { panic!("it fits") };
    let timing = problem.decode.as_deref().unwrap();
    let steps: Vec<f64> = (0..STEPS)
        .map(|_| {
            step(
                &problem,
                timing,
                &placement,
                batch,
                asked.model.geometry.experts_per_token,
                &mut random,
            )
        })
        .collect();
    let mean = steps.iter().sum::<f64>() / f64::from(STEPS);
    let variance = steps.iter().map(|step| (step - mean).powi(2)).sum::<f64>();
    let error = (variance / f64::from(STEPS - 1) / f64::from(STEPS)).sqrt();
    let law = measured.value(kind).as_f64();
    let said = format!("{model} {devices:?} batch {batch}: law {law}, mean {mean} +- {error}");
    assert!((law - mean).abs() <= 4.5 * error + 1e-6 * law, "{said}");
    assert!(error < 5e-3 * law, "too few steps to tell: {said}");
}

/// One step: in each layer every token chooses its experts, and devices are busy with what is there of them.
fn step(
    problem: &Problem,
    timing: &Timing,
    placement: &Placement,
    batch: u64,
    chosen: u32,
    random: &mut Random,
) -> f64 {
    let mut ps = 0_u64;
    let mut layers = vec![Vec::new(); problem.layers() as usize];
    for (index, component) in problem.components.iter().enumerate() {
        match component.demand.id {
            ComponentId::Expert(layer, _) => layers[layer as usize].push(index),
            _ => ps += timing.visit_ps[index][placement.device_of[index]],
        }
    }
    for experts in layers {
        let mut visited = vec![false; experts.len()];
        for _ in 0..batch {
            let mut left: Vec<usize> = (0..experts.len()).collect();
            for _ in 0..chosen {
                visited[left.swap_remove(random.index(left.len()))] = true;
            }
        }
        let mut busy = [0_u64; 2];
        let mut sent = 0;
        for (&expert, _) in experts.iter().zip(visited).filter(|(_, visited)| *visited) {
            let device = placement.device_of[expert];
            busy[device] += timing.visit_ps[expert][device];
            sent += if device == 0 { 0 } else { timing.expert_tokens_milli[expert] };
        }
        if sent > 0 {
            busy[1] += timing.round_trip_ps(0, 1, sent.min(timing.tokens_milli));
        }
        ps += match timing.devices {
            LayerDevices::Sequential => busy[0] + busy[1],
            LayerDevices::Concurrent => busy[0].max(busy[1]),
        };
    }
    ObjectiveValue::Time(ps).as_f64()
}
