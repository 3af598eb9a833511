//! The objectives of time: placements that take the least, with bounds.
//!
//! An expected maximum is no sum of terms, so there is no program to state. What there is instead: a layer
//! with a given home can be dealt out in a few ways that differ in memory, and of those with the same
//! memory one is quickest ([`menu`]); at given prices for memory the best way for every layer, and from home
//! to home, is found exactly ([`prices`]), which bounds every placement from below; and a search layer by
//! layer, which the same prices guide, finds what fits and ends with a proof where nothing had to be
//! dropped ([`labels`]).
//!
//! Traffic between matrices of experts is no sum of terms either, and is minimised in the same way
//! ([`transfers`]).

mod below;
mod field;
mod floors;
mod labels;
mod matrices;
mod mend;
mod menu;
mod named;
mod prices;
mod quick;
mod transfers;
mod tries;

use rayon::prelude::*;

use super::caps::Caps;
use super::search::{Candidate, Search, StageAnswer};
use super::solver::Backend;
use super::trace::Method;
use super::value;
use crate::error::Error;
use crate::objective::{law, times_ps};
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem, Timing};
use field::Field;
use labels::{Ask, Width};
use prices::{Menus, Priced};
use transfers::timing_of;

pub(super) use transfers::is_by_layer;

/// Widths of the search, each tried where the one before left a gap and the budget allows.
const WIDTHS: [Width; 5] = [
    Width { labels: 24, entries: 10 },
    Width { labels: 200, entries: 30 },
    Width { labels: 1_000, entries: 60 },
    Width { labels: 6_000, entries: 200 },
    Width { labels: 60_000, entries: 1_000 },
];

/// Steps of a search, each a layer put on top of a label, that count as much as a node of a program: at the
/// usual limit they add up to about a second.
const STEPS_PER_NODE: u64 = 150;

/// Nodes of programs to find something that fits.
const NODES_FITTING: u64 = 2_000;

/// Times that weights of sets of statistics are shifted.
const ROUNDS: usize = 6;

/// What a stage knows on its way.
struct Stage<'a> {
    field: Field<'a>,
    menus: Menus,
    /// How much each set of statistics counts; they sum to one.
    weights: &'a [f64],
    kind: ObjectiveKind,
    caps: &'a Caps,
    /// A time to be reached, if that is what is asked.
    reach: Option<u64>,
}

impl<B: Backend> Search<'_, B> {
    /// Minimises a time under `caps`, starting from `best`, which satisfies them.
    pub(super) fn minimise_time(
        &mut self,
        kind: ObjectiveKind,
        caps: &Caps,
        answer: StageAnswer,
    ) -> Result<StageAnswer, Error> {
        let Some(timing) = timing_of(self.problem, kind) else {
            return Err(Error::new("minimise the time")
                .object(kind.name())
                .expected("speeds of devices and links")
                .found("none")
                .hint("give them in --hardware FILE"));
        };
        let begun = self.begin(Method::Layers, 0);
        let sets = timing.draws.len();
        let mut weights = equal(sets);
        let mut answer = self.begun(caps, answer)?;
        if answer.infeasible {
            return Ok(answer);
        }
        for round in 0..if sets > 1 { ROUNDS } else { 1 } {
            answer = self.weighed(kind, caps, &timing, &weights, answer, None);
            if answer.infeasible || self.closed(kind, &answer) {
                break;
            }
            self.shift(&timing, &answer, &mut weights, round);
        }
        answer = self.settled(kind, answer);
        self.note(begun, kind, &answer);
        Ok(answer)
    }

    /// With something that fits to begin with, where nothing is known: whether there is anything is a matter of
    /// bytes alone.
    fn begun(&mut self, caps: &Caps, mut answer: StageAnswer) -> Result<StageAnswer, Error> {
        if answer.best.is_none() {
            let trace = std::mem::take(&mut self.trace);
            let peak = ObjectiveKind::PeakUtilization;
            let fitting = self.attempt(peak, caps, None, self.node_limit.min(NODES_FITTING));
            self.trace = trace;
            let fitting = fitting?;
            answer.infeasible = fitting.infeasible;
            answer.best = fitting.best;
        }
        Ok(answer)
    }

    /// More weight to the sets of statistics under which the best placement takes longer.
    fn shift(&self, timing: &Timing, answer: &StageAnswer, weights: &mut [f64], round: usize) {
        let Some(best) = &answer.best else { return };
        let placement = best.assignment.placement(self.problem, self.classes);
        let times = times_ps(self.problem, timing, &placement);
        let worst = times.iter().max().copied().unwrap_or(0);
        let step = 0.5 / count(round + 1);
        for (weight, &ps) in weights.iter_mut().zip(&times) {
            if ps == worst {
                *weight += step;
            }
        }
        let sum: f64 = weights.iter().sum();
        for weight in weights {
            *weight /= sum;
        }
    }

    /// The same where each set of statistics counts so much. With `reach` it ends as soon as something is
    /// found that takes no longer, or nothing can.
    pub(super) fn weighed(
        &mut self,
        kind: ObjectiveKind,
        caps: &Caps,
        timing: &Timing,
        weights: &[f64],
        mut answer: StageAnswer,
        reach: Option<u64>,
    ) -> StageAnswer {
        let field = Field::of(self.problem, self.classes, timing, caps);
        let menus = field.kinds.par_iter().map(|kind| menu::menus(&field, kind, weights));
        let stage = Stage { menus: menus.collect(), weights, field, kind, caps, reach };
        let Some(mut priced) =
            prices::ascend(&stage.field, &stage.menus, target_units(&stage, &answer))
        else {
            answer.infeasible = answer.best.is_none();
            return answer;
        };
        self.lift(&stage, &mut answer, priced.bound);
        let mut budget = self.node_limit.saturating_mul(STEPS_PER_NODE);
        for width in WIDTHS {
            if self.settled_for(&stage, &answer) || budget == 0 || self.out_of_time() {
                break;
            }
            let spent = self.build(&stage, &priced, width, budget, &mut answer);
            budget = budget.saturating_sub(spent);
            self.mend(&stage, &mut answer);
            if self.settled_for(&stage, &answer) {
                break;
            }
            // A better target makes for better prices.
            let target = target_units(&stage, &answer);
            let better = prices::ascend(&stage.field, &stage.menus, target);
            if let Some(better) = better.filter(|better| better.bound > priced.bound) {
                priced = better;
                self.lift(&stage, &mut answer, priced.bound);
            }
        }
        answer
    }

    /// Searches layer by layer, and keeps what is better and what is proven.
    fn build(
        &mut self,
        stage: &Stage<'_>,
        priced: &Priced,
        width: Width,
        budget: u64,
        answer: &mut StageAnswer,
    ) -> u64 {
        let known = known_units(stage.kind, answer);
        let most = known.map_or(f64::INFINITY, |known| self.better_than(stage.kind, known));
        let most = stage.reach.map_or(most, |reach| self.beyond(stage.kind, reach));
        let Stage { field, menus, weights, .. } = stage;
        let ask = Ask { prices: &priced.prices, weights, most, width, budget };
        let found = labels::search(field, menus, &ask);
        self.nodes += found.steps / STEPS_PER_NODE;
        for assignment in found.assignments {
            self.keep(stage.kind, stage.caps, assignment, &mut answer.best);
        }
        if stage.complete() {
            self.lift(stage, answer, found.dropped.min(most).min(found.least));
        }
        let nothing = stage.complete() && most.is_infinite() && found.dropped.is_infinite();
        answer.infeasible |= nothing && found.least.is_infinite() && answer.best.is_none();
        found.steps.max(1)
    }

    /// Whether the stage need not go on.
    fn settled_for(&self, stage: &Stage<'_>, answer: &StageAnswer) -> bool {
        let Some(reach) = stage.reach else { return self.closed(stage.kind, answer) };
        answer.best.is_some() || answer.bound > self.amount(stage.kind, reach)
    }

    /// So many units of an objective.
    fn amount(&self, kind: ObjectiveKind, units: u64) -> ObjectiveValue {
        law(kind).unit().value(self.problem, units)
    }

    /// Notes a bound, rounded against us: sums of numbers as large as these are exact to far less.
    fn lift(&self, stage: &Stage<'_>, answer: &mut StageAnswer, bound: f64) {
        if !bound.is_finite() {
            return;
        }
        let proven = if is_time(stage.kind) {
            self.amount(stage.kind, value::floor(bound - 1.0 - bound.abs() * 1e-9))
        } else {
            value::bound(self.problem, stage.kind, Some(bound))
        };
        answer.bound = answer.bound.max(proven);
    }

    /// Above what is to be reached, by more than a bound is rounded down.
    fn beyond(&self, kind: ObjectiveKind, reach: u64) -> f64 {
        if is_time(kind) {
            return float(reach) * (1.0 + 3e-9) + 3.0;
        }
        float(reach) + float(value::step(self.problem, kind)) / 2.0
    }

    /// Below this much something is better than what is known by more than is asked for.
    fn better_than(&self, kind: ObjectiveKind, known: f64) -> f64 {
        let gap = law(kind).gap(self.problem).as_f64();
        let step = if is_time(kind) { 0.0 } else { float(value::step(self.problem, kind)) };
        known - (known * gap / 2.0).max(step / 2.0)
    }
}

impl Stage<'_> {
    fn complete(&self) -> bool {
        self.menus.iter().flatten().flatten().all(|menu| menu.complete)
    }
}

/// What prices are to bring the bound up to.
fn target_units(stage: &Stage<'_>, answer: &StageAnswer) -> Option<f64> {
    stage.reach.map(|reach| float(reach) * 1.001).or(known_units(stage.kind, answer))
}

/// The best known value.
fn known_units(kind: ObjectiveKind, answer: &StageAnswer) -> Option<f64> {
    let best: &Candidate = answer.best.as_ref()?;
    Some(float(best.cost.units(kind)))
}

/// Whether an objective is a time.
fn is_time(kind: ObjectiveKind) -> bool {
    matches!(kind, ObjectiveKind::DecodeLatency | ObjectiveKind::PrefillTime)
}

/// What is minimised layer by layer and a later stage must keep to, if anything: the first of them.
pub(super) fn capped(problem: &Problem, caps: &Caps) -> Option<(ObjectiveKind, u64)> {
    let kinds = [ObjectiveKind::DecodeLatency, ObjectiveKind::PrefillTime, ObjectiveKind::Traffic];
    let mut kinds = kinds.into_iter().filter(|&kind| is_by_layer(problem, kind));
    kinds.find_map(|kind| Some((kind, caps.most(kind)?)))
}

fn equal(sets: usize) -> Vec<f64> {
    vec![1.0 / count(sets.max(1)); sets]
}

#[expect(
    clippy::cast_precision_loss,
    reason = "bounds are rounded against us, results evaluated exactly"
)]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "bounds are rounded against us, results evaluated exactly"
)]
pub(super) fn count(number: usize) -> f64 {
    number as f64
}
