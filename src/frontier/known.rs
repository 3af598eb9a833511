//! What all answers together prove, and what to ask next.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::ask::Reply;
use super::{Frontier, Point, closes};
use crate::objective::law;
use crate::plan::{LimitReached, StageReport};
use crate::problem::{ObjectiveKind, Placement, Problem, Sends};
use crate::units::{Ratio, greatest_common_divisor};

/// Where sends are per device, chances are rounded up at a billionth each, and amounts of traffic closer
/// than this many billionths are not told apart.
const UNITS_APART: u64 = 1_000;

/// Peaks that are asked about are whole numbers of these parts of a capacity.
const PEAK_PARTS: u64 = 1_000_000_000;

/// The most questions for every point that is wanted.
const SOLVES_PER_POINT: u64 = 3;

/// A point, and what its question proved. Both bounds hold whatever the question's limit was: what exceeds
/// the limit is worse than the point anyway.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) point: Point,
    /// Nothing with at most `peak_bound_to` units of traffic has a lower peak.
    pub(super) peak_bound: Ratio,
    pub(super) peak_bound_to: u64,
    /// Nothing with a peak of at most `units_bound_to` has fewer units of traffic.
    pub(super) units_bound: u64,
    pub(super) units_bound_to: Ratio,
    pub(super) nodes: u64,
    pub(super) limit: Option<LimitReached>,
}

impl Answer {
    fn units(&self) -> u64 {
        self.point.placed.measured.traffic.units
    }
}

/// Peaks between two neighbours that no question has been about, in [`PEAK_PARTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    /// All up to here have been, from the right neighbour on.
    above: u64,
    /// Just so far below the left neighbour's peak that what takes more traffic than it has proves it.
    top: u64,
    /// How often the left neighbour was found, with a lower peak every time.
    found: usize,
    /// How far apart the neighbours are, both objectives taken as shares of what lies between the ends.
    width: u64,
}

/// All answers so far.
#[derive(Debug)]
pub(super) struct Known<'a> {
    problem: &'a Problem,
    /// All traffic is a multiple of this many units.
    grid: u64,
    /// Amounts of traffic that are told apart differ by this many units at least.
    step: u64,
    /// Limits on the peak that were asked about, in [`PEAK_PARTS`].
    asked: BTreeSet<u64>,
    answers: Vec<Answer>,
    /// What stopped a question that found nothing.
    failed: Option<LimitReached>,
    solves: u64,
}

impl<'a> Known<'a> {
    pub(super) fn new(problem: &'a Problem) -> Self {
        let grid = grid(problem);
        let step = match problem.sends {
            Sends::PerExpert => grid,
            Sends::PerDevice { .. } => UNITS_APART,
        };
        let (asked, answers) = (BTreeSet::new(), Vec::new());
        Self { problem, grid, step, asked, answers, failed: None, solves: 0 }
    }

    pub(super) fn add(&mut self, answer: Answer) {
        self.solves += 1;
        self.answers.push(answer);
    }

    /// All placements found so far.
    pub(super) fn placements(&self) -> Vec<Placement> {
        self.answers.iter().map(|answer| answer.point.placed.placement.clone()).collect()
    }

    /// What came of a limit that [`Self::next`] said to ask about.
    pub(super) fn learn(&mut self, peak: Ratio, reply: Reply) {
        self.asked.insert(peak.floor_of(PEAK_PARTS));
        match reply {
            Reply::Answer(answer) => self.add(*answer),
            Reply::Nothing(limit) => {
                self.solves += 1;
                self.failed = self.failed.or(Some(limit));
            }
        }
    }

    /// Proven: nothing with at most so much traffic has a lower peak. By the answers about as much traffic
    /// and more; and by those that prove that their own peak takes more traffic than this.
    fn peak_bound(&self, units: u64) -> Ratio {
        let direct = self.answers.iter().filter(|a| a.peak_bound_to >= units);
        let turned = self.answers.iter().filter(|a| a.units_bound > units);
        let bounds = direct.map(|a| a.peak_bound).chain(turned.map(|a| a.units_bound_to));
        bounds.max().unwrap_or(Ratio::ZERO)
    }

    /// Proven: nothing with at most this peak has fewer units of traffic, likewise.
    fn units_bound(&self, peak: Ratio) -> u64 {
        let next = |units: u64| (units / self.grid).saturating_add(1).saturating_mul(self.grid);
        let direct = self.answers.iter().filter(|a| a.units_bound_to >= peak);
        let turned = self.answers.iter().filter(|a| a.peak_bound > peak);
        let bounds = direct.map(|a| a.units_bound).chain(turned.map(|a| next(a.peak_bound_to)));
        bounds.max().unwrap_or(0)
    }

    fn at_best(&self, peak: Ratio, bound: Ratio) -> bool {
        closes(self.problem, ObjectiveKind::PeakUtilization, peak, bound)
    }

    /// What is not beaten, traffic rising; without what is better than its left neighbour only within the
    /// gap at which that counts as proven.
    fn front(&self) -> Vec<&Answer> {
        let mut sorted: Vec<&Answer> = self.answers.iter().collect();
        sorted.sort_by(|a, b| {
            a.units().cmp(&b.units()).then_with(|| a.point.peak.cmp(&b.point.peak))
        });
        let mut front: Vec<&Answer> = Vec::new();
        for answer in sorted {
            let better = front.last().is_none_or(|last| {
                let bound = self.peak_bound(answer.units());
                answer.point.peak < last.point.peak && !self.at_best(last.point.peak, bound)
            });
            if better {
                front.push(answer);
            }
        }
        front
    }

    /// The most traffic that is less than that of `next`, as far as told apart.
    fn below(&self, next: &Answer) -> u64 {
        next.units().saturating_sub(self.step)
    }

    /// What lies between neighbours and is neither proven to hold nothing nor asked about; with `prove`
    /// only where the left neighbour itself is not proven.
    fn open(&self, front: &[&Answer], prove: bool) -> Vec<Range> {
        let [Some(first), Some(last)] = [front.first(), front.last()] else { return Vec::new() };
        let parts = |answer: &Answer| answer.point.peak.floor_of(PEAK_PARTS);
        let share = |part: u64, whole: u64| Ratio::new(part, whole).floor_of(PEAK_PARTS);
        let between = |pair: &[&Answer]| {
            let (left, right) = (pair[0], pair[1]);
            let to = if prove { left.units() } else { self.below(right) };
            if self.at_best(left.point.peak, self.peak_bound(to)) {
                return None;
            }
            let gap = law(ObjectiveKind::PeakUtilization).gap(self.problem);
            let top = parts(left) - gap.floor_of(parts(left)) + 1;
            if parts(right) >= top {
                return None;
            }
            let asked = self.asked.range(parts(right)..=top).next_back().copied();
            let above = asked.unwrap_or(parts(right));
            let same = |answer: &&Answer| answer.units() == left.units();
            let found = self.answers.iter().filter(same).count();
            let traffic = share(right.units() - left.units(), last.units() - first.units());
            let peak = share(parts(left) - parts(right), parts(first) - parts(last));
            (above < top).then_some(Range { above, top, found, width: traffic + peak })
        };
        front.windows(2).filter_map(between).collect()
    }

    /// Limits on the peak to ask about next, at once: nothing when all is known, or all is proven of
    /// `points_max` points, or too much was asked already.
    ///
    /// Where the traffic between the ends has room for more points than that, peaks evenly spread between
    /// them come first. After that every gap, the widest first, is asked just below the peak of its left
    /// neighbour: if that takes more traffic, the neighbour is proven and its successor found. If it does
    /// not, the neighbour was not at its best; once it was, the middle of what is left is tried as well.
    pub(super) fn next(&self, points_max: usize) -> Vec<Ratio> {
        let front = self.front();
        let room = points_max.saturating_sub(front.len());
        let budget = u64::try_from(points_max).unwrap_or(u64::MAX).saturating_mul(SOLVES_PER_POINT);
        if self.solves >= budget {
            return Vec::new();
        }
        let mut ranges = self.open(&front, room == 0);
        let limit = |parts| Ratio::new(parts, PEAK_PARTS);
        if let ([range], true) = (ranges.as_slice(), self.asked.is_empty()) {
            let levels =
                front.windows(2).map(|pair| self.below(pair[1]).saturating_sub(pair[0].units()));
            let levels = levels.sum::<u64>() / self.step;
            let questions = u64::try_from(room).unwrap_or(u64::MAX);
            if levels > questions && questions > 0 {
                let (from, to) = (range.above, range.top);
                let at = |i| Ratio::new(i, questions + 1).floor_of(to - from) + from;
                return (1..=questions).rev().map(at).map(limit).collect();
            }
        }
        ranges.sort_by_key(|range| (Reverse(range.width), Reverse(range.top)));
        if room > 0 {
            ranges.truncate(room);
        }
        let middle = |range: &Range| range.above + (range.top - range.above).div_ceil(2);
        let at =
            |range: &Range| if range.found.is_multiple_of(2) { middle(range) } else { range.top };
        ranges.iter().map(at).map(limit).collect()
    }

    /// All of it as the caller gets it.
    pub(super) fn frontier(
        &self,
        points_max: usize,
        spill: Option<StageReport>,
        solver: &'static str,
    ) -> Frontier {
        let mut front = self.front();
        let all = front.len();
        thin(&mut front, points_max);
        let more = all > front.len() || !self.open(&front, false).is_empty();
        let mut points = Vec::new();
        for (index, answer) in front.iter().enumerate() {
            let right = front.get(index + 1).map_or(u64::MAX, |next| self.below(next));
            let mut point = answer.point.clone();
            let units_bound = self.units_bound(point.peak).min(answer.units());
            point.traffic_bound = Ratio::new(units_bound, self.problem.traffic_denominator);
            point.peak_bound = self.peak_bound(answer.units()).min(point.peak);
            point.step_bound = self.peak_bound(right.max(answer.units())).min(point.peak);
            let traffic =
                closes(self.problem, ObjectiveKind::Traffic, point.traffic, point.traffic_bound);
            point.proven = traffic && self.at_best(point.peak, point.peak_bound);
            points.push(point);
        }
        let exact = |point: &Point| point.proven && self.at_best(point.peak, point.step_bound);
        let exact_spill = spill.as_ref().is_none_or(|stage| stage.proven);
        let complete = exact_spill && points.iter().all(exact);
        let stopped = self.answers.iter().find_map(|answer| answer.limit);
        Frontier {
            peak_lowest: self.answers.iter().map(|a| a.point.peak).min().unwrap_or(Ratio::ZERO),
            complete,
            more,
            limit: if complete { None } else { self.failed.or(stopped) },
            solves: self.solves + u64::from(spill.is_some()),
            nodes: self.answers.iter().map(|answer| answer.nodes).sum(),
            solver,
            spill,
            points,
        }
    }
}

/// A number of units that divides all traffic.
fn grid(problem: &Problem) -> u64 {
    match problem.sends {
        Sends::PerExpert => problem
            .components
            .iter()
            .filter(|c| c.demand.id.kind().is_feed_forward())
            .fold(problem.traffic_denominator, |grid, c| {
                greatest_common_divisor(grid, c.visits.saturating_mul(2))
            })
            .max(1),
        Sends::PerDevice { .. } => 1,
    }
}

/// Leaves out points until there are `most`: always the inner one whose neighbours are closest.
fn thin(front: &mut Vec<&Answer>, most: usize) {
    let [Some(first), Some(last)] = [front.first(), front.last()] else { return };
    let whole =
        (last.units() - first.units(), first.point.peak.as_f64() - last.point.peak.as_f64());
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    while front.len() > most.max(2) {
        let width = |index: usize| {
            let (left, right) = (front[index - 1], front[index + 1]);
            let traffic = Ratio::new(right.units() - left.units(), whole.0).as_f64();
            traffic + share(left.point.peak.as_f64() - right.point.peak.as_f64(), whole.1)
        };
        let closest = (1..front.len() - 1).min_by(|&a, &b| width(a).total_cmp(&width(b)));
        let Some(closest) = closest else { return };
        front.remove(closest);
    }
}
