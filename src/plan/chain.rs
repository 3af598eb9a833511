//! What is left between bound and placement when the order of the layers matters.
//!
//! Once the home of every layer is fixed, the counting program is exact and small. So the search is over
//! sequences of homes, cheapest first, by a lower bound on what each sequence must cost: its hand-overs,
//! and for every device the experts that cannot stay because the layers that live there need more than
//! the device may hold. Sequences that use each device for one run are enumerated through a dynamic
//! program over (devices used, layers done) that knows the exact cost to go of that lower bound; all
//! others through a depth-first walk. Either enumeration, when it finishes, is a proof.

mod contiguous;
mod pressure;
mod priced;
mod walk;

use std::collections::BTreeSet;

use super::caps::Caps;
use super::fill;
use super::formulation::Goal;
use super::formulation::counts::Homes;
use super::formulation::memory::Forced;
use super::formulation::traffic::FixedChain;
use super::outcome::LimitReached;
use super::presolve;
use super::search::{DEVICES_FEW, DEVICES_SEARCHED_MAX, Search, StageAnswer};
use super::seed;
use super::solver::Backend;
use super::value;
use crate::error::Error;
use crate::problem::{ObjectiveKind, ObjectiveValue};
use pressure::Pressure;

/// Sequences of homes to look at before the search gives up, per stage.
const LEAVES_MAX: usize = 4_000;

/// One sequence may use one in so many nodes of what all of a stage may use together.
const LEAF_SHARE: u64 = 10;

/// Greedy fillings that found no room to even out by exchanges, per stage.
const EVENED_MAX: usize = 100;

/// What tells apart two sequences of homes for the counting program: layers of each class per device, and
/// the chain's shape.
type Leaf = (Vec<Vec<usize>>, FixedChain);

/// The search's own state.
pub(super) struct Chain<'s, 'p, B> {
    search: &'s mut Search<'p, B>,
    kind: ObjectiveKind,
    caps: &'s Caps,
    answer: &'s mut StageAnswer,
    /// The bound of the relaxation that knows no order, before anything else raised it.
    relaxed: ObjectiveValue,
    pressure: Pressure,
    forced: Forced,
    /// Nodes all sequences may use together.
    nodes: u64,
    /// Nodes they have used so far.
    spent: u64,
    solved: BTreeSet<Leaf>,
    /// Greedy fillings evened out so far.
    evened: usize,
    /// The least that a sequence may cost, in traffic units, of those whose program stopped at a limit, or for
    /// which there was no budget.
    unsettled_units: u64,
}

/// Improves `answer` by searching over sequences of homes, and its bound when the search is complete.
pub(super) fn search<B: Backend>(
    search: &mut Search<'_, B>,
    kind: ObjectiveKind,
    caps: &Caps,
    answer: &mut StageAnswer,
    nodes: u64,
) -> Result<(), Error> {
    let (problem, classes) = (search.problem, search.classes);
    let pressure = Pressure::of(problem, classes, caps);
    let relaxed = answer.bound;
    let mut chain = Chain {
        relaxed,
        search,
        kind,
        caps,
        answer,
        pressure,
        forced: presolve::forced(problem, classes, caps),
        nodes,
        spent: 0,
        solved: BTreeSet::new(),
        evened: 0,
        unsettled_units: NEVER_UNITS,
    };
    let devices = chain.search.problem.devices.len();
    if devices > DEVICES_FEW
        && let Some(known) = priced::search(&mut chain)?
    {
        return chain.walked(known.runs_complete);
    }
    let runs_complete = chain.runs_by_pressure()?;
    chain.walked(runs_complete)?;
    if !chain.closed() && devices <= DEVICES_FEW {
        priced::search(&mut chain)?;
    }
    Ok(())
}

/// More traffic than there can be; small enough to add to.
const NEVER_UNITS: u64 = u64::MAX / 4;

impl<B: Backend> Chain<'_, '_, B> {
    /// Single runs in order of the pressure on devices, and a bound for all others: where prices do not
    /// apply. Whether all single runs were solved.
    fn runs_by_pressure(&mut self) -> Result<bool, Error> {
        let runs = contiguous::enumerate(self)?;
        if !self.closed() {
            let others = self.other_walks_bound()?;
            self.settled_by(&runs, others);
        }
        Ok(runs.complete)
    }

    /// Walks through all walks, where that has a chance to end.
    fn walked(&mut self, runs_complete: bool) -> Result<(), Error> {
        if self.closed() || self.search.problem.devices.len() > DEVICES_SEARCHED_MAX {
            return Ok(());
        }
        let walks_complete = walk::enumerate(self)?;
        if runs_complete && walks_complete && self.unsettled_units == NEVER_UNITS {
            self.prove();
        } else {
            self.search.limit = self.search.limit.or(Some(LimitReached::Nodes));
        }
        Ok(())
    }

    fn closed(&self) -> bool {
        self.search.closed(self.kind, self.answer)
    }

    /// Traffic units beyond which a sequence of homes is of no interest: the cap, and when traffic is what
    /// is minimised anything that is not better than the best.
    fn traffic_max(&self) -> u64 {
        let cap = self.caps.most(ObjectiveKind::Traffic).unwrap_or(u64::MAX);
        match (self.kind, &self.answer.best) {
            (ObjectiveKind::Traffic, Some(best)) => {
                cap.min(best.cost.traffic.saturating_sub(self.pressure.step))
            }
            _ => cap,
        }
    }

    /// Fills these homes greedily. True when that attains their lower bound, so that nothing is left to
    /// solve.
    fn fill(&mut self, homes: &[usize], home_counts: &[Vec<usize>], bound_units: u64) -> bool {
        let (problem, classes) = (self.search.problem, self.search.classes);
        let Some(mut solution) = fill::fill(problem, classes, self.caps, homes, home_counts) else {
            return false;
        };
        let best = &mut self.answer.best;
        let before = best.as_ref().map(|best| best.cost.traffic);
        self.search.consider(self.kind, self.caps, &solution, homes, best);
        let improved = best.as_ref().map(|best| best.cost.traffic) != before;
        if !improved && self.evened < EVENED_MAX {
            self.evened += 1;
            self.search.even_out(self.kind, self.caps, &mut solution, homes, best);
        }
        self.answer.best.as_ref().is_some_and(|best| best.cost.traffic <= bound_units)
    }

    /// Solves the counting program with these homes, whose traffic is at least `bound_units`, unless an
    /// equal sequence was solved before. False when the budget is spent.
    fn leaf(&mut self, homes: &[usize], bound_units: u64) -> Result<bool, Error> {
        let counts = seed::home_counts(self.search.problem, self.search.classes, homes);
        let fixed = FixedChain::of(homes);
        let key = (counts, fixed);
        if self.solved.contains(&key) {
            return Ok(true);
        }
        if self.kind == ObjectiveKind::Traffic && self.fill(homes, &key.0, bound_units) {
            self.solved.insert(key);
            return Ok(true);
        }
        let exhausted = self.solved.len() >= LEAVES_MAX || self.spent >= self.nodes;
        if exhausted || self.search.out_of_time() {
            self.unsettled_units = self.unsettled_units.min(bound_units);
            return Ok(false);
        }
        let goal = Goal::Objective(self.kind);
        let mut caps = self.caps.clone();
        if self.kind == ObjectiveKind::Traffic {
            caps.tighten(ObjectiveKind::Traffic, self.traffic_max());
        }
        let nodes = (self.nodes / LEAF_SHARE).max(1);
        let homes_known = Homes::Fixed { counts: &key.0, chain: fixed };
        let (run, solution) = self.search.count(goal, &caps, homes_known, &self.forced, nodes)?;
        // A program found infeasible does not say what that took; none is free.
        self.spent += run.nodes.max(nodes / LEAF_SHARE);
        if let Some(solution) = solution {
            let best = &mut self.answer.best;
            self.search.consider(self.kind, self.caps, &solution, homes, best);
        }
        if !run.infeasible && (run.limit.is_some() || !self.reached(run.bound)) {
            self.unsettled_units = self.unsettled_units.min(bound_units);
        }
        self.solved.insert(key);
        Ok(true)
    }

    /// Whether the best found is as good as what a solver claims of a sequence. It is not when the solver's
    /// point is off by more than its noise and was refused; then the sequence is not settled.
    fn reached(&self, claimed: Option<f64>) -> bool {
        let problem = self.search.problem;
        let claimed = value::bound(problem, self.kind, claimed);
        let best = self.answer.best.as_ref().map(|best| value::of(problem, &best.cost, self.kind));
        best.is_some_and(|best| value::closes(problem, self.kind, best, claimed))
    }

    /// A lower bound on what any walk costs that uses some device for more than one run, in the terms of
    /// the stage's objective. Such a walk makes at least one change more than its count relaxation
    /// charges, unless it begins and ends on the same device, which the returning relaxation covers.
    fn other_walks_bound(&mut self) -> Result<Option<ObjectiveValue>, Error> {
        if self.kind != ObjectiveKind::Traffic {
            return Ok(None);
        }
        let goal = Goal::Objective(self.kind);
        let (run, _) =
            self.search.count(goal, self.caps, Homes::Returning, &self.forced, self.nodes)?;
        let problem = self.search.problem;
        let ObjectiveValue::Ratio(fewest) = self.relaxed else { return Ok(None) };
        let units = fewest.floor_of(problem.traffic_denominator) + problem.traffic_denominator;
        let one_more = value::transfers(problem, units);
        if run.infeasible {
            return Ok(Some(one_more));
        }
        Ok(Some(one_more.min(value::bound(problem, self.kind, run.bound))))
    }

    /// Raises the bound to what neither single runs nor other walks can be below.
    fn settled_by(&mut self, runs: &contiguous::Runs, others: Option<ObjectiveValue>) {
        let (Some(others), Some(best)) = (others, &self.answer.best) else { return };
        let problem = self.search.problem;
        let best = value::of(problem, &best.cost, self.kind);
        let left = if runs.complete { NEVER_UNITS } else { runs.bound_units };
        let left = value::transfers(problem, left.min(self.unsettled_units));
        self.answer.bound = self.answer.bound.max(left.min(others).min(best));
    }

    /// Everything was looked at: the best is the optimum.
    fn prove(&mut self) {
        if let Some(best) = &self.answer.best {
            self.answer.bound = value::of(self.search.problem, &best.cost, self.kind);
        }
    }
}
