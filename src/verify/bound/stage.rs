//! One stage: what may be weighed, what devices may require, and the tree of splits.

use super::device::NEVER;
use super::kinds::{Kinds, small};
use super::leaf::{Terms, Walk};
use super::sends::{cheapest_each, gathered, sends};
use super::value::{floor_units, step};
use super::{Work, refuse, refuse_weight, runs, table, too_large};
use crate::certificate::{Prices, StageProof, Tree};
use crate::error::Error;
use crate::hardware::DeviceKind;
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem, Sends};

/// The deepest tree that is followed.
const DEPTH_MAX: usize = 64;

/// Least and most of each class on each device.
#[derive(Clone, Debug)]
pub(super) struct Bounds(pub Vec<Vec<(i64, i64)>>);

/// What the proof of one stage may use.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub problem: &'a Problem,
    pub kinds: Kinds,
    kind: ObjectiveKind,
    /// The most that earlier objectives may be, in their units; a limit on devices is one of them.
    caps: Vec<(ObjectiveKind, i128)>,
    /// What each device may require.
    pub limits: Vec<i64>,
    /// Per class, units of traffic for each member away from home, at least.
    pub away_each: Vec<i128>,
    /// Where a device is sent to once per layer: per home class, the least units for so many routed items
    /// away from home.
    pub gathered: Option<Vec<Vec<i128>>>,
}

impl<'a> Stage<'a> {
    /// Of the objective that `proof` bounds, after those of `earlier`.
    pub(super) fn new(
        problem: &'a Problem,
        earlier: &[StageProof],
        proof: &StageProof,
        work: &mut Work,
    ) -> Result<Self, Error> {
        let kinds_used = || earlier.iter().map(|stage| stage.kind).chain([proof.kind]);
        let kinds = Kinds::of(
            problem,
            kinds_used().any(|kind| kind == ObjectiveKind::Migration),
            &proof.zones,
        )?;
        let mut caps: Vec<(ObjectiveKind, i128)> = Vec::new();
        let limited = problem
            .devices_max
            .map(|n| (ObjectiveKind::DevicesUsed, i128::try_from(n).unwrap_or(i128::MAX >> 64)));
        for stage in earlier.iter().filter(|stage| stage.kind != ObjectiveKind::PeakUtilization) {
            caps.push((stage.kind, floor_units(stage.cap, problem)));
        }
        caps.extend(limited);
        let mut stage = Self {
            problem,
            kind: proof.kind,
            caps,
            limits: limits(problem, earlier, proof),
            away_each: Vec::new(),
            gathered: None,
            kinds,
        };
        stage.count_sends(work)?;
        Ok(stage)
    }

    /// What being away from home costs, by the problem's rule for sends.
    fn count_sends(&mut self, work: &mut Work) -> Result<(), Error> {
        let kinds = &self.kinds;
        let mut away_each = vec![0; kinds.classes.len()];
        let denominator = self.problem.traffic_denominator;
        let Sends::PerDevice { experts, experts_per_token } = self.problem.sends else {
            for (class, _, _) in kinds.items() {
                away_each[class] = 2 * i128::from(kinds.classes[class].facts.visits);
            }
            self.away_each = away_each;
            return Ok(());
        };
        let mut by_home = vec![Vec::new(); kinds.classes.len()];
        for home in kinds.homes() {
            let items = || kinds.items().filter(|&(_, of, _)| of == home);
            let routed = || items().filter(|&(class, _, _)| kinds.classes[class].facts.routed);
            let per_layer = routed().map(|(_, _, m)| m).sum::<i64>();
            let all = per_layer * kinds.classes[home].count;
            let steps = |n: i64| u128::try_from(n).unwrap_or(u128::MAX);
            work.spend(steps(all) + u128::from(experts_per_token), steps(per_layer))?;
            let sends = sends((experts, experts_per_token), denominator, per_layer)?;
            for (class, _, m) in items() {
                let always = 2 * i128::from(denominator) / i128::from(m);
                let routed = kinds.classes[class].facts.routed;
                away_each[class] = if routed { cheapest_each(&sends, m) } else { always };
            }
            by_home[home] = gathered(&sends, all, per_layer);
        }
        (self.away_each, self.gathered) = (away_each, Some(by_home));
        Ok(())
    }

    /// Weights are not negative; the objective that is bounded has one, and others only if they are capped.
    /// A peak is weighed by nobody: caps on it, and a claim about it, are limits of the devices.
    pub(super) fn may_weigh(&self, weights: &[(ObjectiveKind, i64)]) -> Result<(), Error> {
        for (index, &(kind, weight)) in weights.iter().enumerate() {
            let peak = kind == ObjectiveKind::PeakUtilization;
            let known = kind == self.kind || self.caps.iter().any(|(capped, _)| *capped == kind);
            if peak || !known {
                return refuse_weight("a weight on an objective that has no cap", kind);
            }
            if weight < 0 {
                return refuse_weight("a negative weight", kind);
            }
            // What a matrix of experts costs depends on where the next one is: no sum over classes.
            if kind == ObjectiveKind::Traffic && self.problem.is_by_matrix() {
                return refuse_weight("a weight on what matrices send to each other", kind);
            }
            if weights[..index].iter().any(|(other, _)| *other == kind) {
                return refuse_weight("two weights", kind);
            }
        }
        let weighed = weights.iter().any(|&(kind, weight)| kind == self.kind && weight > 0);
        if weighed || self.kind == ObjectiveKind::PeakUtilization {
            return Ok(());
        }
        refuse_weight("no weight on the objective that is bounded", self.kind)
    }

    /// Spilled bytes are all on the CPU, if there is only one.
    pub(super) fn held_max(&self, device: usize) -> i64 {
        let only = self.problem.cpus().eq([device]);
        let caps = self.caps.iter().filter(|(kind, _)| only && *kind == ObjectiveKind::SpillBytes);
        caps.map(|&(_, cap)| i64::try_from(cap).unwrap_or(i64::MAX)).min().unwrap_or(i64::MAX)
    }

    /// Where a problem lets its components be.
    pub(super) fn bounds(&self) -> Bounds {
        let devices = 0..self.problem.devices.len();
        let of = |device: usize| {
            let classes = self.kinds.classes.iter();
            let of = classes.map(|class| {
                let everywhere = class.facts.allowed;
                let elsewhere = everywhere.iter().any(|other| other != device);
                let most = if everywhere.contains(device) { class.count } else { 0 };
                (if elsewhere { 0 } else { most }, most)
            });
            of.collect()
        };
        Bounds(devices.map(of).collect())
    }

    /// What the leaves of a tree prove together: the least of them, as [`Self::leaf`] has it.
    pub(super) fn tree(
        &self,
        tree: &Tree,
        walk: Walk,
        bounds: &mut Bounds,
        depth: usize,
        work: &mut Work,
    ) -> Result<Option<i128>, Error> {
        let (device, class, at, least, most) = match tree {
            Tree::Leaf(prices) => return self.leaf(prices, walk, bounds, work),
            Tree::Split { device, class, at, least, most } => (*device, *class, *at, least, most),
        };
        let index = self.kinds.named(class)?;
        let Some(range) = bounds.0.get(device).map(|classes| classes[index]) else {
            return refuse("a split on a device that is not there", class);
        };
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        if depth == DEPTH_MAX || !(range.0..range.1).contains(&at) {
            return refuse("a split with nothing on one side, or too deep in the tree", class);
        }
        // Every placement has at most `at` there, or more.
        bounds.0[device][index] = (range.0, at);
        let below = self.tree(least, walk, bounds, depth + 1, work)?;
        bounds.0[device][index] = (at + 1, range.1);
        let above = self.tree(most, walk, bounds, depth + 1, work)?;
        bounds.0[device][index] = range;
        Ok(below.into_iter().chain(above).min())
    }

    /// The least units of the bounded objective over all placements within `bounds`, proven by prices;
    /// `None` when there are no such placements. Of a peak: 1 when nothing fits, else 0.
    fn leaf(
        &self,
        prices: &Prices,
        walk: Walk,
        bounds: &Bounds,
        work: &mut Work,
    ) -> Result<Option<i128>, Error> {
        work.leaf()?;
        let terms = Terms::of(self, prices, walk)?;
        for (index, class) in self.kinds.classes.iter().enumerate() {
            let of = || bounds.0.iter().map(|classes| classes[index]);
            let (least, most) = (of().map(|b| b.0).sum::<i64>(), of().map(|b| b.1).sum::<i64>());
            if least > class.count || most < class.count {
                return Ok(None);
            }
        }
        let devices = terms.devices(self, bounds)?;
        let sum = match walk {
            Walk::SingleRuns => runs::single_runs(&terms, devices, work)?,
            Walk::Any | Walk::SeveralRuns => table::shared(&terms, devices, work)?,
        };
        if sum >= NEVER / 2 {
            return Ok(None);
        }
        // weighted objectives >= sum + constant, and those with a cap are at most that.
        let mut bound = sum + terms.constant(self.gathered.is_none());
        let mut own = 0;
        for &(kind, weight) in &prices.weights {
            let weight = i128::from(weight);
            if kind == self.kind {
                own = weight;
                continue;
            }
            let caps = self.caps.iter().filter(|(capped, _)| *capped == kind);
            let cap = caps.map(|(_, cap)| *cap).min().unwrap_or(0);
            let spent = weight.checked_mul(cap).and_then(|spent| bound.checked_sub(spent));
            bound = spent.map_or_else(too_large, Ok)?;
        }
        if own == 0 {
            return Ok(Some(i128::from(bound > 0)));
        }
        // A whole number of steps, rounded up.
        let step = step(self.kind, self.problem);
        Ok(Some(ceiling(ceiling(bound, own), step) * step))
    }
}

/// The least integer that is no smaller than the quotient; `divisor` is positive.
fn ceiling(number: i128, divisor: i128) -> i128 {
    number.div_euclid(divisor) + i128::from(number.rem_euclid(divisor) > 0)
}

/// What each device may require: its capacity without headroom; on a GPU no more than caps on the peak
/// allow, and when the peak itself is bounded, less than the claim: a proof then says that nothing fits.
fn limits(problem: &Problem, earlier: &[StageProof], proof: &StageProof) -> Vec<i64> {
    let of = |index: usize| {
        let device = &problem.devices[index];
        let mut limit = i128::from(problem.limit_bytes(index));
        let part = |value| match value {
            ObjectiveValue::Ratio(r) => (
                i128::from(r.numerator()) * i128::from(device.capacity_bytes),
                i128::from(r.denominator()),
            ),
            ObjectiveValue::Bytes(_) | ObjectiveValue::Count(_) | ObjectiveValue::Time(_) => (0, 1),
        };
        let peak = |stage: &&StageProof| stage.kind == ObjectiveKind::PeakUtilization;
        if device.kind == DeviceKind::Gpu {
            for stage in earlier.iter().filter(peak) {
                let (part, whole) = part(stage.cap);
                limit = limit.min(part / whole);
            }
            if peak(&proof) {
                let (part, whole) = part(proof.bound);
                limit = limit.min((ceiling(part, whole) - 1).max(0));
            }
        }
        small(u64::try_from(limit).unwrap_or(0))
    };
    (0..problem.devices.len()).map(of).collect()
}
