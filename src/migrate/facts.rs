//! What is where and how large, before and after: all that orders and replays need of two placements.

use super::{Caches, Place};
use crate::error::Error;
use crate::memory::Demand;
use crate::model::{ComponentId, ComponentKind};
use crate::placement::Record;
use crate::problem::{Placement, Problem};
use crate::scenario::{Attention, Scenario};
use crate::verify::verify;

/// Weights as allocated, and the cache of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bytes {
    pub(super) weights: u64,
    pub(super) rounding: u64,
    pub(super) kv_cache: u64,
}

/// One component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) id: ComponentId,
    /// As it is where it is when the plan begins.
    pub(super) before: Bytes,
    /// As it is wanted.
    pub(super) after: Bytes,
    /// What its loading stages on its device.
    pub(super) staging_bytes: u64,
    /// Where it is; what is there in another form than it is wanted too.
    pub(super) start: Place,
    /// Whether it must be loaded from files.
    pub(super) loads: bool,
    /// The device it is wanted on.
    pub(super) end: usize,
}

impl Piece {
    /// Whether anything has to be done about it.
    pub(super) fn moves(&self) -> bool {
        self.loads || self.start != Place::Device(self.end)
    }

    /// What it takes while it is somewhere: in the form that is wanted or as it was, with a cache as later or before.
    pub(super) fn bytes(&self, fresh: bool, resized: bool) -> Bytes {
        let weights = if fresh { self.after } else { self.before };
        let cache = if resized { self.after } else { self.before };
        Bytes { kv_cache: cache.kv_cache, ..weights }
    }
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) id: String,
    pub(super) limit_bytes: u64,
    pub(super) reserve_bytes: u64,
}

/// Two placements, compared.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// What the placement it leads to answers; its workspace and reserves hold from the first step on.
    pub(super) problem: Problem,
    /// In its order.
    pub(super) rooms: Vec<Room>,
    /// In canonical order.
    pub(super) pieces: Vec<Piece>,
    pub(super) caches: Caches,
}

impl Facts {
    /// Compares two placements.
    ///
    /// # Errors
    /// Placements that the verifier refuses, of different models or components, of replicated attention; a second
    /// one that was not solved from the first.
    pub(super) fn of(from: &Record, to: &Record) -> Result<Self, Error> {
        let refuse = || Error::new("plan the moves between placements");
        if from.scenario.model.fingerprint != to.scenario.model.fingerprint {
            let name = |record: &Record| format!("`{}`", record.scenario.model.name);
            return Err(refuse().expected(format!("two of {}", name(from))).found(name(to)));
        }
        let replicated = |r: &Record| r.scenario.limits.attention == Attention::Replicated;
        if replicated(from) || replicated(to) {
            return Err(refuse()
                .expected("attention with one home for each layer")
                .found("replicated attention"));
        }
        let demands = [from.scenario.demand()?, to.scenario.demand()?];
        let problem = to.scenario.problem_of(&demands[1])?;
        let before = from.scenario.problem_of(&demands[0])?;
        check(&before, &from.placement(&before)?, "it begins with")?;
        check(&problem, &to.placement(&problem)?, "it leads to")?;
        let ids = |problem: &Problem| -> Vec<ComponentId> {
            problem.components.iter().map(|c| c.demand.id).collect()
        };
        if ids(&before) != ids(&problem) {
            return Err(refuse()
                .expected("placements of the same components")
                .found("other ones")
                .hint("the granularity, or what the runtime keeps in host memory, is another"));
        }
        let changed = changed(&demands);
        let pieces = pieces(from, to, [&before, &problem], &changed);
        check_current(from, to, &changed)?;
        Ok(Self { rooms: rooms(&problem), caches: caches(&pieces), pieces, problem })
    }

    /// Whether caches have their later size before the first step.
    pub(super) fn resized_first(&self) -> bool {
        self.caches != Caches::Last
    }
}

/// The map of a placement as names, for what is to be counted from it on this machine: nothing for what is on a
/// device that there is not, or wanted in other bytes.
pub(super) fn current(
    from: &Record,
    to: &Scenario,
) -> Result<Vec<(ComponentId, Option<String>)>, Error> {
    let changed = changed(&[from.scenario.demand()?, to.demand()?]);
    Ok(named(from, to, &changed))
}

fn named(
    from: &Record,
    to: &Scenario,
    changed: &[ComponentId],
) -> Vec<(ComponentId, Option<String>)> {
    let devices = &from.scenario.hardware.devices;
    let home = |&(id, device): &(ComponentId, usize)| {
        let name = devices.get(device).map(|device| device.id.clone());
        let there = |name: &String| to.hardware.index_of(name).is_some();
        let as_wanted = changed.binary_search(&id).is_err();
        (id, name.filter(|name| there(name) && as_wanted))
    };
    from.homes.iter().map(home).collect()
}

/// Whether the second placement says that it was solved from the first.
fn check_current(from: &Record, to: &Record, changed: &[ComponentId]) -> Result<(), Error> {
    let expected = named(from, &to.scenario, changed);
    let stated = to.scenario.limits.current.as_ref().map(|current| &current.homes);
    if stated == Some(&expected) {
        return Ok(());
    }
    Err(Error::new("plan the moves between placements")
        .expected("a second one that was solved from the first")
        .found(if stated.is_some() {
            "one that was solved from another"
        } else {
            "one that was not"
        })
        .hint("`apportion rebalance` writes such a placement"))
}

fn check(problem: &Problem, placement: &Placement, which: &str) -> Result<(), Error> {
    verify(problem, placement).map(drop).map_err(|violations| {
        let first = violations.first().map(ToString::to_string).unwrap_or_default();
        Error::new("plan the moves between placements")
            .place(format!("the placement {which}"))
            .expected("one that passes the verifier")
            .found(first)
    })
}

/// Components whose tensors are stored otherwise, sorted.
fn changed([before, after]: &[Demand; 2]) -> Vec<ComponentId> {
    let stored = |demand: &Demand| -> Vec<(ComponentId, String, &'static str, u64)> {
        let storage = &demand.storage;
        let all = storage.tensors.iter().zip(&storage.stored);
        all.map(|(t, s)| (t.component, t.name.clone(), s.type_name, s.bytes)).collect()
    };
    let (before, after) = (stored(before), stored(after));
    if before == after {
        return Vec::new();
    }
    let of = |all: &[(ComponentId, String, &'static str, u64)], id: ComponentId| {
        let begin = all.partition_point(|tensor| tensor.0 < id);
        let end = all.partition_point(|tensor| tensor.0 <= id);
        all[begin..end].to_vec()
    };
    let sorted = |mut all: Vec<(ComponentId, String, &'static str, u64)>| {
        all.sort();
        all
    };
    let (before, after) = (sorted(before), sorted(after));
    let mut ids: Vec<ComponentId> = before.iter().chain(&after).map(|tensor| tensor.0).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|&id| of(&before, id) != of(&after, id));
    ids
}

fn pieces(
    from: &Record,
    to: &Record,
    [before, after]: [&Problem; 2],
    changed: &[ComponentId],
) -> Vec<Piece> {
    let bytes = |problem: &Problem, index: usize| {
        let demand = &problem.components[index].demand;
        Bytes {
            weights: demand.weights_bytes,
            rounding: demand.rounding_bytes,
            kv_cache: demand.kv_cache_bytes,
        }
    };
    let piece = |(index, &(id, end)): (usize, &(ComponentId, usize))| {
        let there = from.homes.get(index).map(|&(_, device)| device).unwrap_or_default();
        let name = from.scenario.hardware.devices.get(there).map(|device| &device.id);
        let device = name.and_then(|name| to.scenario.hardware.index_of(name));
        let start = device.map_or(Place::Files, Place::Device);
        let loads = start == Place::Files || changed.binary_search(&id).is_ok();
        Piece {
            id,
            before: bytes(before, index),
            after: bytes(after, index),
            staging_bytes: after.components[index].demand.staging_bytes,
            start,
            loads,
            end,
        }
    };
    to.homes.iter().enumerate().map(piece).collect()
}

fn rooms(problem: &Problem) -> Vec<Room> {
    let room = |(index, device): (usize, &crate::hardware::Device)| Room {
        id: device.id.clone(),
        limit_bytes: problem.limit_bytes(index),
        reserve_bytes: device.reserve_bytes,
    };
    problem.devices.iter().enumerate().map(room).collect()
}

fn caches(pieces: &[Piece]) -> Caches {
    let of_attention = || {
        let attention = |piece: &&Piece| piece.id.kind() == ComponentKind::Attention;
        pieces.iter().filter(attention).map(|piece| (piece.before.kv_cache, piece.after.kv_cache))
    };
    if of_attention().all(|(before, after)| before == after) {
        Caches::Kept
    } else if of_attention().all(|(before, after)| after <= before) {
        Caches::First
    } else {
        Caches::Last
    }
}
