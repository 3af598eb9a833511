//! How one placement differs from another: the question, the map, bytes per device, values.
//!
//! Questions are compared in the words of the [file format](super), so that nothing the format can say is
//! forgotten here: both records are written as they would be on disk and read back as plain values. Devices are
//! the same where their names are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::record::{DeviceRecord, Record};
use crate::error::Error;
use crate::model::ComponentId;
use crate::objective::ALL;
use crate::problem::{ObjectiveKind, ObjectiveValue, Placement, Problem};
use crate::units::format_bytes;
use crate::verify::{Measured, Violation, measure, verify};
use crate::yaml;

/// Keys of a file that are an answer and not the question.
const ANSWERS: [&str; 9] =
    ["version", "problem", "status", "limit", "objectives", "traffic", "solver", "devices", "map"];

/// The most words of the question that are listed one by one.
const CHANGES_MAX: usize = 200;

/// One word of the question that is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Where in the file, e.g. `hardware.gpu0.capacity_bytes`.
    pub place: String,
    /// In the first file, where it is there.
    pub before: Option<String>,
    /// In the second.
    pub after: Option<String>,
}

/// A component that is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Which.
    pub component: ComponentId,
    /// Its device in the first map; `None` where that has no such component.
    pub from: Option<String>,
    /// In the second.
    pub to: Option<String>,
    /// Its weights, as allocated, in the second file, or where it is only in the first there.
    pub weights_bytes: u64,
    /// Its keys and values.
    pub kv_cache_bytes: u64,
}

/// One placement with everything that was derived from it again.
#[derive(Clone, Debug)]
pub struct Side {
    /// What each device holds, measured.
    pub devices: Vec<DeviceRecord>,
    /// The value of every objective that its question says enough to measure.
    pub values: Vec<(ObjectiveKind, ObjectiveValue)>,
    /// What it violates.
    pub violations: Vec<Violation>,
}

impl Side {
    /// Measures and checks a placement; one that violates something is measured all the same.
    ///
    /// # Errors
    /// A map of other components than the problem's.
    pub fn of(problem: &Problem, placement: &Placement) -> Result<Self, Error> {
        let violations = verify(problem, placement).err().unwrap_or_default();
        let measured = measure(problem, placement).map_err(|structural| {
            let first = structural.first().map(ToString::to_string).unwrap_or_default();
            Error::new("measure the placement").found(first)
        })?;
        let Measured { devices, values, .. } = measured;
        let devices = problem.devices.iter().zip(&devices);
        let counted = |kind| kind != ObjectiveKind::Migration || problem.current.is_some();
        Ok(Self {
            devices: devices.map(|(device, used)| DeviceRecord::of(&device.id, used)).collect(),
            values: values.into_iter().filter(|&(kind, _)| counted(kind)).collect(),
            violations,
        })
    }

    /// The value of an objective.
    pub fn value(&self, kind: ObjectiveKind) -> Option<ObjectiveValue> {
        self.values.iter().find(|(other, _)| *other == kind).map(|&(_, value)| value)
    }

    /// What a device holds.
    pub fn device(&self, id: &str) -> Option<&DeviceRecord> {
        self.devices.iter().find(|device| device.id == id)
    }
}

/// How the second of two placements differs from the first.
#[derive(Clone, Debug)]
pub struct Diff {
    /// Words of the question, in the order of the file; the first 200.
    pub question: Vec<Changed>,
    /// How many more there are.
    pub question_more: usize,
    /// Components that are elsewhere, in canonical order.
    pub moved: Vec<Moved>,
    /// How many components there are in one of the maps or both.
    pub components: usize,
    /// The first.
    pub before: Side,
    /// The second.
    pub after: Side,
}

impl Diff {
    /// Compares two records, with the problems they state.
    ///
    /// # Errors
    /// A map of other components than its problem's.
    pub fn of(before: (&Record, &Problem), after: (&Record, &Problem)) -> Result<Self, Error> {
        let mut question = questions(before.0, after.0)?;
        let question_more = question.len().saturating_sub(CHANGES_MAX);
        question.truncate(CHANGES_MAX);
        let side =
            |(record, problem): (&Record, &Problem)| Side::of(problem, &record.placement(problem)?);
        Ok(Self {
            question,
            question_more,
            moved: moved(before, after),
            components: all(before.0, after.0).len(),
            before: side(before)?,
            after: side(after)?,
        })
    }

    /// Whether the maps and questions are the same.
    pub fn is_empty(&self) -> bool {
        self.question.is_empty() && self.moved.is_empty()
    }

    /// Whether the question is the same, so that values may be compared one by one.
    pub fn same_question(&self) -> bool {
        self.question.is_empty()
    }

    /// Objectives that have a value in one of them, in the order of files.
    pub fn kinds(&self) -> Vec<ObjectiveKind> {
        let known = |kind: &ObjectiveKind| {
            self.before.value(*kind).is_some() || self.after.value(*kind).is_some()
        };
        ALL.into_iter().filter(known).collect()
    }

    /// Names of devices: the second's in their order, then those that only the first has.
    pub fn devices(&self) -> Vec<&str> {
        let gone = self.before.devices.iter().filter(|d| self.after.device(&d.id).is_none());
        self.after.devices.iter().chain(gone).map(|device| device.id.as_str()).collect()
    }

    /// Weights of what moved from device to device.
    pub fn moved_bytes(&self) -> u64 {
        let both = self.moved.iter().filter(|moved| moved.from.is_some() && moved.to.is_some());
        both.fold(0, |sum, moved| sum.saturating_add(moved.weights_bytes))
    }
}

/// The components of two maps.
fn all(before: &Record, after: &Record) -> BTreeSet<ComponentId> {
    before.homes.iter().chain(&after.homes).map(|&(id, _)| id).collect()
}

fn moved(before: (&Record, &Problem), after: (&Record, &Problem)) -> Vec<Moved> {
    let homes = |record: &Record| -> BTreeMap<ComponentId, String> {
        let devices = &record.scenario.hardware.devices;
        let name = |device: usize| devices.get(device).map(|d| d.id.clone()).unwrap_or_default();
        record.homes.iter().map(|&(id, device)| (id, name(device))).collect()
    };
    let (from, to) = (homes(before.0), homes(after.0));
    let elsewhere = all(before.0, after.0).into_iter().filter(|id| from.get(id) != to.get(id));
    elsewhere
        .map(|component| {
            let of = |problem: &Problem| {
                let index = problem.index_of(component)?;
                let demand = &problem.components[index].demand;
                Some((demand.weights_bytes, demand.kv_cache_bytes))
            };
            let (weights_bytes, kv_cache_bytes) =
                of(after.1).or_else(|| of(before.1)).unwrap_or_default();
            let (from, to) = (from.get(&component).cloned(), to.get(&component).cloned());
            Moved { component, from, to, weights_bytes, kv_cache_bytes }
        })
        .collect()
}

fn questions(before: &Record, after: &Record) -> Result<Vec<Changed>, Error> {
    let mut changed = Vec::new();
    compare(None, Some(&question(before)?), Some(&question(after)?), &mut changed);
    Ok(changed)
}

/// What a file asks, as a plain value.
fn question(record: &Record) -> Result<Value, Error> {
    let mut value: Value = yaml::from_str(&record.to_yaml(), "compare placements", "placement")?;
    // What is minimised is a question, how far it came an answer.
    let minimised = value["objectives"].as_array().into_iter().flatten().map(|objective| {
        let word = |key: &str| objective[key].as_str().unwrap_or_default().to_owned();
        format!("{} within {}", word("name"), word("tolerance"))
    });
    let minimised: Vec<String> = minimised.collect();
    if let Some(keys) = value.as_object_mut() {
        keys.retain(|key, _| !ANSWERS.contains(&key.as_str()));
        keys.insert("minimised".to_owned(), minimised.join(", then ").into());
    }
    Ok(value)
}

fn compare(
    place: Option<&str>,
    before: Option<&Value>,
    after: Option<&Value>,
    changed: &mut Vec<Changed>,
) {
    if before == after {
        return;
    }
    let (old, new) = (before.and_then(parts), after.and_then(parts));
    // A list or a map that is new or gone is one change.
    let (Some(old), Some(new)) = (old, new) else {
        changed.push(Changed {
            place: place.unwrap_or_default().to_owned(),
            before: before.map(said),
            after: after.map(said),
        });
        return;
    };
    let added = new.iter().filter(|(key, _)| !old.iter().any(|(other, _)| other == key));
    let keys: Vec<&String> = old.iter().chain(added).map(|(key, _)| key).collect();
    for key in keys {
        let find =
            |parts: &'_ [(String, &'_ Value)]| parts.iter().position(|(other, _)| other == key);
        let (old_at, new_at) = (find(&old), find(&new));
        // An entry of a list of words is its own name.
        let word = |value: Option<&Value>| value.is_some_and(Value::is_string);
        let list = before.or(after).is_some_and(Value::is_array);
        let entry = old_at.map(|at| old[at].1).or(new_at.map(|at| new[at].1));
        let place = match place {
            Some(place) if list && word(entry) => place.to_owned(),
            Some(place) => format!("{place}.{key}"),
            None => key.clone(),
        };
        compare(Some(&place), old_at.map(|at| old[at].1), new_at.map(|at| new[at].1), changed);
    }
}

/// Named parts of a map, or of a list whose entries have names; equal things of other lists have equal names.
fn parts(value: &Value) -> Option<Vec<(String, &Value)>> {
    match value {
        Value::Object(map) => Some(map.iter().map(|(key, value)| (key.clone(), value)).collect()),
        Value::Array(list) => list
            .iter()
            .map(|entry| {
                let name = match entry {
                    Value::String(text) => text.clone(),
                    Value::Object(map) => map.get("id").or(map.get("ends"))?.to_string(),
                    _ => return None,
                };
                Some((name.replace('"', ""), entry))
            })
            .collect(),
        _ => None,
    }
}

/// A value in few characters.
fn said(value: &Value) -> String {
    const CHARS_MAX: usize = 60;
    let text = match value {
        Value::String(text) => text.clone(),
        // A device by what it is; all else of it is in the file.
        Value::Object(map) if map.contains_key("capacity_bytes") => {
            let kind = map.get("kind").and_then(Value::as_str).unwrap_or_default();
            let bytes = map.get("capacity_bytes").and_then(Value::as_u64).unwrap_or(0);
            format!("a {kind} of {}", format_bytes(bytes))
        }
        other => other.to_string(),
    };
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}
