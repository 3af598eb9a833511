//! One stage: minimise one objective under the caps of the others, from both sides.

use super::chain::{Arrangement, Chain};
use super::labels::{self, Found, Goal};
use super::rooms::Rooms;
use super::{WORK_PER_NODE, Within, bound, descent, exchange, partitions, value_of};
use crate::plan::outcome::Options;
use crate::plan::search::Deadline;
use crate::plan::trace::{Method, StageTrace, Step};
use crate::plan::value;
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};
use crate::units::Ratio;

/// Halvings of the interval in which a peak is looked for, where that is not done exactly.
const HALVINGS: u32 = 16;

/// What a step of a path costs more where memory is a resource.
const MEMORY_WORK: u64 = 8;

/// The state of a run.
pub(super) struct Stages<'a> {
    pub(super) problem: &'a Problem,
    pub(super) chain: Chain,
    pub(super) rooms: Rooms,
    /// What is known before planning, whatever it is worth.
    pub(super) starts: Vec<Arrangement>,
    pub(super) trace: Vec<StageTrace>,
    work_max: u64,
    deadline: &'a Deadline,
}

/// What is known of a stage.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) best: Option<Arrangement>,
    pub(super) bound: ObjectiveValue,
    /// Proven: nothing is within the caps.
    pub(super) infeasible: bool,
}

impl<'a> Stages<'a> {
    pub(super) fn of(problem: &'a Problem, options: &Options, deadline: &'a Deadline) -> Self {
        let chain = Chain::of(problem);
        let rooms = Rooms::of(problem, &chain);
        let work_max = options.node_limit.saturating_mul(WORK_PER_NODE);
        Self { problem, chain, rooms, starts: Vec::new(), trace: Vec::new(), work_max, deadline }
    }

    pub(super) fn value(&self, kind: ObjectiveKind, arrangement: &Arrangement) -> ObjectiveValue {
        value_of(self.problem, &self.chain, &self.rooms, kind, arrangement)
    }

    /// Minimises `kind` within the caps, from `carried` if that is within them.
    pub(super) fn minimise(
        &mut self,
        kind: ObjectiveKind,
        within: &Within,
        carried: Option<Arrangement>,
    ) -> Answer {
        self.open(kind, false);
        let least = self.least(kind);
        let mut answer = Answer { best: None, bound: least, infeasible: false };
        let carried = carried.filter(|a| within.admits(&self.chain, &self.rooms, a));
        if carried.is_some() {
            self.offer(kind, &mut answer, carried);
            self.note(Method::Carried, kind, &answer);
        }
        for start in self.starts.clone() {
            let start = Some(start).filter(|a| within.admits(&self.chain, &self.rooms, a));
            self.offer(kind, &mut answer, start);
        }
        if self.closed(kind, &answer) {
            return answer;
        }
        let ranges = self.rooms.range(&self.chain);
        let pairs = || ranges.iter().zip(&within.device_bytes);
        if pairs().any(|([least, _], most)| least > most) {
            return Answer { infeasible: true, ..answer };
        }
        let memory = pairs().any(|([_, most_needed], most)| most_needed > most);
        match kind {
            ObjectiveKind::Crossings => self.crossings(within, memory, &mut answer),
            ObjectiveKind::PeakUtilization => self.peak(within, &mut answer),
            // Every arrangement has the same.
            _ => self.any(kind, within, memory, &mut answer),
        }
        answer
    }

    /// Improves `best` in `kind` within the caps.
    pub(super) fn again(
        &mut self,
        kind: ObjectiveKind,
        within: &Within,
        best: Arrangement,
    ) -> Option<Arrangement> {
        let answer = self.minimise(kind, within, Some(best));
        if let Some(stage) = self.trace.last_mut() {
            stage.again = true;
        }
        answer.best
    }

    /// What is known without a search.
    fn least(&self, kind: ObjectiveKind) -> ObjectiveValue {
        match kind {
            ObjectiveKind::Crossings => {
                value::transfers(self.problem, bound::crossing(&self.chain))
            }
            ObjectiveKind::PeakUtilization => {
                ObjectiveValue::Ratio(bound::peak(self.problem, &self.chain, &self.rooms))
            }
            _ => self.value(kind, &Arrangement::new()),
        }
    }

    fn crossings(&mut self, within: &Within, memory: bool, answer: &mut Answer) {
        let kind = ObjectiveKind::Crossings;
        if let Some(found) = partitions::shortest(&self.chain, self.work_max) {
            // Memory can only make it dearer.
            answer.bound = answer.bound.max(self.value(kind, &found));
            let found = Some(found).filter(|a| within.admits(&self.chain, &self.rooms, a));
            self.offer(kind, answer, found);
            self.note(Method::Partitions, kind, answer);
            if self.closed(kind, answer) {
                return;
            }
        }
        if self.exactly(kind, within, Goal::Crossings, memory, answer) {
            return;
        }
        self.search(kind, within, answer);
    }

    fn peak(&mut self, within: &Within, answer: &mut Answer) {
        let kind = ObjectiveKind::PeakUtilization;
        let capacities: Vec<u64> = self.problem.devices.iter().map(|d| d.capacity_bytes).collect();
        if self.exactly(kind, within, Goal::Peak(&capacities), true, answer) {
            return;
        }
        self.search(kind, within, answer);
        let Some(best) = &answer.best else { return };
        let (ObjectiveValue::Ratio(mut high), ObjectiveValue::Ratio(low)) =
            (self.value(kind, best), answer.bound)
        else {
            return;
        };
        let mut low = low;
        for _ in 0..HALVINGS {
            let Some(middle) = between(low, high).filter(|_| !self.deadline.is_over()) else {
                break;
            };
            let mut held = within.clone();
            held.hold(self.problem, kind, ObjectiveValue::Ratio(middle));
            let start = answer.best.clone().unwrap_or_default();
            let over = || self.deadline.is_over();
            match exchange::improve(&self.chain, &self.rooms, &held, start, &over) {
                Some(found) => {
                    self.offer(kind, answer, Some(found));
                    high = middle;
                }
                None => low = middle,
            }
        }
        self.note(Method::Exchanges, kind, answer);
    }

    /// Whatever is within the caps.
    fn any(&mut self, kind: ObjectiveKind, within: &Within, memory: bool, answer: &mut Answer) {
        self.search(kind, within, answer);
        if answer.best.is_none() {
            self.exactly(kind, within, Goal::Crossings, memory, answer);
        }
    }

    /// By labels; whether that settled it.
    fn exactly(
        &mut self,
        kind: ObjectiveKind,
        within: &Within,
        goal: Goal<'_>,
        memory: bool,
        answer: &mut Answer,
    ) -> bool {
        let free = self.chain.unpaired();
        let needless = kind != ObjectiveKind::Crossings && within.crossing.is_none();
        let chain = if needless { &free } else { &self.chain };
        // With memory a step is more than an addition.
        let work_max = if memory { self.work_max / MEMORY_WORK } else { self.work_max };
        match labels::best(chain, &self.rooms, within, goal, memory, work_max) {
            Found::Best(found) => {
                answer.bound = answer.bound.max(self.value(kind, &found));
                self.offer(kind, answer, Some(found));
            }
            Found::None if answer.best.is_none() => answer.infeasible = true,
            Found::None => {}
            Found::TooMany => return false,
        }
        self.note(Method::Labels, kind, answer);
        true
    }

    /// Descents from several starts, mended where memory binds.
    fn search(&mut self, kind: ObjectiveKind, within: &Within, answer: &mut Answer) {
        let over = || self.deadline.is_over();
        let Some(found) = descent::arrangements(&self.chain, &over) else {
            answer.infeasible = answer.best.is_none();
            return;
        };
        for arrangement in found {
            let fits = within.admits(&self.chain, &self.rooms, &arrangement);
            let arrangement = if fits {
                Some(arrangement)
            } else {
                exchange::improve(&self.chain, &self.rooms, within, arrangement, &over)
            };
            self.offer(kind, answer, arrangement);
        }
        self.note(Method::Descent, kind, answer);
    }

    /// Keeps what is better.
    fn offer(&self, kind: ObjectiveKind, answer: &mut Answer, found: Option<Arrangement>) {
        let Some(found) = found else { return };
        let better = |best: &Arrangement| self.value(kind, &found) < self.value(kind, best);
        if answer.best.as_ref().is_none_or(better) {
            answer.best = Some(found);
        }
    }

    fn closed(&self, kind: ObjectiveKind, answer: &Answer) -> bool {
        let best = answer.best.as_ref().map(|best| self.value(kind, best));
        best.is_some_and(|best| value::closes(self.problem, kind, best, answer.bound))
    }

    fn open(&mut self, kind: ObjectiveKind, again: bool) {
        self.trace.push(StageTrace { kind, again, bounds: Vec::new(), steps: Vec::new() });
    }

    fn note(&mut self, method: Method, kind: ObjectiveKind, answer: &Answer) {
        let best = answer.best.as_ref().map(|best| self.value(kind, best));
        let step = Step {
            method,
            node_limit: 0,
            nodes: 0,
            programs: 0,
            best,
            bound: best.map_or(answer.bound, |best| answer.bound.min(best)),
            closed: self.closed(kind, answer),
        };
        if let Some(stage) = self.trace.last_mut() {
            stage.steps.push(step);
        }
    }
}

/// A ratio about halfway, in millionths of the upper one; `None` when nothing is left between.
fn between(low: Ratio, high: Ratio) -> Option<Ratio> {
    let grid = 1_000_000_000;
    let (from, to) = (low.floor_of(grid), high.floor_of(grid));
    let middle = from + to.saturating_sub(from) / 2;
    (middle > from).then(|| Ratio::new(middle, grid))
}
