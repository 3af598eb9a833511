//! The embedded solver: stated through good_lp, driven directly for node limit, bound and resuming.

use std::time::Instant;

use good_lp::solvers::microlp::microlp;
use microlp::{Error as SolverError, ResumeOptions, SolveOptions, SolveOutcome, TerminationReason};

use super::scale::to_f64;
use super::state::state;
use super::{Backend, Limits, Run, Scaled};
use crate::error::Error;
use crate::plan::outcome::LimitReached;
use crate::plan::program::Program;

/// microlp 0.6, pure Rust and deterministic under a node limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Microlp;

impl Backend for Microlp {
    fn name(&self) -> &'static str {
        "microlp"
    }

    fn run(&self, program: &Program, limits: &Limits) -> Result<Run, Error> {
        let scaled = Scaled::of(program);
        let model = state(program, &scaled, microlp);
        let deadline = limits.time.and_then(|time| Instant::now().checked_add(time));
        let mut options = SolveOptions::default();
        options.node_limit = Some(limits.nodes_exact.min(limits.nodes));
        options.time_limit = limits.time;
        let outcome = match model.as_inner().solve_with(options) {
            Ok(outcome) => outcome,
            Err(error) => return unsolved(&error, Run::default()),
        };
        let so_far = read(program, &scaled, &outcome);
        if outcome.termination_reason() != TerminationReason::NodeLimit
            || limits.nodes <= limits.nodes_exact
        {
            return Ok(so_far);
        }
        // The exact attempt is over; from here on the stated gap is good enough.
        let mut rest = ResumeOptions::default();
        rest.node_limit = Some(limits.nodes - limits.nodes_exact);
        rest.mip_gap = Some(limits.gap);
        rest.time_limit = deadline.map(|end| end.saturating_duration_since(Instant::now()));
        match outcome.resume_with(rest) {
            Ok(outcome) => Ok(read(program, &scaled, &outcome)),
            Err(error) => unsolved(&error, so_far),
        }
    }
}

/// Proven infeasible; or beyond the solver's precision, which costs what else it might have found out,
/// not what it did.
fn unsolved(error: &SolverError, so_far: Run) -> Result<Run, Error> {
    match error {
        SolverError::Infeasible => Ok(Run { infeasible: true, ..so_far }),
        SolverError::InternalError(_) => Ok(Run { limit: Some(LimitReached::Precision), ..so_far }),
        _ => Err(Error::new("solve the integer program")
            .found(format!("microlp refused it: {error}"))
            .hint("this is a defect; please report the command")),
    }
}

fn read(program: &Program, scaled: &Scaled, outcome: &SolveOutcome) -> Run {
    let stats = outcome.stats();
    let constant = to_f64(program.objective_constant);
    let unscaled = |value: f64| value * scaled.objective_unit + constant;
    let solution = outcome.solution();
    let optimal = outcome.is_optimal();
    // A finished search without integer variables reports no bound of its own: its value is the bound.
    let bound = match (optimal, solution) {
        (true, Some(solution)) => Some(solution.objective()),
        _ => stats.best_bound,
    };
    let limit = match outcome.termination_reason() {
        TerminationReason::NodeLimit => Some(LimitReached::Nodes),
        TerminationReason::TimeLimit => Some(LimitReached::Time),
        _ => None,
    };
    Run {
        values: solution.map(|s| s.iter().map(|(_, value)| value).collect()),
        bound: bound.map(unscaled),
        infeasible: false,
        nodes: stats.nodes_solved,
        limit,
    }
}
