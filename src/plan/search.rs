//! The state of one planning run, and the two things every part of it does: solve a program within the
//! budget, and keep a placement that is better.

use std::time::Instant;

use super::caps::Caps;
use super::classes::Classes;
use super::decode;
use super::evaluate::{Assignment, Cost};
use super::formulation::Goal;
use super::formulation::counts::{CountSolution, Counts, Homes};
use super::formulation::memory::Forced;
use super::outcome::{Formulation, LimitReached, Options};
use super::program::Program;
use super::solver::{Backend, Limits, Run};
use super::trace::StageTrace;
use super::value::{self, GAP_PEAK};
use crate::error::Error;
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};

/// Nodes to spend at most on closing a gap that need not be closed entirely.
const NODES_EXACT_MAX: u64 = 2_500;

/// Devices up to which programs and a search over walks are quicker than prices.
pub(super) const DEVICES_FEW: usize = 4;

/// Devices up to which a tree search has a chance to end; beyond, a node costs more and finds less.
pub(super) const DEVICES_SEARCHED_MAX: usize = 6;

/// Up to six devices every program gets its whole budget of nodes.
const DEVICES_SQUARED_FREE: u64 = 36;

/// A placement with its exact cost.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) assignment: Assignment,
    pub(super) cost: Cost,
}

/// What a stage found.
#[derive(Debug)]
pub(super) struct StageAnswer {
    pub(super) best: Option<Candidate>,
    pub(super) bound: ObjectiveValue,
    /// Proven that nothing satisfies the caps.
    pub(super) infeasible: bool,
}

/// The state of one planning run: what is solved, with what, and how much has been spent.
#[derive(Debug)]
pub(super) struct Search<'a, B> {
    pub(super) problem: &'a Problem,
    pub(super) classes: &'a Classes,
    pub(super) backend: &'a B,
    pub(super) nodes: u64,
    pub(super) programs: u64,
    /// The first limit anything ran into, or the wall clock once that has ended everything.
    pub(super) limit: Option<LimitReached>,
    pub(super) formulation: Formulation,
    /// Branch-and-bound nodes per program.
    pub(super) node_limit: u64,
    /// Placements known before; see [`super::starts`].
    pub(super) starts: Vec<Candidate>,
    /// What was done so far, stage by stage.
    pub(super) trace: Vec<StageTrace>,
    deadline: Option<Instant>,
}

/// The end of the time there is, for what is no [`Search`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    pub(super) fn of(options: &Options) -> Self {
        Self(options.time_limit.and_then(|limit| Instant::now().checked_add(limit)))
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }

    /// What stopped an unfinished proof.
    pub(super) fn limit(&self) -> LimitReached {
        if self.is_over() { LimitReached::Time } else { LimitReached::Nodes }
    }
}

impl<'a, B: Backend> Search<'a, B> {
    pub(super) fn new(
        problem: &'a Problem,
        classes: &'a Classes,
        backend: &'a B,
        options: &Options,
    ) -> Self {
        let deadline = options.time_limit.and_then(|limit| Instant::now().checked_add(limit));
        Self {
            problem,
            classes,
            backend,
            nodes: 0,
            programs: 0,
            limit: None,
            formulation: options.formulation,
            node_limit: affordable(options, problem),
            starts: Vec::new(),
            trace: Vec::new(),
            deadline,
        }
    }

    /// A search for a variation of the problem, under what is left of the same limits.
    pub(super) fn beside<'b>(&self, problem: &'b Problem, classes: &'b Classes) -> Search<'b, B>
    where
        'a: 'b,
    {
        let &Self { backend, formulation, node_limit, deadline, .. } = self;
        let limit = None;
        Search {
            problem,
            classes,
            backend,
            nodes: 0,
            programs: 0,
            limit,
            formulation,
            node_limit,
            starts: Vec::new(),
            trace: Vec::new(),
            deadline,
        }
    }

    /// Goes on with units grouped another way; what was found costs what it costs there.
    pub(super) fn regroup(
        &mut self,
        classes: &'a Classes,
        best: Option<Candidate>,
    ) -> Option<Candidate> {
        self.classes = classes;
        let again = |Candidate { assignment, .. }: Candidate| {
            let cost = assignment.cost(self.problem, classes);
            Candidate { assignment, cost }
        };
        self.starts = std::mem::take(&mut self.starts).into_iter().map(again).collect();
        best.map(again)
    }

    /// A solver's bound is rounded down before it gets here, but it is never above what was found.
    pub(super) fn settled(&self, kind: ObjectiveKind, mut answer: StageAnswer) -> StageAnswer {
        if let Some(best) = &answer.best {
            answer.bound = answer.bound.min(value::of(self.problem, &best.cost, kind));
        }
        answer
    }

    /// Whether the best found is as good as proven possible, to the objective's stated gap.
    pub(super) fn closed(&self, kind: ObjectiveKind, answer: &StageAnswer) -> bool {
        let best = answer.best.as_ref();
        best.is_some_and(|best| {
            value::closes(
                self.problem,
                kind,
                value::of(self.problem, &best.cost, kind),
                answer.bound,
            )
        })
    }

    /// States and solves the counting program; the point, if any, is read back in whole numbers.
    pub(super) fn count(
        &mut self,
        goal: Goal,
        caps: &Caps,
        homes: Homes<'_>,
        forced: &Forced,
        nodes: u64,
    ) -> Result<(Run, Option<CountSolution>), Error> {
        let counts = Counts::state(self.problem, self.classes, caps, goal, homes, forced);
        let run = self.run(&counts.program, gap(goal), nodes)?;
        let solution = run.values.as_ref().and_then(|values| counts.read(values));
        Ok((run, solution))
    }

    /// Solves any program within what is left of the budget.
    pub(super) fn run(&mut self, program: &Program, gap: f64, nodes: u64) -> Result<Run, Error> {
        let time = self.deadline.map(|d| d.saturating_duration_since(Instant::now()));
        if self.out_of_time() {
            return Ok(Run { limit: Some(LimitReached::Time), ..Run::default() });
        }
        let nodes_exact = if gap > 0.0 { (nodes / 4).min(NODES_EXACT_MAX) } else { nodes };
        // Half the gap is asked of the solver, so that rounding its bound down leaves the rest.
        let limits = Limits { nodes, time, gap: gap / 2.0, nodes_exact };
        let run = self.backend.run(program, &limits)?;
        self.nodes += run.nodes;
        self.programs += 1;
        self.limit = self.limit.or(run.limit);
        Ok(run)
    }

    /// Whether the wall clock, if there is one, has run out.
    pub(super) fn out_of_time(&mut self) -> bool {
        let out = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if out {
            // It ends everything, so it is the limit to name.
            self.limit = Some(LimitReached::Time);
        }
        out
    }

    /// Tries every device as the start of the chain and keeps the best real placement.
    pub(super) fn arrange(
        &self,
        kind: ObjectiveKind,
        caps: &Caps,
        solution: &CountSolution,
        best: &mut Option<Candidate>,
    ) {
        for first in 0..self.problem.devices.len() {
            let homes = decode::arrange(self.classes, solution, first);
            if let Some(homes) = homes {
                self.consider(kind, caps, solution, &homes, best);
            }
        }
    }

    /// Names `solution` on `homes`, and keeps it when it satisfies the caps and is better.
    pub(super) fn consider(
        &self,
        kind: ObjectiveKind,
        caps: &Caps,
        solution: &CountSolution,
        homes: &[usize],
        best: &mut Option<Candidate>,
    ) {
        if let Some(assignment) = decode::assignment(self.classes, solution, homes) {
            self.keep(kind, caps, assignment, best);
        }
    }

    /// Keeps `assignment` when it satisfies the caps and is better.
    pub(super) fn keep(
        &self,
        kind: ObjectiveKind,
        caps: &Caps,
        assignment: Assignment,
        best: &mut Option<Candidate>,
    ) {
        let cost = assignment.cost(self.problem, self.classes);
        let better = best.as_ref().is_none_or(|best| cost.better(&best.cost, kind));
        if cost.within(caps) && better {
            *best = Some(Candidate { assignment, cost });
        }
    }
}

/// A budget of nodes, less on many devices: with their number grow a node's price and the number of
/// programs that spend all they get.
fn affordable(options: &Options, problem: &Problem) -> u64 {
    let devices = u64::try_from(problem.devices.len()).unwrap_or(u64::MAX);
    let squared = devices.saturating_mul(devices).max(DEVICES_SQUARED_FREE);
    let nodes = u128::from(options.node_limit) * u128::from(DEVICES_SQUARED_FREE);
    match options.formulation {
        Formulation::Counts => {
            u64::try_from(nodes / u128::from(squared)).unwrap_or(u64::MAX).max(1)
        }
        Formulation::Textbook => options.node_limit,
    }
}

/// The relative gap at which a program's proof may stop.
pub(super) fn gap(goal: Goal) -> f64 {
    if goal == Goal::Objective(ObjectiveKind::PeakUtilization) { GAP_PEAK } else { 0.0 }
}
