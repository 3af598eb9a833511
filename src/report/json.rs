//! The shapes of `--json`: one object per command, bytes as integers, the same names everywhere.

mod infeasible;

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Solution;
use crate::baseline::{self, Misfit, Row, RowOutcome};
use crate::model::{LeftOut, Model};
use crate::placement::{Status, limit_name};
use crate::plan::{LimitReached, Solved, SolverReport, StageReport};
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};
use crate::reconcile::{Difference, Entry, Reconciliation};
use crate::verify::{Certified, Measured, Traffic};

pub use infeasible::infeasible;

/// `solve`, when there is a placement.
pub fn solution(solution: &Solution<'_>) -> Value {
    let Solution { problem, solved, measured, elapsed, .. } = *solution;
    let mut object = Map::new();
    object.insert("status".to_owned(), json!(Status::of(solved).name()));
    if let Some(limit) = solved.limit {
        object.insert("limit".to_owned(), json!(limit_name(limit)));
    }
    let objectives: Vec<Value> = solved.stages.iter().map(objective).collect();
    object.insert("objectives".to_owned(), Value::Array(objectives));
    object.insert("devices".to_owned(), devices(problem, measured));
    object.extend(sent(problem, measured));
    let homes = problem.components.iter().zip(&solved.placement.device_of);
    let placement: Map<String, Value> = homes
        .map(|(c, &device)| (c.demand.id.to_string(), json!(problem.devices[device].id)))
        .collect();
    object.insert("placement".to_owned(), Value::Object(placement));
    object.insert("solver".to_owned(), solver(&solved.solver, elapsed));
    Value::Object(object)
}

/// `solve`, when a limit was reached before anything was known.
pub fn unknown(limit: LimitReached) -> Value {
    json!({ "status": "unknown", "limit": limit_name(limit) })
}

/// `reconcile`.
pub fn reconciliation(model: &Model, outcome: &Reconciliation) -> Value {
    let entry = |entry: &Entry| {
        json!({
            "shape": entry.shape,
            "type": entry.type_name,
            "bytes": entry.bytes,
            "tensors": entry.tensors,
        })
    };
    let difference = |difference: &Difference| {
        json!({
            "name": difference.name,
            "predicted": difference.predicted.as_ref().map(entry),
            "found": difference.found.as_ref().map(entry),
        })
    };
    let left_out =
        |tensor: &LeftOut| json!({ "name": tensor.name, "bytes": tensor.bytes, "why": tensor.why });
    json!({
        "model": model.name,
        "family": model.family,
        "quantization": outcome.scheme,
        "agrees": outcome.agrees(),
        "predicted_bytes": outcome.predicted_bytes,
        "found_bytes": outcome.found_bytes,
        "equal": outcome.equal,
        "differences": outcome.differences.iter().map(difference).collect::<Vec<_>>(),
        "left_out": outcome.left_out.iter().map(left_out).collect::<Vec<_>>(),
    })
}

/// `compare`.
pub fn comparison(problem: &Problem, optimum: Option<(&Solved, &Measured)>, rows: &[Row]) -> Value {
    let mut all = Vec::new();
    if let Some((solved, measured)) = optimum {
        let mut row = measured_row("apportion", true, None, problem, measured);
        row["status"] = json!(Status::of(solved).name());
        row["objectives"] = solved.stages.iter().map(objective).collect();
        all.push(row);
    }
    for row in rows {
        all.push(match &row.outcome {
            RowOutcome::Fits(measured) => measured_row(row.name, true, None, problem, measured),
            RowOutcome::DoesNotFit { misfit, measured } => {
                measured_row(row.name, false, Some(misfit), problem, measured)
            }
            RowOutcome::NotApplicable(why) => not_applicable(row.name, why),
        });
    }
    json!({ "rows": all })
}

/// `check`.
pub fn check(
    problem: &Problem,
    measured: Option<&Measured>,
    bounds: &[Certified],
    wrong: &[String],
) -> Value {
    let single = measured.filter(|_| !problem.is_replicated());
    let mut value = json!({
        "status": if wrong.is_empty() { "valid" } else { "refused" },
        "differences": wrong,
        "devices": measured.map(|measured| devices(problem, measured)),
        "traffic": single.map(|measured| traffic(&measured.traffic)),
        "bounds": bounds.iter().map(bound).collect::<Vec<_>>(),
    });
    let replicated = measured.filter(|_| problem.is_replicated());
    if let Some((key, crossings)) = replicated.and_then(|measured| sent(problem, measured)) {
        value[key] = crossings;
    }
    value
}

fn bound(of: &Certified) -> Value {
    json!({
        "name": of.kind.name(),
        "bound": number(of.claimed),
        "proof": if of.proven.is_some() { "certified" } else { "search" },
    })
}

fn objective(stage: &StageReport) -> Value {
    json!({
        "name": stage.kind.name(),
        "value": number(stage.value),
        "optimum": number(stage.optimum),
        "bound": number(stage.bound),
        "gap": stage.gap(),
        "tolerance": stage.tolerance.as_f64(),
        "cap": number(stage.cap),
    })
}

pub(super) fn number(value: ObjectiveValue) -> Value {
    match value {
        ObjectiveValue::Bytes(number)
        | ObjectiveValue::Count(number)
        | ObjectiveValue::Time(number) => json!(number),
        ObjectiveValue::Ratio(ratio) => json!(ratio.as_f64()),
    }
}

pub(super) fn devices(problem: &Problem, measured: &Measured) -> Value {
    let pairs = problem.devices.iter().zip(&measured.devices);
    pairs
        .map(|(device, used)| {
            json!({
                "id": device.id,
                "capacity_bytes": device.capacity_bytes,
                "headroom_bytes": used.headroom_bytes,
                "used_bytes": used.used_bytes,
                "weights_bytes": used.weights_bytes,
                "rounding_bytes": used.rounding_bytes,
                "kv_cache_bytes": used.kv_cache_bytes,
                "workspace_bytes": used.workspace_bytes,
                "reserve_bytes": used.reserve_bytes,
                "staging_bytes": used.staging_bytes,
                "utilization": used.utilization().as_f64(),
            })
        })
        .collect()
}

fn traffic(traffic: &Traffic) -> Value {
    json!({
        "hand_overs": traffic.hand_overs,
        "remote_experts": traffic.remote_experts,
        "expected_transfers_per_token": traffic.expected_transfers_per_token().as_f64(),
    })
}

/// `traffic`, or where attention is replicated `crossings` beside those of other divisions.
fn sent(problem: &Problem, measured: &Measured) -> Option<(String, Value)> {
    if !problem.is_replicated() {
        return Some(("traffic".to_owned(), traffic(&measured.traffic)));
    }
    let random = baseline::random_crossings(problem)?;
    let mut others = Map::new();
    others.insert("random".to_owned(), json!(random.as_f64()));
    for (name, value) in baseline::crossings(problem) {
        others.insert(name.replace(' ', "_"), number(value));
    }
    let value = number(measured.value(ObjectiveKind::Crossings));
    Some(("crossings".to_owned(), json!({ "value": value, "others": others })))
}

fn solver(report: &SolverReport, elapsed: Duration) -> Value {
    json!({ "name": report.name, "nodes": report.nodes, "seconds": elapsed.as_secs_f64() })
}

fn measured_row(
    name: &str,
    fits: bool,
    misfit: Option<&Misfit>,
    problem: &Problem,
    measured: &Measured,
) -> Value {
    let misfit = misfit.map(|misfit| {
        json!({
            "component": misfit.component.to_string(),
            "device": problem.devices[misfit.device].id,
            "required_bytes": misfit.required_bytes,
            "limit_bytes": misfit.limit_bytes,
            "capacity_bytes": misfit.capacity_bytes,
        })
    });
    let mut row = json!({
        "name": name,
        "fits": fits,
        "first_misfit": misfit,
        "peak": measured.peak().as_f64(),
        "hand_overs": measured.traffic.hand_overs,
        "remote_experts": measured.traffic.remote_experts,
        "expected_transfers_per_token":
            measured.traffic.expected_transfers_per_token().as_f64(),
        "devices": devices(problem, measured),
    });
    if problem.is_replicated() {
        row["crossings"] = problem
            .affinity
            .as_ref()
            .map_or(Value::Null, |_| number(measured.value(ObjectiveKind::Crossings)));
    }
    row
}

/// The same keys as any other row, without values, and the reason.
fn not_applicable(name: &str, why: &str) -> Value {
    json!({
        "name": name,
        "fits": null,
        "first_misfit": null,
        "peak": null,
        "hand_overs": null,
        "remote_experts": null,
        "expected_transfers_per_token": null,
        "devices": [],
        "not_applicable": why,
    })
}
