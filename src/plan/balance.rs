//! Evens out a placement by exchanging units between pairs of GPUs.
//!
//! The relaxation knows to a hair how low the peak can be, but a tree search finds counts that meet it only
//! by luck. Two kinds of units of different size do: some `a` of one kind one way and some `b` of another
//! back shift almost any amount of bytes. Every exchange lowers the fuller device of a pair without
//! lifting the other to where it was, so this ends.

use super::classes::{Classes, Profile};
use super::formulation::counts::CountSolution;
use crate::problem::{DeviceSet, Problem};

/// Exchanges before giving up; far more than any placement needs.
const EXCHANGES_MAX: usize = 400;

/// Units of one kind that one exchange may move.
const MOVED_MAX: usize = 64;

/// What moves: so many units of `give` from the fuller device, so many of `take` back.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    give: (usize, usize),
    take: (usize, usize),
    /// The larger of the two devices' utilizations afterwards.
    peak: f64,
    to: usize,
}

/// What may be exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Movable {
    /// Homes and items.
    Everything,
    /// Items only: the homes are settled.
    Items,
}

/// Lowers the peak of `solution`; `required_bytes` is what its devices require now.
///
/// Only weights and KV cache are weighed here; the caller evaluates the result exactly.
pub(super) fn balance(
    problem: &Problem,
    classes: &Classes,
    solution: &mut CountSolution,
    required_bytes: &[u64],
    movable: Movable,
) {
    let mut kinds: Vec<Profile> = kinds(classes).copied().collect();
    if movable == Movable::Items {
        // Only a home has no visits; one that may be nowhere stays where it is.
        for home in kinds.iter_mut().filter(|kind| kind.visits == 0) {
            home.allowed = DeviceSet(0);
        }
    }
    let mut required: Vec<f64> = required_bytes.iter().map(|&bytes| to_f64(bytes)).collect();
    let capacity: Vec<f64> = problem.devices.iter().map(|d| to_f64(d.capacity_bytes)).collect();
    let gpus: Vec<usize> = problem.gpus().filter(|&d| required_bytes[d] > 0).collect();
    for _ in 0..EXCHANGES_MAX {
        let fill = |d: &usize| required[*d] / capacity[*d];
        let Some(&from) = gpus.iter().max_by(|a, b| fill(a).total_cmp(&fill(b))) else { return };
        let others = gpus.iter().filter(|&&to| to != from);
        let best = others
            .filter_map(|&to| {
                let pair = Pair { from, to, required: &required, capacity: &capacity };
                pair.best(&kinds, &counts(solution))
            })
            .min_by(|a, b| a.peak.total_cmp(&b.peak));
        let Some(exchange) = best else { return };
        apply(solution, &exchange, from);
        let (give, take) = (kinds[exchange.give.0].bytes(), kinds[exchange.take.0].bytes());
        let moved =
            to_f64(give) * count_f64(exchange.give.1) - to_f64(take) * count_f64(exchange.take.1);
        required[from] -= moved;
        required[exchange.to] += moved;
    }
}

/// Two devices, the fuller one first.
struct Pair<'a> {
    from: usize,
    to: usize,
    required: &'a [f64],
    capacity: &'a [f64],
}

impl Pair<'_> {
    /// The exchange that brings the pair lowest, if any lowers it.
    fn best(&self, kinds: &[Profile], counts: &[&Vec<usize>]) -> Option<Exchange> {
        let (here, there) = (self.capacity[self.from], self.capacity[self.to]);
        let now = self.required[self.from] / here;
        let level =
            (self.required[self.from] * there - self.required[self.to] * here) / (here + there);
        let mut best: Option<Exchange> = None;
        for (i, give) in kinds.iter().enumerate() {
            if !give.allowed.contains(self.to) {
                continue;
            }
            for a in 0..=counts[i][self.from].min(MOVED_MAX) {
                for (j, take) in kinds.iter().enumerate() {
                    let surplus = count_f64(a) * to_f64(give.bytes()) - level;
                    let allowed = take.allowed.contains(self.from) && i != j;
                    let most = if allowed { counts[j][self.to].min(MOVED_MAX) } else { 0 };
                    for b in near(surplus / to_f64(take.bytes()), most) {
                        let moved = surplus + level - count_f64(b) * to_f64(take.bytes());
                        let left = (self.required[self.from] - moved) / here;
                        let peak = left.max((self.required[self.to] + moved) / there);
                        if peak < best.map_or(now - 1e-9, |b| b.peak) {
                            best = Some(Exchange { give: (i, a), take: (j, b), peak, to: self.to });
                        }
                    }
                }
            }
        }
        best
    }
}

/// The whole numbers around `wanted`, up to `most`.
fn near(wanted: f64, most: usize) -> impl Iterator<Item = usize> {
    let below = super::value::floor(wanted);
    let below = usize::try_from(below).unwrap_or(usize::MAX).min(most);
    below..=(below + 1).min(most)
}

fn kinds(classes: &Classes) -> impl Iterator<Item = &Profile> {
    classes
        .by_kind
        .iter()
        .flat_map(|c| std::iter::once(&c.home).chain(c.items.iter().map(|i| &i.profile)))
}

/// The counts of every kind per device, in the order of [`kinds`].
fn counts(solution: &CountSolution) -> Vec<&Vec<usize>> {
    let classes = solution.homes.iter().zip(&solution.items);
    classes.flat_map(|(home, items)| std::iter::once(home).chain(items)).collect()
}

fn apply(solution: &mut CountSolution, exchange: &Exchange, from: usize) {
    let classes = solution.homes.iter_mut().zip(&mut solution.items);
    let mut counts: Vec<&mut Vec<usize>> =
        classes.flat_map(|(home, items)| std::iter::once(home).chain(items)).collect();
    let mut shift = |kind: usize, amount: usize, from: usize, to: usize| {
        counts[kind][from] -= amount;
        counts[kind][to] += amount;
    };
    shift(exchange.give.0, exchange.give.1, from, exchange.to);
    shift(exchange.take.0, exchange.take.1, exchange.to, from);
}

#[expect(clippy::cast_precision_loss, reason = "a heuristic; the result is evaluated exactly")]
fn to_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[expect(clippy::cast_precision_loss, reason = "a heuristic; the result is evaluated exactly")]
fn count_f64(count: usize) -> f64 {
    count as f64
}
