//! The experts of a sequence of homes, placed greedily: stay at home, and where a device overflows send
//! away as few as possible to whoever has room.
//!
//! It attains the search's lower bound most of the time, and then nothing needs to be solved.

use crate::plan::caps::Caps;
use crate::plan::classes::{Classes, Presence, Profile};
use crate::plan::evaluate::host_staging_bytes;
use crate::plan::formulation::counts::CountSolution;
use crate::problem::{ObjectiveKind, Problem};

/// Items of one class whose layers have one home.
#[derive(Clone, Copy, Debug)]
struct Group {
    class: usize,
    item: usize,
    profile: Profile,
    home: usize,
    /// How many are at home.
    count: usize,
}

/// One device while it is being filled.
#[derive(Clone, Copy, Debug)]
struct Load {
    weights_bytes: u64,
    kv_cache_bytes: u64,
    presence: Presence,
    reserve_bytes: u64,
    limit_bytes: u64,
    hosts_anything: bool,
}

impl Load {
    fn add(&mut self, profile: &Profile, count: usize) {
        if count == 0 {
            return;
        }
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.hosts_anything = true;
        self.weights_bytes =
            self.weights_bytes.saturating_add(profile.weights_bytes.saturating_mul(count));
        self.kv_cache_bytes =
            self.kv_cache_bytes.saturating_add(profile.kv_cache_bytes.saturating_mul(count));
        let presence = &mut self.presence;
        presence.workspace_bytes = presence.workspace_bytes.max(profile.presence.workspace_bytes);
        presence.staging_bytes = presence.staging_bytes.max(profile.presence.staging_bytes);
    }

    fn required_bytes(&self) -> u64 {
        let running = self.kv_cache_bytes.saturating_add(self.presence.workspace_bytes);
        let transient = running.max(self.presence.staging_bytes);
        self.weights_bytes.saturating_add(self.reserve_bytes).saturating_add(transient)
    }

    fn excess_bytes(&self) -> u64 {
        self.required_bytes().saturating_sub(self.limit_bytes)
    }

    /// How many more units of `profile` fit.
    fn room(&self, profile: &Profile) -> usize {
        let mut with_one = *self;
        with_one.add(profile, 1);
        if with_one.excess_bytes() > 0 {
            return 0;
        }
        let left = self.limit_bytes - with_one.required_bytes();
        let more = left / profile.weights_bytes.max(1);
        usize::try_from(more).unwrap_or(usize::MAX - 1).saturating_add(1)
    }
}

/// Counts that realise `homes` with few items away: within the devices' limits where the greedy way finds
/// room, otherwise beyond them. `None` when the homes alone exceed a device.
pub(super) fn fill(
    problem: &Problem,
    classes: &Classes,
    caps: &Caps,
    homes: &[usize],
    home_counts: &[Vec<usize>],
) -> Option<CountSolution> {
    let mut loads = empty_loads(problem, caps);
    let (embedding, head) = ends(classes, homes)?;
    loads[embedding].add(&classes.embedding.profile, 1);
    if let Some(unit) = &classes.head {
        loads[head].add(&unit.profile, 1);
    }
    let mut groups = Vec::new();
    for (c, class) in classes.by_kind.iter().enumerate() {
        for (home, &layers) in home_counts[c].iter().enumerate() {
            loads[home].add(&class.home, layers);
            for (j, item) in class.items.iter().enumerate() {
                let count = layers * item.per_layer;
                groups.push(Group { class: c, item: j, profile: item.profile, home, count });
            }
        }
    }
    let mut away = Vec::new();
    for group in &mut groups {
        if group.profile.allowed.contains(group.home) {
            loads[group.home].add(&group.profile, group.count);
        } else {
            away.push((*group, group.count));
            group.count = 0;
        }
    }
    for (device, load) in loads.iter_mut().enumerate() {
        evict(device, load, &mut groups, &mut away)?;
    }
    let mut items: Vec<Vec<Vec<usize>>> =
        classes.by_kind.iter().map(|class| vec![vec![0; loads.len()]; class.items.len()]).collect();
    for group in &groups {
        items[group.class][group.item][group.home] += group.count;
    }
    let devices_most = caps.most(ObjectiveKind::DevicesUsed).unwrap_or(u64::MAX);
    settle(&mut loads, away, &mut items, devices_most)?;
    Some(CountSolution { embedding, head, homes: home_counts.to_vec(), items })
}

fn empty_loads(problem: &Problem, caps: &Caps) -> Vec<Load> {
    let load = |(d, device): (usize, &crate::hardware::Device)| Load {
        weights_bytes: 0,
        kv_cache_bytes: 0,
        presence: Presence { workspace_bytes: 0, staging_bytes: host_staging_bytes(problem, d) },
        reserve_bytes: device.reserve_bytes,
        limit_bytes: caps.device_bytes[d],
        hosts_anything: false,
    };
    problem.devices.iter().enumerate().map(load).collect()
}

/// The ends of the chain beside their neighbours where that is allowed, else on the first allowed device.
fn ends(classes: &Classes, homes: &[usize]) -> Option<(usize, usize)> {
    let (&first, &last) = (homes.first()?, homes.last()?);
    let nearest = |profile: &Profile, wanted: [usize; 2]| {
        let wanted = wanted.into_iter().find(|&d| profile.allowed.contains(d));
        wanted.or_else(|| profile.allowed.iter().next())
    };
    let Some(head) = &classes.head else {
        let both = nearest(&classes.embedding.profile, [first, last])?;
        return Some((both, both));
    };
    Some((
        nearest(&classes.embedding.profile, [first, first])?,
        nearest(&head.profile, [last, last])?,
    ))
}

/// Sends items away until `device` is within its limit: the dearest bytes per visit first, and as the last
/// one the smallest that is enough.
fn evict(
    device: usize,
    load: &mut Load,
    groups: &mut [Group],
    away: &mut Vec<(Group, usize)>,
) -> Option<()> {
    while load.excess_bytes() > 0 {
        let excess = load.excess_bytes();
        let candidates = groups.iter_mut().filter(|g| {
            let elsewhere = g.profile.allowed.without(crate::problem::DeviceSet::only(device));
            g.home == device && g.count > 0 && g.profile.weights_bytes > 0 && !elsewhere.is_empty()
        });
        let group = candidates.min_by_key(|g| {
            let bytes = g.profile.weights_bytes;
            // Cheapest per byte up to the excess; among those that are enough, the smallest.
            let useful = u128::from(bytes.min(excess));
            (u128::from(g.profile.visits) * (1 << 40) / useful.max(1), bytes)
        })?;
        let bytes = group.profile.weights_bytes;
        let count = usize::try_from((excess / bytes).max(1)).unwrap_or(usize::MAX).min(group.count);
        group.count -= count;
        load.weights_bytes -= bytes * u64::try_from(count).unwrap_or(0);
        away.push((*group, count));
    }
    Some(())
}

/// Finds room for what was sent away, the largest first, on the device with the most room for it; where
/// there is none, on the one that is fullest by the least.
fn settle(
    loads: &mut [Load],
    mut away: Vec<(Group, usize)>,
    items: &mut [Vec<Vec<usize>>],
    devices_most: u64,
) -> Option<()> {
    away.sort_by_key(|(group, _)| std::cmp::Reverse(group.profile.weights_bytes));
    for (group, mut count) in away {
        while count > 0 {
            let used: u64 = loads.iter().map(|load| u64::from(load.hosts_anything)).sum();
            let open = |d: &usize| used < devices_most || loads[*d].hosts_anything;
            let others =
                (0..loads.len()).filter(|&d| d != group.home && group.profile.allowed.contains(d));
            let others = others.filter(open);
            let room = |d: &usize| {
                let load = &loads[*d];
                let over = load.excess_bytes();
                (load.room(&group.profile), std::cmp::Reverse((over, *d)))
            };
            let to = others.max_by_key(room)?;
            let moved = loads[to].room(&group.profile).clamp(1, count);
            loads[to].add(&group.profile, moved);
            items[group.class][group.item][to] += moved;
            count -= moved;
        }
    }
    Some(())
}
