//! What a placement costs, in the planner's own exact arithmetic.
//!
//! The planner needs this to tell which of its candidates is best; [`crate::verify`] computes the same
//! again, from the same definitions and none of this code, before anyone sees a placement.

use super::caps::Caps;
use super::classes::{self, Classes, Layer, Presence, Profile};
use super::sends::Prices;
use crate::objective::{self, ALL, Amount, Linear, Placed, Terms, Unit, law};
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
    pub(super) peak: Ratio,
    /// In units of one over the traffic denominator; also among `units`.
    pub(super) traffic: u64,
    /// Per objective that counts whole units, in the order of [`ALL`]; 0 for others.
    units: [u64; ALL.len()],
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

    fn each_unit<'a>(&self, classes: &'a Classes, mut visit: impl FnMut(&'a classes::Unit, usize)) {
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

    /// The time of a step; 0 where no objective asks for it.
    fn time_ps(&self, problem: &Problem, classes: &Classes, kind: ObjectiveKind) -> u64 {
        let asked = problem.objectives.iter().any(|objective| objective.kind == kind);
        let timing = objective::timing(problem, kind).filter(|_| asked);
        let placement =
            |timing| objective::time_ps(problem, timing, &self.placement(problem, classes));
        timing.map_or(0, placement)
    }

    /// What every device holds.
    pub(super) fn loads(&self, problem: &Problem, classes: &Classes) -> Vec<Load> {
        let mut loads = vec![Load::default(); problem.devices.len()];
        self.each_unit(classes, |unit, device| loads[device].add(unit));
        loads
    }

    /// Evaluates all objectives.
    pub(super) fn cost(&self, problem: &Problem, classes: &Classes) -> Cost {
        let loads = self.loads(problem, classes);
        let required_bytes: Vec<u64> =
            (0..loads.len()).map(|d| loads[d].required_bytes(problem, d)).collect();
        let ratio = |d: usize| Ratio::new(required_bytes[d], problem.devices[d].capacity_bytes);
        let hosts = loads.iter().map(|load| !load.empty).collect();
        let mut placed = AtPlacement { problem, classes, assignment: self, hosts };
        let units = ALL.map(|kind| match law(kind).unit() {
            Unit::Share => 0,
            Unit::Time => self.time_ps(problem, classes, kind),
            Unit::Transfers if kind == ObjectiveKind::Traffic && problem.is_by_matrix() => {
                objective::traffic(problem, &self.placement(problem, classes)).units
            }
            _ => law(kind)
                .linear(&mut placed)
                .map_or(0, |form| u64::try_from(form.constant).unwrap_or(u64::MAX)),
        });
        Cost {
            peak: problem.gpus().map(ratio).max().unwrap_or(Ratio::ZERO),
            traffic: units_of(&units, ObjectiveKind::Traffic),
            units,
            required_bytes,
        }
    }
}

/// A finished placement as what linear forms are made of: everything is known, so a form is its value.
struct AtPlacement<'a> {
    problem: &'a Problem,
    classes: &'a Classes,
    assignment: &'a Assignment,
    hosts: Vec<bool>,
}

impl Terms for AtPlacement<'_> {
    fn problem(&self) -> &Problem {
        self.problem
    }

    fn placed(&mut self, visit: &mut dyn FnMut(Placed)) {
        self.assignment.each_unit(self.classes, |unit, device| {
            visit(Placed {
                amount: Amount::Known(1),
                device,
                held_bytes: unit.profile.bytes(),
                moved_bytes: self.classes.moved_bytes(&unit.profile, device),
            });
        });
    }

    fn hosts(&mut self, device: usize) -> Linear {
        known(u64::from(self.hosts[device]))
    }

    /// Not a whole number of anything; [`Cost::peak`] is.
    fn peak(&mut self) -> Linear {
        Linear::default()
    }

    fn hand_overs(&mut self) -> Linear {
        let Assignment { homes, embedding, head, .. } = self.assignment;
        // Without an embedding the chain begins at the first home.
        let absent = self.classes.embedding.components.is_empty();
        let first = homes.first().filter(|_| absent).unwrap_or(embedding);
        known(hand_overs(*first, homes, *head))
    }

    fn sends(&mut self) -> Linear {
        let Assignment { homes, items, .. } = self.assignment;
        let layers = self.classes.layers.iter().zip(homes).zip(items);
        let sends = |((layer, &home), devices): ((&Layer, &usize), &Vec<usize>)| {
            let away = layer.items.iter().zip(devices).filter(|&(_, &device)| device != home);
            let away = away.map(|(item, &device)| (&item.profile, device));
            match &self.classes.sends {
                None => away.map(|(profile, _)| 2 * profile.visits).sum(),
                Some(prices) => per_device(prices, self.problem.devices.len(), away),
            }
        };
        known(layers.map(sends).sum())
    }
}

/// There and back to every device that holds something of a layer that lives elsewhere.
fn per_device<'a>(
    prices: &Prices,
    devices: usize,
    away: impl Iterator<Item = (&'a Profile, usize)>,
) -> u64 {
    let mut routed = vec![0_usize; devices];
    let mut always = vec![false; devices];
    for (profile, device) in away {
        routed[device] += usize::from(profile.routed);
        always[device] |= !profile.routed;
    }
    let price = |(&count, always): (&usize, bool)| {
        2 * if always { prices.certain() } else { prices.exact(count) }
    };
    routed.iter().zip(always).map(price).sum()
}

fn known(number: u64) -> Linear {
    Linear { terms: Vec::new(), constant: i64::try_from(number).unwrap_or(i64::MAX) }
}

fn units_of(units: &[u64; ALL.len()], kind: ObjectiveKind) -> u64 {
    ALL.iter().zip(units).find(|(of, _)| **of == kind).map_or(0, |(_, &units)| units)
}

/// Device changes along the chain.
pub(super) fn hand_overs(embedding: usize, homes: &[usize], head: usize) -> u64 {
    let chain = std::iter::once(embedding).chain(homes.iter().copied()).chain([head]);
    chain.clone().zip(chain.skip(1)).map(|(a, b)| u64::from(a != b)).sum()
}

impl Cost {
    /// The value of an objective that counts whole units, in those.
    pub(super) fn units(&self, kind: ObjectiveKind) -> u64 {
        units_of(&self.units, kind)
    }

    /// Whether every cap is kept.
    pub(super) fn within(&self, caps: &Caps) -> bool {
        let kept = |kind| caps.most(kind).is_none_or(|cap| self.units(kind) <= cap);
        self.required_bytes.iter().zip(&caps.device_bytes).all(|(r, limit)| r <= limit)
            && ALL.into_iter().all(kept)
    }

    /// `self` is better in `kind`, or equal there and better in what is left (spill, peak, traffic): so
    /// that among equals the choice does not depend on the order of discovery.
    pub(super) fn better(&self, other: &Self, kind: ObjectiveKind) -> bool {
        let key = |c: &Self| {
            let first =
                if law(kind).unit() == Unit::Share { Ok(c.peak) } else { Err(c.units(kind)) };
            (first, c.units(ObjectiveKind::SpillBytes), c.peak, c.traffic)
        };
        key(self) < key(other)
    }
}

/// What one device hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Load {
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
    fn add(&mut self, unit: &classes::Unit) {
        self.hold(&unit.profile, 1);
    }

    /// So many units of a profile more; at least one.
    pub(super) fn hold(&mut self, profile: &Profile, count: u64) {
        self.empty = false;
        self.weights += profile.weights_bytes * count;
        self.kv_cache += profile.kv_cache_bytes * count;
        let presence = &mut self.presence;
        presence.workspace_bytes = presence.workspace_bytes.max(profile.presence.workspace_bytes);
        presence.staging_bytes = presence.staging_bytes.max(profile.presence.staging_bytes);
    }

    /// Weights and caches.
    pub(super) fn held_bytes(&self) -> u64 {
        self.weights + self.kv_cache
    }

    pub(super) fn required_bytes(&self, problem: &Problem, device: usize) -> u64 {
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
