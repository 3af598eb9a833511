//! How each stage was closed, step by step: what was tried, why, and what it left.

use super::bounds::Bound;
use super::outcome::StageReport;
use super::search::{Search, StageAnswer};
use super::solver::Backend;
use super::value;
use crate::problem::{ObjectiveKind, ObjectiveValue};

/// One way to improve a placement or its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The placement of the stage before.
    Carried,
    /// Layers dealt to devices by their capacity, experts filled in greedily.
    Seed,
    /// A placement known before planning.
    Start,
    /// The program that counts identical things and forgets the order of layers, and placements built
    /// from its point.
    Relaxation,
    /// The interval of a peak, or of what is spilled, halved by asking at prices whether everything fits below.
    Levels,
    /// Prices on items, walks and counts of homes added up exactly: where there are many devices.
    Prices,
    /// Orders of layers one after the other, cheapest first, and prices where these leave a gap: where there
    /// are few devices.
    Walks,
    /// Ways to deal out each layer, priced by their memory, and placements built layer by layer: for times.
    Layers,
    /// The program with one binary per unit and device.
    Textbook,
    /// Where attention is replicated: a shortest path over partitions without names.
    Partitions,
    /// The same over divisions among devices with names, with memory where that binds.
    Labels,
    /// Layers divided anew, one after the other, from several starts.
    Descent,
    /// Experts exchanged for room.
    Exchanges,
}

/// What one method came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was tried.
    pub method: Method,
    /// Nodes that each of its programs might use; 0 for what solves none.
    pub node_limit: u64,
    /// Branch-and-bound nodes it used.
    pub nodes: u64,
    /// Integer programs it solved.
    pub programs: u64,
    /// The best placement known after it.
    pub best: Option<ObjectiveValue>,
    /// What is proven after it: nothing under the stage's caps is below.
    pub bound: ObjectiveValue,
    /// Whether the two are within the objective's gap.
    pub closed: bool,
}

/// One stage: what was known before it searched, and its steps in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageTrace {
    /// What was minimised.
    pub kind: ObjectiveKind,
    /// Whether it is an earlier objective minimised once more, with the later ones held where they were.
    pub again: bool,
    /// Bounds that take no search, under the stage's caps; the highest of an objective counts.
    pub bounds: Vec<Bound>,
    /// What was tried, in order.
    pub steps: Vec<Step>,
}

impl StageTrace {
    /// The first step that left no gap; `None` when a limit ended the stage.
    pub fn closed_by(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.closed)
    }

    /// The step that found the stage's optimum.
    pub fn found_by(&self, stage: &StageReport) -> Option<&Step> {
        self.steps.iter().find(|step| step.best.is_some_and(|best| best <= stage.optimum))
    }

    /// Branch-and-bound nodes of all steps.
    pub fn nodes(&self) -> u64 {
        self.steps.iter().map(|step| step.nodes).sum()
    }
}

/// A step begun: what had been spent before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    method: Method,
    node_limit: u64,
    nodes: u64,
    programs: u64,
}

impl<B: Backend> Search<'_, B> {
    /// Remembers what had been spent before `method`.
    pub(super) fn begin(&self, method: Method, node_limit: u64) -> Begun {
        Begun { method, node_limit, nodes: self.nodes, programs: self.programs }
    }

    /// Notes what came of a step of the stage at hand.
    pub(super) fn note(&mut self, begun: Begun, kind: ObjectiveKind, answer: &StageAnswer) {
        let closed = self.closed(kind, answer);
        let best = answer.best.as_ref().map(|best| value::of(self.problem, &best.cost, kind));
        let step = Step {
            method: begun.method,
            node_limit: begun.node_limit,
            nodes: self.nodes - begun.nodes,
            programs: self.programs - begun.programs,
            bound: best.map_or(answer.bound, |best| answer.bound.min(best)),
            best,
            closed,
        };
        if let Some(stage) = self.trace.last_mut() {
            stage.steps.push(step);
        }
    }
}
