//! `spill_bytes`: weights, as allocated, and KV cache on CPU devices.
//!
//! ```text
//! spill = sum over units u on a CPU of w(u) + kv(u)
//! ```
//!
//! Workspace and staging do not count: they come and go, while these bytes are read through the host's
//! memory for every token.

use super::{Facts, Law, Linear, Terms, Unit, saturate};
use crate::hardware::DeviceKind;
use crate::problem::{ObjectiveValue, Problem};
use crate::units::greatest_common_divisor;

/// The law.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpillBytes;

impl Law for SpillBytes {
    fn name(&self) -> &'static str {
        "spill_bytes"
    }

    fn about(&self) -> &'static str {
        "weights and KV cache in host memory, in bytes"
    }

    fn unit(&self) -> Unit {
        Unit::Bytes
    }

    fn row(&self) -> &'static str {
        "spill"
    }

    fn evaluate(&self, facts: &Facts<'_>) -> ObjectiveValue {
        let devices = &facts.problem.devices;
        let homes = facts.problem.components.iter().zip(&facts.placement.device_of);
        let spilled = homes.filter(|&(_, &device)| devices[device].kind == DeviceKind::Cpu);
        let bytes = spilled.flat_map(|(component, _)| {
            let demand = &component.demand;
            [demand.weights_bytes, demand.rounding_bytes, demand.kv_cache_bytes]
        });
        ObjectiveValue::Bytes(saturate(bytes.map(u128::from).sum()))
    }

    fn linear(&self, terms: &mut dyn Terms) -> Option<Linear> {
        let cpus: Vec<usize> = terms.problem().cpus().collect();
        let mut spill = Linear::default();
        terms.placed(&mut |placed| {
            if cpus.contains(&placed.device) {
                spill.add(placed.amount, i64::try_from(placed.held_bytes).unwrap_or(i64::MAX));
            }
        });
        Some(spill)
    }

    fn step(&self, problem: &Problem, _sends_step: u64) -> u64 {
        let demands = problem.components.iter().map(|c| &c.demand);
        let bytes = demands.map(|d| d.weights_bytes + d.rounding_bytes + d.kv_cache_bytes);
        bytes.fold(0, greatest_common_divisor).max(1)
    }
}
