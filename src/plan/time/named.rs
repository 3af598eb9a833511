//! Menus of layers whose experts are chosen unequally often: every assignment by name.
//!
//! A listed set of experts takes what the devices of its members make it take, so its time is a table over
//! those; an assignment's is a weighted sum of table entries.

use std::collections::BTreeMap;

use super::field::{Field, Kind};
use super::float;
use super::menu::{Entry, entry, times};
use crate::problem::Draw;

/// The most entries of a set's table.
const TABLE_MAX: usize = 4_096;

/// How many assignments there are; saturates.
pub(super) fn assignments(kind: &Kind) -> u64 {
    let ways = |sort: &super::field::Sort| {
        let places = u64::from(sort.profile.allowed.0.count_ones());
        let items = u32::try_from(sort.items.len()).unwrap_or(u32::MAX);
        places.saturating_pow(items)
    };
    kind.sorts.iter().map(ways).fold(1, u64::saturating_mul)
}

/// A set's members among the items, and its share of the time by their devices.
struct Table {
    /// Item and the factor of its device in the place.
    members: Vec<(usize, usize)>,
    ps: Vec<f64>,
}

/// An assignment with its time under each set of statistics.
type Timed = (Vec<f64>, Vec<usize>);

/// Of every count of items per sort and device, the quickest assignment; with several sets of statistics,
/// all that are quickest under some of them.
pub(super) fn quickest(field: &Field<'_>, kind: &Kind, home: usize, weights: &[f64]) -> Vec<Entry> {
    let sets = 0..field.timing.draws.len();
    let tables: Option<Vec<Vec<Table>>> = sets.map(|set| tables(field, kind, home, set)).collect();
    let places: Vec<Vec<usize>> = places(field, kind);
    let mut best: BTreeMap<Vec<usize>, Vec<Timed>> = BTreeMap::new();
    let mut digits = vec![0_usize; kind.items];
    loop {
        let devices: Vec<usize> = digits.iter().zip(&places).map(|(&d, p)| p[d]).collect();
        let by_set = match &tables {
            Some(tables) => {
                let sum = |tables: &Vec<Table>| tables.iter().map(|table| table.at(&devices)).sum();
                tables.iter().map(sum).collect()
            }
            None => times(field, kind, home, &devices),
        };
        keep(best.entry(counts(field, kind, &devices)).or_default(), (by_set, devices));
        if !next(&mut digits, &places) {
            break;
        }
    }
    // Sums of parts differ from the law's rounding of the whole; what is kept is what the law says.
    let exact = |(_, devices): Timed| {
        let by_set = times(field, kind, home, &devices);
        entry(field, kind, devices, by_set, weights)
    };
    best.into_values().flatten().map(exact).collect()
}

/// Keeps an assignment unless one that is known is at least as quick under every set; drops those to which
/// that then applies.
fn keep(known: &mut Vec<Timed>, new: Timed) {
    let at_most = |a: &Timed, b: &Timed| a.0.iter().zip(&b.0).all(|(a, b)| a <= b);
    if known.iter().any(|old| at_most(old, &new)) {
        return;
    }
    known.retain(|old| !at_most(&new, old));
    known.push(new);
}

impl Table {
    fn at(&self, devices: &[usize]) -> f64 {
        self.ps[self.members.iter().map(|&(item, factor)| devices[item] * factor).sum::<usize>()]
    }
}

fn places(field: &Field<'_>, kind: &Kind) -> Vec<Vec<usize>> {
    let mut places = vec![Vec::new(); kind.items];
    for sort in &kind.sorts {
        let allowed = || field.devices().filter(|&d| sort.profile.allowed.contains(d));
        for &item in &sort.items {
            places[item] = allowed().collect();
        }
    }
    places
}

fn counts(field: &Field<'_>, kind: &Kind, devices: &[usize]) -> Vec<usize> {
    let all = field.problem.devices.len();
    let mut counts = vec![0; kind.sorts.len() * all];
    for (number, sort) in kind.sorts.iter().enumerate() {
        for &item in &sort.items {
            counts[number * all + devices[item]] += 1;
        }
    }
    counts
}

/// The next assignment; `false` after the last.
fn next(digits: &mut [usize], places: &[Vec<usize>]) -> bool {
    for (digit, places) in digits.iter_mut().zip(places) {
        *digit += 1;
        if *digit < places.len() {
            return true;
        }
        *digit = 0;
    }
    false
}

/// A table per listed set; `None` where a draw lists none or a table would be too large.
fn tables(field: &Field<'_>, kind: &Kind, home: usize, set: usize) -> Option<Vec<Table>> {
    let all = field.problem.devices.len();
    let always: Vec<usize> =
        kind.parts().always.iter().filter_map(|&part| kind.item_of(part)).collect();
    let Draw::Sets(sets) = &kind.draws()[set] else { return None };
    let total: f64 = sets.iter().map(|&(_, weight)| float(weight)).sum();
    let of = |(experts, count): &(Vec<u32>, u64)| {
        let members: Option<Vec<usize>> =
            experts.iter().map(|&number| expert_item(kind, number)).collect();
        let mut members = members?;
        members.extend(&always);
        members.sort_unstable();
        members.dedup();
        let size = u32::try_from(members.len()).ok().and_then(|n| all.checked_pow(n))?;
        let alone = (size <= TABLE_MAX).then(|| kind.only(set, experts))?;
        Some(table(field, &alone, home, set, members, size, float(*count) / total))
    };
    sets.iter().map(of).collect()
}

fn expert_item(kind: &Kind, number: u32) -> Option<usize> {
    let experts = &kind.parts().experts;
    let place = experts.binary_search_by_key(&number, |expert| expert.0).ok()?;
    kind.item_of(experts[place].1)
}

fn table(
    field: &Field<'_>,
    alone: &Kind,
    home: usize,
    set: usize,
    members: Vec<usize>,
    size: usize,
    scale: f64,
) -> Table {
    let all = field.problem.devices.len();
    let mut factor = 1;
    let members: Vec<(usize, usize)> = members
        .into_iter()
        .map(|item| {
            let own = factor;
            factor *= all;
            (item, own)
        })
        .collect();
    let mut devices = vec![home; alone.items];
    let ps = (0..size).map(|place| {
        for &(item, factor) in &members {
            devices[item] = place / factor % all;
        }
        scale * float(alone.ps(field.timing, set, home, &devices))
    });
    let ps = ps.collect();
    Table { members, ps }
}
