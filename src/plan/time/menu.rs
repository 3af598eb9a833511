//! What can become of a layer whose home is given: every way to deal out its items, each with its time.
//!
//! Items of one sort need the same memory, so that of all ways with the same counts per device only the
//! quickest matters. Where there are too many counts to list, a menu holds some of them, and floors:
//! times below which no way of any counts can be.

use std::collections::BTreeMap;

use super::field::{Field, Kind, Sort};
use super::{float, floors, matrices, named};
use crate::problem::DeviceSet;

/// The most entries of a menu that holds every way.
const ENTRIES_MAX: usize = 8_000;

/// The most assignments that are looked at one by one.
pub(super) const ASSIGNMENTS_MAX: u64 = 70_000;

/// One way to deal out the items of a layer.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Per item, its device.
    pub(super) devices: Vec<usize>,
    /// Per device: weights and caches.
    pub(super) held: Vec<f64>,
    /// Expected time of the feed-forward part, as the sets of statistics weigh.
    pub(super) ps: f64,
    /// The same under each set.
    pub(super) by_set: Vec<f64>,
}

/// A time that no way can be below which holds so much so.
#[derive(Clone, Debug)]
pub(super) struct Floor {
    pub(super) ps: f64,
    /// Per device: what it holds.
    pub(super) held: Vec<f64>,
    /// Held by some of these devices, in any way.
    pub(super) somewhere: (f64, DeviceSet),
}

/// What is known of a layer with a given home.
#[derive(Clone, Debug, Default)]
pub(super) struct Menu {
    pub(super) entries: Vec<Entry>,
    /// Whether the entries are all there is: then they are the floors as well.
    pub(super) complete: bool,
    /// Where the entries are not complete: no way is below all of these.
    pub(super) floors: Vec<Floor>,
    /// The same, item by item: per item and device, what it adds at least; `f64::INFINITY` where it may not
    /// be. The larger of the two floors counts.
    pub(super) apart: Option<Vec<Vec<f64>>>,
}

/// The menus of a kind of layer, per home; `None` where its home may not be. `weights` says how much each
/// set of statistics counts; they sum to one.
pub(super) fn menus(field: &Field<'_>, kind: &Kind, weights: &[f64]) -> Vec<Option<Menu>> {
    let mut known = Known::default();
    let mut menus: Vec<Option<Menu>> = Vec::new();
    for home in field.devices() {
        let allowed = kind.home.profile.allowed.contains(home);
        let menu = allowed.then(|| {
            let first = like_home(field, kind, home);
            let same = |sort: &Sort| {
                sort.profile.allowed.contains(first) == sort.profile.allowed.contains(home)
            };
            let like = menus.get(first).and_then(Option::as_ref);
            match like.filter(|menu| menu.complete && kind.sorts.iter().all(same)) {
                Some(menu) => menu.swapped(first, home),
                None => menu(field, kind, home, weights, &mut known),
            }
        });
        menus.push(menu);
    }
    menus
}

impl Menu {
    /// The same where two devices change places.
    fn swapped(&self, a: usize, b: usize) -> Self {
        let mut menu = self.clone();
        for entry in &mut menu.entries {
            entry.held.swap(a, b);
            for device in &mut entry.devices {
                *device = match *device {
                    device if device == a => b,
                    device if device == b => a,
                    device => device,
                };
            }
        }
        menu
    }
}

fn menu(field: &Field<'_>, kind: &Kind, home: usize, weights: &[f64], known: &mut Known) -> Menu {
    let devices = field.problem.devices.len();
    if !kind.parts().matrices.is_empty() {
        // What is sent between two devices matters whatever the home, so nothing is known from another one.
        if counts_number(kind, devices) > ENTRIES_MAX {
            return matrices::menu(field, kind, home, weights);
        }
        let entries = all_counts(kind, devices).into_iter().map(|counts| {
            let devices = deal(kind, &counts);
            let by_set = times(field, kind, home, &devices);
            entry(field, kind, devices, by_set, weights)
        });
        return Menu { entries: entries.collect(), complete: true, ..Menu::default() };
    }
    if kind.sorts.iter().all(|sort| sort.alike) {
        if counts_number(kind, devices) <= ENTRIES_MAX {
            let entries = all_counts(kind, devices).into_iter().map(|counts| {
                let by_set = known.times(field, kind, home, &counts);
                entry(field, kind, deal(kind, &counts), by_set, weights)
            });
            return Menu { entries: entries.collect(), complete: true, ..Menu::default() };
        }
    } else if named::assignments(kind) <= ASSIGNMENTS_MAX
        && let Some(entries) = named::quickest(field, kind, home, weights)
    {
        return Menu { entries, complete: true, ..Menu::default() };
    }
    floors::menu(field, kind, home, weights, known)
}

/// A way with what it holds where.
pub(super) fn entry(
    field: &Field<'_>,
    kind: &Kind,
    devices: Vec<usize>,
    by_set: Vec<f64>,
    weights: &[f64],
) -> Entry {
    let mut held = vec![0.0; field.problem.devices.len()];
    for sort in &kind.sorts {
        for &item in &sort.items {
            held[devices[item]] += float(sort.profile.bytes());
        }
    }
    Entry { devices, held, ps: weighed(&by_set, weights), by_set }
}

/// The weighted sum; a weight of nothing counts as nothing.
pub(super) fn weighed(by_set: &[f64], weights: &[f64]) -> f64 {
    by_set.iter().zip(weights).map(|(ps, weight)| ps * weight).sum()
}

/// The expected time under each set of statistics.
pub(super) fn times(field: &Field<'_>, kind: &Kind, home: usize, devices: &[usize]) -> Vec<f64> {
    let sets = 0..field.timing.draws.len();
    sets.map(|set| float(kind.ps(field.timing, set, home, devices))).collect()
}

/// Items of each sort on each device, sort by sort, to a device per item: lower items to earlier devices.
pub(super) fn deal(kind: &Kind, counts: &[Vec<usize>]) -> Vec<usize> {
    let mut devices = vec![0; kind.items];
    for (sort, counts) in kind.sorts.iter().zip(counts) {
        let places = counts.iter().enumerate();
        let dealt = places.flat_map(|(device, &count)| std::iter::repeat_n(device, count));
        for (&item, device) in sort.items.iter().zip(dealt) {
            devices[item] = device;
        }
    }
    devices
}

/// How many count vectors there are; saturates.
fn counts_number(kind: &Kind, devices: usize) -> usize {
    let ways = |sort: &Sort| {
        let places = (0..devices).filter(|&d| sort.profile.allowed.contains(d)).count();
        // C(items + places - 1, places - 1), by factors that stay whole.
        let mut ways = 1_usize;
        for place in 1..places {
            ways = ways.saturating_mul(sort.items.len() + place) / place;
        }
        ways
    };
    kind.sorts.iter().map(ways).fold(1, usize::saturating_mul)
}

/// Every count vector, per sort and device.
fn all_counts(kind: &Kind, devices: usize) -> Vec<Vec<Vec<usize>>> {
    let mut all: Vec<Vec<Vec<usize>>> = vec![Vec::new()];
    for sort in &kind.sorts {
        let places: Vec<usize> =
            (0..devices).filter(|&d| sort.profile.allowed.contains(d)).collect();
        let mut ways = Vec::new();
        compositions(&places, sort.items.len(), &mut vec![0; devices], &mut ways);
        let longer = |counts: &Vec<Vec<usize>>| -> Vec<Vec<Vec<usize>>> {
            let with = |way: &Vec<usize>| counts.iter().chain([way]).cloned().collect();
            ways.iter().map(with).collect()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

fn compositions(
    places: &[usize],
    left: usize,
    counts: &mut Vec<usize>,
    ways: &mut Vec<Vec<usize>>,
) {
    match places {
        [] if left == 0 => ways.push(counts.clone()),
        [] => {}
        [last] => {
            counts[*last] = left;
            ways.push(counts.clone());
            counts[*last] = 0;
        }
        [first, rest @ ..] => {
            for here in (0..=left).rev() {
                counts[*first] = here;
                compositions(rest, left - here, counts, ways);
            }
            counts[*first] = 0;
        }
    }
}

/// A home, and the devices with what they hold of each sort, in order.
type Dealt = (usize, Vec<(usize, Vec<usize>)>);

/// Times that were computed before, for homes and devices that time does not tell apart.
#[derive(Default)]
pub(super) struct Known {
    by_counts: BTreeMap<Dealt, Vec<f64>>,
}

impl Known {
    /// The times of a way; of sorts that are alike only the counts matter.
    pub(super) fn of_ways(
        &mut self,
        field: &Field<'_>,
        kind: &Kind,
        home: usize,
        devices: &[usize],
    ) -> Vec<f64> {
        if kind.sorts.iter().any(|sort| !sort.alike) {
            return times(field, kind, home, devices);
        }
        let mut counts = vec![vec![0; field.problem.devices.len()]; kind.sorts.len()];
        for (sort, counts) in kind.sorts.iter().zip(&mut counts) {
            for &item in &sort.items {
                counts[devices[item]] += 1;
            }
        }
        self.times(field, kind, home, &counts)
    }

    fn times(
        &mut self,
        field: &Field<'_>,
        kind: &Kind,
        home: usize,
        counts: &[Vec<usize>],
    ) -> Vec<f64> {
        // A home that is like an earlier one changes places with it.
        let first = like_home(field, kind, home);
        let mut counts = counts.to_vec();
        for sort in &mut counts {
            sort.swap(first, home);
        }
        let of = |device: usize| -> Vec<usize> { counts.iter().map(|sort| sort[device]).collect() };
        let mut key: Vec<(usize, Vec<usize>)> = field
            .devices()
            .filter(|&device| counts.iter().any(|sort| sort[device] > 0))
            .map(|device| (like(field, kind, first, device), of(device)))
            .collect();
        key.sort_unstable();
        let known = self.by_counts.entry((first, key));
        known.or_insert_with(|| times(field, kind, first, &deal(kind, &counts))).clone()
    }
}

/// The first device that takes as long as this one for all there is of the layer, seen from its home; the
/// home itself is like no other, and told by a number beyond the devices.
fn like(field: &Field<'_>, kind: &Kind, home: usize, device: usize) -> usize {
    if device == home {
        return field.problem.devices.len();
    }
    let same = |&other: &usize| other != home && alike(field, kind, (home, other), (home, device));
    field.devices().find(same).unwrap_or(device)
}

/// The first home from which the devices look the same, in the same order or not.
fn like_home(field: &Field<'_>, kind: &Kind, home: usize) -> usize {
    let timing = field.timing;
    let uniform = |a: usize, b: usize| {
        let others = || field.devices().filter(move |&d| d != a && d != b);
        same_speed(field, kind, a, b)
            && ways(timing, a, b) == ways(timing, b, a)
            && others().all(|d| ways(timing, a, d) == ways(timing, b, d))
    };
    (0..home).find(|&other| uniform(other, home)).unwrap_or(home)
}

fn alike(field: &Field<'_>, kind: &Kind, a: (usize, usize), b: (usize, usize)) -> bool {
    same_speed(field, kind, a.1, b.1)
        && ways(field.timing, a.0, a.1) == ways(field.timing, b.0, b.1)
}

/// Both ways between two devices.
fn ways(timing: &crate::problem::Timing, a: usize, b: usize) -> [u64; 4] {
    let (latency, token) = (&timing.latency_ps, &timing.token_ps);
    [latency[a][b], latency[b][a], token[a][b], token[b][a]]
}

fn same_speed(field: &Field<'_>, kind: &Kind, a: usize, b: usize) -> bool {
    let parts = kind.parts();
    let matrices = parts.matrices.iter().map(|part| part.1);
    let experts = parts.experts.iter().map(|part| part.1);
    let all = parts.always.iter().copied().chain(experts).chain(matrices);
    let visits = &field.timing.visit_ps;
    all.into_iter().all(|part| visits[part][a] == visits[part][b])
}
