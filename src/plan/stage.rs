//! One stage: minimise one objective under the caps of the others, from both sides.
//!
//! The relaxation and what its point is good for usually meet. Where the order of the layers matters,
//! [`chain`] searches what is left between them. All of it is tried with a small budget first; only a stage
//! that it leaves open gets the whole.

use super::bounds;
use super::caps::Caps;
use super::chain;
use super::formulation::Goal;
use super::formulation::textbook::Textbook;
use super::level::Scale;
use super::outcome::Formulation;
use super::price;
use super::relax::NODES_PEAK_MANY;
use super::search::{Candidate, DEVICES_FEW, DEVICES_SEARCHED_MAX, Search, StageAnswer, gap};
use super::solver::Backend;
use super::time;
use super::trace::{Method, StageTrace};
use super::value;
use crate::error::Error;
use crate::problem::ObjectiveKind;

/// Binaries up to which the textbook program may finish what counting leaves open.
const BINARIES_MAX: usize = 128;

/// Nodes of a program on the first attempt at a stage.
const NODES_FIRST: u64 = 2_000;

/// The same when polishing on many devices, where a tree finds little that evening out does not.
const NODES_POLISH_MANY: u64 = 50;

impl<B: Backend> Search<'_, B> {
    /// Minimises `kind` under `caps`, starting from `incumbent` if it satisfies them.
    pub(super) fn minimise(
        &mut self,
        kind: ObjectiveKind,
        caps: &Caps,
        incumbent: Option<Candidate>,
    ) -> Result<StageAnswer, Error> {
        self.open(kind, caps, false);
        let incumbent = self.known(kind, caps, incumbent);
        if time::is_by_layer(self.problem, kind) {
            let answer = self.unsearched(kind, incumbent);
            return self.minimise_time(kind, caps, answer);
        }
        if self.formulation == Formulation::Textbook {
            return self.minimise_textbook(kind, caps, incumbent);
        }
        let first = self.attempt(kind, caps, incumbent, self.node_limit.min(NODES_FIRST))?;
        let first = self.by_name(kind, caps, first)?;
        let many = self.problem.devices.len() > DEVICES_SEARCHED_MAX;
        let exhausted = many
            && (kind == ObjectiveKind::PeakUtilization
                || self.prices_first(kind, first.best.as_ref()));
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

    /// Begins the record of a stage.
    fn open(&mut self, kind: ObjectiveKind, caps: &Caps, again: bool) {
        let bounds = bounds::bounds(self.problem, self.classes, kind, caps);
        self.trace.push(StageTrace { kind, again, bounds, steps: Vec::new() });
    }

    /// What is known of a stage without a search.
    fn unsearched(&self, kind: ObjectiveKind, best: Option<Candidate>) -> StageAnswer {
        let nothing = value::bound(self.problem, kind, None);
        let bounds = self.trace.last().filter(|stage| stage.kind == kind);
        let bounds = bounds.into_iter().flat_map(|stage| &stage.bounds).map(|bound| bound.value);
        StageAnswer { best, bound: bounds.fold(nothing, Ord::max), infeasible: false }
    }

    /// The best placement within the caps that takes no search: that of the stage before, else one that is
    /// filled in greedily; or one known before planning.
    fn known(
        &mut self,
        kind: ObjectiveKind,
        caps: &Caps,
        carried: Option<Candidate>,
    ) -> Option<Candidate> {
        let mut method = Method::Carried;
        let mut best = carried.filter(|candidate| candidate.cost.within(caps));
        if best.is_none() && self.formulation == Formulation::Counts {
            method = Method::Seed;
            best = self.seeded(kind, caps);
        }
        if let Some(start) = self.better_start(kind, caps, best.as_ref()) {
            method = Method::Start;
            best = Some(start);
        }
        let answer = self.unsearched(kind, best);
        if answer.best.is_some() {
            self.note(self.begin(method, 0), kind, &answer);
        }
        answer.best
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
        let matters = self.chain_matters(kind, caps);
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
        self.open(kind, caps, true);
        let incumbent = self.known(kind, caps, Some(incumbent.clone())).unwrap_or(incumbent);
        if time::is_by_layer(self.problem, kind) {
            let answer = self.unsearched(kind, Some(incumbent.clone()));
            let answer = self.minimise_time(kind, caps, answer)?;
            return Ok(answer.best.unwrap_or(incumbent));
        }
        if self.formulation == Formulation::Textbook {
            let answer = self.minimise_textbook(kind, caps, Some(incumbent.clone()))?;
            return Ok(answer.best.unwrap_or(incumbent));
        }
        let many = self.problem.devices.len() > DEVICES_SEARCHED_MAX;
        let nodes = self.node_limit.min(if many { NODES_POLISH_MANY } else { NODES_FIRST });
        let answer = self.attempt(kind, caps, Some(incumbent.clone()), nodes)?;
        Ok(answer.best.unwrap_or(incumbent))
    }

    /// Whether transfers of single parts are minimised or capped.
    fn chain_matters(&self, kind: ObjectiveKind, caps: &Caps) -> bool {
        let traffic = ObjectiveKind::Traffic;
        (kind == traffic || caps.most(traffic).is_some())
            && !time::is_by_layer(self.problem, traffic)
    }

    /// Whether prices are asked before programs: on many devices, where there is something to improve.
    fn prices_first(&self, kind: ObjectiveKind, best: Option<&Candidate>) -> bool {
        kind == ObjectiveKind::Traffic
            && best.is_some()
            && self.problem.devices.len() > DEVICES_FEW
            && price::apply(self.problem, self.classes)
    }

    /// The same with an end to the traffic there can be: every hand-over made, everything sent for. Walks
    /// are listed up to it where no placement is known that ends the list earlier.
    fn finite(&self, caps: &Caps) -> Caps {
        let mut finite = caps.clone();
        if self.classes.sends.is_none() {
            let layers = u64::try_from(self.classes.layers.len()).unwrap_or(u64::MAX);
            let hand_overs =
                layers.saturating_add(1).saturating_mul(self.problem.traffic_denominator);
            let items = self.classes.layers.iter().flat_map(|layer| &layer.items);
            let sends =
                items.map(|item| 2 * item.profile.visits).fold(hand_overs, u64::saturating_add);
            finite.tighten(ObjectiveKind::Traffic, sends);
        }
        finite
    }

    /// How orders of layers are searched here.
    fn orders(&self) -> Method {
        let many = self.problem.devices.len() > DEVICES_FEW;
        if many && price::apply(self.problem, self.classes) {
            Method::Prices
        } else {
            Method::Walks
        }
    }

    pub(super) fn attempt(
        &mut self,
        kind: ObjectiveKind,
        caps: &Caps,
        incumbent: Option<Candidate>,
        nodes: u64,
    ) -> Result<StageAnswer, Error> {
        let chain_matters = self.chain_matters(kind, caps);
        let mut answer = self.unsearched(kind, incumbent);
        let by_prices = self.prices_first(kind, answer.best.as_ref());
        if by_prices {
            // On many devices prices settle in milliseconds what the relaxation leaves open for seconds.
            let begun = self.begin(Method::Prices, nodes);
            chain::search(self, kind, caps, &mut answer, nodes)?;
            self.note(begun, kind, &answer);
            if self.closed(kind, &answer) || self.problem.devices.len() > DEVICES_SEARCHED_MAX {
                return Ok(self.settled(kind, answer));
            }
        }
        let known = answer.bound;
        let by_levels =
            Scale::of(kind).filter(|_| !chain_matters && price::values_room(self.classes));
        let quick =
            by_levels.is_some() && self.problem.devices.len() > DEVICES_FEW && nodes <= NODES_FIRST;
        let relaxing = if quick { nodes.min(NODES_PEAK_MANY) } else { nodes };
        let begun = self.begin(Method::Relaxation, relaxing);
        answer = self.relaxed(kind, caps, answer.best, relaxing)?;
        if answer.infeasible && answer.best.is_none() {
            return Ok(answer);
        }
        // A placement that was evaluated in integers outweighs a solver that finds none.
        answer.infeasible = false;
        answer.bound = answer.bound.max(known);
        self.note(begun, kind, &answer);
        if let Some(scale) = by_levels.filter(|_| !self.closed(kind, &answer)) {
            let begun = self.begin(Method::Levels, nodes);
            self.level(scale, caps, &mut answer)?;
            self.note(begun, kind, &answer);
        }
        if chain_matters && !by_prices && !self.closed(kind, &answer) {
            let begun = self.begin(self.orders(), nodes);
            let finite = answer.best.is_none().then(|| self.finite(caps));
            chain::search(self, kind, finite.as_ref().unwrap_or(caps), &mut answer, nodes)?;
            self.note(begun, kind, &answer);
        }
        if kind == ObjectiveKind::PeakUtilization
            && time::capped(self.problem, caps).is_some()
            && !self.closed(kind, &answer)
        {
            let begun = self.begin(Method::Layers, 0);
            self.peak_within_time(caps, &mut answer);
            self.note(begun, kind, &answer);
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
        let begun = self.begin(Method::Textbook, self.node_limit);
        let textbook = Textbook::state(self.problem, self.classes, caps, Goal::Objective(kind));
        let run = self.run(&textbook.program, gap(Goal::Objective(kind)), self.node_limit)?;
        let known = self.unsearched(kind, None).bound;
        let bound = value::bound(self.problem, kind, run.bound).max(known);
        let mut answer = StageAnswer { best: incumbent, bound, infeasible: run.infeasible };
        if let Some(assignment) = run.values.as_ref().and_then(|values| textbook.read(values)) {
            self.keep(kind, caps, assignment, &mut answer.best);
        }
        // A placement that was evaluated in integers outweighs a solver that finds none.
        answer.infeasible &= answer.best.is_none();
        self.note(begun, kind, &answer);
        Ok(self.settled(kind, answer))
    }
}
