//! `crossings`: expected transfers per token from layer to layer, where every device holds the attention.
//!
//! A token leaves a layer on the device of one of the `k` experts it chose there, each as likely as the
//! others: that device owns it, and runs the next attention for it. In the next layer with experts each
//! chosen expert that is not on the owner's device costs one transfer.
//!
//! ```text
//! crossings = sum over consecutive layers l, l' with experts, experts e of l, e' of l' of
//!             pair_counts[l][e][e'] / (k x tokens)  where device(e) /= device(e')
//! ```
//!
//! `pair_counts[l][e][e']` tokens chose `e` and then `e'`; of those `1 / k` are owned by the device of `e`.
//! With `k = 1` it is the number of changes of device along a token's path.
//!
//! Left out: what combines the `k` partial results of a layer at the owner, which depends on experts chosen
//! together; replicas of experts; tensor parallelism. Where attention has one home per layer, activations
//! return there after every layer, and what the layer before chose is worth nothing.

use super::{Facts, Law, Linear, Terms, Unit, saturate};
use crate::problem::{ObjectiveValue, Placement, Problem};

/// The law.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossings;

impl Law for Crossings {
    fn name(&self) -> &'static str {
        "crossings"
    }

    fn about(&self) -> &'static str {
        "expected transfers per token from layer to layer, with replicated attention"
    }

    fn unit(&self) -> Unit {
        Unit::Transfers
    }

    fn row(&self) -> &'static str {
        "crossings"
    }

    fn applies(&self, problem: &Problem) -> bool {
        problem.affinity.is_some()
    }

    fn evaluate(&self, facts: &Facts<'_>) -> ObjectiveValue {
        let by_layer = crossings_by_layer(facts.problem, facts.placement);
        let sum: u128 = by_layer.iter().map(|&(_, crossing)| u128::from(crossing)).sum();
        self.unit().value(facts.problem, saturate(sum))
    }

    /// Where it is priced, no program is stated: see [`crate::plan`].
    fn linear(&self, _terms: &mut dyn Terms) -> Option<Linear> {
        None
    }
}

/// The crossings on the way into each layer with experts but the first, in units of one over
/// [`Problem::traffic_denominator`]; none where pairs were not counted. Saturated.
pub fn crossings_by_layer(problem: &Problem, placement: &Placement) -> Vec<(u32, u64)> {
    let device_of = &placement.device_of;
    let layers = problem.expert_layers();
    let pairs = problem.affinity.iter().flat_map(|affinity| &affinity.pair_counts);
    let crossing = |counts: &Vec<Vec<u64>>, from: &[usize], to: &[usize]| {
        let rows = counts.iter().zip(from);
        let cells = rows.flat_map(|(row, &from)| row.iter().zip(to).map(move |cell| (from, cell)));
        let apart = cells.filter(|&(from, (_, &to))| device_of[from] != device_of[to]);
        saturate(apart.map(|(_, (&count, _))| u128::from(count)).sum())
    };
    let ends = pairs.zip(layers.windows(2));
    ends.map(|(counts, ends)| {
        (ends[1].layer, crossing(counts, &ends[0].components, &ends[1].components))
    })
    .collect()
}
