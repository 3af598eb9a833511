//! The explanation of an answer as JSON: the same facts as the text, bytes as integers.

use serde_json::{Value, json};

use super::json::number;
use crate::plan::{
    Bound, Cut, Explanation, Group, LayerKind, Merged, Method, Reason, Solved, StageTrace, Step,
};
use crate::problem::{DeviceSet, Problem};

/// What `solve --explain --json` has under `explanation`.
pub fn explanation_json(problem: &Problem, explanation: &Explanation, solved: &Solved) -> Value {
    let stages: Vec<Value> = solved.trace.iter().map(|stage| traced(problem, stage)).collect();
    json!({
        "merged": merged(problem, &explanation.merged),
        "settled": cut(problem, &explanation.cut),
        "stages": stages,
    })
}

fn id(problem: &Problem, device: usize) -> Option<&str> {
    problem.devices.get(device).map(|device| device.id.as_str())
}

fn ids(problem: &Problem, set: DeviceSet) -> Vec<&str> {
    set.iter().filter_map(|device| id(problem, device)).collect()
}

fn merged(problem: &Problem, merged: &Merged) -> Value {
    let group = |group: &Group| {
        json!({
            "component": group.component.to_string(),
            "count": group.count,
            "components": group.components,
            "bytes": group.bytes,
            "allowed": ids(problem, group.allowed),
        })
    };
    let kind = |kind: &LayerKind| {
        json!({
            "layers": kind.layers,
            "home": group(&kind.home),
            "items": kind.items.iter().map(group).collect::<Vec<_>>(),
        })
    };
    json!({
        "components": merged.components,
        "units": merged.units,
        "ends": merged.ends.iter().map(group).collect::<Vec<_>>(),
        "layers": merged.layers.iter().map(kind).collect::<Vec<_>>(),
        "named_decisions": merged.named,
        "counted_decisions": merged.counted,
    })
}

fn cut(problem: &Problem, cut: &Cut) -> Value {
    let pinned = cut.pinned.iter().map(|pinned| {
        let device = id(problem, pinned.device);
        json!({ "device": device, "units": pinned.units, "bytes": pinned.bytes })
    });
    let too_small = cut.too_small.iter().map(|small| {
        json!({
            "device": id(problem, small.device),
            "component": small.component.to_string(),
            "units": small.units,
            "required_bytes": small.required_bytes,
            "limit_bytes": small.limit_bytes,
        })
    });
    let must_use = cut
        .must_use
        .iter()
        .map(|must| json!({ "device": id(problem, must.device), "holds_bytes": must.holds_bytes }));
    let alike = cut.alike.iter().map(|&(a, b)| json!([id(problem, b), id(problem, a)]));
    json!({
        "pinned": pinned.collect::<Vec<_>>(),
        "forbidden_places": cut.forbidden,
        "too_small": too_small.collect::<Vec<_>>(),
        "must_use": must_use.collect::<Vec<_>>(),
        "alike": alike.collect::<Vec<_>>(),
    })
}

fn traced(problem: &Problem, stage: &StageTrace) -> Value {
    let step = |step: &Step| {
        json!({
            "method": method(step.method),
            "node_limit": step.node_limit,
            "nodes": step.nodes,
            "programs": step.programs,
            "best": step.best.map(number),
            "bound": number(step.bound),
            "closed": step.closed,
        })
    };
    json!({
        "name": stage.kind.name(),
        "again": stage.again,
        "bounds": stage.bounds.iter().map(|b| bound(problem, b)).collect::<Vec<_>>(),
        "steps": stage.steps.iter().map(step).collect::<Vec<_>>(),
        "closed_by": stage.closed_by().map(|step| method(step.method)),
        "nodes": stage.nodes(),
    })
}

fn bound(problem: &Problem, bound: &Bound) -> Value {
    let mut value = match bound.reason {
        Reason::Total { held_bytes, beside_bytes, capacity_bytes } => json!({
            "from": "total",
            "held_bytes": held_bytes,
            "beside_bytes": beside_bytes,
            "capacity_bytes": capacity_bytes,
        }),
        Reason::LargestItem { component, device, required_bytes } => json!({
            "from": "largest_item",
            "component": component.to_string(),
            "device": id(problem, device),
            "required_bytes": required_bytes,
        }),
        Reason::Pinned { device, required_bytes } => json!({
            "from": "pinned",
            "device": id(problem, device),
            "required_bytes": required_bytes,
        }),
        Reason::BeyondGpus { held_bytes, room_bytes } => {
            json!({ "from": "beyond_gpus", "held_bytes": held_bytes, "room_bytes": room_bytes })
        }
        Reason::OnNoGpu { held_bytes } => json!({ "from": "on_no_gpu", "held_bytes": held_bytes }),
        Reason::Room { held_bytes } => json!({ "from": "room", "held_bytes": held_bytes }),
        Reason::PinnedDevices => json!({ "from": "pinned_devices" }),
    };
    value["bound"] = number(bound.value);
    value
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Carried => "carried",
        Method::Seed => "seed",
        Method::Start => "start",
        Method::Relaxation => "relaxation",
        Method::Levels => "levels",
        Method::Prices => "prices",
        Method::Walks => "walks",
        Method::Layers => "layers",
        Method::Textbook => "textbook",
        Method::Partitions => "partitions",
        Method::Labels => "labels",
        Method::Descent => "descent",
        Method::Exchanges => "exchanges",
    }
}
