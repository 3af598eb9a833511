//! Moving weighed against what it gains, over so many tokens.
//!
//! ```text
//! total(p) = tokens x decode_latency(p) + moved bytes(p) / bandwidth of the slowest link
//! ```
//!
//! The planner minimises one thing at a time, so the two are traded by caps on the bytes: with at most `b` bytes moved
//! no placement is faster than the bound of that question, which makes `tokens x bound + a / bandwidth` a lower bound
//! for every placement that moves more than `a` and at most `b`; where devices take turns, what `b` bytes can gain at
//! most bounds it too (`floor.rs`). Stretches whose bound is below the best total are halved until none is left, or
//! enough was asked.

use super::floor::Floor;
use super::rebalance::{MIGRATION, Next};
use crate::error::Error;
use crate::plan::{Given, Options, Solved};
use crate::problem::{ObjectiveKind, ObjectiveValue, Placement, Problem};
use crate::scenario::Scenario;
use crate::sweep::{Found, answer_given};

/// Questions that are asked at most.
const ASKED_MAX: usize = 24;

/// A total within this part of the best one is as good: a thousandth.
const GAP_PARTS: u128 = 1000;

/// What moving and running take together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Tokens that are weighed.
    pub tokens: u64,
    /// What the placement takes for them, moving included, in picoseconds.
    pub total_ps: u64,
    /// No placement takes less.
    pub bound_ps: u64,
    /// What moving takes of it.
    pub moving_ps: u64,
    /// Bytes per second of the slowest link.
    pub bytes_per_second: u64,
}

/// Placements that move more than `after` bytes and at most `most`: none is below `bound`.
struct Stretch {
    after: u64,
    most: u64,
    latency_bound_ps: u64,
}

/// The placement with the least total.
pub(super) fn weigh(
    mut scenario: Scenario,
    mut problem: Problem,
    tokens: u64,
    options: &Options,
) -> Result<Next, Error> {
    let rate = slowest(&scenario)?;
    let law = Law { tokens, rate, floor: Floor::of(&problem) };
    let mut weighed = match Weighed::begin(&mut problem, law, options)? {
        Ok(weighed) => weighed,
        Err(found) => {
            return Ok(Next { scenario, problem, found, horizon: None, least_bytes: None });
        }
    };
    weighed.narrow(&mut problem, options)?;
    // The best of them once more, as the answer to a question that its record can state.
    let most = weighed.best().bytes;
    scenario.limits.moved_bytes_max = Some(most);
    problem.moved_bytes_max = Some(most);
    let found = answer_given(&problem, options, &Given { held: &[], starts: &weighed.starts })?;
    let horizon = match &found {
        Found::Placed(solved, _) => Some(weighed.horizon(&point(solved))),
        Found::Infeasible(_) | Found::Unknown(_) => None,
    };
    Ok(Next { scenario, problem, found, horizon, least_bytes: None })
}

/// What is known of placements so far.
struct Weighed {
    law: Law,
    points: Vec<Point>,
    starts: Vec<Placement>,
    stretches: Vec<Stretch>,
    /// No placement outside of the stretches takes less.
    closed: u128,
    asked: usize,
}

impl Weighed {
    /// The placement that moves least, and the fastest; what came of the question where there is none.
    fn begin(
        problem: &mut Problem,
        law: Law,
        options: &Options,
    ) -> Result<Result<Self, Found>, Error> {
        let time = problem.objectives.clone();
        problem.objectives = [MIGRATION].into_iter().chain(time.iter().copied().take(1)).collect();
        let first = answer_given(problem, options, &Given::default())?;
        problem.objectives = time;
        let Found::Placed(least, _) = &first else { return Ok(Err(first)) };
        let unlimited = answer_given(problem, options, &Given::default())?;
        let Found::Placed(fastest, _) = &unlimited else { return Ok(Err(unlimited)) };
        let points = vec![point(least), point(fastest)];
        let [after, most] = [points[0].bytes, points[1].bytes.max(points[0].bytes)];
        // What moves the fewest bytes, and what moves more than the fastest.
        let floor = law.floor.as_ref().map_or(0, |floor| floor.at(after));
        let still = law.total(latency_bound(least).max(floor), points[0].bytes_bound);
        let beyond = law.total(latency_bound(fastest), most);
        Ok(Ok(Self {
            law,
            points,
            starts: vec![least.placement.clone(), fastest.placement.clone()],
            stretches: vec![Stretch { after, most, latency_bound_ps: latency_bound(fastest) }],
            closed: still.min(beyond),
            asked: 2,
        }))
    }

    /// Halves stretches in which something better could be.
    fn narrow(&mut self, problem: &mut Problem, options: &Options) -> Result<(), Error> {
        while let Some(next) = self.law.worst(&self.stretches, &self.points) {
            let stretch = self.stretches.swap_remove(next);
            let middle = stretch.after + (stretch.most - stretch.after) / 2;
            let mut found = None;
            if self.asked < ASKED_MAX && middle > stretch.after {
                problem.moved_bytes_max = Some(middle);
                let given = Given { held: &[], starts: &self.starts };
                found = Some(answer_given(problem, options, &given)?);
                self.asked += 1;
            }
            let Some(Found::Placed(solved, _)) = &found else {
                self.closed = self.closed.min(self.law.lowest(&stretch));
                continue;
            };
            let latency_bound_ps = latency_bound(solved);
            self.stretches.push(Stretch { after: stretch.after, most: middle, latency_bound_ps });
            self.stretches.push(Stretch { after: middle, ..stretch });
            self.points.push(point(solved));
            self.starts.push(solved.placement.clone());
        }
        Ok(())
    }

    fn best(&self) -> Point {
        let best = self.points.iter().min_by_key(|point| self.law.of(point));
        best.copied().unwrap_or_default()
    }

    fn horizon(&self, best: &Point) -> Horizon {
        let small = |ps: u128| u64::try_from(ps).unwrap_or(u64::MAX);
        let rest = self.stretches.iter().map(|stretch| self.law.lowest(stretch)).min();
        let total = self.law.of(best);
        Horizon {
            tokens: self.law.tokens,
            total_ps: small(total),
            bound_ps: small(self.closed.min(rest.unwrap_or(u128::MAX)).min(total)),
            moving_ps: small(self.law.total(0, best.bytes)),
            bytes_per_second: self.law.rate,
        }
    }
}

/// A placement, as far as it is weighed.
#[derive(Clone, Copy, Default)]
struct Point {
    latency_ps: u64,
    bytes: u64,
    bytes_bound: u64,
}

struct Law {
    tokens: u64,
    rate: u64,
    floor: Option<Floor>,
}

impl Law {
    fn total(&self, latency_ps: u64, bytes: u64) -> u128 {
        let moving = u128::from(bytes) * 1_000_000_000_000 / u128::from(self.rate);
        u128::from(self.tokens) * u128::from(latency_ps) + moving
    }

    /// No placement of the stretch takes less: piece by piece, because what a step takes at least falls with the bytes
    /// that have moved.
    fn lowest(&self, stretch: &Stretch) -> u128 {
        const PIECES: u64 = 64;
        let Stretch { after, most, latency_bound_ps } = *stretch;
        let Some(floor) = &self.floor else { return self.total(latency_bound_ps, after) };
        let at = |piece: u64| {
            let part = u128::from(most - after) * u128::from(piece) / u128::from(PIECES);
            after.saturating_add(u64::try_from(part).unwrap_or(u64::MAX))
        };
        let pieces = (0..PIECES).map(|piece| {
            let least = latency_bound_ps.max(floor.at(at(piece + 1)));
            self.total(least, at(piece))
        });
        pieces.min().unwrap_or(0)
    }

    fn of(&self, point: &Point) -> u128 {
        self.total(point.latency_ps, point.bytes)
    }

    /// The stretch with the lowest bound, if that is worth asking.
    fn worst(&self, stretches: &[Stretch], points: &[Point]) -> Option<usize> {
        let best = points.iter().map(|point| self.of(point)).min()?;
        let enough = best - best / GAP_PARTS;
        let bounds = stretches.iter().map(|stretch| self.lowest(stretch));
        let (index, bound) = bounds.enumerate().min_by_key(|(_, bound)| *bound)?;
        (bound < enough).then_some(index)
    }
}

/// What a solved placement takes, by the stages it was solved for.
fn point(solved: &Solved) -> Point {
    let stage = |kind| solved.stages.iter().find(|stage| stage.kind == kind);
    let number = |value| match value {
        ObjectiveValue::Bytes(number)
        | ObjectiveValue::Time(number)
        | ObjectiveValue::Count(number) => number,
        ObjectiveValue::Ratio(_) => 0,
    };
    let migration = stage(ObjectiveKind::Migration);
    Point {
        latency_ps: stage(ObjectiveKind::DecodeLatency).map_or(0, |stage| number(stage.value)),
        bytes: migration.map_or(0, |stage| number(stage.value)),
        bytes_bound: migration.map_or(0, |stage| number(stage.bound)),
    }
}

/// What was proven of the time, under the cap on bytes.
fn latency_bound(solved: &Solved) -> u64 {
    let stage = solved.stages.iter().find(|stage| stage.kind == ObjectiveKind::DecodeLatency);
    match stage.map(|stage| stage.bound) {
        Some(ObjectiveValue::Time(ps)) => ps,
        _ => 0,
    }
}

/// Bytes per second of the slowest link of the machine.
fn slowest(scenario: &Scenario) -> Result<u64, Error> {
    let hardware = &scenario.hardware;
    let count = hardware.devices.len();
    let mut slowest = u64::MAX;
    for a in 0..count {
        for b in a + 1..count {
            slowest = slowest.min(hardware.link(a, b)?.bytes_per_second);
        }
    }
    Ok(slowest.max(1))
}
