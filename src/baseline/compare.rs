//! Every baseline measured on one problem, side by side.

use rayon::prelude::*;

use super::{Misfit, Named, all, first_misfit};
use crate::problem::Problem;
use crate::verify::{Measured, measure};

/// One baseline's line of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The baseline's name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// What came of it.
    pub outcome: RowOutcome,
}

/// What a baseline is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowOutcome {
    /// Every device has the memory it needs; pins are not asked for.
    Fits(Measured),
    /// It would run out of memory.
    DoesNotFit {
        /// Where the load dies.
        misfit: Misfit,
        /// What it would have cost, over capacity as it is.
        measured: Measured,
    },
    /// The baseline has no placement for the problem, and why.
    NotApplicable(String),
}

/// Measures every baseline; rows are always in the same order.
pub fn compare(problem: &Problem) -> Vec<Row> {
    let baselines = all(problem);
    baselines.into_par_iter().map(|baseline| row(problem, baseline)).collect()
}

fn row(problem: &Problem, baseline: Named) -> Row {
    let Named { name, description, placement, why_not } = baseline;
    let outcome = match placement {
        Some(placement) => match measure(problem, &placement) {
            Ok(measured) => match first_misfit(problem, &placement) {
                Some(misfit) => RowOutcome::DoesNotFit { misfit, measured },
                None => RowOutcome::Fits(measured),
            },
            Err(violations) => RowOutcome::NotApplicable(
                violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            ),
        },
        None => RowOutcome::NotApplicable(why_not.unwrap_or_default()),
    };
    Row { name, description, outcome }
}
