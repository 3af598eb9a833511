//! Replicated attention: experts are divided, and what counts is where a token's next experts are.
//!
//! There is no chain of homes here and no integer program: a layer's crossings depend on its own division and
//! the next layer's alone. Read it top-down: [`solve`] runs the lexicographic stages, `stage` closes one;
//! `partitions` is the exact shortest path where devices are as good as each other, `labels` where they are
//! not, `descent` and `exchange` what is done where these take too long, `bound` what is then proven.
//!
//! `Options::node_limit` says how much work the exact methods may be: [`WORK_PER_NODE`] elementary steps a node.
//! A stage they cannot finish ends with a gap, and `nodes` as what stopped it.

mod assign;
mod bound;
mod chain;
mod descent;
mod exchange;
mod infeasible;
mod labels;
mod partitions;
mod rooms;
mod stage;

use super::outcome::{Formulation, Given, Options, Outcome, Solved, SolverReport, StageReport};
use super::search::Deadline;
use super::solver::SolverKind;
use super::value;
use crate::error::Error;
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};
use crate::units::Ratio;
use chain::{Arrangement, Chain};
use rooms::Rooms;
use stage::Stages;

pub(super) use infeasible::{exists, shortfalls};

/// Elementary steps of an exact method that stand for a node of an integer program.
const WORK_PER_NODE: u64 = 200_000;

/// What an arrangement must not exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Within {
    /// Required bytes, per device.
    device_bytes: Vec<u64>,
    /// Pairs apart.
    crossing: Option<u64>,
}

impl Within {
    fn of(problem: &Problem) -> Self {
        let device_bytes = (0..problem.devices.len()).map(|d| problem.limit_bytes(d)).collect();
        Self { device_bytes, crossing: None }
    }

    /// Adds that an objective stays at or below a value.
    fn hold(&mut self, problem: &Problem, kind: ObjectiveKind, most: ObjectiveValue) {
        let ObjectiveValue::Ratio(most) = most else { return };
        match kind {
            ObjectiveKind::Crossings => {
                let most = most.floor_of(problem.traffic_denominator);
                self.crossing = Some(self.crossing.map_or(most, |now| now.min(most)));
            }
            ObjectiveKind::PeakUtilization => {
                for (bytes, device) in self.device_bytes.iter_mut().zip(&problem.devices) {
                    *bytes = (*bytes).min(most.floor_of(device.capacity_bytes));
                }
            }
            _ => {}
        }
    }

    /// Bytes beyond, over all devices.
    fn beyond(&self, rooms: &Rooms, arrangement: &Arrangement) -> u64 {
        let required = rooms.required(arrangement);
        required.iter().zip(&self.device_bytes).map(|(r, most)| r.saturating_sub(*most)).sum()
    }

    fn admits(&self, chain: &Chain, rooms: &Rooms, arrangement: &Arrangement) -> bool {
        chain.admits(arrangement)
            && self.beyond(rooms, arrangement) == 0
            && self.crossing.is_none_or(|most| chain.crossing(arrangement) <= most)
    }
}

/// Finds the division that is lexicographically best, with proofs or gaps.
pub(super) fn solve(
    problem: &Problem,
    options: &Options,
    given: &Given<'_>,
) -> Result<Outcome, Error> {
    problem.validate()?;
    check(options)?;
    let deadline = Deadline::of(options);
    let mut stages = Stages::of(problem, options, &deadline);
    stages.starts.extend(given.starts.iter().filter_map(|p| stages.chain.arrangement(p)));
    let mut within = Within::of(problem);
    for &(kind, most) in given.held {
        within.hold(problem, kind, most);
    }
    let mut best: Option<Arrangement> = None;
    let mut reports: Vec<StageReport> = Vec::new();
    for objective in &problem.objectives {
        let answer = stages.minimise(objective.kind, &within, best.take());
        let Some(found) = answer.best else {
            if answer.infeasible && reports.is_empty() {
                return Ok(Outcome::Infeasible(infeasible::explain(problem, options)));
            }
            return Ok(Outcome::Unknown(deadline.limit()));
        };
        let optimum = stages.value(objective.kind, &found);
        let bound = answer.bound.min(optimum);
        let proven = value::closes(problem, objective.kind, optimum, bound);
        let cap = value::cap(optimum, objective.tolerance);
        let (kind, tolerance) = (objective.kind, objective.tolerance);
        reports.push(StageReport { kind, value: optimum, optimum, bound, cap, tolerance, proven });
        within.hold(problem, kind, cap);
        best = Some(found);
    }
    let Some(best) = best else {
        return Err(Error::new("solve").found("the problem states no objective"));
    };
    let best = polish(&mut stages, &within, &reports, best);
    let solved = solved(stages, reports, &best, &deadline);
    super::confirm(problem, &solved)?;
    Ok(Outcome::Solved(solved))
}

/// No program is stated that another formulation or solver could be asked about.
fn check(options: &Options) -> Result<(), Error> {
    if options.formulation == Formulation::Counts && options.solver == SolverKind::default() {
        return Ok(());
    }
    Err(Error::new("divide the experts")
        .expected("the default formulation and solver")
        .found("others, for a problem without integer programs")
        .hint("leave out --formulation and --solver with replicated attention"))
}

/// Minimises the earlier objectives once more with the later ones held where they are, so that a tolerance
/// which bought nothing is not spent.
fn polish(
    stages: &mut Stages<'_>,
    within: &Within,
    reports: &[StageReport],
    mut best: Arrangement,
) -> Arrangement {
    let mut within = within.clone();
    for (index, report) in reports.iter().enumerate() {
        if index + 1 < reports.len() && stages.value(report.kind, &best) > report.optimum {
            let mut held = within.clone();
            for later in &reports[index + 1..] {
                held.hold(stages.problem, later.kind, stages.value(later.kind, &best));
            }
            let improved = stages.again(report.kind, &held, best.clone());
            best = improved.unwrap_or(best);
        }
        within.hold(stages.problem, report.kind, stages.value(report.kind, &best));
    }
    best
}

fn solved(
    stages: Stages<'_>,
    mut reports: Vec<StageReport>,
    best: &Arrangement,
    deadline: &Deadline,
) -> Solved {
    for report in &mut reports {
        report.value = stages.value(report.kind, best);
    }
    if let Some(last) = reports.last_mut().filter(|last| last.value < last.optimum) {
        last.optimum = last.value;
        last.cap = value::cap(last.optimum, last.tolerance);
        last.proven = value::closes(stages.problem, last.kind, last.optimum, last.bound);
    }
    let unproven = reports.iter().any(|report| !report.proven);
    Solved {
        placement: stages.chain.placement(best),
        limit: unproven.then(|| deadline.limit()),
        solver: SolverReport { name: "shortest paths", nodes: 0, programs: 0 },
        trace: stages.trace,
        stages: reports,
    }
}

/// What an arrangement is worth in an objective that is priced here.
fn value_of(
    problem: &Problem,
    chain: &Chain,
    rooms: &Rooms,
    kind: ObjectiveKind,
    arrangement: &Arrangement,
) -> ObjectiveValue {
    match kind {
        ObjectiveKind::Crossings => value::transfers(problem, chain.crossing(arrangement)),
        ObjectiveKind::PeakUtilization => {
            let required = rooms.required(arrangement);
            let shares = required.iter().zip(&problem.devices);
            let shares = shares.map(|(bytes, device)| Ratio::new(*bytes, device.capacity_bytes));
            ObjectiveValue::Ratio(shares.max().unwrap_or(Ratio::ZERO))
        }
        _ => ObjectiveValue::Count(u64::try_from(chain.devices).unwrap_or(u64::MAX)),
    }
}
