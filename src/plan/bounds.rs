//! Bounds that take no search: what the bytes alone say.
//!
//! Each is derived from what every placement within the caps must do, and says from what. The search starts
//! from the highest.

use super::caps::Caps;
use super::classes::{Classes, Profile, Unit};
use super::presolve;
use crate::model::ComponentId;
use crate::problem::{DeviceSet, ObjectiveKind, ObjectiveValue, Problem};
use crate::units::Ratio;

/// Why an objective cannot be below a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Peak: so many bytes must be on GPUs, and those that must be used pay for their reserve and workspace.
    Total {
        /// Weights and KV cache that host memory cannot take.
        held_bytes: u64,
        /// Reserve and workspace of the GPUs that must be used.
        beside_bytes: u64,
        /// Of all GPUs.
        capacity_bytes: u64,
    },
    /// Peak: one thing alone, on the device where it takes the smallest share.
    LargestItem {
        /// Its first component.
        component: ComponentId,
        /// Index of that device.
        device: usize,
        /// What the device requires with nothing else on it.
        required_bytes: u64,
    },
    /// Peak: what may live on one GPU only.
    Pinned {
        /// Index of the GPU.
        device: usize,
        /// What it requires with nothing else on it.
        required_bytes: u64,
    },
    /// Spill: what is beyond the room of all GPUs together.
    BeyondGpus {
        /// Weights and KV cache in all.
        held_bytes: u64,
        /// The most that GPUs hold.
        room_bytes: u64,
    },
    /// Spill: what no GPU may hold, or has room for.
    OnNoGpu {
        /// Its bytes.
        held_bytes: u64,
    },
    /// Devices: the roomiest ones, until everything has room.
    Room {
        /// Weights and KV cache in all.
        held_bytes: u64,
    },
    /// Devices: something may live there only.
    PinnedDevices,
}

/// A value, and why nothing is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The value.
    pub value: ObjectiveValue,
    /// Why.
    pub reason: Reason,
}

/// All that bytes say of `kind` under `caps`, in a fixed order; nothing of transfers and moves.
pub(super) fn bounds(
    problem: &Problem,
    classes: &Classes,
    kind: ObjectiveKind,
    caps: &Caps,
) -> Vec<Bound> {
    let known = Known { problem, classes, caps, kinds: kinds(classes) };
    let found = match kind {
        ObjectiveKind::PeakUtilization => vec![known.total(), known.largest(), known.pinned()],
        ObjectiveKind::SpillBytes => vec![Some(known.beyond_gpus()), Some(known.on_no_gpu())],
        ObjectiveKind::DevicesUsed => vec![known.room(), known.pinned_devices()],
        ObjectiveKind::Traffic
        | ObjectiveKind::Migration
        | ObjectiveKind::DecodeLatency
        | ObjectiveKind::PrefillTime
        | ObjectiveKind::Crossings => Vec::new(),
    };
    found.into_iter().flatten().filter(|bound| bound.value.as_f64() > 0.0).collect()
}

/// One unit of every kind, and how many there are.
pub(super) fn kinds(classes: &Classes) -> Vec<(&Unit, u64)> {
    let many = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let mut kinds: Vec<(&Unit, u64)> =
        classes.ends().filter(|unit| !unit.components.is_empty()).map(|unit| (unit, 1)).collect();
    for class in &classes.by_kind {
        let Some(layer) = class.layers.first().map(|&first| &classes.layers[first]) else {
            continue;
        };
        kinds.push((&layer.home, many(class.layers.len())));
        for item in &class.items {
            let same = layer.items.iter().find(|unit| unit.profile == item.profile);
            kinds.extend(same.map(|unit| (unit, many(item.per_layer * class.layers.len()))));
        }
    }
    kinds
}

/// What a device requires with one unit on it and nothing else.
pub(super) fn alone_bytes(problem: &Problem, profile: &Profile, device: usize) -> u64 {
    let running = profile.kv_cache_bytes + profile.presence.workspace_bytes;
    let reserve = problem.devices[device].reserve_bytes;
    profile.weights_bytes + reserve + running.max(profile.presence.staging_bytes)
}

struct Known<'a> {
    problem: &'a Problem,
    classes: &'a Classes,
    caps: &'a Caps,
    kinds: Vec<(&'a Unit, u64)>,
}

impl Known<'_> {
    /// Weights and KV cache of everything.
    fn held_bytes(&self) -> u64 {
        self.kinds.iter().map(|(unit, count)| unit.profile.bytes() * count).sum()
    }

    fn room_bytes(&self, device: usize) -> u64 {
        presolve::holds_at_most(self.problem, self.caps, device)
    }

    fn share(&self, required_bytes: u64, device: usize) -> ObjectiveValue {
        let capacity = self.problem.devices[device].capacity_bytes;
        ObjectiveValue::Ratio(Ratio::new(required_bytes, capacity))
    }

    /// No GPU's share is above the peak, so that all of them together hold no more than that share of their
    /// capacity.
    fn total(&self) -> Option<Bound> {
        let problem = self.problem;
        let host = problem.cpus().map(|cpu| self.room_bytes(cpu)).fold(0, u64::saturating_add);
        let host = host.min(self.caps.most(ObjectiveKind::SpillBytes).unwrap_or(u64::MAX));
        let held_bytes = self.held_bytes().saturating_sub(host);
        let forced = presolve::forced(problem, self.classes, self.caps);
        let beside = |gpu: usize| {
            let workspace = forced[gpu].iter().map(|presence| presence.workspace_bytes).max();
            workspace.map_or(0, |bytes| bytes + problem.devices[gpu].reserve_bytes)
        };
        let beside_bytes = problem.gpus().map(beside).sum();
        let capacity_bytes: u64 =
            problem.gpus().map(|gpu| problem.devices[gpu].capacity_bytes).sum();
        let value =
            ObjectiveValue::Ratio(Ratio::new(held_bytes + beside_bytes, capacity_bytes.max(1)));
        let reason = Reason::Total { held_bytes, beside_bytes, capacity_bytes };
        (capacity_bytes > 0).then_some(Bound { value, reason })
    }

    /// What host memory may take has no share of a GPU.
    fn largest(&self) -> Option<Bound> {
        let on_gpus = |unit: &&Unit| {
            let host = |cpu| {
                unit.profile.allowed.contains(cpu) && self.room_bytes(cpu) >= unit.profile.bytes()
            };
            !self.problem.cpus().any(host)
        };
        let best_place = |unit: &Unit| {
            let component = self.problem.components[*unit.components.first()?].lives_with;
            let gpus = self.problem.gpus().filter(|&gpu| unit.profile.allowed.contains(gpu));
            let places = gpus.map(|device| {
                let required_bytes = alone_bytes(self.problem, &unit.profile, device);
                let reason = Reason::LargestItem { component, device, required_bytes };
                Bound { value: self.share(required_bytes, device), reason }
            });
            places.min_by_key(|bound| bound.value)
        };
        let units = self.kinds.iter().map(|&(unit, _)| unit).filter(on_gpus);
        // The first of equal ones.
        units.filter_map(best_place).reduce(|a, b| if b.value > a.value { b } else { a })
    }

    fn pinned(&self) -> Option<Bound> {
        let load = |gpu: usize| {
            let here = self.kinds.iter().filter(|(u, _)| u.profile.allowed == DeviceSet::only(gpu));
            let mut sum = Profile::default();
            for (Unit { profile, .. }, count) in here {
                sum.weights_bytes += profile.weights_bytes * count;
                sum.kv_cache_bytes += profile.kv_cache_bytes * count;
                let (all, one) = (&mut sum.presence, &profile.presence);
                all.workspace_bytes = all.workspace_bytes.max(one.workspace_bytes);
                all.staging_bytes = all.staging_bytes.max(one.staging_bytes);
            }
            (sum.weights_bytes > 0).then(|| alone_bytes(self.problem, &sum, gpu))
        };
        let loads = self.problem.gpus().filter_map(|device| {
            let required_bytes = load(device)?;
            let reason = Reason::Pinned { device, required_bytes };
            Some(Bound { value: self.share(required_bytes, device), reason })
        });
        loads.reduce(|a, b| if b.value > a.value { b } else { a })
    }

    fn beyond_gpus(&self) -> Bound {
        let gpus = self.problem.gpus().map(|gpu| self.room_bytes(gpu));
        let (held_bytes, room_bytes) = (self.held_bytes(), gpus.fold(0, u64::saturating_add));
        let value = ObjectiveValue::Bytes(held_bytes.saturating_sub(room_bytes));
        Bound { value, reason: Reason::BeyondGpus { held_bytes, room_bytes } }
    }

    fn on_no_gpu(&self) -> Bound {
        let has_room = |unit: &Unit, gpu: usize| {
            unit.profile.allowed.contains(gpu)
                && alone_bytes(self.problem, &unit.profile, gpu) <= self.caps.device_bytes[gpu]
        };
        let none = self.kinds.iter().filter(|(u, _)| !self.problem.gpus().any(|g| has_room(u, g)));
        let held_bytes = none.map(|(unit, count)| unit.profile.bytes() * count).sum();
        let value = ObjectiveValue::Bytes(held_bytes);
        Bound { value, reason: Reason::OnNoGpu { held_bytes } }
    }

    /// `None` where not even all devices have room.
    fn room(&self) -> Option<Bound> {
        let held_bytes = self.held_bytes();
        let devices = 0..self.problem.devices.len();
        let mut rooms: Vec<u64> = devices.map(|device| self.room_bytes(device)).collect();
        rooms.sort_unstable_by_key(|&room| std::cmp::Reverse(room));
        let mut reached = 0_u64;
        let enough = rooms.iter().position(|room| {
            reached = reached.saturating_add(*room);
            reached >= held_bytes
        })?;
        let value = ObjectiveValue::Count(u64::try_from(enough + 1).ok()?);
        Some(Bound { value, reason: Reason::Room { held_bytes } })
    }

    fn pinned_devices(&self) -> Option<Bound> {
        let only = |device: &usize| {
            let set = DeviceSet::only(*device);
            self.kinds.iter().any(|(unit, _)| unit.profile.allowed == set)
        };
        let count = (0..self.problem.devices.len()).filter(only).count();
        let value = ObjectiveValue::Count(u64::try_from(count).ok()?);
        Some(Bound { value, reason: Reason::PinnedDevices })
    }
}
