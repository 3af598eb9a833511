//! `migration`: weights that leave the device where the current placement has them.
//!
//! ```text
//! migration = sum over components c with p(c) /= current(c) of weights(c)
//! ```
//!
//! What an allocator adds, KV cache and staging are not moved: they are made anew wherever the weights
//! arrive.

use super::{Facts, Law, Linear, Terms, Unit, saturate};
use crate::problem::{ObjectiveValue, Problem};
use crate::units::{Ratio, greatest_common_divisor};

/// The law.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration;

impl Law for Migration {
    fn name(&self) -> &'static str {
        "migration"
    }

    fn about(&self) -> &'static str {
        "weights that are not where the current placement has them, in bytes"
    }

    fn unit(&self) -> Unit {
        Unit::Bytes
    }

    fn row(&self) -> &'static str {
        "migration"
    }

    /// A hundred bytes of ten gigabytes: sums of sizes without a common divisor lie as close as that, and
    /// a solver's numbers do not tell them apart.
    fn gap(&self, _problem: &Problem) -> Ratio {
        Ratio::new(1, 100_000_000)
    }

    fn evaluate(&self, facts: &Facts<'_>) -> ObjectiveValue {
        let Some(current) = &facts.problem.current else { return ObjectiveValue::Bytes(0) };
        let components = facts.problem.components.iter();
        let homes = components.zip(facts.placement.device_of.iter().zip(&current.device_of));
        let moved = homes.filter(|(_, (here, there))| here != there);
        let bytes = moved.map(|(component, _)| u128::from(component.demand.weights_bytes));
        ObjectiveValue::Bytes(saturate(bytes.sum()))
    }

    fn linear(&self, terms: &mut dyn Terms) -> Option<Linear> {
        let mut moved = Linear::default();
        terms.placed(&mut |placed| {
            moved.add(placed.amount, i64::try_from(placed.moved_bytes).unwrap_or(i64::MAX));
        });
        Some(moved)
    }

    fn step(&self, problem: &Problem, _sends_step: u64) -> u64 {
        let bytes = problem.components.iter().map(|c| c.demand.weights_bytes);
        bytes.fold(0, greatest_common_divisor).max(1)
    }
}
