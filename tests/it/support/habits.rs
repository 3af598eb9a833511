//! Shorthands for asking baselines.

use apportion::baseline::{Named, all};
use apportion::placement::Placement;
use apportion::problem::Problem;

pub fn named(problem: &Problem, name: &str) -> Named {
    all(problem).into_iter().find(|baseline| baseline.name == name).unwrap()
}

pub fn placed(problem: &Problem, name: &str) -> Placement {
    named(problem, name).placement.unwrap()
}

pub fn why_not(problem: &Problem, name: &str) -> String {
    let baseline = named(problem, name);
    assert_eq!(baseline.placement, None);
    baseline.why_not.unwrap()
}

/// Of every habit that has one.
pub fn placements_of_habit(problem: &Problem) -> Vec<Placement> {
    all(problem).into_iter().filter_map(|baseline| baseline.placement).collect()
}
