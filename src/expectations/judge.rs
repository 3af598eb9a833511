//! What is expected beside what is so, entry by entry; and what each entry would have to say to hold.

use serde_json::{Map, Value, json};

use super::ask::Now;
use super::facts::exact;
use super::fields::{Fields, short};
use crate::error::Error;
use crate::nearest::did_you_mean;
use crate::objective::{ALL, Unit, law};
use crate::placement::{DeviceRecord, ObjectiveRecord, Record};
use crate::problem::{ObjectiveKind, ObjectiveValue};
use crate::units::{Ratio, parse_bytes, parse_decimal, parse_time};

/// The keys of `expect`.
const KEYS: [&str; 7] =
    ["status", "objectives", "devices", "map", "problem", "nodes_at_most", "facts"];
const STATUSES: [&str; 4] = ["optimal", "feasible", "infeasible", "unknown"];
/// What may be expected of an objective.
const BOUNDS: [&str; 6] =
    ["value", "at_most", "at_least", "optimum", "bound_at_least", "gap_at_most"];
/// Purposes of bytes, as the map of a device has them.
const PURPOSES: [&str; 7] =
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
    path: Vec<String>,
    holds: bool,
    difference: Difference,
    /// What it would say if it held; `None` where there is nothing to expect any more.
    wanted: Option<Value>,
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
            items.push(entry.gone(Amount::Text(short(value)), why));
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
            items.push(entry.gone(Amount::Text("a device".to_owned()), why));
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

fn purpose_bytes(device: &DeviceRecord, purpose: &str) -> u64 {
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

/// `expect` as it holds now: what still holds stays as it is, facts are those of today.
pub(super) fn wanted(expect: &Map<String, Value>, items: &[Item], now: &Now) -> Map<String, Value> {
    let facts = Value::Object(now.facts.clone());
    if expect.keys().all(|key| key == "facts") {
        let mut all = everything(now);
        all.insert("facts".to_owned(), facts);
        return all;
    }
    let mut wanted = expect.clone();
    for item in items.iter().filter(|item| !item.holds) {
        put(&mut wanted, &item.path, item.wanted.clone());
    }
    add_new(&mut wanted, expect, now);
    wanted.retain(|key, value| {
        let emptied = value.as_object().is_some_and(Map::is_empty);
        !emptied || expect.get(key).is_some_and(|old| old == value)
    });
    wanted.insert("facts".to_owned(), facts);
    wanted
}

/// Objectives and devices that the facts did not know, where all that they knew was listed.
fn add_new(wanted: &mut Map<String, Value>, expect: &Map<String, Value>, now: &Now) {
    let all = everything(now);
    for key in ["objectives", "devices"] {
        let listed = expect.get(key).and_then(Value::as_object);
        let known = expect.get("facts").and_then(|facts| match key {
            "objectives" => facts.get("values"),
            _ => facts.get(key),
        });
        let (Some(listed), Some(known)) = (listed, known.and_then(Value::as_object)) else {
            continue;
        };
        if !known.keys().all(|name| listed.contains_key(name)) {
            continue;
        }
        let new = all.get(key).and_then(Value::as_object).into_iter().flatten();
        for (name, value) in new.filter(|(name, _)| !listed.contains_key(*name)) {
            put(wanted, &[key.to_owned(), name.clone()], Some(value.clone()));
        }
    }
}

/// All that can be expected of an answer.
fn everything(now: &Now) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("status".to_owned(), json!(now.status));
    if !now.devices.is_empty() {
        let value = |r: &ObjectiveRecord| (r.kind().name().to_owned(), exact(r.value));
        let objectives = now.objectives.iter().map(value).collect();
        let device = |device: &DeviceRecord| {
            let bytes = PURPOSES.map(|purpose| (purpose, purpose_bytes(device, purpose)));
            let said = bytes.into_iter().filter(|&(purpose, bytes)| bytes > 0 || purpose == "used");
            let said = said.map(|(purpose, bytes)| (purpose.to_owned(), json!(bytes))).collect();
            (device.id.clone(), Value::Object(said))
        };
        let devices = now.devices.iter().map(device).collect();
        all.insert("objectives".to_owned(), Value::Object(objectives));
        all.insert("devices".to_owned(), Value::Object(devices));
        all.insert("map".to_owned(), json!(now.map_digest()));
    }
    all.insert("problem".to_owned(), json!(now.problem));
    if !now.devices.is_empty() {
        all.insert("nodes_at_most".to_owned(), json!(nodes_at_most(now.nodes)));
    }
    all
}

/// Room for what a small change elsewhere may cost.
fn nodes_at_most(nodes: u64) -> u64 {
    nodes.saturating_mul(2).max(100)
}

/// Sets, or takes away, what the path leads to.
fn put(map: &mut Map<String, Value>, path: &[String], value: Option<Value>) {
    let Some((first, rest)) = path.split_first() else { return };
    match (map.get_mut(first), value) {
        (Some(Value::Object(inner)), value) if !rest.is_empty() => put(inner, rest, value),
        (_, None) => drop(map.shift_remove(first)),
        (_, Some(value)) if rest.is_empty() => drop(map.insert(first.clone(), value)),
        (_, Some(value)) => {
            let mut inner = Map::new();
            put(&mut inner, rest, Some(value));
            map.insert(first.clone(), Value::Object(inner));
        }
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

fn known(
    fields: &Fields<'_>,
    place: &str,
    entries: &Map<String, Value>,
    known: &[&str],
) -> Result<(), Error> {
    match entries.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let error = fields.refuse(place);
            let error = error
                .expected(format!("keys among {}", known.join(", ")))
                .found(format!("`{key}`"));
            Err(match did_you_mean(key, known.iter().copied()) {
                Some(hint) => error.hint(hint),
                None => error,
            })
        }
    }
}

fn map<'a>(
    fields: &Fields<'_>,
    expect: &'a Map<String, Value>,
    key: &str,
) -> Result<Option<&'a Map<String, Value>>, Error> {
    match expect.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(other) => Err(fields
            .refuse(&format!("expect.{key}"))
            .expected("a map of keys")
            .found(short(other))),
    }
}

fn word(fields: &Fields<'_>, key: &str, value: &Value, words: &[&str]) -> Result<String, Error> {
    match value {
        Value::String(text) if words.contains(&text.as_str()) => Ok(text.clone()),
        other => Err(fields
            .refuse(&format!("expect.{key}"))
            .expected(format!("one of {}", words.join(", ")))
            .found(short(other))),
    }
}

fn objective(fields: &Fields<'_>, name: &str) -> Result<ObjectiveKind, Error> {
    ObjectiveKind::named(name).ok_or_else(|| {
        let names = ALL.iter().map(|kind| kind.name());
        let error = fields
            .refuse("expect.objectives")
            .expected(format!("among {}", names.clone().collect::<Vec<_>>().join(", ")))
            .found(format!("`{name}`"));
        match did_you_mean(name, names) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

/// A value in the unit of its objective: exact, as a size, a share or a time.
fn read_value(
    fields: &Fields<'_>,
    place: &str,
    kind: ObjectiveKind,
    value: &Value,
) -> Result<ObjectiveValue, Error> {
    let unit = law(kind).unit();
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => String::new(),
    };
    let text = text.trim();
    let whole = || text.parse::<u64>().ok();
    let read = match unit {
        Unit::Bytes => parse_bytes(text).ok().map(ObjectiveValue::Bytes),
        Unit::Count => whole().map(ObjectiveValue::Count),
        Unit::Time => whole().or_else(|| parse_time(text).ok()).map(ObjectiveValue::Time),
        Unit::Share | Unit::Transfers => ratio(text).map(ObjectiveValue::Ratio),
    };
    read.ok_or_else(|| {
        let expected = match unit {
            Unit::Bytes => "bytes such as `1024` or `16GiB`",
            Unit::Count => "a whole number",
            Unit::Time => "picoseconds, or a time such as `16ms`",
            Unit::Share | Unit::Transfers => "a fraction such as `3/4`, `75%` or `0.75`",
        };
        fields.refuse(place).expected(expected).found(short(value))
    })
}

fn ratio(text: &str) -> Option<Ratio> {
    let decimal = |text: &str, scale: u64| {
        let (number, decimals) = parse_decimal(text.trim_end())?;
        Some(Ratio::new(number, decimals.checked_mul(scale)?))
    };
    Ratio::from_fraction(text)
        .or_else(|| text.strip_suffix('%').and_then(|percent| decimal(percent, 100)))
        .or_else(|| decimal(text, 1))
}

/// A share: `0.0001`, `1e-4`, `0.01%`.
fn gap(fields: &Fields<'_>, place: &str, value: &Value) -> Result<Ratio, Error> {
    let text = match value {
        // As digits: `1e-4` is a number too.
        Value::Number(number) => format!("{:.9}", number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => text.clone(),
        _ => String::new(),
    };
    ratio(text.trim()).ok_or_else(|| {
        fields.refuse(place).expected("a share such as `0.0001` or `0.01%`").found(short(value))
    })
}

fn bytes(fields: &Fields<'_>, place: &str, value: &Value) -> Result<u64, Error> {
    let read = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => parse_bytes(text).ok(),
        _ => None,
    };
    read.ok_or_else(|| {
        let refusal = fields.refuse(place);
        refusal.expected("bytes such as `1024` or `16GiB`").found(short(value))
    })
}
