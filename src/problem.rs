//! The placement problem: the one value that [`crate::plan`] solves and [`crate::verify`] checks.
//!
//! It is plain data, complete and checked once: components with their demands, devices, where each
//! component may live, which components live together, what to minimise. Neither models nor
//! quantizations nor files reach past this point. A [`Placement`] is the answer to it, as plain.

mod affinity;
mod timing;
mod validate;

use std::sync::Arc;

use crate::hardware::{Device, DeviceKind};
use crate::memory::{ComponentDemand, Workspace};
use crate::model::{ComponentId, ComponentKind};
use crate::units::Ratio;

pub use affinity::{Affinity, ExpertLayer};
pub use timing::{Draw, Timing};

/// A set of devices, as bits over [`Problem::devices`].
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DeviceSet(pub u64);

impl DeviceSet {
    /// The most devices a problem may have.
    pub const DEVICES_MAX: usize = 64;

    /// The first `n` devices.
    pub fn first(n: usize) -> Self {
        if n >= Self::DEVICES_MAX { Self(u64::MAX) } else { Self((1 << n) - 1) }
    }

    /// Only this one; nothing when there can be no such device.
    pub fn only(device: usize) -> Self {
        if device < Self::DEVICES_MAX { Self(1 << device) } else { Self(0) }
    }

    /// Whether `device` is in it.
    pub fn contains(self, device: usize) -> bool {
        device < Self::DEVICES_MAX && self.0 >> device & 1 == 1
    }

    /// Both sets' members.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is left.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..Self::DEVICES_MAX).filter(move |&d| self.contains(d))
    }
}

/// A component as the problem sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// What it needs.
    pub demand: ComponentDemand,
    /// Where it may live.
    pub allowed: DeviceSet,
    /// The component whose device it shares (router: its layer's attention; final norm: the output
    /// head, or the embedding when the head is tied); itself when free.
    pub lives_with: ComponentId,
    /// How often a token visits it, in units of 1 / [`Problem::traffic_denominator`]: the denominator
    /// itself for what every token passes, `experts_per_token` of as many units as there are experts for an
    /// expert, rounded up, or by routing statistics the tokens that chose it; for a matrix of experts how many
    /// activations what it gives is worth; 0 for what is on the chain of hand-overs (embedding, attention,
    /// router, final norm, head). Where sends are per device, whole experts are priced by [`Sends`] and not by this.
    pub visits: u64,
}

/// A rule the user or a default put on components, for messages and for release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// As it would be typed, e.g. `--pin layers.0.experts.*=gpu0`.
    pub text: String,
    /// Whether it is one of the default pins.
    pub default: bool,
    /// Whether it is the runtime's own and cannot be released.
    pub fixed: bool,
    /// The devices it leaves to what it matches.
    pub devices: DeviceSet,
    /// Indices into [`Problem::components`].
    pub components: Vec<usize>,
}

/// What can be minimised; [`crate::objective`] says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectiveKind {
    /// Weights (as allocated) and KV cache bytes on CPU devices.
    SpillBytes,
    /// The largest required / capacity over GPUs.
    PeakUtilization,
    /// Expected activation transfers per token.
    Traffic,
    /// Devices that host a component.
    DevicesUsed,
    /// Weight bytes that leave the device where [`Problem::current`] has them.
    Migration,
    /// Expected time of a step that makes one token of every sequence.
    DecodeLatency,
    /// Expected time to read a prompt as long as the context.
    PrefillTime,
    /// Expected transfers per token from layer to layer, where attention is replicated.
    Crossings,
}

/// The value of an objective, exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectiveValue {
    /// Bytes.
    Bytes(u64),
    /// A number of things.
    Count(u64),
    /// A ratio: peak utilization, or transfers per token over the traffic denominator.
    Ratio(Ratio),
    /// A time, in picoseconds.
    Time(u64),
}

impl ObjectiveValue {
    /// For JSON and people.
    #[expect(clippy::cast_precision_loss, reason = "leaves exact arithmetic on purpose")]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Bytes(number) | Self::Count(number) | Self::Time(number) => number as f64,
            Self::Ratio(ratio) => ratio.as_f64(),
        }
    }
}

/// One stage of the lexicographic order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objective {
    /// What is minimised.
    pub kind: ObjectiveKind,
    /// How far later stages may go beyond the optimum, relative, as an exact fraction (1 % = 1/100).
    pub tolerance: Ratio,
}

/// How a runtime sends a token to the experts that are not on their layer's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sends {
    /// There and back for every chosen expert.
    #[default]
    PerExpert,
    /// There and back once for every device that holds a chosen expert of the layer.
    PerDevice {
        /// Routed experts of a layer.
        experts: u32,
        /// How many of them a token visits.
        experts_per_token: u32,
    },
}

impl Sends {
    /// The most routed experts of a layer for which sends per device are priced.
    pub const EXPERTS_MAX: u32 = 1024;
    /// The most of them that a token may visit.
    pub const PER_TOKEN_MAX: u32 = 64;
}

/// Everything the planner and the verifier need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In canonical order, each id once. Without an embedding the chain of hand-overs begins at the first
    /// layer.
    pub components: Vec<Component>,
    /// GPUs in listed order, then CPUs.
    pub devices: Vec<Device>,
    /// Workspace per kind of work.
    pub workspace: Workspace,
    /// Staged in host memory while loading, wherever the weights go: part of what a CPU device needs.
    pub host_staging_bytes: u64,
    /// Whether the head is the embedding matrix, so the chain returns to the embedding's device.
    pub tied_head: bool,
    /// Traffic is counted in units of one over this: the number of experts, or 1; with routing statistics the
    /// tokens that were counted; where sends are per device a billion, to which chances are rounded up.
    /// Crossings are counted so too, over [`Affinity::denominator`].
    pub traffic_denominator: u64,
    /// Pins and forbidden places in force, already applied to `allowed`.
    pub rules: Vec<Rule>,
    /// Lexicographic order, first is most important.
    pub objectives: Vec<Objective>,
    /// Per device, bytes of its capacity that must stay free on top of everything it requires; 0 for devices
    /// that are not listed.
    pub headroom_bytes: Vec<u64>,
    /// The most devices that may host a component.
    pub devices_max: Option<usize>,
    /// The most weight bytes that may move away from [`Self::current`].
    pub moved_bytes_max: Option<u64>,
    /// How a token reaches the experts that are away from home.
    pub sends: Sends,
    /// What [`ObjectiveKind::Migration`] counts from; [`NOWHERE`] for what must be loaded wherever it goes.
    pub current: Option<Placement>,
    /// What a step takes that makes one token of every sequence, where the speeds of the machine are known.
    pub decode: Option<Arc<Timing>>,
    /// What it takes to read a prompt, where the speeds are known.
    pub prefill: Option<Arc<Timing>>,
    /// What every device holds, in canonical order: empty, or where attention is replicated all that is not
    /// a routed expert. `components` are then the experts, and each layer's are divided evenly: see
    /// [`ExpertLayer::share`].
    pub everywhere: Vec<ComponentDemand>,
    /// How experts of consecutive layers go together, where attention is replicated and that is known.
    pub affinity: Option<Arc<Affinity>>,
}

/// In [`Problem::current`], the place of a component that is on no device of the machine as it is wanted: its device
/// is gone, or it is wanted in other bytes.
pub const NOWHERE: usize = usize::MAX;

/// A complete assignment: one device index per component of a [`Problem`], in its order.
///
/// Nothing about it is trusted; [`crate::verify`] says what it is worth.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placement {
    /// Device index per component index.
    pub device_of: Vec<usize>,
}

impl Problem {
    /// Whether experts are placed matrix by matrix.
    pub fn is_by_matrix(&self) -> bool {
        self.components.iter().any(|c| c.demand.id.kind() == ComponentKind::ExpertMatrix)
    }

    /// The index of a component.
    pub fn index_of(&self, id: ComponentId) -> Option<usize> {
        self.components.binary_search_by(|c| c.demand.id.cmp(&id)).ok()
    }

    /// Number of decoder layers.
    pub fn layers(&self) -> u32 {
        self.components
            .iter()
            .filter(|c| c.demand.id.kind() == ComponentKind::Attention)
            .count()
            .try_into()
            .unwrap_or(u32::MAX)
    }

    /// What a device may require at most: its capacity without the headroom.
    pub fn limit_bytes(&self, device: usize) -> u64 {
        let headroom = self.headroom_bytes.get(device).copied().unwrap_or(0);
        self.devices[device].capacity_bytes.saturating_sub(headroom)
    }

    /// Whether a further device like one of the two makes the same machine as one like the other.
    pub fn same_sizes(&self, a: usize, b: usize) -> bool {
        let sizes = |device: usize| {
            let Device { kind, capacity_bytes, reserve_bytes, .. } = self.devices[device];
            (kind, capacity_bytes, reserve_bytes, self.limit_bytes(device))
        };
        sizes(a) == sizes(b)
    }

    /// Whether exchanging two devices changes nothing about what may be where; what is where now is not
    /// asked.
    pub fn interchangeable(&self, a: usize, b: usize) -> bool {
        let alike = |set: DeviceSet| set.contains(a) == set.contains(b);
        self.same_sizes(a, b) && self.components.iter().all(|c| alike(c.allowed))
    }

    /// The same problem with only these of its rules in force (indices into `rules`).
    #[must_use]
    pub fn with_rules(&self, rules: &[usize]) -> Self {
        let mut problem = self.clone();
        problem.rules = rules.iter().map(|&r| self.rules[r].clone()).collect();
        problem.apply_rules();
        problem
    }

    /// Sets every component's `allowed` from the rules: what all rules that match it, or match something
    /// it must live with, leave.
    pub fn apply_rules(&mut self) {
        let everywhere = DeviceSet::first(self.devices.len());
        for component in &mut self.components {
            component.allowed = everywhere;
        }
        for rule in &self.rules {
            for &c in &rule.components {
                self.components[c].allowed = self.components[c].allowed.and(rule.devices);
            }
        }
        // Followers narrow their leader, then take over what is left of it.
        for pass in 0..2 {
            for follower in 0..self.components.len() {
                let Some(leader) = self.index_of(self.components[follower].lives_with) else {
                    continue;
                };
                let both = self.components[follower].allowed.and(self.components[leader].allowed);
                let target = if pass == 0 { leader } else { follower };
                self.components[target].allowed = both;
            }
        }
    }

    /// Indices of the GPUs.
    pub fn gpus(&self) -> impl Iterator<Item = usize> {
        (0..self.devices.len()).filter(|&d| self.devices[d].kind == DeviceKind::Gpu)
    }

    /// Indices of the CPU devices.
    pub fn cpus(&self) -> impl Iterator<Item = usize> {
        (0..self.devices.len()).filter(|&d| self.devices[d].kind == DeviceKind::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_there_can_never_be_is_in_no_set() {
        let all = DeviceSet::first(DeviceSet::DEVICES_MAX);
        assert!(all.contains(63) && !all.contains(64));
        assert!(DeviceSet::only(64).is_empty(), "it must not wrap around to device 0");
        assert_eq!(DeviceSet::first(1000), all);
        assert_eq!(DeviceSet::only(63).iter().collect::<Vec<_>>(), [63]);
    }
}
