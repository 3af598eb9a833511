//! A replayed load as one object: bytes as integers, the timeline in full.

use serde_json::{Map, Value, json};

use super::Replayed;
use crate::simulate::{Advice, DeviceRun, Failure, Point, Reason, Variant};

/// The whole answer.
pub fn simulation_json(replayed: &Replayed<'_>, advice: Option<&Advice>) -> Value {
    let Replayed { scenario, choices, simulation, planned_bytes } = replayed;
    let phases: Vec<Value> = simulation
        .phases
        .iter()
        .map(|start| json!({"phase": start.phase.name(), "step": start.step}))
        .collect();
    let devices = simulation.devices.iter().enumerate();
    let devices: Vec<Value> =
        devices.map(|(at, run)| device(run, planned_bytes.get(at).copied())).collect();
    let failure = simulation
        .failure
        .as_ref()
        .map(|failure| self::failure(failure, &simulation.devices[failure.device].id));
    let mut object = json!({
        "status": if failure.is_some() { "fails" } else { "fits" },
        "model": scenario.model.name,
        "quantization": scenario.scheme.name(),
        "context": scenario.load.context,
        "batch": scenario.load.batch,
        "runtime": scenario.load.runtime.name(),
        "staging": scenario.load.staging_of(&scenario.scheme).name(),
        "allocator": choices.allocator.name(),
        "order": choices.order.name(),
        "warm_up": choices.warm_up,
        "decode": choices.decode,
        "steps": simulation.steps,
        "steps_in_all": simulation.steps_in_all,
        "phases": phases,
        "failure": failure,
        "devices": devices,
    });
    if let Some(advice) = advice {
        object["advice"] = self::advice(replayed, advice);
    }
    object
}

fn reason(reason: &Reason) -> Value {
    json!({
        "purpose": reason.purpose.name(),
        "component": reason.component,
        "tensor": reason.tensor,
        "phase": reason.phase.name(),
    })
}

fn point(point: &Point) -> Value {
    json!({
        "step": point.step,
        "reserved_bytes": point.reserved_bytes,
        "allocated_bytes": point.allocated_bytes,
        "fragmented_bytes": point.fragmented_bytes(),
        "outside_bytes": point.outside_bytes,
    })
}

fn failure(failure: &Failure, device: &str) -> Value {
    json!({
        "device": device,
        "request_bytes": failure.request_bytes,
        "asked_of_device_bytes": failure.asked_bytes,
        "reason": reason(&failure.reason),
        "at": point(&failure.point),
        "staged_bytes": failure.staged_bytes,
        "passing_bytes": failure.passing_bytes,
        "free_bytes": failure.free_bytes,
        "largest_free_block_bytes": failure.largest_free_bytes,
    })
}

fn device(run: &DeviceRun, planned_bytes: Option<u64>) -> Value {
    json!({
        "id": run.id,
        "kind": run.kind.name(),
        "usable_bytes": run.usable_bytes,
        "planned_bytes": planned_bytes,
        "requests": run.requests,
        "peak_bytes": run.peak.point.filled_bytes(),
        "peak": point(&run.peak.point),
        "peak_reason": run.peak.reason.as_ref().map(reason),
        "end": point(&run.end),
        "timeline": run.timeline.iter().map(point).collect::<Vec<_>>(),
    })
}

fn advice(replayed: &Replayed<'_>, advice: &Advice) -> Value {
    let ids = |devices: &[usize]| -> Vec<&str> {
        devices.iter().map(|&at| replayed.simulation.devices[at].id.as_str()).collect()
    };
    json!({
        "tried": advice.tried,
        "asked": variant(replayed, &advice.asked),
        "single": advice.single.iter().map(|one| variant(replayed, one)).collect::<Vec<_>>(),
        "best": variant(replayed, &advice.best),
        "too_large": ids(&advice.too_large),
    })
}

fn variant(replayed: &Replayed<'_>, variant: &Variant) -> Value {
    let by_device = |bytes: &[u64]| -> Map<String, Value> {
        let devices = replayed.simulation.devices.iter().zip(bytes);
        devices.map(|(run, &bytes)| (run.id.clone(), bytes.into())).collect()
    };
    json!({
        "changes": variant.changes,
        "fits": variant.fits,
        "peak_bytes": by_device(&variant.peak_bytes),
        "stays_bytes": by_device(&variant.stays_bytes),
    })
}
