//! One stage: minimise one objective under the caps of the others, from both sides.
//!
//! From below, the counting relaxation proves a bound. From above, its point is arranged into a real
//! placement. Where the two meet the stage is done; what is left between them is for [`super::chain`].

use std::time::{Duration, Instant};

use super::balance::{self, Movable};
use super::chain;
use super::classes::Classes;
use super::decode;
use super::evaluate::{Assignment, Cost};
use super::formulation::Goal;
use super::formulation::counts::{CountSolution, Counts, Homes};
use super::formulation::memory::Forced;
use super::formulation::textbook::Textbook;
use super::outcome::{Formulation, LimitReached, Options};
use super::presolve;
use super::seed::{self, Seed};
use super::solver::{Backend, Limits, Run};
use super::value::{self, GAP_PEAK};
use crate::error::Error;
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};
use crate::units::Ratio;

/// What a placement must not exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caps {
    /// Required bytes per device.
    pub(super) device_bytes: Vec<u64>,
    pub(super) spill_bytes: Option<u64>,
    /// In units of one over the traffic denominator.
    pub(super) traffic: Option<u64>,
}

impl Caps {
    /// The capacities alone.
    pub(super) fn of(problem: &Problem) -> Self {
        let device_bytes = problem.devices.iter().map(|d| d.capacity_bytes).collect();
        Self { device_bytes, spill_bytes: None, traffic: None }
    }

    /// The same without any limit on devices.
    pub(super) fn without_devices(&self) -> Self {
        Self { device_bytes: vec![u64::MAX; self.device_bytes.len()], ..self.clone() }
    }

    /// Adds that `kind` stays at or below `cap`.
    pub(super) fn hold(&mut self, problem: &Problem, kind: ObjectiveKind, cap: ObjectiveValue) {
        let tighter = |old: Option<u64>, new: u64| Some(old.map_or(new, |old| old.min(new)));
        match (kind, cap) {
            (ObjectiveKind::SpillBytes, ObjectiveValue::Bytes(cap)) => {
                self.spill_bytes = tighter(self.spill_bytes, cap);
            }
            (ObjectiveKind::Traffic, ObjectiveValue::Ratio(cap)) => {
                self.traffic = tighter(self.traffic, cap.floor_of(problem.traffic_denominator));
            }
            (_, ObjectiveValue::Ratio(cap)) => {
                for gpu in problem.gpus() {
                    let limit = cap.floor_of(problem.devices[gpu].capacity_bytes);
                    self.device_bytes[gpu] = self.device_bytes[gpu].min(limit);
                }
            }
            (_, ObjectiveValue::Bytes(_)) => {}
        }
    }
}

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
    /// The first limit any search ran into.
    pub(super) limit: Option<LimitReached>,
    formulation: Formulation,
    /// Branch-and-bound nodes per program.
    pub(super) node_limit: u64,
    deadline: Option<Instant>,
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
            node_limit: options.node_limit,
            deadline,
        }
    }

    /// Minimises `kind` under `caps`, starting from `incumbent` if it satisfies them.
    pub(super) fn minimise(
        &mut self,
        kind: ObjectiveKind,
        caps: &Caps,
        incumbent: Option<Candidate>,
    ) -> Result<StageAnswer, Error> {
        if self.formulation == Formulation::Textbook {
            return self.minimise_textbook(kind, caps, incumbent);
        }
        let incumbent = incumbent.or_else(|| self.seeded(kind, caps));
        let mut answer = if kind == ObjectiveKind::PeakUtilization {
            self.relax_peak(caps, incumbent)?
        } else {
            let forced = presolve::forced(self.problem, self.classes, caps);
            self.relax(kind, caps, &forced, incumbent, self.node_limit)?
        };
        if answer.infeasible {
            answer.best = None;
            return Ok(answer);
        }
        let chain_matters = kind == ObjectiveKind::Traffic || caps.traffic.is_some();
        if chain_matters && !self.closed(kind, &answer) {
            chain::search(self, kind, caps, &mut answer)?;
        }
        Ok(self.settled(kind, answer))
    }

    /// The best of the starting points.
    pub(super) fn seeded(&self, kind: ObjectiveKind, caps: &Caps) -> Option<Candidate> {
        let mut best = None;
        for seed in seed::seeds(self.problem, self.classes, caps) {
            self.consider(kind, caps, &seed.solution, &seed.homes, &mut best);
        }
        best
    }

    /// The counting relaxation from below, its point arranged from above.
    fn relax(
        &mut self,
        kind: ObjectiveKind,
        caps: &Caps,
        forced: &Forced,
        incumbent: Option<Candidate>,
        nodes: u64,
    ) -> Result<StageAnswer, Error> {
        let (run, solution) =
            self.count(Goal::Objective(kind), caps, Homes::Free, forced, nodes)?;
        let bound = value::bound(self.problem, kind, run.bound);
        let mut answer = StageAnswer { best: incumbent, bound, infeasible: run.infeasible };
        if let Some(solution) = &solution {
            self.arrange(kind, caps, solution, &mut answer.best);
            if kind == ObjectiveKind::SpillBytes && !self.closed(kind, &answer) {
                self.top_up(caps, solution, &mut answer.best);
            }
            if kind == ObjectiveKind::PeakUtilization && !self.closed(kind, &answer) {
                self.balance(caps, solution, answer.bound, &mut answer.best);
            }
        }
        Ok(answer)
    }

    /// Tries to bring the peak of `solution` down to what the relaxation says is possible.
    fn balance(
        &self,
        caps: &Caps,
        solution: &CountSolution,
        bound: ObjectiveValue,
        best: &mut Option<Candidate>,
    ) {
        let kind = ObjectiveKind::PeakUtilization;
        let mut here = None;
        self.arrange(kind, &caps.without_devices(), solution, &mut here);
        if let Some(Candidate { cost, .. }) = here {
            let mut even = solution.clone();
            let required = &cost.required_bytes;
            let movable = Movable::Everything;
            let target = bound.as_f64() * (1.0 + GAP_PEAK / 2.0);
            balance::balance(self.problem, self.classes, &mut even, required, movable, target);
            self.arrange(kind, caps, &even, best);
        }
    }

    /// Empties host memory into what the GPUs have left.
    fn top_up(&self, caps: &Caps, solution: &CountSolution, best: &mut Option<Candidate>) {
        let Some(homes) = decode::arrange(self.classes, solution, 0) else { return };
        let seed = Seed { solution: solution.clone(), homes };
        if let Some(topped) = seed::topped_up(self.problem, self.classes, caps, &seed) {
            self.arrange(ObjectiveKind::SpillBytes, caps, &topped.solution, best);
        }
    }

    /// Exchanges items until the fullest GPU is as empty as it gets, and keeps that if it satisfies the
    /// caps.
    pub(super) fn even_out(
        &self,
        kind: ObjectiveKind,
        caps: &Caps,
        solution: &mut CountSolution,
        homes: &[usize],
        best: &mut Option<Candidate>,
    ) {
        let mut here = None;
        self.consider(kind, &caps.without_devices(), solution, homes, &mut here);
        if let Some(Candidate { cost, .. }) = here {
            let required = &cost.required_bytes;
            // Below the cap is good enough, and the cap is relative to every device's capacity.
            let limits = caps.device_bytes.iter().zip(&self.problem.devices);
            let target = limits.map(|(&l, d)| Ratio::new(l, d.capacity_bytes).as_f64());
            let target = target.fold(1.0, f64::min);
            let movable = Movable::Items;
            balance::balance(self.problem, self.classes, solution, required, movable, target);
            self.consider(kind, caps, solution, homes, best);
        }
    }

    /// First as if every GPU did every kind of work. What that finds limits all devices, and under those
    /// limits it is usually implied that they do; then its bound holds for all placements.
    fn relax_peak(
        &mut self,
        caps: &Caps,
        incumbent: Option<Candidate>,
    ) -> Result<StageAnswer, Error> {
        let kind = ObjectiveKind::PeakUtilization;
        let assumed = presolve::assumed(self.problem, self.classes);
        // The relaxation is so tight here that its root and an even filling usually settle it.
        let nodes = (self.node_limit / 10).max(1);
        let mut first = self.relax(kind, caps, &assumed, incumbent, nodes)?;
        if !first.infeasible && !self.closed(kind, &first) {
            first = self.relax(kind, caps, &assumed, first.best, self.node_limit)?;
        }
        let mut limits = caps.clone();
        if let Some(best) = &first.best {
            limits.hold(self.problem, kind, ObjectiveValue::Ratio(best.cost.peak));
        }
        let forced = presolve::forced(self.problem, self.classes, &limits);
        if !first.infeasible && presolve::implied(&forced, &assumed) {
            return Ok(first);
        }
        let mut second = self.relax(kind, &limits, &forced, first.best, self.node_limit)?;
        if let Some(best) = second.best.as_ref().filter(|_| second.infeasible) {
            // Nothing is below what the first pass found.
            second.bound = value::of(self.problem, &best.cost, kind);
            second.infeasible = false;
        }
        Ok(second)
    }

    /// The reference: one program with a binary per unit and device, and what its solver says of it.
    fn minimise_textbook(
        &mut self,
        kind: ObjectiveKind,
        caps: &Caps,
        incumbent: Option<Candidate>,
    ) -> Result<StageAnswer, Error> {
        let textbook = Textbook::state(self.problem, self.classes, caps, Goal::Objective(kind));
        let run = self.run(&textbook.program, gap(Goal::Objective(kind)), self.node_limit)?;
        let bound = value::bound(self.problem, kind, run.bound);
        let mut answer = StageAnswer { best: incumbent, bound, infeasible: run.infeasible };
        if let Some(assignment) = run.values.as_ref().and_then(|values| textbook.read(values)) {
            self.keep(kind, caps, assignment, &mut answer.best);
        }
        Ok(self.settled(kind, answer))
    }

    /// A solver's bound is rounded down before it gets here, but it is never above what was found.
    fn settled(&self, kind: ObjectiveKind, mut answer: StageAnswer) -> StageAnswer {
        if let Some(best) = &answer.best {
            answer.bound = answer.bound.min(value::of(self.problem, &best.cost, kind));
        }
        answer
    }

    /// Whether the best found is as good as proven possible, to the objective's stated gap.
    pub(super) fn closed(&self, kind: ObjectiveKind, answer: &StageAnswer) -> bool {
        let best = answer.best.as_ref();
        best.is_some_and(|best| {
            value::closes(kind, value::of(self.problem, &best.cost, kind), answer.bound)
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
    pub(super) fn run(
        &mut self,
        program: &super::program::Program,
        gap: f64,
        nodes: u64,
    ) -> Result<Run, Error> {
        let time = self.deadline.map(|d| d.saturating_duration_since(Instant::now()));
        if time == Some(Duration::ZERO) {
            self.limit = self.limit.or(Some(LimitReached::Time));
            return Ok(Run { limit: Some(LimitReached::Time), ..Run::default() });
        }
        let nodes_exact = if gap > 0.0 { nodes / 4 } else { nodes };
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
            self.limit = self.limit.or(Some(LimitReached::Time));
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
    fn keep(
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

/// The relative gap at which a program's proof may stop.
fn gap(goal: Goal) -> f64 {
    if goal == Goal::Objective(ObjectiveKind::PeakUtilization) { GAP_PEAK } else { 0.0 }
}
