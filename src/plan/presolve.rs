//! What must live on a device, before anything is solved.
//!
//! Workspace and staging are charged once per kind of work a device hosts. As a decision that costs a binary
//! with a weak relaxation; but most of the time there is no choice, because everything else together
//! cannot hold enough for a device to go without the kind.

use super::caps::Caps;
use super::classes::{Classes, Presence, Profile};
use super::formulation::memory::Forced;
use crate::problem::{DeviceSet, ObjectiveKind, Problem};

/// The presences without which a device could not hold its part, when no device may exceed `caps`.
pub(super) fn forced(problem: &Problem, classes: &Classes, caps: &Caps) -> Forced {
    let amounts = amounts(classes);
    let total: u64 = amounts.iter().map(|(_, bytes)| bytes).sum();
    (0..problem.devices.len())
        .map(|device| {
            let here_at_least = holds_at_least(problem, caps, device, total);
            let mut presences = classes.presences();
            presences.retain(|presence| {
                let without = amounts.iter().filter(|(p, _)| p.presence != *presence);
                here_at_least > without.map(|(_, bytes)| bytes).sum()
            });
            presences
        })
        .collect()
}

/// What must be on a device because the others cannot hold it: all others, or as many as a limit on devices
/// leaves beside it, when without it they are not enough.
fn holds_at_least(problem: &Problem, caps: &Caps, device: usize, total: u64) -> u64 {
    let others = (0..problem.devices.len()).filter(|&other| other != device);
    let mut holds: Vec<u64> = others.map(|other| holds_at_most(problem, caps, other)).collect();
    holds.sort_unstable_by_key(|&bytes| std::cmp::Reverse(bytes));
    let most = caps.most(ObjectiveKind::DevicesUsed).unwrap_or(u64::MAX);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let largest = |count: usize| holds.iter().take(count).copied().fold(0, u64::saturating_add);
    if total <= largest(most) { 0 } else { total - largest(most.saturating_sub(1)).min(total) }
}

/// What must be on a device because the others cannot hold it.
pub(super) fn needed_on(problem: &Problem, classes: &Classes, caps: &Caps, device: usize) -> u64 {
    let total = amounts(classes).iter().map(|(_, bytes)| bytes).sum();
    holds_at_least(problem, caps, device, total)
}

/// Of these devices, in their order, the largest ones that a limit on devices leaves.
pub(super) fn largest(problem: &Problem, caps: &Caps, mut devices: Vec<usize>) -> Vec<usize> {
    let most = caps.most(ObjectiveKind::DevicesUsed).unwrap_or(u64::MAX);
    // The first GPU is where pins are, so that it goes before equal ones.
    let by_room = |d: &usize| std::cmp::Reverse(caps.device_bytes[*d].min(problem.limit_bytes(*d)));
    devices.sort_by_key(by_room);
    devices.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    devices.sort_unstable();
    devices
}

/// Every GPU charged for every kind of feed-forward and attention it may host: not implied by anything,
/// but what a good placement usually looks like, and a program without presence binaries.
pub(super) fn assumed(problem: &Problem, classes: &Classes, caps: &Caps) -> Forced {
    let mut forced: Forced = vec![Vec::new(); problem.devices.len()];
    for gpu in largest(problem, caps, problem.gpus().collect()) {
        let layers = classes.by_kind.iter();
        let profiles = layers.flat_map(|c| c.items.iter().map(|i| &i.profile).chain([&c.home]));
        let here = profiles.filter(|p| p.allowed.contains(gpu)).map(|p| p.presence);
        forced[gpu] = here.collect();
        forced[gpu].sort_unstable();
        forced[gpu].dedup();
    }
    forced
}

/// Whether being charged for `assumed` costs a device no more than being charged for `forced`.
pub(super) fn implied(forced: &Forced, assumed: &Forced) -> bool {
    let most = |presences: &[Presence]| {
        let workspace = presences.iter().map(|p| p.workspace_bytes).max().unwrap_or(0);
        let staging = presences.iter().map(|p| p.staging_bytes).max().unwrap_or(0);
        (presences.is_empty(), workspace, staging.max(workspace))
    };
    forced.iter().zip(assumed).all(|(forced, assumed)| most(forced) == most(assumed))
}

/// All profiles with the bytes of all their units.
fn amounts(classes: &Classes) -> Vec<(Profile, u64)> {
    let times = |profile: &Profile, count: usize| {
        (*profile, profile.bytes().saturating_mul(count.try_into().unwrap_or(u64::MAX)))
    };
    let mut amounts = vec![times(&classes.embedding.profile, 1)];
    amounts.extend(classes.head.as_ref().map(|head| times(&head.profile, 1)));
    for class in &classes.by_kind {
        let layers = class.layers.len();
        amounts.push(times(&class.home, layers));
        amounts.extend(class.items.iter().map(|i| times(&i.profile, i.per_layer * layers)));
    }
    amounts
}

/// Weights and KV cache that fit on a device at all.
pub(super) fn holds_at_most(problem: &Problem, caps: &Caps, device: usize) -> u64 {
    let free = caps.device_bytes[device].saturating_sub(problem.devices[device].reserve_bytes);
    let cpus = problem.cpus().fold(DeviceSet(0), |set, d| DeviceSet(set.0 | DeviceSet::only(d).0));
    match caps.most(ObjectiveKind::SpillBytes) {
        Some(spill) if cpus.contains(device) => free.min(spill),
        _ => free,
    }
}

/// The nearest device before this one that no number and no permission tells apart from it.
pub(super) fn twin(
    problem: &Problem,
    classes: &Classes,
    caps: &Caps,
    device: usize,
) -> Option<usize> {
    let facts = |d: usize| {
        let of = &problem.devices[d];
        (of.kind, of.capacity_bytes, of.reserve_bytes, caps.device_bytes[d])
    };
    let alike = |other: &usize| {
        facts(*other) == facts(device)
            && classes.stays.iter().all(|stays| stays[*other] == stays[device])
            && classes.profiles().all(|p| p.allowed.contains(*other) == p.allowed.contains(device))
    };
    (0..device).rev().find(alike)
}
