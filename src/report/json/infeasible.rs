//! `solve`, when there is no placement.

use serde_json::{Value, json};

use crate::plan::{Infeasibility, Member};
use crate::problem::Problem;
use crate::remedy::{Cost, NotEnough, Offer, Remedies, Remedy};
use crate::report::remedy as words;
use crate::scenario::Scenario;

/// `solve`, when there is no placement.
pub fn infeasible(
    scenario: &Scenario,
    problem: &Problem,
    why: &Infeasibility,
    remedies: &Remedies,
) -> Value {
    let shortfalls: Vec<Value> = why
        .shortfalls
        .iter()
        .map(
            |s| json!({ "device": problem.devices[s.device].id, "missing_bytes": s.missing_bytes }),
        )
        .collect();
    let conflict = why.conflict.members.iter().map(|&m| member(problem, m));
    let enough = remedies.enough.iter().map(|offer| remedy(scenario, problem, offer));
    let in_vain = remedies.not_enough.iter().map(|n| not_enough(scenario, problem, n));
    json!({
        "status": "infeasible",
        "shortfalls": shortfalls,
        "conflict": conflict.collect::<Vec<_>>(),
        "conflict_undecided": why.conflict.undecided,
        "remedies": enough.collect::<Vec<_>>(),
        "not_enough": in_vain.collect::<Vec<_>>(),
        "undecided": remedies.undecided,
    })
}

fn member(problem: &Problem, member: Member) -> Value {
    let id = |device: usize| &problem.devices[device].id;
    match member {
        Member::Rule(rule) => {
            let rule = &problem.rules[rule];
            json!({
                "kind": "rule",
                "rule": rule.text,
                "default": rule.default,
                "fixed": rule.fixed,
            })
        }
        Member::DevicesMax => json!({ "kind": "devices_max", "devices": problem.devices_max }),
        Member::Headroom(device) => json!({
            "kind": "headroom",
            "device": id(device),
            "bytes": problem.headroom_bytes.get(device),
        }),
        Member::Capacity(device) => json!({
            "kind": "capacity",
            "device": id(device),
            "bytes": problem.devices[device].capacity_bytes,
            "reserve_bytes": problem.devices[device].reserve_bytes,
        }),
    }
}

/// The same keys for each remedy, then what only its kind has.
fn remedy(scenario: &Scenario, problem: &Problem, offer: &Offer) -> Value {
    let id = |device: usize| &problem.devices[device].id;
    let remedy = &offer.remedy;
    let mut value = json!({
        "kind": words::kind(remedy),
        "text": words::meaning(problem, offer),
        "options": words::options(scenario, remedy),
        "cost": cost(&offer.cost),
    });
    match remedy {
        Remedy::ReleaseDefaultPins => {}
        Remedy::Headroom { percent } => value["percent"] = json!(percent),
        Remedy::DevicesMax { devices } => value["devices"] = json!(devices),
        Remedy::ReleaseRule { rule } => value["rule"] = json!(problem.rules[*rule].text),
        Remedy::Context { tokens } => value["tokens"] = json!(tokens),
        Remedy::Batch { sequences } => value["sequences"] = json!(sequences),
        Remedy::Quantization { scheme } => value["quantization"] = json!(scheme),
        Remedy::AddBytes { device, bytes } => {
            value["device"] = json!(id(*device));
            value["bytes"] = json!(bytes);
        }
        Remedy::AddBytesEach { bytes } => value["bytes"] = json!(bytes),
        Remedy::AddDevice { like } => value["like"] = json!(id(*like)),
    }
    value
}

/// What is given up, and how much of it.
fn cost(cost: &Cost) -> Value {
    match cost {
        Cost::Nothing => json!({ "kind": "nothing" }),
        Cost::Rule { components } => json!({ "kind": "rule", "components": components }),
        Cost::Headroom { percent } => json!({ "kind": "headroom", "percent": percent }),
        Cost::Devices { more } => json!({ "kind": "devices", "more": more }),
        Cost::Service { percent } => json!({ "kind": "service", "percent": percent }),
        Cost::Weights { bytes } => json!({ "kind": "weights", "bytes": bytes }),
        Cost::Memory { bytes } => json!({ "kind": "memory", "bytes": bytes }),
        Cost::Device { bytes } => json!({ "kind": "device", "bytes": bytes }),
    }
}

fn not_enough(scenario: &Scenario, problem: &Problem, not_enough: &NotEnough) -> Value {
    let mut value = json!({
        "kind": words::kind_in_vain(not_enough),
        "text": words::in_vain(scenario, problem, not_enough),
    });
    if let NotEnough::Quantization { tried } = not_enough {
        value["tried"] = json!(tried);
    }
    value
}
