//! What later stages must keep to.

use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};

/// What a placement must not exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caps {
    /// Required bytes per device.
    pub(super) device_bytes: Vec<u64>,
    pub(super) spill_bytes: Option<u64>,
    /// In units of one over the traffic denominator.
    pub(super) traffic: Option<u64>,
    pub(super) devices_used: Option<u64>,
    pub(super) migration_bytes: Option<u64>,
}

impl Caps {
    /// The capacities alone.
    pub(super) fn of(problem: &Problem) -> Self {
        let device_bytes = (0..problem.devices.len()).map(|d| problem.limit_bytes(d)).collect();
        let devices_used = problem.devices_max.and_then(|most| u64::try_from(most).ok());
        Self { device_bytes, spill_bytes: None, traffic: None, devices_used, migration_bytes: None }
    }

    /// The same without any limit on devices.
    pub(super) fn without_devices(&self) -> Self {
        Self { device_bytes: vec![u64::MAX; self.device_bytes.len()], ..self.clone() }
    }

    /// Adds that `kind` stays at or below `cap`.
    pub(super) fn hold(&mut self, problem: &Problem, kind: ObjectiveKind, cap: ObjectiveValue) {
        let tighter = |old: Option<u64>, new: u64| Some(old.map_or(new, |old| old.min(new)));
        match (kind, cap) {
            (ObjectiveKind::SpillBytes, ObjectiveValue::Bytes(cap)) => {
                self.spill_bytes = tighter(self.spill_bytes, cap);
            }
            (ObjectiveKind::Traffic, ObjectiveValue::Ratio(cap)) => {
                self.traffic = tighter(self.traffic, cap.floor_of(problem.traffic_denominator));
            }
            (_, ObjectiveValue::Ratio(cap)) => {
                for gpu in problem.gpus() {
                    let limit = cap.floor_of(problem.devices[gpu].capacity_bytes);
                    self.device_bytes[gpu] = self.device_bytes[gpu].min(limit);
                }
            }
            (ObjectiveKind::DevicesUsed, ObjectiveValue::Count(cap)) => {
                self.devices_used = tighter(self.devices_used, cap);
            }
            (ObjectiveKind::Migration, ObjectiveValue::Bytes(cap)) => {
                self.migration_bytes = tighter(self.migration_bytes, cap);
            }
            (_, ObjectiveValue::Bytes(_) | ObjectiveValue::Count(_)) => {}
        }
    }
}
