//! HiGHS: stated through good_lp, driven directly for node limit, bound and status.
//!
//! One thread, a fixed seed and a node limit, so that the same program gets the same answer. HiGHS measures
//! feasibility and whole numbers by tolerances; they are set a thousand times below its defaults, because
//! here a tolerance of a row is bytes and a tolerance of a reduced cost is part of a bound.

use std::ffi::CStr;
use std::time::{Duration, Instant};

use good_lp::solvers::highs::highs;
use highs::{HighsModelStatus as Status, HighsSolutionStatus, Model, SolvedModel};

use super::scale::to_f64;
use super::state::state;
use super::{Backend, Limits, Run, Scaled};
use crate::error::Error;
use crate::plan::outcome::LimitReached;
use crate::plan::program::Program;

/// HiGHS 1.16, C++, deterministic under a node limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Highs;

/// For rows, reduced costs and whole numbers; HiGHS allows down to 1e-10.
const TOLERANCE: f64 = 1e-9;

impl Backend for Highs {
    fn name(&self) -> &'static str {
        "highs"
    }

    fn run(&self, program: &Program, limits: &Limits) -> Result<Run, Error> {
        let scaled = Scaled::of(program);
        let deadline = limits.time.and_then(|time| Instant::now().checked_add(time));
        let exact = Effort { nodes: limits.nodes_exact.min(limits.nodes), gap: 0.0, deadline };
        let first = exact.spend(program, &scaled, None)?;
        if first.run.limit != Some(LimitReached::Nodes) || limits.nodes <= exact.nodes {
            return Ok(first.run);
        }
        // The exact attempt is over; from here on the stated gap is good enough.
        if first.gap <= limits.gap {
            return Ok(Run { limit: None, ..first.run });
        }
        // HiGHS cannot go on where it stopped, but it can start with what it found.
        let rest = Effort { nodes: limits.nodes - exact.nodes, gap: limits.gap, deadline };
        let second = rest.spend(program, &scaled, first.run.values.as_deref())?;
        Ok(better(first.run, second.run))
    }
}

/// What two calls for the same program found out together.
fn better(first: Run, second: Run) -> Run {
    let bound = match (first.bound, second.bound) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    let values = second.values.or(first.values);
    Run { values, bound, nodes: first.nodes + second.nodes, ..second }
}

/// What one call may take.
struct Effort {
    nodes: u64,
    gap: f64,
    deadline: Option<Instant>,
}

/// What one call found out.
struct Spent {
    run: Run,
    /// The relative gap that is left; infinite when nothing was found, or nothing proven.
    gap: f64,
}

impl Effort {
    /// One call, starting with a point if there is one.
    fn spend(
        &self,
        program: &Program,
        scaled: &Scaled,
        start: Option<&[f64]>,
    ) -> Result<Spent, Error> {
        let stated = state(program, scaled, highs).try_into_inner();
        let mut model = stated.map_err(|error| refused(&format!("the program: {error}")))?;
        self.set_options(&mut model)?;
        if start.is_some() {
            model.try_set_solution(start, None, None, None).map_err(|_| refused("a start"))?;
        }
        // A numerical failure costs what this call might have found out, nothing else.
        let Ok(solved) = model.try_solve() else {
            let run = Run { limit: Some(LimitReached::Precision), ..Run::default() };
            return Ok(Spent { run, gap: f64::INFINITY });
        };
        let gap = information(&solved, c"mip_gap")?;
        Ok(Spent { run: self.read(program, scaled, &solved)?, gap })
    }

    fn set_options(&self, model: &mut Model) -> Result<(), Error> {
        let nodes = i32::try_from(self.nodes).unwrap_or(i32::MAX);
        let seconds = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
        let seconds = seconds.map_or(f64::INFINITY, |left: Duration| left.as_secs_f64());
        let results = [
            model.try_set_option("output_flag", false),
            model.try_set_option("threads", 1),
            model.try_set_option("parallel", "off"),
            model.try_set_option("random_seed", 0),
            model.try_set_option("mip_max_nodes", nodes),
            model.try_set_option("time_limit", seconds),
            model.try_set_option("mip_rel_gap", self.gap),
            model.try_set_option("mip_abs_gap", 0.0),
            model.try_set_option("primal_feasibility_tolerance", TOLERANCE),
            model.try_set_option("dual_feasibility_tolerance", TOLERANCE),
            model.try_set_option("mip_feasibility_tolerance", TOLERANCE),
        ];
        let all: Result<Vec<()>, _> = results.into_iter().collect();
        all.map(|_| ()).map_err(|error| refused(&format!("an option: {error}")))
    }

    fn read(&self, program: &Program, scaled: &Scaled, solved: &SolvedModel) -> Result<Run, Error> {
        let limit = match solved.status() {
            Status::Infeasible => return Ok(Run { infeasible: true, ..Run::default() }),
            Status::Optimal => None,
            // What HiGHS calls a limit on solutions is also the one on nodes.
            Status::ReachedSolutionLimit => Some(LimitReached::Nodes),
            Status::ReachedTimeLimit => Some(LimitReached::Time),
            Status::SolveError
            | Status::PostsolveError
            | Status::PresolveError
            | Status::Unknown => Some(LimitReached::Precision),
            other => return Err(refused(&format!("the program, as {other:?}"))),
        };
        let found = solved.primal_solution_status() == HighsSolutionStatus::Feasible
            && limit != Some(LimitReached::Precision);
        let proven = match limit {
            None if !program.variables.iter().any(|v| v.integer) => Some(solved.objective_value()),
            Some(LimitReached::Precision) => None,
            _ => Some(information(solved, c"mip_dual_bound")?),
        };
        let unscaled =
            |value: f64| value * scaled.objective_unit + to_f64(program.objective_constant);
        Ok(Run {
            values: found.then(|| solved.get_solution().columns().to_vec()),
            bound: proven.filter(|bound| bound.is_finite()).map(unscaled),
            infeasible: false,
            // HiGHS counts, but the crate cannot ask: what is known is whether all were used.
            nodes: if limit == Some(LimitReached::Nodes) { self.nodes } else { 0 },
            limit,
        })
    }
}

fn information(solved: &SolvedModel, name: &CStr) -> Result<f64, Error> {
    let value = solved.double_info_value(name);
    value.map_err(|_| refused(&format!("to say its {}", name.to_string_lossy())))
}

fn refused(what: &str) -> Error {
    Error::new("solve the integer program")
        .found(format!("HiGHS refused {what}"))
        .hint("this is a defect; please report the command")
}
