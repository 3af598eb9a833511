//! `devices_used`: devices that host a component.
//!
//! ```text
//! devices_used = number of devices d with U(d) not empty
//! ```
//!
//! A CPU that only stages what passes through it hosts nothing.

use super::{Facts, Law, Linear, Terms, Unit};
use crate::problem::ObjectiveValue;

/// The law.
#[derive(Clone, Copy, Debug)]
pub(super) struct DevicesUsed;

impl Law for DevicesUsed {
    fn name(&self) -> &'static str {
        "devices_used"
    }

    fn about(&self) -> &'static str {
        "the number of devices that host a component"
    }

    fn unit(&self) -> Unit {
        Unit::Count
    }

    fn row(&self) -> &'static str {
        "devices"
    }

    fn evaluate(&self, facts: &Facts<'_>) -> ObjectiveValue {
        let devices = 0..facts.problem.devices.len();
        ObjectiveValue::Count(devices.map(|d| u64::from(facts.hosts_anything(d))).sum())
    }

    fn linear(&self, terms: &mut dyn Terms) -> Option<Linear> {
        let mut used = Linear::default();
        for device in 0..terms.problem().devices.len() {
            used.add_form(&terms.hosts(device), 1);
        }
        Some(used)
    }
}
