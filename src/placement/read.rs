//! Reads a placement file as hostile input and rebuilds the scenario from it alone.
//!
//! What comes out is a well-formed claim: every component of the model is named once, every device
//! exists, the model is the one whose fingerprint is recorded. Whether the claim is true is for
//! [`crate::verify`] and [`super::differences`].

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::model::{ModelEntry, rebuild};
use super::network::{self, DeviceEntry, LinksEntry};
use super::ranges::{Line, expand};
use super::record::{DeviceRecord, ObjectiveRecord, Record, Status, TrafficRecord};
use super::routing::RoutingEntries;
use super::wishes::{
    AffinityEntry, ConstraintsEntry, named, read_affinity, read_constraints, read_limits,
};
use super::write::{NOWHERE, VERSION};
use crate::error::Error;
use crate::memory::{KvType, Load, Staging};
use crate::model::{ComponentId, Model};
use crate::objective::law;
use crate::plan::LimitReached;
use crate::problem::ObjectiveValue;
use crate::quant::{Override, Scheme};
use crate::runtime::{self, Profile};
use crate::scenario::{Scenario, parse_objectives, parse_tolerance};
use crate::units::Ratio;
use crate::yaml::{self, StrictMap};

pub(super) const OPERATION: &str = "read the placement";

/// Only the version, so that a file of another one is named as such and not by its first new key.
#[derive(Deserialize)]
#[serde(expecting = "the keys of a placement file")]
struct VersionEntry {
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a placement file")]
struct FileEntry {
    #[expect(dead_code, reason = "checked through `VersionEntry` before the rest is read")]
    version: u64,
    model: ModelEntry,
    quantization: String,
    #[serde(default)]
    quantization_overrides: Vec<String>,
    context: u64,
    batch: u64,
    kv_type: String,
    staging: String,
    runtime: Option<String>,
    #[serde(default)]
    runtime_rules: StrictMap<String>,
    hardware: Vec<DeviceEntry>,
    links: Option<LinksEntry>,
    constraints: ConstraintsEntry,
    #[serde(default)]
    routing: RoutingEntries,
    affinity: Option<AffinityEntry>,
    current: Option<StrictMap<String>>,
    problem: String,
    status: StatusEntry,
    limit: Option<LimitEntry>,
    objectives: Vec<ObjectiveEntry>,
    traffic: TrafficEntry,
    solver: SolverEntry,
    devices: Vec<UseEntry>,
    map: StrictMap<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum StatusEntry {
    Optimal,
    Feasible,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum LimitEntry {
    Nodes,
    Time,
    Precision,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of an objective")]
struct ObjectiveEntry {
    name: String,
    value: ExactEntry,
    optimum: ExactEntry,
    bound: ExactEntry,
    gap: f64,
    tolerance: String,
    cap: ExactEntry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of traffic")]
struct TrafficEntry {
    hand_overs: u64,
    remote_experts: u64,
    expected_transfers_per_token: ExactEntry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a solver")]
struct SolverEntry {
    name: String,
    nodes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a device")]
struct UseEntry {
    id: String,
    used_bytes: u64,
    weights_bytes: u64,
    #[serde(default)]
    rounding_bytes: u64,
    kv_cache_bytes: u64,
    workspace_bytes: u64,
    reserve_bytes: u64,
    staging_bytes: u64,
}

/// An exact value: an integer of bytes, or a fraction such as `3/4`.
struct ExactEntry(ObjectiveValue);

impl<'de> Deserialize<'de> for ExactEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExactVisitor;
        impl Visitor<'_> for ExactVisitor {
            type Value = ExactEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes such as `1024` or a fraction such as `3/4`")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ExactEntry, E> {
                Ok(ExactEntry(ObjectiveValue::Bytes(bytes)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ExactEntry, E> {
                Ratio::from_fraction(text)
                    .map(|ratio| ExactEntry(ObjectiveValue::Ratio(ratio)))
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(ExactVisitor)
    }
}

impl Record {
    /// Reads the text of a placement file; `source` names it in messages.
    ///
    /// A file about a checkpoint's own bytes needs the model read from that checkpoint; any other file
    /// stands alone.
    pub fn from_yaml(text: &str, source: &str, checkpoint: Option<&Model>) -> Result<Self, Error> {
        let refuse = || Error::new(OPERATION).object(source);
        let VersionEntry { version } = yaml::from_str(text, OPERATION, source)?;
        if version != VERSION {
            return Err(refuse()
                .place("version")
                .expected(VERSION.to_string())
                .found(version.to_string()));
        }
        let mut file: FileEntry = yaml::from_str(text, OPERATION, source)?;
        let links = file.links.take();
        let routing = std::mem::take(&mut file.routing);
        let FileEntry { model, constraints, hardware, map, .. } = &file;
        let model = rebuild(model, source, checkpoint)?;
        let inside = |error: Error| error.place(format!("the file `{source}`"));
        let hardware = network::read(hardware, links).map_err(inside)?;
        let scheme = read_scheme(&file).map_err(inside)?;
        let objectives = read_objectives(&file.objectives).map_err(inside)?;
        let mut scenario = Scenario {
            model,
            scheme,
            load: read_load(&file).map_err(inside)?,
            hardware,
            constraints: read_constraints(constraints).map_err(inside)?,
            default_pins: constraints.default_pins,
            limits: read_limits(constraints).map_err(inside)?,
            objectives: objectives.iter().map(|o| o.objective).collect(),
        };
        scenario.limits.affinity = file.affinity.as_ref().map(read_affinity);
        scenario.limits.check(&scenario.hardware).map_err(inside)?;
        scenario.limits.routing = routing.read().map_err(|e| e.object(source))?;
        let ids = scenario.component_ids();
        let device = |id: &str| scenario.hardware.index_of(id);
        let homes = read_map(map, device, &ids).map_err(|e| e.object(source))?;
        if let Some(map) = &file.current {
            let nowhere = scenario.hardware.devices.len();
            let device = |id: &str| if id == NOWHERE { Some(nowhere) } else { device(id) };
            let homes =
                read_map(map, device, &ids).map_err(|e| e.object(source).place("current"))?;
            scenario.limits.current = Some(named(&homes, &scenario.hardware));
        }
        Ok(Self {
            scenario,
            status: read_status(&file, source)?,
            problem: file.problem,
            objectives,
            traffic: read_traffic(&file.traffic, source)?,
            solver: file.solver.name,
            nodes: file.solver.nodes,
            devices: file.devices.into_iter().map(to_use).collect(),
            homes,
        })
    }
}

fn read_map(
    map: &StrictMap<String>,
    device: impl Fn(&str) -> Option<usize>,
    ids: &[ComponentId],
) -> Result<Vec<(ComponentId, usize)>, Error> {
    let to_line = |(name, id): (&String, &String)| {
        let device = device(id).ok_or_else(|| {
            Error::new(OPERATION)
                .place(format!("map, `{name}`"))
                .expected("a device of the file's hardware")
                .found(format!("`{id}`"))
        })?;
        Ok(Line { name: name.clone(), device })
    };
    let lines = map.iter().map(to_line).collect::<Result<Vec<_>, Error>>()?;
    let devices = expand(&lines, ids)?;
    Ok(ids.iter().copied().zip(devices).collect())
}

fn read_scheme(file: &FileEntry) -> Result<Scheme, Error> {
    let overrides = file.quantization_overrides.iter().map(|text| Override::parse(text));
    Scheme::parse(&file.quantization)?.with_overrides(overrides.collect::<Result<_, _>>()?)
}

fn read_load(file: &FileEntry) -> Result<Load, Error> {
    Ok(Load {
        context: file.context,
        batch: file.batch,
        kv_type: KvType::parse(&file.kv_type)?,
        staging: Some(Staging::parse(&file.staging)?),
        runtime: read_runtime(file)?,
    })
}

/// No name is the default, as in files from before there was another.
fn read_runtime(file: &FileEntry) -> Result<Arc<Profile>, Error> {
    let name = file.runtime.as_deref().unwrap_or(runtime::NAMES[0]);
    if file.runtime_rules.is_empty() && runtime::NAMES.contains(&name) {
        return Profile::shared(name);
    }
    Profile::recorded(name, &file.runtime_rules).map(Arc::new)
}

fn read_objectives(entries: &[ObjectiveEntry]) -> Result<Vec<ObjectiveRecord>, Error> {
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let objectives = if names.is_empty() { Vec::new() } else { parse_objectives(&names)? };
    objectives
        .into_iter()
        .zip(entries)
        .map(|(mut objective, entry)| {
            // The command line also takes lists and tolerances here; in a file a name is a name.
            if entry.name != objective.kind.name() {
                return Err(Error::new("read the objectives")
                    .object(entry.name.clone())
                    .expected("the name of one objective"));
            }
            objective.tolerance = parse_tolerance(&entry.tolerance)?;
            // A whole number is bytes or things, as the objective has it.
            let value = |entry: &ExactEntry| match entry.0 {
                ObjectiveValue::Bytes(number) => law(objective.kind).unit().whole(number),
                value => value,
            };
            Ok(ObjectiveRecord {
                objective,
                value: value(&entry.value),
                optimum: value(&entry.optimum),
                bound: value(&entry.bound),
                cap: value(&entry.cap),
                gap: format!("{:.9}", entry.gap),
            })
        })
        .collect()
}

fn read_status(file: &FileEntry, source: &str) -> Result<Status, Error> {
    match (&file.status, &file.limit) {
        (StatusEntry::Optimal, None) => Ok(Status::Optimal),
        (StatusEntry::Feasible, Some(limit)) => Ok(Status::Feasible(match limit {
            LimitEntry::Nodes => LimitReached::Nodes,
            LimitEntry::Time => LimitReached::Time,
            LimitEntry::Precision => LimitReached::Precision,
        })),
        (_, _) => Err(Error::new(OPERATION)
            .object(source)
            .place("status")
            .expected("`limit` beside `status: feasible`, and only there")),
    }
}

fn read_traffic(entry: &TrafficEntry, source: &str) -> Result<TrafficRecord, Error> {
    let ObjectiveValue::Ratio(expected) = entry.expected_transfers_per_token.0 else {
        return Err(Error::new(OPERATION)
            .object(source)
            .place("traffic.expected_transfers_per_token")
            .expected("a fraction such as `3/4`"));
    };
    Ok(TrafficRecord {
        hand_overs: entry.hand_overs,
        remote_experts: entry.remote_experts,
        expected,
    })
}

fn to_use(entry: UseEntry) -> DeviceRecord {
    DeviceRecord {
        id: entry.id,
        used_bytes: entry.used_bytes,
        weights_bytes: entry.weights_bytes,
        rounding_bytes: entry.rounding_bytes,
        kv_cache_bytes: entry.kv_cache_bytes,
        workspace_bytes: entry.workspace_bytes,
        reserve_bytes: entry.reserve_bytes,
        staging_bytes: entry.staging_bytes,
    }
}
