//! `peak_utilization`: the largest share of its capacity that a GPU requires.
//!
//! ```text
//! peak = max over GPUs d that host a component of required(d) / C(d)
//! ```
//!
//! It is measured against the whole capacity; headroom limits what may be required, not what counts as
//! full.

use super::{Facts, Law, Linear, Terms, Unit};
use crate::problem::{ObjectiveValue, Problem};
use crate::units::Ratio;

/// The law.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeakUtilization;

impl Law for PeakUtilization {
    fn name(&self) -> &'static str {
        "peak_utilization"
    }

    fn about(&self) -> &'static str {
        "the largest share of its capacity that a GPU requires"
    }

    fn unit(&self) -> Unit {
        Unit::Share
    }

    fn row(&self) -> &'static str {
        "peak"
    }

    /// Memory may be a little less balanced where that saves traffic.
    fn default_tolerance(&self) -> Ratio {
        Ratio::new(1, 100)
    }

    /// Two megabytes on a 16 GiB GPU.
    fn gap(&self, _problem: &Problem) -> Ratio {
        Ratio::new(1, 10_000)
    }

    fn evaluate(&self, facts: &Facts<'_>) -> ObjectiveValue {
        let Facts { problem, required_bytes, .. } = *facts;
        let hosting = problem.gpus().filter(|&gpu| facts.hosts_anything(gpu));
        let share =
            |gpu: usize| Ratio::new(required_bytes[gpu], problem.devices[gpu].capacity_bytes);
        ObjectiveValue::Ratio(hosting.map(share).max().unwrap_or(Ratio::ZERO))
    }

    fn linear(&self, terms: &mut dyn Terms) -> Option<Linear> {
        Some(terms.peak())
    }
}
