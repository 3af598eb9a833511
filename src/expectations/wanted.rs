//! What `expect` would have to say to hold: only what does not is another, bounds and spellings that hold stay.

use serde_json::{Map, Value, json};

use super::ask::Now;
use super::facts::exact;
use super::judge::{Item, PURPOSES, purpose_bytes};
use crate::placement::{DeviceRecord, ObjectiveRecord};

/// `expect` as it holds now: what still holds stays as it is, facts are those of today.
pub(super) fn wanted(expect: &Map<String, Value>, items: &[Item], now: &Now) -> Map<String, Value> {
    let facts = Value::Object(now.facts.clone());
    if items.is_empty() {
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
pub(super) fn nodes_at_most(nodes: u64) -> u64 {
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
