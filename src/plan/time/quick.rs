//! The least a layer of many equal experts takes when its devices work at the same time, by how many experts
//! are at home.
//!
//! Every device but the home is given the shortest visits and ways that any of them has; then dealing the
//! experts out evenly to them is best. Where a part that every token visits is away from home too, it is
//! on one of these devices, beside some experts: how many, is searched by intervals. In an interval that
//! device holds the fewest, the others share what the most leave, and what is between is nowhere, which
//! takes no one any time.

use super::field::{Field, Kind, Sort};
use super::menu::Floor;
use super::{count, float};
use crate::objective::{Piece, Pieces, feed_forward_ps};
use crate::problem::{DeviceSet, Draw, Timing};

/// Intervals looked at per number of experts at home.
const INTERVALS_MAX: usize = 48;

/// How near the least known a floor need come.
const NEAR: f64 = 0.998;

/// A small layer beside the problem's: its components are numbered anew, every device but the home is as quick
/// as the quickest, and one more device stands for nowhere.
struct Quick {
    timing: Timing,
    home: usize,
    others: Vec<usize>,
    always: Vec<usize>,
    /// Of what every token visits, the part that takes least away from home.
    lightest: usize,
    expert: usize,
    nowhere: usize,
}

impl Quick {
    fn of(field: &Field<'_>, kind: &Kind, home: usize, allowed: DeviceSet) -> Self {
        let timing = field.timing;
        let devices = field.problem.devices.len();
        let others: Vec<usize> =
            field.devices().filter(|&d| d != home && allowed.contains(d)).collect();
        let least = |row: &dyn Fn(usize) -> u64| others.iter().map(|&d| row(d)).min().unwrap_or(0);
        let parts = kind.parts();
        let experts = parts.experts.first().map(|expert| expert.1);
        let rows: Vec<usize> = parts.always.iter().copied().chain(experts).collect();
        let visits = |&part: &usize| -> Vec<u64> {
            let row = &timing.visit_ps[part];
            let quickest = least(&|device| row[device]);
            let on = |d: usize| match d {
                _ if d == devices => 0,
                _ if d == home => row[home],
                _ => quickest,
            };
            (0..=devices).map(on).collect()
        };
        let between = |table: &Vec<Vec<u64>>| -> Vec<Vec<u64>> {
            let there = least(&|device| table[home][device]);
            let back = least(&|device| table[device][home]);
            let at = |from: usize, to: usize| match (from == home, to == home) {
                _ if from.max(to) == devices => 0,
                (true, false) => there,
                (false, true) => back,
                _ => 0,
            };
            (0..=devices).map(|from| (0..=devices).map(|to| at(from, to)).collect()).collect()
        };
        let small = Timing {
            visit_ps: rows.iter().map(visits).collect(),
            latency_ps: between(&timing.latency_ps),
            token_ps: between(&timing.token_ps),
            tokens_milli: timing.tokens_milli,
            expert_tokens_milli: rows
                .iter()
                .map(|&part| timing.expert_tokens_milli[part])
                .collect(),
            sends: timing.sends,
            devices: timing.devices,
            draws: Vec::new(),
        };
        let away = others.first().copied().unwrap_or(home);
        let always: Vec<usize> = (0..parts.always.len()).collect();
        let lightest = always.iter().copied().min_by_key(|&part| small.visit_ps[part][away]);
        let lightest = lightest.unwrap_or(0);
        let expert = parts.always.len();
        Self { timing: small, home, others, always, lightest, expert, nowhere: devices }
    }

    fn pieces(&self, numbers: &[u32], held: &[(usize, usize, Vec<usize>)]) -> Pieces {
        let mut left = numbers.iter().copied();
        let mut pieces = Vec::new();
        for (device, count, always) in held {
            let experts: Vec<(u32, usize)> =
                left.by_ref().take(*count).map(|number| (number, self.expert)).collect();
            if !experts.is_empty() || !always.is_empty() {
                pieces.push(Piece { device: *device, always: always.clone(), experts });
            }
        }
        Pieces { devices: pieces, matrices: Vec::new() }
    }

    fn even(all: usize, to: &[usize]) -> Vec<(usize, usize, Vec<usize>)> {
        let share = |place: usize| all / to.len() + usize::from(place < all % to.len());
        to.iter().enumerate().map(|(place, &device)| (device, share(place), Vec::new())).collect()
    }

    /// With so many experts at home and the others dealt out evenly; what every token visits is at home, or
    /// nowhere.
    fn ps(&self, draw: &Draw, numbers: &[u32], at_home: usize, always: bool) -> u64 {
        let always = if always { self.always.clone() } else { Vec::new() };
        let mut held = vec![(self.home, at_home, always)];
        held.extend(Self::even(numbers.len() - at_home, &self.others));
        feed_forward_ps(&self.timing, draw, self.home, &self.pieces(numbers, &held))
    }

    /// At most what it takes with the lightest part that every token visits on one of the other devices,
    /// beside `few` to `many` experts.
    fn beside_ps(
        &self,
        draw: &Draw,
        numbers: &[u32],
        at_home: usize,
        few: usize,
        many: usize,
    ) -> u64 {
        let Some((&first, rest)) = self.others.split_first() else { return u64::MAX };
        let away = numbers.len() - at_home;
        let mut held = vec![(self.home, at_home, Vec::new()), (first, few, vec![self.lightest])];
        // Only one device may be away: then it holds all there is.
        let shared = if rest.is_empty() { 0 } else { away - many };
        if shared > 0 {
            held.extend(Self::even(shared, rest));
        }
        held.push((self.nowhere, away - few - shared, Vec::new()));
        feed_forward_ps(&self.timing, draw, self.home, &self.pieces(numbers, &held))
    }
}

/// The sets of statistics with what they count.
struct Weighed<'a> {
    draws: &'a [Draw],
    weights: &'a [f64],
}

impl Weighed<'_> {
    fn mean(&self, ps: impl Fn(&Draw) -> u64) -> f64 {
        let sets = self.weights.iter().zip(self.draws);
        sets.map(|(weight, draw)| weight * float(ps(draw))).sum()
    }
}

/// A floor below everything with this many experts at home and a part that every token visits elsewhere; no
/// higher than needed to reach `enough`.
fn beside(quick: &Quick, sets: &Weighed<'_>, numbers: &[u32], at_home: usize, enough: f64) -> f64 {
    let away = numbers.len() - at_home;
    let of = |few: usize, many: usize| {
        sets.mean(|draw| quick.beside_ps(draw, numbers, at_home, few, many))
    };
    let mut open = vec![(of(0, away), 0, away)];
    let mut known = f64::INFINITY;
    for _ in 0..INTERVALS_MAX {
        let least = open.iter().enumerate().min_by(|a, b| a.1.0.total_cmp(&b.1.0));
        let Some((place, &(floor, few, many))) = least else { break };
        if floor >= enough || floor >= known * NEAR || few == many {
            break;
        }
        open.swap_remove(place);
        let middle = usize::midpoint(few, many);
        known = known.min(of(middle, middle));
        open.push((of(few, middle), few, middle));
        open.push((of(middle + 1, many), middle + 1, many));
    }
    open.iter().map(|interval| interval.0).fold(f64::INFINITY, f64::min)
}

/// The one sort of all experts, with the others; `None` where there is none.
fn experts_sort(kind: &Kind) -> Option<(&Sort, Vec<&Sort>)> {
    let parts = kind.parts();
    let item = kind.item_of(parts.experts.first()?.1)?;
    let sort = kind.sorts.iter().find(|sort| sort.items.contains(&item))?;
    let rest = kind.sorts.iter().filter(|other| !std::ptr::eq(*other, sort)).collect();
    (sort.items.len() == parts.experts.len()).then_some((sort, rest))
}

/// For every number of experts at home: the others at their best.
pub(super) fn by_share_of_home(
    field: &Field<'_>,
    kind: &Kind,
    home: usize,
    weights: &[f64],
) -> Vec<Floor> {
    let Some((sort, rest)) = experts_sort(kind) else { return Vec::new() };
    let quick = Quick::of(field, kind, home, sort.profile.allowed);
    let sets = Weighed { draws: kind.draws(), weights };
    let numbers: Vec<u32> = kind.parts().experts.iter().map(|expert| expert.0).collect();
    let all = numbers.len();
    let most = if sort.profile.allowed.contains(home) { all } else { 0 };
    let least = if quick.others.is_empty() { all } else { 0 };
    let away = DeviceSet(quick.others.iter().fold(0, |set, &d| set | DeviceSet::only(d).0));
    let size = float(sort.profile.bytes());
    let floor = |at_home: usize, ps: f64, more: f64| {
        let mut held = vec![0.0; field.problem.devices.len()];
        held[home] = count(at_home) * size + more;
        Floor { ps, held, somewhere: (count(all - at_home) * size, away) }
    };
    let mut floors = Vec::new();
    if rest.iter().all(|other| other.profile.allowed.contains(home)) {
        let bytes = |other: &&Sort| count(other.items.len()) * float(other.profile.bytes());
        let rest_bytes: f64 = rest.iter().map(bytes).sum();
        floors.extend((least..=most).map(|at_home| {
            let ps = sets.mean(|draw| quick.ps(draw, &numbers, at_home, true));
            floor(at_home, ps, rest_bytes)
        }));
    }
    if !rest.is_empty() && !quick.others.is_empty() {
        let enough = floors.iter().map(|floor| floor.ps).fold(f64::INFINITY, f64::min);
        floors.extend(
            (least..=most).map(|at_home| {
                floor(at_home, beside(&quick, &sets, &numbers, at_home, enough), 0.0)
            }),
        );
    }
    floors
}
