//! What sums alone say about whether a placement exists: exact, and cheap on any number of devices.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::problem::{Component, DeviceSet, Placement, Problem};
use crate::verify::verify;

/// Sets of devices that are looked at; rules leave few.
const SETS_MAX: usize = 256;

/// Whether more must live on some set of devices than they have room for, or on more devices than may be
/// used. That proves that there is no placement; the contrary proves nothing.
pub(super) fn hopeless(problem: &Problem) -> bool {
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
    let sets = bytes_of.keys().copied().take(SETS_MAX).chain([everywhere]);
    let within = |set: DeviceSet| {
        let inside = bytes_of.iter().filter(move |(other, _)| other.without(set).is_empty());
        inside.map(|(_, bytes)| bytes).sum::<u128>()
    };
    let mut sets = sets;
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

/// Whether a placement fits that gathers on one of the `roomy` devices all that may live there, and on other
/// roomy ones what may not. That is one; the contrary proves nothing.
pub(super) fn gathers(problem: &Problem, roomy: &[usize]) -> bool {
    /// Devices to gather on; equal ones rarely differ.
    const TRIED_MAX: usize = 4;
    let mut tried = roomy.iter().take(TRIED_MAX);
    tried.any(|&first| verify(problem, &gathered(problem, roomy, first)).is_ok())
}

fn gathered(problem: &Problem, roomy: &[usize], first: usize) -> Placement {
    let mut left: Vec<u128> = (0..problem.devices.len())
        .map(|device| room_bytes(problem, DeviceSet::only(device), 1))
        .collect();
    let mut place = |component: &Component| {
        let allowed = component.allowed;
        let roomy = [first].into_iter().chain(roomy.iter().copied());
        let chosen = roomy.into_iter().find(|&device| allowed.contains(device)).or_else(|| {
            let devices = allowed.iter().filter(|&device| device < left.len());
            devices.max_by_key(|&device| (left[device], Reverse(device)))
        });
        let chosen = chosen.unwrap_or(first);
        left[chosen] = left[chosen].saturating_sub(resident_bytes(component));
        chosen
    };
    let mut device_of = vec![first; problem.components.len()];
    let leader = |c: &Component| problem.index_of(c.lives_with);
    for (index, component) in problem.components.iter().enumerate() {
        if leader(component) == Some(index) {
            device_of[index] = place(component);
        }
    }
    for (index, component) in problem.components.iter().enumerate() {
        if let Some(leader) = leader(component) {
            device_of[index] = device_of[leader];
        }
    }
    Placement { device_of }
}
