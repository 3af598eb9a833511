//! One set of prices, read against the problem: what it says and whether it may say so.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::device::{Device, is_item};
use super::kinds::{Class, Kinds, Role, small};
use super::stage::{Bounds, Stage};
use super::{refuse, too_large};
use crate::certificate::Prices;
use crate::error::Error;
use crate::hardware::DeviceKind;
use crate::model::ComponentId;
use crate::problem::ObjectiveKind;

/// Any figure of one member is below this, so that sums over 2^32 of them, and a figure times any bytes of
/// a problem, stay far from the end of 128 bits.
const FIGURE_MAX: i128 = 1 << 66;

/// Which walks over the devices are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// All there are.
    Any,
    /// Every device is home to one run of consecutive layers at most.
    SingleRuns,
    /// Some device is home to two runs or more.
    SeveralRuns,
}

/// Prices and weights, per class of the problem.
#[derive(Debug)]
pub(super) struct Terms<'a> {
    pub kinds: &'a Kinds,
    pub walk: Walk,
    spill: i128,
    migration: i128,
    /// What a device in use weighs.
    pub used: i128,
    /// What a unit of traffic weighs.
    pub traffic: i128,
    /// What a hand-over weighs.
    pub hand_over: i128,
    price: Vec<i128>,
    /// Classes that are added up exactly.
    pub tracked: Vec<usize>,
    /// Classes of which every count is tried.
    pub open: Vec<usize>,
    /// A class whose best count is found when all others are known.
    pub last: Option<usize>,
    /// Classes of which parts may be held.
    pub parts: Vec<usize>,
    /// Per class, what a member weighs for being away from home, at least.
    pub away_each: Vec<i128>,
    /// Where a device is sent to once per layer: [`Stage::gathered`].
    pub gathered: Option<&'a [Vec<i128>]>,
    pub embedding: Option<usize>,
    pub head: Option<usize>,
}

impl<'a> Terms<'a> {
    pub(super) fn of(stage: &'a Stage<'_>, prices: &Prices, walk: Walk) -> Result<Self, Error> {
        let kinds = &stage.kinds;
        let weight = |kind| {
            let weight = prices.weights.iter().find(|(of, _)| *of == kind);
            weight.map_or(0, |&(_, weight)| i128::from(weight))
        };
        stage.may_weigh(&prices.weights)?;
        let traffic = weight(ObjectiveKind::Traffic);
        let named = |ids: &[ComponentId]| -> Result<Vec<usize>, Error> {
            ids.iter().map(|&id| kinds.named(id)).collect()
        };
        let ids: Vec<ComponentId> = prices.prices.iter().map(|&(id, _)| id).collect();
        let of_price = named(&ids)?;
        let mut price = vec![0; kinds.classes.len()];
        for (&class, &(_, each)) in of_price.iter().zip(&prices.prices) {
            price[class] = i128::from(each);
        }
        let mut terms = Self {
            kinds,
            walk,
            spill: weight(ObjectiveKind::SpillBytes),
            migration: weight(ObjectiveKind::Migration),
            used: weight(ObjectiveKind::DevicesUsed),
            traffic,
            hand_over: traffic * i128::from(stage.problem.traffic_denominator),
            price,
            tracked: named(&prices.tracked)?,
            open: Vec::new(),
            last: None,
            parts: named(&prices.fractional)?,
            away_each: stage.away_each.iter().map(|each| traffic * each).collect(),
            gathered: stage.gathered.as_deref().filter(|_| traffic > 0),
            embedding: kinds.with_role(Role::Embedding),
            head: kinds.with_role(Role::Head),
        };
        terms.check(&of_price)?;
        terms.choose_open();
        Ok(terms)
    }

    /// Each class has one part to play at most.
    fn check(&self, priced: &[usize]) -> Result<(), Error> {
        let first = |class: usize| self.kinds.classes[class].first;
        for (list, what) in [
            (&self.tracked[..], "a class that is tracked twice"),
            (priced, "a class with two prices"),
            (&self.parts[..], "a class that is fractional twice"),
        ] {
            let mut seen = vec![false; self.kinds.classes.len()];
            for &class in list {
                if std::mem::replace(&mut seen[class], true) {
                    return refuse(what, first(class));
                }
            }
        }
        let tracked = |class: &&usize| self.tracked.contains(class);
        if let Some(&class) = priced.iter().chain(&self.parts).find(tracked) {
            return refuse("a price or parts of a class that is tracked", first(class));
        }
        if let Some(&class) = self.parts.iter().find(|&&c| !is_item(self.kinds, c)) {
            return refuse("parts of what can be a home or an end of the chain", first(class));
        }
        if self.walk == Walk::SingleRuns {
            let implied = priced.iter().find(|&&c| !is_item(self.kinds, c));
            if let Some(&class) = self.tracked.first().or(implied) {
                return refuse("prices of what the runs of layers determine", first(class));
            }
        }
        let mut homes: Vec<usize> = self.parts.iter().filter_map(|&c| self.home_of(c)).collect();
        homes.sort_unstable();
        homes.dedup();
        if self.gathered.is_some() && homes.len() < self.parts.len() {
            let class = first(self.parts[0]);
            return refuse("parts of two classes of a layer that share sends", class);
        }
        Ok(())
    }

    /// Of an item class, the homes of its layers.
    fn home_of(&self, class: usize) -> Option<usize> {
        match self.kinds.classes[class].role {
            Role::Item { home, .. } => Some(home),
            _ => None,
        }
    }

    /// All that is neither tracked nor held in parts is tried count by count, but for the largest item class
    /// when there are no parts: it comes last, when the rest is known.
    fn choose_open(&mut self) {
        let classes = &self.kinds.classes;
        let mut open: Vec<usize> = (0..classes.len())
            .filter(|c| !self.tracked.contains(c) && !self.parts.contains(c))
            .filter(|&c| self.walk != Walk::SingleRuns || is_item(self.kinds, c))
            .collect();
        if self.parts.is_empty() {
            let items = open.iter().copied().filter(|&c| is_item(self.kinds, c));
            self.last = items.rev().max_by_key(|&c| classes[c].count);
            open.retain(|c| Some(*c) != self.last);
        }
        self.open = open;
    }

    /// The devices under these prices, equal ones counted.
    pub(super) fn devices(
        &self,
        stage: &Stage<'_>,
        bounds: &Bounds,
    ) -> Result<BTreeMap<Device, usize>, Error> {
        let mut devices = BTreeMap::new();
        for index in 0..stage.problem.devices.len() {
            *devices.entry(self.device(stage, index, &bounds.0[index])?).or_insert(0) += 1;
        }
        Ok(devices)
    }

    fn device(
        &self,
        stage: &Stage<'_>,
        index: usize,
        bounds: &[(i64, i64)],
    ) -> Result<Device, Error> {
        let device = &stage.problem.devices[index];
        let cpu = device.kind == DeviceKind::Cpu;
        let cost = |class: usize| {
            let facts = &self.kinds.classes[class].facts;
            let spilled = if cpu { facts.weights_bytes + facts.kv_bytes } else { 0 };
            let moved: u64 =
                facts.current.iter().filter(|now| now.0 != index).map(|now| now.1).sum();
            let at_home = if stage.gathered.is_none() { self.away_each[class] } else { 0 };
            self.spill * i128::from(spilled) + self.migration * i128::from(moved)
                - self.price[class]
                - at_home
        };
        let (limit_bytes, reserve_bytes) = (stage.limits[index], small(device.reserve_bytes));
        // No more than fit alone: what is there in greater numbers fits with nothing else either.
        let fitting = |class: usize| match self.kinds.classes[class].facts.weights_bytes {
            0 => i64::MAX,
            bytes => (limit_bytes - reserve_bytes).max(0) / bytes,
        };
        let narrowed =
            bounds.iter().enumerate().map(|(c, &(least, most))| (least, most.min(fitting(c))));
        let device = Device {
            limit_bytes,
            reserve_bytes,
            held_max_bytes: stage.held_max(index),
            host_staging_bytes: if cpu { small(stage.problem.host_staging_bytes) } else { 0 },
            bounds: narrowed.collect(),
            cost: (0..bounds.len()).map(cost).collect(),
            segments: Vec::new(),
        };
        let figures = device.cost.iter().chain(&self.away_each);
        let rest = [self.used, 2 * self.hand_over, self.traffic];
        if figures.chain(&rest).any(|figure| figure.abs() > FIGURE_MAX) {
            return too_large();
        }
        Ok(Device { segments: self.segments(&device.cost), ..device })
    }

    /// What parts gain, at home and away from it, by gain per byte; what has no bytes comes first.
    fn segments(&self, cost: &[i128]) -> Vec<(usize, bool, i128)> {
        let both = |&class: &usize| {
            let away = cost[class] + self.away_each[class];
            [(class, false, -cost[class]), (class, true, -away)]
        };
        let mut segments: Vec<_> = self.parts.iter().flat_map(both).collect();
        segments.retain(|&(_, _, gain)| gain > 0);
        let bytes = |class: usize| i128::from(self.kinds.classes[class].facts.weights_bytes);
        segments.sort_by(|&(a, a_away, a_gain), &(b, b_away, b_gain)| {
            let by_ratio = match (bytes(a), bytes(b)) {
                (0, 0) => Ordering::Equal,
                (0, _) => Ordering::Less,
                (_, 0) => Ordering::Greater,
                (a, b) => (b_gain * a).cmp(&(a_gain * b)),
            };
            by_ratio.then((a, a_away).cmp(&(b, b_away)))
        });
        segments
    }

    /// What the sum over devices leaves out: the prices of everything, and what does not depend on places.
    pub(super) fn constant(&self, per_expert: bool) -> i128 {
        let walk = if self.walk == Walk::Any { -self.hand_over } else { 0 };
        let classes = self.kinds.classes.iter().zip(&self.price).zip(&self.away_each);
        let of = |((class, price), away): ((&Class, &i128), &i128)| {
            let away = if per_expert { *away } else { 0 };
            i128::from(class.count) * (price + away)
        };
        walk + classes.map(of).sum::<i128>()
    }
}
