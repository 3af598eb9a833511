//! What is recorded with an answer so that a later difference can be explained: the words of the question,
//! bytes by kind of component, the machine, rules, objectives, values and the map; and digests of what would
//! be too long.
//!
//! Facts are for reading and for comparing, never for judging: nothing is red because of them.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::ask::Now;
use crate::memory::ComponentDemand;
use crate::model::ComponentKind;
use crate::placement::{ObjectiveRecord, Record, lines};
use crate::problem::{NOWHERE, ObjectiveValue, Problem, Sends};
use crate::scenario::{Attention, Granularity, Scenario, hex};

/// Maps of more lines are not recorded; their digest is.
pub(super) const MAP_LINES_MAX: usize = 200;

/// Kinds in the order in which a model passes them.
const KINDS: [ComponentKind; 9] = [
    ComponentKind::Embedding,
    ComponentKind::Attention,
    ComponentKind::Router,
    ComponentKind::Mlp,
    ComponentKind::SharedExpert,
    ComponentKind::Expert,
    ComponentKind::ExpertMatrix,
    ComponentKind::FinalNorm,
    ComponentKind::OutputHead,
];

/// The facts of an answer.
pub(super) fn of(scenario: &Scenario, problem: &Problem, now: &Now) -> Map<String, Value> {
    let mut facts = Map::new();
    facts.insert("asked".to_owned(), asked(scenario));
    facts.insert("config".to_owned(), config(scenario));
    facts.insert("estimate".to_owned(), estimate(problem));
    facts.insert("devices".to_owned(), devices(scenario, problem, now));
    facts.insert("rules".to_owned(), rules(scenario, problem));
    facts.insert("objectives".to_owned(), objectives(problem));
    facts.insert("problem".to_owned(), short(&now.problem));
    if !now.devices.is_empty() {
        facts.insert("values".to_owned(), values(&now.objectives));
        facts.insert("nodes".to_owned(), json!(now.nodes));
        facts.insert("map".to_owned(), map(&now.map));
    }
    facts
}

/// As far as a placement file tells what a machine-written key would.
pub(super) fn of_record(record: &Record) -> Map<String, Value> {
    let devices = record.devices.iter();
    let used = devices.map(|device| (device.id.clone(), json!({"used": device.used_bytes})));
    let ids = &record.scenario.hardware.devices;
    let lines = lines(&record.homes).into_iter();
    let lines: Vec<(String, String)> =
        lines.map(|line| (line.name, ids[line.device].id.clone())).collect();
    let mut facts = Map::new();
    facts.insert("devices".to_owned(), Value::Object(used.collect()));
    facts.insert("problem".to_owned(), short(&record.problem));
    facts.insert("values".to_owned(), values(&record.objectives));
    facts.insert("nodes".to_owned(), json!(record.nodes));
    facts.insert("map".to_owned(), map(&lines));
    facts
}

/// The words of the question that size it.
fn asked(scenario: &Scenario) -> Value {
    let Scenario { model, scheme, load, .. } = scenario;
    let overrides: Vec<String> = scheme.overrides().iter().map(ToString::to_string).collect();
    let mut asked = Map::new();
    let mut put = |key: &str, value: Value| drop(asked.insert(key.to_owned(), value));
    put("model", json!(model.name));
    put("tensors", short(&model.fingerprint));
    put("parameters", json!(model.parameters()));
    if let Some(found) = model.found.as_ref().filter(|_| scheme.is_stored()) {
        put("checkpoint", short(&found.fingerprint));
    }
    put("quantization", json!(scheme.name()));
    if !overrides.is_empty() {
        put("overrides", json!(overrides.join(" ")));
    }
    put("context", json!(load.context));
    put("batch", json!(load.batch));
    put("kv_type", json!(load.kv_type.name()));
    put("staging", json!(load.staging_of(scheme).name()));
    put("runtime", json!(load.runtime.name()));
    for (rule, value) in load.runtime.differences() {
        put(&format!("runtime {rule}"), json!(value));
    }
    Value::Object(asked)
}

/// The config keys that the model was made from; lists only by their digest.
fn config(scenario: &Scenario) -> Value {
    let one = |(key, value): (&String, &Value)| match value {
        Value::Array(_) | Value::Object(_) => (key.clone(), short(&digest([value.to_string()]))),
        value => (key.clone(), value.clone()),
    };
    Value::Object(scenario.model.config.iter().map(one).collect())
}

/// Bytes by kind, of all components of it together.
fn estimate(problem: &Problem) -> Value {
    let mut estimate = Map::new();
    let placed = problem.components.iter().map(|component| &component.demand);
    let all: Vec<&ComponentDemand> = placed.chain(&problem.everywhere).collect();
    for kind in KINDS {
        let of: Vec<&&ComponentDemand> = all.iter().filter(|d| d.id.kind() == kind).collect();
        if of.is_empty() {
            continue;
        }
        let sum = |bytes: fn(&ComponentDemand) -> u64| {
            of.iter().fold(0_u64, |sum, demand| sum.saturating_add(bytes(demand)))
        };
        let mut entry = Map::new();
        entry.insert("count".to_owned(), json!(of.len()));
        entry.insert("weights".to_owned(), json!(sum(|d| d.weights_bytes)));
        let others = [
            ("rounding", sum(|d| d.rounding_bytes)),
            ("kv_cache", sum(|d| d.kv_cache_bytes)),
            ("staging", of.iter().map(|d| d.staging_bytes).max().unwrap_or(0)),
        ];
        entry.extend(
            others
                .into_iter()
                .filter(|&(_, bytes)| bytes > 0)
                .map(|(name, bytes)| (name.to_owned(), json!(bytes))),
        );
        estimate.insert(kind.name().to_owned(), Value::Object(entry));
    }
    let workspace = problem.workspace;
    let workspace = json!({
        "embedding": workspace.embedding_bytes,
        "attention": workspace.attention_bytes,
        "feed_forward": workspace.feed_forward_bytes,
        "head": workspace.head_bytes,
        "host_staging": problem.host_staging_bytes,
    });
    estimate.insert("workspace".to_owned(), workspace);
    let one = |d: &&ComponentDemand| {
        let ComponentDemand { id, weights_bytes, rounding_bytes, kv_cache_bytes, staging_bytes } =
            d;
        format!("{id} {weights_bytes} {rounding_bytes} {kv_cache_bytes} {staging_bytes}\n")
    };
    estimate.insert("bytes".to_owned(), short(&digest(all.iter().map(one))));
    estimate.insert("costs".to_owned(), short(&digest(costs(problem))));
    Value::Object(estimate)
}

/// What transfers and times cost: of experts by how often they are chosen, of runtimes, of speeds and links.
fn costs(problem: &Problem) -> Vec<String> {
    let sends = match problem.sends {
        Sends::PerExpert => "per expert".to_owned(),
        Sends::PerDevice { experts, experts_per_token } => {
            format!("per device {experts_per_token} of {experts}")
        }
    };
    let mut lines = vec![format!(
        "{sends} denominator {} tied {}\n",
        problem.traffic_denominator, problem.tied_head
    )];
    lines.extend(problem.components.iter().map(|c| format!("{} {}\n", c.demand.id, c.visits)));
    if let Some(affinity) = &problem.affinity {
        lines.push(format!("{affinity:?}\n"));
    }
    // Times count only where one is an objective, as in the fingerprint of the problem.
    for objective in &problem.objectives {
        lines.extend(
            crate::objective::timing(problem, objective.kind)
                .map(|timing| format!("{} {timing:?}\n", objective.kind.name())),
        );
    }
    lines
}

fn devices(scenario: &Scenario, problem: &Problem, now: &Now) -> Value {
    let entry = |(index, device): (usize, &crate::hardware::Device)| {
        let mut entry = Map::new();
        let mut put = |key: &str, value: Value| drop(entry.insert(key.to_owned(), value));
        put("kind", json!(device.kind.name()));
        put("capacity", json!(device.capacity_bytes));
        put("reserve", json!(device.reserve_bytes));
        let headroom = problem.headroom_bytes.get(index).copied().unwrap_or(0);
        if headroom > 0 {
            put("headroom", json!(headroom));
        }
        if let Some(speed) = scenario.hardware.network.speeds.get(&device.id) {
            put("bandwidth", json!(speed.bytes_per_second));
            if let Some(flops) = speed.flops {
                put("flops", json!(flops));
            }
        }
        if let Some(now) = now.devices.iter().find(|now| now.id == device.id) {
            put("used", json!(now.used_bytes));
        }
        (device.id.clone(), Value::Object(entry))
    };
    Value::Object(problem.devices.iter().enumerate().map(entry).collect())
}

/// Pins, forbidden places and other limits as they would be typed, then a digest of what they come to.
fn rules(scenario: &Scenario, problem: &Problem) -> Value {
    let limits = &scenario.limits;
    let mut texts: Vec<String> = problem.rules.iter().map(|rule| rule.text.clone()).collect();
    texts.extend(limits.devices_max.map(|most| format!("--max-devices {most}")));
    texts.extend(problem.moved_bytes_max.map(|most| format!("moved bytes at most {most}")));
    if limits.granularity != Granularity::default() {
        texts.push(format!("--granularity {}", limits.granularity.name()));
    }
    if limits.attention != Attention::default() {
        texts.push(format!("--attention {}", limits.attention.name()));
    }
    texts.extend(problem.current.as_ref().map(|current| {
        let device = |&device: &usize| match device {
            NOWHERE => "nowhere\n".to_owned(),
            device => format!("{device}\n"),
        };
        format!("--migrate-from a map {}", cut(&digest(current.device_of.iter().map(device))))
    }));
    let allowed = problem.components.iter().map(|component| {
        format!("{} {} {}\n", component.demand.id, component.allowed.0, component.lives_with)
    });
    json!({"in_force": texts, "allowed": cut(&digest(allowed))})
}

fn objectives(problem: &Problem) -> Value {
    let one = |o: &crate::problem::Objective| format!("{}:{}", o.kind.name(), o.tolerance);
    Value::Array(problem.objectives.iter().map(|o| Value::from(one(o))).collect())
}

fn values(records: &[ObjectiveRecord]) -> Value {
    let one = |record: &ObjectiveRecord| {
        let value = json!({"value": exact(record.value), "bound": exact(record.bound)});
        (record.kind().name().to_owned(), value)
    };
    Value::Object(records.iter().map(one).collect())
}

/// The lines of a map, or their digest where there are many.
fn map(lines: &[(String, String)]) -> Value {
    if lines.len() > MAP_LINES_MAX {
        return short(&digest_of_map(lines));
    }
    let one = |(name, device): &(String, String)| (name.clone(), Value::from(device.clone()));
    Value::Object(lines.iter().map(one).collect())
}

/// SHA-256 over the lines of a map, `name: device`, each ended; in hex.
pub(super) fn digest_of_map(lines: &[(String, String)]) -> String {
    digest(lines.iter().map(|(name, device)| format!("{name}: {device}\n")))
}

/// An exact value as files have it: a whole number, or a fraction.
pub(super) fn exact(value: ObjectiveValue) -> Value {
    match value {
        ObjectiveValue::Bytes(number)
        | ObjectiveValue::Count(number)
        | ObjectiveValue::Time(number) => json!(number),
        ObjectiveValue::Ratio(ratio) => Value::from(ratio.to_string()),
    }
}

/// SHA-256 over the lines, in hex.
pub(super) fn digest(lines: impl IntoIterator<Item = String>) -> String {
    let mut digest = Sha256::new();
    for line in lines {
        digest.update(line.as_bytes());
    }
    hex(&digest.finalize())
}

/// So much of a digest is enough to see that it is another.
fn cut(digest: &str) -> String {
    digest.chars().take(12).collect()
}

fn short(digest: &str) -> Value {
    Value::from(cut(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both what a file recorded and what is so go through this, so that a long map equals itself.
    #[test]
    fn a_long_map_is_its_digest() {
        let lines = |count: usize| -> Vec<(String, String)> {
            (0..count).map(|line| (format!("layers.{line}"), "gpu0".to_owned())).collect()
        };
        assert!(map(&lines(MAP_LINES_MAX)).is_object());
        let long = lines(MAP_LINES_MAX + 1);
        assert_eq!(map(&long), short(&digest_of_map(&long)));
        assert_ne!(map(&long), map(&lines(MAP_LINES_MAX + 2)));
    }
}
