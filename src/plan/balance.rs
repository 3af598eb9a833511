//! Evens out a placement by exchanging units between pairs of GPUs.
//!
//! The relaxation knows to a hair how low the peak can be, but a tree search finds counts that meet it only
//! by luck. Two kinds of units of different size do: some `a` of one kind one way and some `b` of another
//! back shift almost any amount of bytes. Every exchange lowers the fuller device of a pair without
//! lifting the other to where it was, so this ends; a few small steps aside and another round find what two
//! kinds alone do not reach.

use super::caps::Caps;
use super::classes::{Classes, Profile};
use super::formulation::counts::CountSolution;
use crate::problem::{DeviceSet, Problem};

/// Exchanges before giving up; far more than any placement needs.
const EXCHANGES_MAX: usize = 400;

/// Fresh starts near the best, when exchanges alone do not reach the target.
const TRIES_MAX: usize = 300;

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

/// Lowers the peak of `solution`; `required_bytes` is what its devices require now, `target` the peak that
/// is good enough.
///
/// Only weights and KV cache are weighed here; the caller evaluates the result exactly.
pub(super) fn balance(
    problem: &Problem,
    classes: &Classes,
    solution: &mut CountSolution,
    required_bytes: &[u64],
    movable: Movable,
    target: f64,
) {
    let level = Level::of(problem, classes, required_bytes, movable);
    let mut best = Fill {
        solution: solution.clone(),
        required: required_bytes.iter().map(|&bytes| to_f64(bytes)).collect(),
    };
    level.settle(&mut best);
    let mut tries = 0;
    while level.peak(&best) > target && tries < TRIES_MAX {
        let improved = level.nudges(&best).take(TRIES_MAX - tries).find_map(|mut nudged| {
            tries += 1;
            level.settle(&mut nudged);
            (level.peak(&nudged) < level.peak(&best) - 1e-9).then_some(nudged)
        });
        let Some(improved) = improved else { break };
        best = improved;
    }
    *solution = best.solution;
}

/// Counts and what the devices require for them.
#[derive(Clone, Debug)]
struct Fill {
    solution: CountSolution,
    required: Vec<f64>,
}

/// What stays the same while units are exchanged.
struct Level {
    kinds: Vec<Profile>,
    capacity: Vec<f64>,
    gpus: Vec<usize>,
}

impl Level {
    fn of(problem: &Problem, classes: &Classes, required_bytes: &[u64], movable: Movable) -> Self {
        let mut kinds: Vec<Profile> = kinds(classes).copied().collect();
        if movable == Movable::Items {
            // Only a home has no visits; one that may be nowhere stays where it is.
            for home in kinds.iter_mut().filter(|kind| kind.visits == 0) {
                home.allowed = DeviceSet(0);
            }
        }
        Self {
            kinds,
            capacity: problem.devices.iter().map(|d| to_f64(d.capacity_bytes)).collect(),
            gpus: problem.gpus().filter(|&d| required_bytes[d] > 0).collect(),
        }
    }

    fn peak(&self, fill: &Fill) -> f64 {
        self.gpus.iter().map(|&d| fill.required[d] / self.capacity[d]).fold(0.0, f64::max)
    }

    /// Exchanges between the fullest GPU and another until no exchange helps.
    fn settle(&self, fill: &mut Fill) {
        for _ in 0..EXCHANGES_MAX {
            let of = |d: &usize| fill.required[*d] / self.capacity[*d];
            let fullest = self.gpus.iter().copied().max_by(|a, b| of(a).total_cmp(&of(b)));
            let Some(from) = fullest else { return };
            let counts = counts(&fill.solution);
            let best = self
                .gpus
                .iter()
                .filter(|&&to| to != from)
                .filter_map(|&to| {
                    let (required, capacity) = (&fill.required, &self.capacity);
                    Pair { from, to, required, capacity }.best(&self.kinds, &counts)
                })
                .min_by(|a, b| a.peak.total_cmp(&b.peak));
            let Some(exchange) = best else { return };
            self.apply(fill, &exchange, from);
        }
    }

    /// Small steps away from where exchanges of two kinds got stuck: one to three units of one kind from
    /// one GPU to another.
    fn nudges<'a>(&'a self, fill: &'a Fill) -> impl Iterator<Item = Fill> + 'a {
        let pairs = self.gpus.iter().flat_map(|&from| self.gpus.iter().map(move |&to| (from, to)));
        let steps = (1..=3).flat_map(move |amount| pairs.clone().map(move |pair| (amount, pair)));
        let all = steps
            .flat_map(|(amount, pair)| (0..self.kinds.len()).map(move |kind| (kind, amount, pair)));
        all.filter(|&(kind, amount, (from, to))| {
            from != to
                && self.kinds[kind].allowed.contains(to)
                && counts(&fill.solution)[kind][from] >= amount
        })
        .map(|(kind, amount, (from, to))| {
            let mut nudged = fill.clone();
            let exchange = Exchange { give: (kind, amount), take: (kind, 0), peak: 0.0, to };
            self.apply(&mut nudged, &exchange, from);
            nudged
        })
    }

    fn apply(&self, fill: &mut Fill, exchange: &Exchange, from: usize) {
        let bytes =
            |(kind, count): (usize, usize)| to_f64(self.kinds[kind].bytes()) * count_f64(count);
        let moved = bytes(exchange.give) - bytes(exchange.take);
        fill.required[from] -= moved;
        fill.required[exchange.to] += moved;
        shift(&mut fill.solution, exchange, from);
    }
}

/// Moves units from host memory to GPUs until no exchange of two kinds fits more bytes onto one.
pub(super) fn top_up(
    problem: &Problem,
    classes: &Classes,
    caps: &Caps,
    solution: &mut CountSolution,
    required_bytes: &[u64],
) {
    let level = Level::of(problem, classes, required_bytes, Movable::Everything);
    let mut fill = Fill {
        solution: solution.clone(),
        required: required_bytes.iter().map(|&bytes| to_f64(bytes)).collect(),
    };
    for cpu in problem.cpus() {
        for gpu in problem.gpus() {
            for _ in 0..EXCHANGES_MAX {
                let free = to_f64(caps.device_bytes[gpu]) - fill.required[gpu];
                let Some(exchange) = level.filling(&fill.solution, cpu, gpu, free) else { break };
                level.apply(&mut fill, &exchange, cpu);
            }
        }
    }
    *solution = fill.solution;
}

impl Level {
    /// The exchange between host and GPU that brings the most bytes into `free`.
    fn filling(
        &self,
        solution: &CountSolution,
        cpu: usize,
        gpu: usize,
        free: f64,
    ) -> Option<Exchange> {
        let counts = counts(solution);
        let mut best: Option<(f64, Exchange)> = None;
        for (i, give) in self.kinds.iter().enumerate() {
            if !give.allowed.contains(gpu) || give.bytes() == 0 {
                continue;
            }
            for (j, take) in self.kinds.iter().enumerate() {
                let back = take.allowed.contains(cpu) && i != j && take.bytes() > 0;
                for b in 0..=if back { counts[j][gpu].min(MOVED_MAX) } else { 0 } {
                    let returned = count_f64(b) * to_f64(take.bytes());
                    let fit = super::value::floor((free + returned) / to_f64(give.bytes()));
                    let a = usize::try_from(fit).unwrap_or(usize::MAX).min(counts[i][cpu]);
                    let gain = count_f64(a) * to_f64(give.bytes()) - returned;
                    if gain > best.map_or(0.5, |(gain, _)| gain) {
                        let exchange = Exchange { give: (i, a), take: (j, b), peak: 0.0, to: gpu };
                        best = Some((gain, exchange));
                    }
                }
            }
        }
        best.map(|(_, exchange)| exchange)
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

fn shift(solution: &mut CountSolution, exchange: &Exchange, from: usize) {
    let classes = solution.homes.iter_mut().zip(&mut solution.items);
    let mut counts: Vec<&mut Vec<usize>> =
        classes.flat_map(|(home, items)| std::iter::once(home).chain(items)).collect();
    let mut move_units = |kind: usize, amount: usize, from: usize, to: usize| {
        counts[kind][from] -= amount;
        counts[kind][to] += amount;
    };
    move_units(exchange.give.0, exchange.give.1, from, exchange.to);
    move_units(exchange.take.0, exchange.take.1, exchange.to, from);
}

#[expect(clippy::cast_precision_loss, reason = "a heuristic; the result is evaluated exactly")]
fn to_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[expect(clippy::cast_precision_loss, reason = "a heuristic; the result is evaluated exactly")]
fn count_f64(count: usize) -> f64 {
    count as f64
}
