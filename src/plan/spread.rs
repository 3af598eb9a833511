//! Fills every GPU to just below one level: the last ten thousandth of a peak.
//!
//! Exchanges of two kinds leave each device some way below or above the level that all could have. Here
//! one device after the other is brought as close below it as exchanges of three kinds with the next
//! device can, so that whatever is left over piles up on the last, and that is little.

use super::balance::{counts, shift_counts};
use super::classes::Profile;
use super::formulation::counts::CountSolution;
use super::value::floor;
use crate::problem::DeviceSet;

/// Units of a kind that may move when one other kind makes up for them, and when two do.
const MOVED_BY_TWO: i64 = 64;
const MOVED_BY_THREE: i64 = 16;

/// Devices and what they may exchange.
pub(super) struct Spread<'a> {
    pub(super) kinds: &'a [Profile],
    pub(super) capacity: &'a [f64],
    /// Fullest last: it takes what is left over.
    pub(super) gpus: Vec<usize>,
}

/// So many units of each kind from one device to the next, negative the other way.
type Moves = Vec<(usize, i64)>;

impl Spread<'_> {
    /// Whether all GPUs ended up at `level` or below; `solution` and `required` are changed either way.
    pub(super) fn at(
        &self,
        level: f64,
        solution: &mut CountSolution,
        required: &mut [f64],
    ) -> bool {
        for pair in self.gpus.windows(2) {
            let (here, next) = (pair[0], pair[1]);
            let excess = required[here] - level * self.capacity[here];
            let Some((moves, bytes)) = self.closest(solution, here, next, excess) else { continue };
            required[here] -= bytes;
            required[next] += bytes;
            for (kind, count) in moves {
                let amount = usize::try_from(count.unsigned_abs()).unwrap_or(0);
                let (from, to) = if count > 0 { (here, next) } else { (next, here) };
                shift_counts(solution, kind, amount, from, to);
            }
        }
        self.gpus.iter().all(|&d| required[d] <= level * self.capacity[d])
    }

    /// The moves that take the least bytes off `here` that are at least `excess`.
    fn closest(
        &self,
        solution: &CountSolution,
        here: usize,
        next: usize,
        excess: f64,
    ) -> Option<(Moves, f64)> {
        let all = counts(solution);
        let both = DeviceSet(DeviceSet::only(here).0 | DeviceSet::only(next).0);
        let movable: Vec<Movable> = self
            .kinds
            .iter()
            .enumerate()
            .filter(|(_, kind)| both.without(kind.allowed).is_empty() && kind.bytes() > 0)
            .map(|(kind, profile)| Movable {
                kind,
                bytes: whole_bytes(profile.bytes()),
                least: -signed(all[kind][next]),
                most: signed(all[kind][here]),
            })
            .filter(|movable| movable.least < movable.most)
            .collect();
        let mut best = Closest { excess, found: None };
        for (a, first) in movable.iter().enumerate() {
            for (b, second) in movable.iter().enumerate().filter(|(b, _)| *b != a) {
                for count in first.range(MOVED_BY_TWO) {
                    best.complete(&[(first, count)], second);
                }
                for third in &movable[..a.min(b)] {
                    for i in first.range(MOVED_BY_THREE) {
                        for j in third.range(MOVED_BY_THREE) {
                            best.complete(&[(first, i), (third, j)], second);
                        }
                    }
                }
            }
        }
        best.found
    }
}

/// A kind that both devices may hold, and how many may go from the one to the other.
struct Movable {
    kind: usize,
    bytes: f64,
    least: i64,
    most: i64,
}

impl Movable {
    fn range(&self, reach: i64) -> std::ops::RangeInclusive<i64> {
        self.least.max(-reach)..=self.most.min(reach)
    }
}

/// The best moves so far.
struct Closest {
    excess: f64,
    found: Option<(Moves, f64)>,
}

impl Closest {
    /// Adds as many of `last` to `moves` as it takes to reach the excess, and keeps that if it is closer.
    fn complete(&mut self, moves: &[(&Movable, i64)], last: &Movable) {
        let so_far: f64 = moves.iter().map(|(m, count)| m.bytes * to_f64(*count)).sum();
        let missing = (self.excess - so_far) / last.bytes;
        let count = if missing > 0.0 {
            signed_floor(missing) + i64::from(missing.fract() > 0.0)
        } else {
            -signed_floor(-missing)
        };
        if count < last.least || count > last.most {
            return;
        }
        let bytes = so_far + last.bytes * to_f64(count);
        let closer = self.found.as_ref().is_none_or(|(_, known)| bytes < *known);
        if bytes >= self.excess && closer {
            let mut moves: Moves = moves.iter().map(|(m, count)| (m.kind, *count)).collect();
            moves.push((last.kind, count));
            self.found = Some((moves, bytes));
        }
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn signed_floor(number: f64) -> i64 {
    i64::try_from(floor(number)).unwrap_or(i64::MAX)
}

fn whole_bytes(bytes: u64) -> f64 {
    to_f64(i64::try_from(bytes).unwrap_or(i64::MAX))
}

fn to_f64(value: i64) -> f64 {
    super::solver::to_f64(value)
}
