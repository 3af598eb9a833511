//! From below and from above at once: the counting relaxation proves a bound, and its point is turned into
//! real placements, arranged, evened out or topped up.

use super::balance::{self, Movable};
use super::caps::Caps;
use super::decode;
use super::formulation::Goal;
use super::formulation::counts::{CountSolution, Homes};
use super::formulation::memory::Forced;
use super::presolve;
use super::search::{Candidate, DEVICES_SEARCHED_MAX, Search, StageAnswer};
use super::seed::{self, Seed};
use super::solver::Backend;
use super::value::{self, GAP_PEAK};
use crate::error::Error;
use crate::problem::{ObjectiveKind, ObjectiveValue};
use crate::units::Ratio;

/// Nodes of the first attempt at a peak: the relaxation is so tight that its root and an even filling
/// usually settle it.
const NODES_PEAK: u64 = 200;

/// The same on many devices, where an even filling does as well.
pub(super) const NODES_PEAK_MANY: u64 = 20;

impl<B: Backend> Search<'_, B> {
    /// The best of the starting points.
    pub(super) fn seeded(&self, kind: ObjectiveKind, caps: &Caps) -> Option<Candidate> {
        let mut best = None;
        for mut seed in seed::seeds(self.problem, self.classes, caps) {
            self.consider(kind, caps, &seed.solution, &seed.homes, &mut best);
            // One that fits is enough to start from; improving it is the search's business.
            if best.is_none() {
                self.even_out(kind, caps, &mut seed.solution, &seed.homes, &mut best);
            }
        }
        best
    }

    /// The relaxation of `kind` under `caps` with so many nodes, and what its point is good for.
    pub(super) fn relaxed(
        &mut self,
        kind: ObjectiveKind,
        caps: &Caps,
        incumbent: Option<Candidate>,
        nodes: u64,
    ) -> Result<StageAnswer, Error> {
        if kind == ObjectiveKind::PeakUtilization {
            return self.relax_peak(caps, incumbent, nodes);
        }
        let forced = presolve::forced(self.problem, self.classes, caps);
        self.relax(kind, caps, &forced, incumbent, nodes)
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
        // Where the search met no point, or a poor one, what is known already may even out better.
        if kind == ObjectiveKind::PeakUtilization && !self.closed(kind, &answer) {
            let devices = self.problem.devices.len();
            let best = answer.best.as_ref();
            let known = best.map(|b| decode::counts(self.classes, &b.assignment, devices));
            if let Some(known) = known.filter(|known| solution.as_ref() != Some(known)) {
                self.balance(caps, &known, answer.bound, &mut answer.best);
            }
        }
        Ok(answer)
    }

    /// Tries to bring the peak of `solution` down to what the relaxation says is possible.
    pub(super) fn balance(
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
    pub(super) fn top_up(
        &self,
        caps: &Caps,
        solution: &CountSolution,
        best: &mut Option<Candidate>,
    ) {
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
        nodes: u64,
    ) -> Result<StageAnswer, Error> {
        let kind = ObjectiveKind::PeakUtilization;
        let assumed = presolve::assumed(self.problem, self.classes, caps);
        let many = self.problem.devices.len() > DEVICES_SEARCHED_MAX;
        let few = if many { NODES_PEAK_MANY } else { NODES_PEAK };
        let mut first = self.relax(kind, caps, &assumed, incumbent, nodes.min(few))?;
        if !first.infeasible && !self.closed(kind, &first) && nodes > NODES_PEAK {
            first = self.relax(kind, caps, &assumed, first.best, nodes)?;
        }
        let mut limits = caps.clone();
        if let Some(best) = &first.best {
            limits.hold(self.problem, kind, ObjectiveValue::Ratio(best.cost.peak));
        }
        let forced = presolve::forced(self.problem, self.classes, &limits);
        if !first.infeasible && presolve::implied(&forced, &assumed) {
            return Ok(first);
        }
        let mut second = self.relax(kind, &limits, &forced, first.best, nodes)?;
        if let Some(best) = second.best.as_ref().filter(|_| second.infeasible) {
            // Nothing is below what the first pass found.
            second.bound = value::of(self.problem, &best.cost, kind);
            second.infeasible = false;
        }
        Ok(second)
    }
}
