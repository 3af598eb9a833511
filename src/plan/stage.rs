//! One stage: minimise one objective under the caps of the others, from both sides.
//!
//! The relaxation and what its point is good for usually meet. Where the order of the layers matters,
//! [`chain`] searches what is left between them. All of it is tried with a small budget first; only a stage
//! that it leaves open gets the whole.

use super::caps::Caps;
use super::chain;
use super::formulation::Goal;
use super::formulation::textbook::Textbook;
use super::outcome::Formulation;
use super::price;
use super::search::{Candidate, DEVICES_FEW, DEVICES_SEARCHED_MAX, Search, StageAnswer, gap};
use super::solver::Backend;
use super::value;
use crate::error::Error;
use crate::problem::ObjectiveKind;

/// Binaries up to which the textbook program may finish what counting leaves open.
const BINARIES_MAX: usize = 128;

/// Nodes of a program on the first attempt at a stage.
const NODES_FIRST: u64 = 2_000;

impl<B: Backend> Search<'_, B> {
    /// Minimises `kind` under `caps`, starting from `incumbent` if it satisfies them.
    pub(super) fn minimise(
        &mut self,
        kind: ObjectiveKind,
        caps: &Caps,
        incumbent: Option<Candidate>,
    ) -> Result<StageAnswer, Error> {
        let counted = self.formulation == Formulation::Counts;
        let incumbent = incumbent.filter(|candidate| candidate.cost.within(caps));
        let incumbent = incumbent.or_else(|| counted.then(|| self.seeded(kind, caps))?);
        let incumbent = self.better_start(kind, caps, incumbent.as_ref()).or(incumbent);
        if !counted {
            return self.minimise_textbook(kind, caps, incumbent);
        }
        let first = self.attempt(kind, caps, incumbent, self.node_limit.min(NODES_FIRST))?;
        let first = self.by_name(kind, caps, first)?;
        let many = self.problem.devices.len() > DEVICES_SEARCHED_MAX;
        let exhausted = many && self.prices_first(kind, first.best.as_ref());
        if first.infeasible
            || self.closed(kind, &first)
            || self.node_limit <= NODES_FIRST
            || exhausted
        {
            return Ok(first);
        }
        let bound = first.bound;
        let mut second = self.attempt(kind, caps, first.best, self.node_limit)?;
        second.bound = second.bound.max(bound);
        Ok(self.settled(kind, second))
    }

    /// Where several devices compete for the same layers' experts, counts bound the price of company only
    /// from below. On small problems names say what is left.
    fn by_name(
        &mut self,
        kind: ObjectiveKind,
        caps: &Caps,
        answer: StageAnswer,
    ) -> Result<StageAnswer, Error> {
        let binaries = self.classes.units().count().saturating_mul(self.problem.devices.len());
        let matters = kind == ObjectiveKind::Traffic || caps.most(ObjectiveKind::Traffic).is_some();
        let counted = !matters || self.classes.sends.is_none() || self.closed(kind, &answer);
        if counted || binaries > BINARIES_MAX {
            return Ok(answer);
        }
        let bound = answer.bound;
        let mut named = self.minimise_textbook(kind, caps, answer.best)?;
        named.bound = named.bound.max(bound);
        Ok(self.settled(kind, named))
    }

    /// Improves `incumbent` in `kind` under `caps` with a small budget; nothing need be proven.
    pub(super) fn improve(
        &mut self,
        kind: ObjectiveKind,
        caps: &Caps,
        incumbent: Candidate,
    ) -> Result<Candidate, Error> {
        let incumbent = self.better_start(kind, caps, Some(&incumbent)).unwrap_or(incumbent);
        if self.formulation == Formulation::Textbook {
            let answer = self.minimise_textbook(kind, caps, Some(incumbent.clone()))?;
            return Ok(answer.best.unwrap_or(incumbent));
        }
        let nodes = self.node_limit.min(NODES_FIRST);
        let answer = self.attempt(kind, caps, Some(incumbent.clone()), nodes)?;
        Ok(answer.best.unwrap_or(incumbent))
    }

    /// Whether prices are asked before programs: on many devices, where there is something to improve.
    fn prices_first(&self, kind: ObjectiveKind, best: Option<&Candidate>) -> bool {
        kind == ObjectiveKind::Traffic
            && best.is_some()
            && self.problem.devices.len() > DEVICES_FEW
            && price::apply(self.problem, self.classes)
    }

    fn attempt(
        &mut self,
        kind: ObjectiveKind,
        caps: &Caps,
        incumbent: Option<Candidate>,
        nodes: u64,
    ) -> Result<StageAnswer, Error> {
        let chain_matters =
            kind == ObjectiveKind::Traffic || caps.most(ObjectiveKind::Traffic).is_some();
        let bound = value::bound(self.problem, kind, None);
        let mut answer = StageAnswer { best: incumbent, bound, infeasible: false };
        let by_prices = self.prices_first(kind, answer.best.as_ref());
        if by_prices {
            // On many devices prices settle in milliseconds what the relaxation leaves open for seconds.
            chain::search(self, kind, caps, &mut answer, nodes)?;
            if self.closed(kind, &answer) || self.problem.devices.len() > DEVICES_SEARCHED_MAX {
                return Ok(self.settled(kind, answer));
            }
        }
        let known = answer.bound;
        answer = self.relaxed(kind, caps, answer.best, nodes)?;
        if answer.infeasible && answer.best.is_none() {
            return Ok(answer);
        }
        // A placement that was evaluated in integers outweighs a solver that finds none.
        answer.infeasible = false;
        answer.bound = answer.bound.max(known);
        if chain_matters && !by_prices && !self.closed(kind, &answer) {
            chain::search(self, kind, caps, &mut answer, nodes)?;
        }
        Ok(self.settled(kind, answer))
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
        // A placement that was evaluated in integers outweighs a solver that finds none.
        answer.infeasible &= answer.best.is_none();
        Ok(self.settled(kind, answer))
    }
}
