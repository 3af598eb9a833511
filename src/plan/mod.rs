//! From a [`Problem`] to a proven best placement: the optimizer.
//!
//! Read it top-down: [`solve`] runs the lexicographic stages; `stage` closes one stage from both sides;
//! `formulation` states the integer programs and [`solver`] solves them; `chain` searches what is left
//! where the order of layers matters; `affinity` divides experts where attention is replicated; `infeasible` says why there is no placement.
//!
//! Value to value: no files, no environment, no clock unless a time limit asks for one.

mod affinity;
mod balance;
mod bounds;
mod caps;
mod certify;
mod chain;
mod classes;
mod decode;
mod evaluate;
mod explain;
mod fill;
mod formulation;
mod infeasible;
mod level;
mod outcome;
mod packing;
mod presolve;
mod price;
mod relax;
mod search;
mod seed;
mod sends;
pub mod solver;
mod stage;
mod starts;
mod time;
mod trace;
mod value;

pub use crate::program::{Program, Row, Sense, Var, Variable};
pub use bounds::{Bound, Reason};
pub use certify::certify;
pub use explain::{Cut, Explanation, Group, LayerKind, Merged, MustUse, Pinned, TooSmall, explain};
pub use formulation::stage_program;
pub use outcome::{
    Conflict, Formulation, Given, Infeasibility, LimitReached, Member, Options, Outcome, Shortfall,
    Solved, SolverReport, StageReport,
};
pub use trace::{Method, StageTrace, Step};

use crate::error::Error;
use crate::problem::{Objective, ObjectiveKind, ObjectiveValue, Problem};
use crate::program;
use crate::verify::verify;
use caps::Caps;
use classes::Classes;
use search::{Candidate, Search};
use solver::Backend;

/// Finds the placement that is lexicographically best in the problem's objectives, with proofs.
///
/// The same problem and options give the same answer, unless a time limit is set.
///
/// # Errors
/// A malformed problem, or a defect of the solver. Infeasible and unknown are answers.
pub fn solve(problem: &Problem, options: &Options) -> Result<Outcome, Error> {
    solve_with(problem, options, &options.solver)
}

/// [`solve`] with a solver of the caller's; that of the options is not asked.
///
/// # Errors
/// As [`solve`].
pub fn solve_with<B: Backend>(
    problem: &Problem,
    options: &Options,
    backend: &B,
) -> Result<Outcome, Error> {
    solve_stages(problem, options, &Given::default(), backend)
}

/// [`solve`] with more given than the problem says.
///
/// # Errors
/// As [`solve`].
pub fn solve_given(
    problem: &Problem,
    options: &Options,
    given: &Given<'_>,
) -> Result<Outcome, Error> {
    solve_stages(problem, options, given, &options.solver)
}

fn solve_stages<B: Backend>(
    problem: &Problem,
    options: &Options,
    given: &Given<'_>,
    backend: &B,
) -> Result<Outcome, Error> {
    if problem.is_replicated() {
        return affinity::solve(problem, options, given);
    }
    let classes = Classes::of(problem)?;
    // Until moves count, where units are now does not tell them apart.
    let unmoved = Classes::unmoved(problem)?;
    let mut caps = Caps::of(problem);
    for &(kind, most) in given.held {
        caps.hold(problem, kind, most);
    }
    let counted = caps.most(ObjectiveKind::Migration).is_some();
    let first = if counted { &classes } else { &unmoved };
    let mut search = Search::new(problem, first, backend, options);
    let known = given.starts.iter().chain(&problem.current);
    search.starts = starts::candidates(problem, first, known);
    let mut best: Option<Candidate> = None;
    let mut stages: Vec<StageReport> = Vec::new();
    for objective in &problem.objectives {
        if objective.kind == ObjectiveKind::Migration {
            best = search.regroup(&classes, best);
        }
        let answer = search.minimise(objective.kind, &caps, best.take())?;
        if answer.infeasible && stages.is_empty() {
            return Ok(Outcome::Infeasible(infeasible::explain(&mut search)?));
        }
        let Some(found) = answer.best else {
            return Ok(Outcome::Unknown(search.limit.unwrap_or(LimitReached::Nodes)));
        };
        let report = report(problem, objective, &found, answer.bound);
        caps.hold(problem, objective.kind, report.cap);
        stages.push(report);
        best = Some(found);
    }
    let Some(best) = search.regroup(&classes, best) else {
        return Err(Error::new("solve").found("the problem states no objective"));
    };
    let best = polish(&mut search, &caps, &stages, best)?;
    let solved = solved(&search, stages, &best);
    confirm(problem, &solved)?;
    Ok(Outcome::Solved(solved))
}

/// Nothing leaves here that the independent checker has not passed, with the same objective values.
fn confirm(problem: &Problem, solved: &Solved) -> Result<(), Error> {
    let refuse = |found: String| {
        Error::new("confirm the plan")
            .expected("a placement that the checker accepts")
            .found(found)
            .hint("this is a defect of the planner; please report the command")
    };
    let measured = verify(problem, &solved.placement).map_err(|violations| {
        let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
        refuse(all.join("; "))
    })?;
    match solved.stages.iter().find(|stage| measured.value(stage.kind) != stage.value) {
        None => Ok(()),
        Some(stage) => Err(refuse(format!(
            "{} of {:?} instead of {:?}",
            stage.kind.name(),
            measured.value(stage.kind),
            stage.value
        ))),
    }
}

/// Whether any placement satisfies the problem's capacities and permissions; `None` when a limit was
/// reached before either was known.
///
/// # Errors
/// As [`solve`].
pub fn is_feasible(problem: &Problem, options: &Options) -> Result<Option<bool>, Error> {
    if problem.is_replicated() {
        problem.validate()?;
        return Ok(affinity::exists(problem, options));
    }
    let classes = Classes::of(problem)?;
    let mut search = Search::new(problem, &classes, &options.solver, options);
    infeasible::placement_exists(&mut search)
}

/// What the placement that comes closest lacks, as in [`Infeasibility::shortfalls`], without asking whose
/// fault it is; empty when one fits, or when a limit left none.
///
/// # Errors
/// As [`solve`].
pub fn shortfalls(problem: &Problem, options: &Options) -> Result<Vec<Shortfall>, Error> {
    if problem.is_replicated() {
        problem.validate()?;
        return Ok(affinity::shortfalls(problem, options));
    }
    let classes = Classes::of(problem)?;
    let mut search = Search::new(problem, &classes, &options.solver, options);
    infeasible::shortfalls(&mut search)
}

fn report(
    problem: &Problem,
    objective: &Objective,
    found: &Candidate,
    bound: ObjectiveValue,
) -> StageReport {
    let optimum = value::of(problem, &found.cost, objective.kind);
    StageReport {
        kind: objective.kind,
        value: optimum,
        optimum,
        bound,
        cap: value::cap(optimum, objective.tolerance),
        tolerance: objective.tolerance,
        proven: value::closes(problem, objective.kind, optimum, bound),
    }
}

/// Minimises the earlier objectives once more with the later ones held where they are, so that slack
/// which bought nothing is not spent.
fn polish<B: Backend>(
    search: &mut Search<'_, B>,
    caps: &Caps,
    stages: &[StageReport],
    mut best: Candidate,
) -> Result<Candidate, Error> {
    let problem = search.problem;
    let mut caps = caps.clone();
    for (index, stage) in stages.iter().enumerate() {
        let now = value::of(problem, &best.cost, stage.kind);
        if index + 1 < stages.len() && now > stage.optimum {
            let mut held = caps.clone();
            for later in &stages[index + 1..] {
                held.hold(problem, later.kind, value::of(problem, &best.cost, later.kind));
            }
            best = search.improve(stage.kind, &held, best)?;
        }
        caps.hold(problem, stage.kind, value::of(problem, &best.cost, stage.kind));
    }
    Ok(best)
}

fn solved<B: Backend>(
    search: &Search<'_, B>,
    mut stages: Vec<StageReport>,
    best: &Candidate,
) -> Solved {
    for stage in &mut stages {
        stage.value = value::of(search.problem, &best.cost, stage.kind);
    }
    // A later stage, or polishing, may stumble upon something better in an unproven one. Its optimum stays
    // what it was where others were sought under the cap that follows from it.
    if let Some(last) = stages.last_mut().filter(|last| last.value < last.optimum) {
        last.optimum = last.value;
        last.cap = value::cap(last.optimum, last.tolerance);
        last.proven = value::closes(search.problem, last.kind, last.optimum, last.bound);
    }
    let unproven = stages.iter().any(|stage| !stage.proven);
    Solved {
        placement: best.assignment.placement(search.problem, search.classes),
        limit: unproven.then(|| search.limit.unwrap_or(LimitReached::Nodes)),
        solver: SolverReport {
            name: search.backend.name(),
            nodes: search.nodes,
            programs: search.programs,
        },
        trace: search.trace.clone(),
        stages,
    }
}
