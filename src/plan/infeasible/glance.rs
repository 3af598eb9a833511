//! What sums, and packing by size, say about whether a placement exists: exact, and cheap on any number of
//! devices.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::problem::{Component, DeviceSet, Placement, Problem};
use crate::verify::{Load, verify};

/// Sets of devices that are looked at; rules leave few.
const SETS_MAX: usize = 256;

/// Whether a placement exists, where that is easy to tell.
pub(super) fn answer(problem: &Problem) -> Option<bool> {
    if hopeless(problem) { Some(false) } else { packs(problem).then_some(true) }
}

/// Whether more must live on some set of devices than they have room for, or on more devices than may be
/// used. That proves that there is no placement; the contrary proves nothing.
fn hopeless(problem: &Problem) -> bool {
    let mut bytes_of: BTreeMap<DeviceSet, u128> = BTreeMap::new();
    for component in &problem.components {
        *bytes_of.entry(component.allowed).or_default() += resident_bytes(component);
    }
    let most = problem.devices_max.unwrap_or(problem.devices.len());
    let pinned = bytes_of.keys().filter(|set| set.iter().nth(1).is_none());
    if pinned.count() > most {
        return true;
    }
    let everywhere = DeviceSet::first(problem.devices.len());
    let mut sets = bytes_of.keys().copied().take(SETS_MAX).chain([everywhere]);
    let within = |set: DeviceSet| {
        let inside = bytes_of.iter().filter(move |(other, _)| other.without(set).is_empty());
        inside.map(|(_, bytes)| bytes).sum::<u128>()
    };
    sets.any(|set| within(set) > room_bytes(problem, set, most))
}

/// Weights and KV cache, which a device holds in addition to everything else on it.
fn resident_bytes(component: &Component) -> u128 {
    let demand = &component.demand;
    let bytes = [demand.weights_bytes, demand.rounding_bytes, demand.kv_cache_bytes];
    bytes.map(u128::from).iter().sum()
}

/// What the `most` roomiest devices of a set can hold together.
fn room_bytes(problem: &Problem, set: DeviceSet, most: usize) -> u128 {
    let devices = set.iter().take_while(|&device| device < problem.devices.len());
    let room =
        devices.map(|d| problem.limit_bytes(d).saturating_sub(problem.devices[d].reserve_bytes));
    let mut room: Vec<u64> = room.collect();
    room.sort_unstable_by_key(|&bytes| Reverse(bytes));
    room.into_iter().take(most).map(u128::from).sum()
}

/// Whether a placement is found by putting the largest things first, each where most room is left, or else
/// least. That is one; the contrary proves nothing.
fn packs(problem: &Problem) -> bool {
    let mut units: Vec<(usize, u128, usize)> = Vec::new();
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); problem.components.len()];
    for (index, component) in problem.components.iter().enumerate() {
        let Some(leader) = problem.index_of(component.lives_with) else { return false };
        members[leader].push(index);
    }
    for (leader, members) in members.iter().enumerate().filter(|(_, m)| !m.is_empty()) {
        let bytes = members.iter().map(|&index| resident_bytes(&problem.components[index])).sum();
        units.push((problem.components[leader].allowed.iter().count(), bytes, leader));
    }
    // What has little choice goes first.
    units.sort_unstable_by_key(|&(choices, bytes, leader)| (choices, Reverse(bytes), leader));
    let order: Vec<&[usize]> = units.iter().map(|unit| members[unit.2].as_slice()).collect();
    let usable = usable(problem);
    [true, false].into_iter().any(|roomiest| {
        let placement = packed(problem, &order, usable, roomiest);
        placement.is_some_and(|placement| verify(problem, &placement).is_ok())
    })
}

/// As many devices as may be used: those that something is pinned to, then the roomiest.
fn usable(problem: &Problem) -> DeviceSet {
    let allowed = problem.components.iter().map(|component| component.allowed);
    let pinned = allowed.filter(|set| set.iter().nth(1).is_none());
    let pinned = DeviceSet(pinned.fold(0, |all, set| all | set.0));
    let mut devices: Vec<usize> = (0..problem.devices.len()).collect();
    let room = |d: usize| room_bytes(problem, DeviceSet::only(d), 1);
    devices.sort_by_key(|&device| (!pinned.contains(device), Reverse(room(device))));
    let most = problem.devices_max.unwrap_or(devices.len());
    DeviceSet(devices.into_iter().take(most).fold(0, |all, d| all | DeviceSet::only(d).0))
}

fn packed(
    problem: &Problem,
    order: &[&[usize]],
    usable: DeviceSet,
    roomiest: bool,
) -> Option<Placement> {
    let mut loads: Vec<Load<'_>> =
        (0..problem.devices.len()).map(|device| Load::empty(problem, device)).collect();
    let mut device_of = vec![0; problem.components.len()];
    for &members in order {
        let allowed = problem.components[*members.first()?].allowed.and(usable);
        let with = |device: usize| {
            let mut load = loads[device].clone();
            for &index in members {
                load.add(&problem.components[index].demand);
            }
            load.fits().then_some((device, load))
        };
        let left = |(_, load): &(usize, Load<'_>)| load.limit_bytes() - load.required_bytes();
        let fitting = allowed.iter().take_while(|&device| device < loads.len()).filter_map(with);
        let chosen = if roomiest {
            fitting.max_by_key(|fit| (left(fit), Reverse(fit.0)))
        } else {
            fitting.min_by_key(|fit| (left(fit), fit.0))
        };
        let (device, load) = chosen?;
        loads[device] = load;
        for &index in members {
            device_of[index] = device;
        }
    }
    Some(Placement { device_of })
}
