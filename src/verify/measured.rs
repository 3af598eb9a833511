//! What measuring a placement yields: bytes per device by purpose, and the objectives.
//!
//! Plain results; the rules that produce them are in the files beside this one.

use crate::problem::{ObjectiveKind, ObjectiveValue};
use crate::units::Ratio;

/// What a placement costs, exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// One per device of the problem, in its order.
    pub devices: Vec<DeviceUse>,
    /// Weights as allocated, and KV cache, of everything on CPU devices.
    pub spill_bytes: u64,
    /// The largest utilization over GPUs that host a component; zero when none does.
    pub peak: Ratio,
    /// Activations sent between devices for one token.
    pub traffic: Traffic,
    /// Devices that host a component.
    pub devices_used: u64,
    /// Weights that are not where the problem's current placement has them.
    pub migration_bytes: u64,
}

impl Measured {
    /// The value of one objective.
    pub fn value(&self, kind: ObjectiveKind) -> ObjectiveValue {
        match kind {
            ObjectiveKind::SpillBytes => ObjectiveValue::Bytes(self.spill_bytes),
            ObjectiveKind::DevicesUsed => ObjectiveValue::Count(self.devices_used),
            ObjectiveKind::Migration => ObjectiveValue::Bytes(self.migration_bytes),
            ObjectiveKind::PeakUtilization => ObjectiveValue::Ratio(self.peak),
            ObjectiveKind::Traffic => {
                ObjectiveValue::Ratio(self.traffic.expected_transfers_per_token())
            }
        }
    }
}

/// The bytes of one device by purpose.
///
/// `used = weights + rounding + reserve + max(KV cache + workspace, staging)`. A device that hosts nothing uses
/// nothing, except that a CPU device pays for what is staged in host memory. Sums too large for 64 bits
/// are saturated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceUse {
    /// Resident weights of the components there.
    pub weights_bytes: u64,
    /// What the allocator adds to them.
    pub rounding_bytes: u64,
    /// Their KV cache.
    pub kv_cache_bytes: u64,
    /// The largest workspace among the kinds of work there.
    pub workspace_bytes: u64,
    /// What is kept free there; 0 when the device is not in use.
    pub reserve_bytes: u64,
    /// The largest matrix staged there while loading.
    pub staging_bytes: u64,
    /// What all of this requires at its worst moment.
    pub used_bytes: u64,
    /// What the device offers.
    pub capacity_bytes: u64,
}

impl DeviceUse {
    /// `used / capacity`.
    pub fn utilization(&self) -> Ratio {
        Ratio::new(self.used_bytes, self.capacity_bytes)
    }
}

/// Activations sent between devices for one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Changes of device along embedding, attention blocks in layer order, output head.
    pub hand_overs: u64,
    /// Feed-forward components that are not on their layer's attention device.
    pub remote_experts: u64,
    /// Expected transfers, in units of one over `denominator`: every hand-over, and there and back for
    /// every visit to a remote component. Saturated.
    pub units: u64,
    /// [`crate::problem::Problem::traffic_denominator`].
    pub denominator: u64,
}

impl Traffic {
    /// `units / denominator`.
    pub fn expected_transfers_per_token(&self) -> Ratio {
        Ratio::new(self.units, self.denominator)
    }
}
