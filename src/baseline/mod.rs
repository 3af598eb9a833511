//! The placements people use today, to compare with.
//!
//! One file per habit. A baseline does what its users or its tool would do, mistakes included: it is
//! measured, not bound by pins or capacity, and it must not be improved here.

pub mod accelerate;
mod alternating;
mod compare;
mod even_split;
mod front_to_back;
mod hand_written;
mod misfit;
mod replicated;

pub use compare::{Row, RowOutcome, compare};
pub use misfit::{Misfit, first_misfit};
pub use replicated::{crossings, random_crossings};

use crate::model::{ComponentId, ComponentKind};
use crate::placement::Placement;
use crate::problem::Problem;

/// A way to place a model that somebody uses.
trait Baseline: Sync {
    /// A short name for a table.
    fn name(&self, problem: &Problem) -> &'static str;

    /// What it does, in one sentence.
    fn description(&self) -> &'static str;

    /// The placement, or why this habit has none for the problem.
    fn place(&self, problem: &Problem) -> Result<Placement, String>;
}

/// In the order tables show them.
const BASELINES: [&dyn Baseline; 5] = [
    &hand_written::HandWritten,
    &alternating::Alternating,
    &front_to_back::FrontToBack,
    &accelerate::Balanced,
    &even_split::EvenSplit,
];

/// The same where attention is replicated.
const REPLICATED: [&dyn Baseline; 2] = [&replicated::Contiguous, &replicated::Greedy];

/// A baseline applied to a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// A short name for a table.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub description: &'static str,
    /// Where it puts everything; `None` when it is not defined for the problem.
    pub placement: Option<Placement>,
    /// Why there is no placement; `None` when there is one.
    pub why_not: Option<String>,
}

/// Every baseline applied to `problem`, always in the same order.
pub fn all(problem: &Problem) -> Vec<Named> {
    let baselines: &[&dyn Baseline] =
        if problem.is_replicated() { &REPLICATED } else { &BASELINES };
    baselines
        .iter()
        .map(|baseline| {
            let (placement, why_not) = match baseline.place(problem) {
                Ok(placement) => (Some(placement), None),
                Err(why) => (None, Some(why)),
            };
            let name = baseline.name(problem);
            Named { name, description: baseline.description(), placement, why_not }
        })
        .collect()
}

/// Places every component where `home` says.
fn place_by(problem: &Problem, home: impl Fn(ComponentId) -> usize) -> Placement {
    Placement { device_of: problem.components.iter().map(|c| home(c.demand.id)).collect() }
}

/// The number of routed experts of a layer.
fn experts_of(problem: &Problem, layer: u32) -> usize {
    let expert = |id: ComponentId| id.kind() == ComponentKind::Expert && id.layer() == Some(layer);
    problem.components.iter().filter(|c| expert(c.demand.id)).count()
}

/// The first two GPUs, or the sentence that says there are none.
fn two_gpus(problem: &Problem) -> Result<[usize; 2], String> {
    let mut gpus = problem.gpus();
    match (gpus.next(), gpus.next()) {
        (Some(first), Some(second)) => Ok([first, second]),
        _ => Err("needs two GPUs".to_owned()),
    }
}
