//! What later stages must keep to.

use std::collections::BTreeMap;

use crate::objective::law;
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};

/// What a placement must not exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caps {
    /// Required bytes per device; a cap on the peak is part of them.
    pub(super) device_bytes: Vec<u64>,
    /// In whole units of each objective that has a cap.
    most: BTreeMap<ObjectiveKind, u64>,
}

impl Caps {
    /// The capacities without their headroom, and the limits on devices and on what moves.
    pub(super) fn of(problem: &Problem) -> Self {
        let device_bytes = (0..problem.devices.len()).map(|d| problem.limit_bytes(d)).collect();
        let mut caps = Self { device_bytes, most: BTreeMap::new() };
        if let Some(most) = problem.devices_max.and_then(|most| u64::try_from(most).ok()) {
            caps.tighten(ObjectiveKind::DevicesUsed, most);
        }
        if let Some(most) = problem.moved_bytes_max {
            caps.tighten(ObjectiveKind::Migration, most);
        }
        caps
    }

    /// The same without any limit on the bytes of a device.
    pub(super) fn without_devices(&self) -> Self {
        Self { device_bytes: vec![u64::MAX; self.device_bytes.len()], ..self.clone() }
    }

    /// The most units of `kind` there may be; `None` where nothing limits it, or only through
    /// `device_bytes`.
    pub(super) fn most(&self, kind: ObjectiveKind) -> Option<u64> {
        self.most.get(&kind).copied()
    }

    /// At most so many units of `kind`.
    pub(super) fn tighten(&mut self, kind: ObjectiveKind, units: u64) {
        let most = self.most.entry(kind).or_insert(units);
        *most = units.min(*most);
    }

    /// Adds that `kind` stays at or below `cap`.
    pub(super) fn hold(&mut self, problem: &Problem, kind: ObjectiveKind, cap: ObjectiveValue) {
        match (law(kind).unit().most(problem, cap), cap) {
            (Some(units), _) => self.tighten(kind, units),
            (None, ObjectiveValue::Ratio(share)) => {
                for gpu in problem.gpus() {
                    let limit = share.floor_of(problem.devices[gpu].capacity_bytes);
                    self.device_bytes[gpu] = self.device_bytes[gpu].min(limit);
                }
            }
            (
                None,
                ObjectiveValue::Bytes(_) | ObjectiveValue::Count(_) | ObjectiveValue::Time(_),
            ) => {}
        }
    }
}
