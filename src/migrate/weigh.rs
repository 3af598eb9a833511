//! Moving weighed against what it gains, over so many tokens.
//!
//! ```text
//! total(p) = tokens x decode_latency(p) + moved bytes(p) / bandwidth of the slowest link
//! ```
//!
//! The planner minimises one thing at a time, so the two are traded by caps on the bytes: with at most `b` bytes moved
//! no placement is faster than the bound of that question, which makes `tokens x bound + a / bandwidth` a lower bound
//! for every placement that moves more than `a` and at most `b`. Stretches whose bound is below the best total are
//! halved until none is left, or enough was asked.

use super::rebalance::{MIGRATION, Next};
use crate::error::Error;
use crate::plan::{Given, Options, Solved};
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};
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
    scenario: Scenario,
    mut problem: Problem,
    tokens: u64,
    options: &Options,
) -> Result<Next, Error> {
    let rate = slowest(&scenario)?;
    let time = problem.objectives.clone();
    let law = Law { tokens, rate };
    // The fewest bytes there must be, and the best time with them.
    problem.objectives = [MIGRATION].into_iter().chain(time.iter().copied().take(1)).collect();
    let first = answer_given(&problem, options, &Given::default())?;
    problem.objectives = time;
    let Found::Placed(solved, _) = &first else {
        return Ok(Next { scenario, problem, found: first, horizon: None });
    };
    let least = point(solved);
    let unlimited = answer_given(&problem, options, &Given::default())?;
    let Found::Placed(fastest, _) = &unlimited else {
        return Ok(Next { scenario, problem, found: unlimited, horizon: None });
    };
    let mut points = vec![least, point(fastest)];
    let open = Stretch {
        after: least.bytes,
        most: points[1].bytes.max(least.bytes),
        latency_bound_ps: latency_bound(fastest),
    };
    // With the fewest bytes: what was proven of the time with them.
    let mut closed = law.total(latency_bound(solved), least.bytes_bound);
    let mut best = if law.of(&points[1]) < law.of(&least) { unlimited } else { first };
    let mut stretches = vec![open];
    let mut asked = 2;
    while let Some(next) = law.worst(&stretches, &points) {
        let stretch = stretches.swap_remove(next);
        if asked == ASKED_MAX || stretch.most - stretch.after < 2 {
            closed = closed.min(law.total(stretch.latency_bound_ps, stretch.after));
            continue;
        }
        let middle = stretch.after + (stretch.most - stretch.after) / 2;
        let held = [(ObjectiveKind::Migration, ObjectiveValue::Bytes(middle))];
        let found = answer_given(&problem, options, &Given { held: &held, starts: &[] })?;
        asked += 1;
        let Found::Placed(solved, _) = &found else {
            closed = closed.min(law.total(stretch.latency_bound_ps, stretch.after));
            continue;
        };
        let (point, bound) = (point(solved), latency_bound(solved));
        stretches.push(Stretch { after: stretch.after, most: middle, latency_bound_ps: bound });
        stretches.push(Stretch { after: middle, ..stretch });
        if points.iter().all(|known| law.of(&point) < law.of(known)) {
            best = found;
        }
        points.push(point);
    }
    let total = points.iter().map(|point| law.of(point)).min().unwrap_or(0);
    let rest = stretches.iter().map(|s| law.total(s.latency_bound_ps, s.after)).min();
    let bound = closed.min(rest.unwrap_or(u128::MAX)).min(total);
    let moved = points.iter().find(|point| law.of(point) == total).map_or(0, |point| point.bytes);
    let small = |ps: u128| u64::try_from(ps).unwrap_or(u64::MAX);
    let horizon = Horizon {
        tokens,
        total_ps: small(total),
        bound_ps: small(bound),
        moving_ps: small(law.total(0, moved)),
        bytes_per_second: rate,
    };
    Ok(Next { scenario, problem, found: best, horizon: Some(horizon) })
}

/// A placement, as far as it is weighed.
#[derive(Clone, Copy)]
struct Point {
    latency_ps: u64,
    bytes: u64,
    bytes_bound: u64,
}

struct Law {
    tokens: u64,
    rate: u64,
}

impl Law {
    fn total(&self, latency_ps: u64, bytes: u64) -> u128 {
        let moving = u128::from(bytes) * 1_000_000_000_000 / u128::from(self.rate);
        u128::from(self.tokens) * u128::from(latency_ps) + moving
    }

    fn of(&self, point: &Point) -> u128 {
        self.total(point.latency_ps, point.bytes)
    }

    /// The stretch with the lowest bound, if that is worth asking.
    fn worst(&self, stretches: &[Stretch], points: &[Point]) -> Option<usize> {
        let best = points.iter().map(|point| self.of(point)).min()?;
        let enough = best - best / GAP_PARTS;
        let bounds = stretches.iter().map(|s| self.total(s.latency_bound_ps, s.after));
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
