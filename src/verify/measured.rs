//! What measuring a placement yields: bytes per device by purpose, and the objectives.
//!
//! Plain results; the rules that produce them are in the files beside this one.

use crate::objective::Traffic;
use crate::problem::{ObjectiveKind, ObjectiveValue};
use crate::units::Ratio;

/// What a placement costs, exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// One per device of the problem, in its order.
    pub devices: Vec<DeviceUse>,
    /// The value of every objective that the problem says enough to measure, in the order of
    /// [`crate::objective::ALL`].
    pub values: Vec<(ObjectiveKind, ObjectiveValue)>,
    /// Activations sent between devices for one token.
    pub traffic: Traffic,
}

impl Measured {
    /// The value of one objective.
    pub fn value(&self, kind: ObjectiveKind) -> ObjectiveValue {
        let found = self.values.iter().find(|(of, _)| *of == kind);
        found.map_or(ObjectiveValue::Count(0), |&(_, value)| value)
    }

    /// The largest utilization over GPUs that host a component; zero when none does.
    pub fn peak(&self) -> Ratio {
        match self.value(ObjectiveKind::PeakUtilization) {
            ObjectiveValue::Ratio(peak) => peak,
            _ => Ratio::ZERO,
        }
    }

    /// Weights as allocated, and KV cache, of everything on CPU devices.
    pub fn spill_bytes(&self) -> u64 {
        match self.value(ObjectiveKind::SpillBytes) {
            ObjectiveValue::Bytes(bytes) => bytes,
            _ => 0,
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
    /// What of that must stay free beyond all the above.
    pub headroom_bytes: u64,
}

impl DeviceUse {
    /// `used / capacity`.
    pub fn utilization(&self) -> Ratio {
        Ratio::new(self.used_bytes, self.capacity_bytes)
    }
}
