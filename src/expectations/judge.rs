//! What is expected beside what is so, entry by entry; and what each entry would have to say to hold.

use serde_json::{Map, Value, json};

use super::ask::Now;
use super::facts::exact;
use super::fields::{Fields, short};
use super::values::{bytes, gap, known, map, objective, read_value, word};
use super::wanted::nodes_at_most;
use crate::error::Error;
use crate::placement::{DeviceRecord, ObjectiveRecord, Record};
use crate::problem::{ObjectiveKind, ObjectiveValue};
use crate::units::{Ratio, parse_decimal};

/// The keys of `expect`.
const KEYS: [&str; 7] =
    ["status", "objectives", "devices", "map", "problem", "nodes_at_most", "facts"];
const STATUSES: [&str; 4] = ["optimal", "feasible", "infeasible", "unknown"];
/// What may be expected of an objective.
const BOUNDS: [&str; 6] =
    ["value", "at_most", "at_least", "optimum", "bound_at_least", "gap_at_most"];
/// Purposes of bytes, as the map of a device has them.
pub(super) const PURPOSES: [&str; 7] =
    ["used", "weights", "rounding", "kv_cache", "workspace", "reserve", "staging"];

/// One thing that is expected and not so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where in `expect`, e.g. `devices.gpu0.weights`.
    pub key: String,
    /// How what is found should stand to it.
    pub relation: Relation,
    /// What is expected.
    pub expected: Amount,
    /// What is so.
    pub found: Amount,
}

/// How a value should stand to an expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Equal to it.
    Is,
    /// Not above it.
    AtMost,
    /// Not below it.
    AtLeast,
}

/// Something expected or found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amount {
    /// A word, a digest, a message.
    Text(String),
    /// Bytes.
    Bytes(u64),
    /// A number of nodes.
    Count(u64),
    /// The value of an objective.
    Value(ObjectiveKind, ObjectiveValue),
}

/// An entry of `expect`.
#[derive(Debug)]
pub(super) struct Item {
    /// The keys that lead to it.
    pub(super) path: Vec<String>,
    pub(super) holds: bool,
    difference: Difference,
    /// What it would say if it held; `None` where there is nothing to expect any more.
    pub(super) wanted: Option<Value>,
}

impl Item {
    pub(super) fn difference(self) -> Option<Difference> {
        (!self.holds).then_some(self.difference)
    }
}

/// An entry, its place being built up on the way to it.
struct Entry<'a> {
    path: Vec<&'a str>,
}

impl Entry<'_> {
    fn item(
        &self,
        relation: Relation,
        (expected, found): (Amount, Amount),
        holds: bool,
        wanted: Option<Value>,
    ) -> Item {
        let key = self.path.join(".");
        let path = self.path.iter().map(|&part| part.to_owned()).collect();
        Item { path, holds, difference: Difference { key, relation, expected, found }, wanted }
    }

    fn is(&self, expected: Amount, found: Amount, wanted: Value) -> Item {
        let holds = expected == found;
        self.item(Relation::Is, (expected, found), holds, Some(wanted))
    }

    /// What is expected of something that there is not.
    fn gone(&self, expected: Amount, found: &str) -> Item {
        self.item(Relation::Is, (expected, Amount::Text(found.to_owned())), false, None)
    }
}

/// Refuses what can be expected of no answer, before there is one.
pub(super) fn check(fields: &Fields<'_>, expect: &Map<String, Value>) -> Result<(), Error> {
    known(fields, "expect", expect, &KEYS)?;
    for key in ["objectives", "devices"] {
        let Some(entries) = map(fields, expect, key)? else { continue };
        for (name, value) in entries {
            let place = format!("expect.{key}.{name}");
            match (key, value) {
                ("objectives", value) => {
                    let kind = objective(fields, name)?;
                    let all = |bounds: &Map<String, Value>| -> Result<(), Error> {
                        known(fields, &place, bounds, &BOUNDS)?;
                        bounds.iter().try_for_each(|(bound, value)| match bound.as_str() {
                            "gap_at_most" => gap(fields, &place, value).map(drop),
                            _ => read_value(fields, &place, kind, value).map(drop),
                        })
                    };
                    value
                        .as_object()
                        .map_or_else(|| read_value(fields, &place, kind, value).map(drop), all)?;
                }
                (_, Value::Object(purposes)) => {
                    known(fields, &place, purposes, &PURPOSES)?;
                    purposes.values().try_for_each(|v| bytes(fields, &place, v).map(drop))?;
                }
                (_, value) => drop(bytes(fields, &place, value)?),
            }
        }
    }
    map(fields, expect, "facts").map(drop)
}

/// Every entry of `expect` but the facts, beside the answer.
pub(super) fn items(
    fields: &Fields<'_>,
    expect: &Map<String, Value>,
    now: &Now,
) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for (key, value) in expect {
        let entry = Entry { path: vec![key] };
        match key.as_str() {
            "status" => {
                let expected = word(fields, key, value, &STATUSES)?;
                let [expected, found] = [expected, now.status.to_owned()].map(Amount::Text);
                items.push(entry.is(expected, found, json!(now.status)));
            }
            "map" | "problem" => {
                let Value::String(expected) = value else {
                    let refusal = fields.refuse(&format!("expect.{key}"));
                    return Err(refusal.expected("a SHA-256 in quotes").found(short(value)));
                };
                let found = if key == "map" { now.map_digest() } else { now.problem.clone() };
                items.push(if key == "map" && now.devices.is_empty() {
                    entry.gone(Amount::Text(expected.clone()), "no placement")
                } else {
                    let [expected, now] = [expected, &found].map(|t| Amount::Text(t.clone()));
                    entry.is(expected, now, json!(found))
                });
            }
            "nodes_at_most" => {
                let Some(most) = value.as_u64() else {
                    let refusal = fields.refuse("expect.nodes_at_most");
                    return Err(refusal.expected("a number of nodes").found(short(value)));
                };
                let amounts = (Amount::Count(most), Amount::Count(now.nodes));
                let wanted = json!(nodes_at_most(now.nodes));
                items.push(entry.item(Relation::AtMost, amounts, now.nodes <= most, Some(wanted)));
            }
            "objectives" => items.extend(objectives(fields, expect, now)?),
            "devices" => items.extend(devices(fields, expect, now)?),
            _ => {}
        }
    }
    Ok(items)
}

fn objectives(
    fields: &Fields<'_>,
    expect: &Map<String, Value>,
    now: &Now,
) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for (name, value) in map(fields, expect, "objectives")?.into_iter().flatten() {
        let kind = objective(fields, name)?;
        let entry = Entry { path: vec!["objectives", name] };
        let Some(record) = now.objectives.iter().find(|record| record.kind() == kind) else {
            let why = if now.devices.is_empty() { "no placement" } else { "no objective" };
            let exact = value.get("value").unwrap_or(value);
            let expected = match exact {
                Value::Object(_) => Amount::Text(short(exact)),
                exact => {
                    let place = format!("expect.objectives.{name}");
                    Amount::Value(kind, read_value(fields, &place, kind, exact)?)
                }
            };
            items.push(entry.gone(expected, why));
            continue;
        };
        let Value::Object(bounds) = value else {
            items.push(of_objective(fields, &entry, ("value", value), record)?);
            continue;
        };
        for (bound, value) in bounds {
            let entry = Entry { path: vec!["objectives", name, bound] };
            items.push(of_objective(fields, &entry, (bound, value), record)?);
        }
    }
    Ok(items)
}

fn of_objective(
    fields: &Fields<'_>,
    entry: &Entry<'_>,
    (bound, value): (&str, &Value),
    record: &ObjectiveRecord,
) -> Result<Item, Error> {
    let place = format!("expect.{}", entry.path.join("."));
    let kind = record.kind();
    if bound == "gap_at_most" {
        let most = gap(fields, &place, value)?;
        // The gap is written in nine decimals.
        let now = parse_decimal(&record.gap).map_or(Ratio::ZERO, |(n, scale)| Ratio::new(n, scale));
        let amounts = (Amount::Text(short(value)), Amount::Text(record.gap.clone()));
        let wanted = serde_json::from_str(&record.gap).ok();
        return Ok(entry.item(Relation::AtMost, amounts, now <= most, wanted));
    }
    let expected = read_value(fields, &place, kind, value)?;
    let (relation, found, holds) = match bound {
        "at_most" => (Relation::AtMost, record.value, record.value <= expected),
        "at_least" => (Relation::AtLeast, record.value, record.value >= expected),
        "bound_at_least" => (Relation::AtLeast, record.bound, record.bound >= expected),
        "optimum" => (Relation::Is, record.optimum, record.optimum == expected),
        _ => (Relation::Is, record.value, record.value == expected),
    };
    let amounts = (Amount::Value(kind, expected), Amount::Value(kind, found));
    Ok(entry.item(relation, amounts, holds, Some(exact(found))))
}

fn devices(
    fields: &Fields<'_>,
    expect: &Map<String, Value>,
    now: &Now,
) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for (id, value) in map(fields, expect, "devices")?.into_iter().flatten() {
        let entry = Entry { path: vec!["devices", id] };
        let Some(device) = now.devices.iter().find(|device| device.id == *id) else {
            let why = if now.devices.is_empty() { "no placement" } else { "no such device" };
            let expected = match value.get("used").unwrap_or(value) {
                Value::Object(_) => Amount::Text("a device".to_owned()),
                used => Amount::Bytes(bytes(fields, &format!("expect.devices.{id}"), used)?),
            };
            items.push(entry.gone(expected, why));
            continue;
        };
        let one = |purpose: &str, entry: &Entry<'_>, value: &Value| {
            let expected = bytes(fields, &format!("expect.{}", entry.path.join(".")), value)?;
            let found = purpose_bytes(device, purpose);
            Ok(entry.is(Amount::Bytes(expected), Amount::Bytes(found), json!(found)))
        };
        let Value::Object(purposes) = value else {
            items.push(one("used", &entry, value)?);
            continue;
        };
        for (purpose, value) in purposes {
            items.push(one(purpose, &Entry { path: vec!["devices", id, purpose] }, value)?);
        }
    }
    Ok(items)
}

pub(super) fn purpose_bytes(device: &DeviceRecord, purpose: &str) -> u64 {
    match purpose {
        "weights" => device.weights_bytes,
        "rounding" => device.rounding_bytes,
        "kv_cache" => device.kv_cache_bytes,
        "workspace" => device.workspace_bytes,
        "reserve" => device.reserve_bytes,
        "staging" => device.staging_bytes,
        _ => device.used_bytes,
    }
}

/// What a placement file says beside what solving its question gives now.
pub(super) fn against_record(record: &Record, now: &Now) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut text = |key: &str, expected: String, now: String| {
        if expected != now {
            let [expected, found_now] = [expected, now].map(Amount::Text);
            let key = key.to_owned();
            found.push(Difference { key, relation: Relation::Is, expected, found: found_now });
        }
    };
    text("status", record.status.name().to_owned(), now.status.to_owned());
    if now.devices.is_empty() {
        return found;
    }
    let id = |device: usize| record.scenario.hardware.devices[device].id.clone();
    let lines = crate::placement::lines(&record.homes).into_iter();
    let lines = lines.map(|line| format!("{}: {}\n", line.name, id(line.device)));
    text("map", super::facts::digest(lines), now.map_digest());
    for (old, new) in record.objectives.iter().zip(&now.objectives) {
        let amount = |record: &ObjectiveRecord| Amount::Value(record.kind(), record.value);
        if old.value != new.value {
            let key = format!("objectives.{}", old.kind().name());
            let (expected, now) = (amount(old), amount(new));
            found.push(Difference { key, relation: Relation::Is, expected, found: now });
        }
    }
    for (old, new) in record.devices.iter().zip(&now.devices) {
        for purpose in PURPOSES {
            let [expected, now] = [old, new].map(|d| Amount::Bytes(purpose_bytes(d, purpose)));
            if expected != now {
                let key = format!("devices.{}.{purpose}", old.id);
                found.push(Difference { key, relation: Relation::Is, expected, found: now });
            }
        }
    }
    found
}
