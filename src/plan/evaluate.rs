//! What a placement costs, in the planner's own exact arithmetic.
//!
//! The planner needs this to tell which of its candidates is best; [`crate::verify`] computes the same
//! again, from the same definitions and none of this code, before anyone sees a placement.

use super::caps::Caps;
use super::classes::{Classes, Presence, Unit};
use crate::problem::{ObjectiveKind, Placement, Problem};
use crate::units::Ratio;

/// A placement by unit: the devices of everything that can move on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) embedding: usize,
    /// The head's device; the embedding's when tied.
    pub(super) head: usize,
    /// Per layer, the attention's device.
    pub(super) homes: Vec<usize>,
    /// Per layer, per item of [`super::classes::Layer::items`], its device.
    pub(super) items: Vec<Vec<usize>>,
}

/// The exact costs of an [`Assignment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// Per device; 0 where nothing lives.
    pub(super) required_bytes: Vec<u64>,
    pub(super) spill_bytes: u64,
    pub(super) peak: Ratio,
    /// In units of one over the traffic denominator.
    pub(super) traffic: u64,
    /// Devices that host a component.
    pub(super) devices_used: u64,
    /// Weight bytes that are not where the problem's current placement has them.
    pub(super) migration_bytes: u64,
}

impl Assignment {
    /// The device of every component.
    pub(super) fn placement(&self, problem: &Problem, classes: &Classes) -> Placement {
        let mut device_of = vec![0; problem.components.len()];
        self.each_unit(classes, |unit, device| {
            for &component in &unit.components {
                device_of[component] = device;
            }
        });
        Placement { device_of }
    }

    fn each_unit<'a>(&self, classes: &'a Classes, mut visit: impl FnMut(&'a Unit, usize)) {
        if !classes.embedding.components.is_empty() {
            visit(&classes.embedding, self.embedding);
        }
        if let Some(head) = &classes.head {
            visit(head, self.head);
        }
        for (l, layer) in classes.layers.iter().enumerate() {
            visit(&layer.home, self.homes[l]);
            for (item, &device) in layer.items.iter().zip(&self.items[l]) {
                visit(item, device);
            }
        }
    }

    /// Evaluates all objectives.
    pub(super) fn cost(&self, problem: &Problem, classes: &Classes) -> Cost {
        let mut loads = vec![Load::default(); problem.devices.len()];
        self.each_unit(classes, |unit, device| loads[device].add(unit));
        let required_bytes: Vec<u64> =
            (0..loads.len()).map(|d| loads[d].required_bytes(problem, d)).collect();
        let ratio = |d: usize| Ratio::new(required_bytes[d], problem.devices[d].capacity_bytes);
        Cost {
            spill_bytes: problem.cpus().map(|d| loads[d].weights + loads[d].kv_cache).sum(),
            peak: problem.gpus().map(ratio).max().unwrap_or(Ratio::ZERO),
            traffic: self.traffic(problem, classes),
            devices_used: loads.iter().map(|load| u64::from(!load.empty)).sum(),
            migration_bytes: self.migration_bytes(problem, classes),
            required_bytes,
        }
    }

    fn migration_bytes(&self, problem: &Problem, classes: &Classes) -> u64 {
        let Some(current) = &problem.current else { return 0 };
        let mut moved = 0;
        self.each_unit(classes, |unit, device| {
            let away = unit.components.iter().filter(|&&c| current.device_of[c] != device);
            moved += away.map(|&c| problem.components[c].demand.weights_bytes).sum::<u64>();
        });
        moved
    }

    fn traffic(&self, problem: &Problem, classes: &Classes) -> u64 {
        // Without an embedding the chain begins at the first home.
        let absent = classes.embedding.components.is_empty();
        let first = self.homes.first().filter(|_| absent).copied().unwrap_or(self.embedding);
        let mut units = hand_overs(first, &self.homes, self.head) * problem.traffic_denominator;
        for (l, layer) in classes.layers.iter().enumerate() {
            for (item, &device) in layer.items.iter().zip(&self.items[l]) {
                if device != self.homes[l] {
                    units += 2 * item.profile.visits;
                }
            }
        }
        units
    }
}

/// Device changes along the chain.
pub(super) fn hand_overs(embedding: usize, homes: &[usize], head: usize) -> u64 {
    let chain = std::iter::once(embedding).chain(homes.iter().copied()).chain([head]);
    chain.clone().zip(chain.skip(1)).map(|(a, b)| u64::from(a != b)).sum()
}

impl Cost {
    /// Whether every cap is kept.
    pub(super) fn within(&self, caps: &Caps) -> bool {
        self.required_bytes.iter().zip(&caps.device_bytes).all(|(r, limit)| r <= limit)
            && caps.spill_bytes.is_none_or(|cap| self.spill_bytes <= cap)
            && caps.traffic.is_none_or(|cap| self.traffic <= cap)
            && caps.devices_used.is_none_or(|cap| self.devices_used <= cap)
            && caps.migration_bytes.is_none_or(|cap| self.migration_bytes <= cap)
    }

    /// `self` is better in `kind`, or equal there and better in what is left (peak, traffic, spill): so
    /// that among equals the choice does not depend on the order of discovery.
    pub(super) fn better(&self, other: &Self, kind: ObjectiveKind) -> bool {
        let key = |c: &Self| (c.spill_bytes, c.peak, c.traffic);
        match kind {
            ObjectiveKind::SpillBytes => key(self) < key(other),
            ObjectiveKind::PeakUtilization => (self.peak, key(self)) < (other.peak, key(other)),
            ObjectiveKind::Traffic => (self.traffic, key(self)) < (other.traffic, key(other)),
            ObjectiveKind::DevicesUsed => {
                (self.devices_used, key(self)) < (other.devices_used, key(other))
            }
            ObjectiveKind::Migration => {
                (self.migration_bytes, key(self)) < (other.migration_bytes, key(other))
            }
        }
    }
}

/// What one device hosts.
#[derive(Clone, Copy, Debug)]
struct Load {
    weights: u64,
    kv_cache: u64,
    presence: Presence,
    empty: bool,
}

impl Default for Load {
    fn default() -> Self {
        let presence = Presence { workspace_bytes: 0, staging_bytes: 0 };
        Self { weights: 0, kv_cache: 0, presence, empty: true }
    }
}

impl Load {
    fn add(&mut self, unit: &Unit) {
        let profile = &unit.profile;
        self.empty = false;
        self.weights += profile.weights_bytes;
        self.kv_cache += profile.kv_cache_bytes;
        let presence = &mut self.presence;
        presence.workspace_bytes = presence.workspace_bytes.max(profile.presence.workspace_bytes);
        presence.staging_bytes = presence.staging_bytes.max(profile.presence.staging_bytes);
    }

    fn required_bytes(&self, problem: &Problem, device: usize) -> u64 {
        let host_staging = host_staging_bytes(problem, device);
        if self.empty && host_staging == 0 {
            return 0;
        }
        let staging = self.presence.staging_bytes.max(host_staging);
        let running = self.kv_cache + self.presence.workspace_bytes;
        self.weights + problem.devices[device].reserve_bytes + running.max(staging)
    }
}

/// What `device` stages for others: host staging, on a CPU.
pub(super) fn host_staging_bytes(problem: &Problem, device: usize) -> u64 {
    let cpu = problem.devices[device].kind == crate::hardware::DeviceKind::Cpu;
    if cpu { problem.host_staging_bytes } else { 0 }
}
