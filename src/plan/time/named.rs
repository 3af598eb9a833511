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
/// all that are quickest under some of them. `None` where counts cannot be told by one number.
pub(super) fn quickest(
    field: &Field<'_>,
    kind: &Kind,
    home: usize,
    weights: &[f64],
) -> Option<Vec<Entry>> {
    let sets = field.timing.draws.len();
    let tables: Option<Vec<Vec<Table>>> =
        (0..sets).map(|set| tables(field, kind, home, set)).collect();
    let mut walk = Walk {
        field,
        kind,
        home,
        places: places(field, kind),
        keys: keys(field, kind)?,
        tables: tables.filter(|_| kind.items > 0).map(|tables| by_last_member(tables, kind.items)),
        sums: vec![vec![0.0; sets]; kind.items + 1],
        devices: vec![0; kind.items],
        best: BTreeMap::new(),
    };
    walk.from(0, 0);
    let best = walk.best;
    // Sums of parts differ from the law's rounding of the whole; what is kept is what the law says.
    let exact = |(_, devices): Timed| {
        let by_set = times(field, kind, home, &devices);
        entry(field, kind, devices, by_set, weights)
    };
    Some(best.into_values().flatten().map(exact).collect())
}

/// Keeps an assignment unless one that is known is at least as quick under every set; drops those to which
/// that then applies.
fn keep(known: &mut Vec<Timed>, by_set: &[f64], devices: &[usize]) {
    let at_most = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| a <= b);
    if known.iter().any(|old| at_most(&old.0, by_set)) {
        return;
    }
    known.retain(|old| !at_most(by_set, &old.0));
    known.push((by_set.to_vec(), devices.to_vec()));
}

/// All assignments, item by item; what the items so far take is added up once for all that follow.
struct Walk<'a> {
    field: &'a Field<'a>,
    kind: &'a Kind,
    home: usize,
    /// Per item, where it may be.
    places: Vec<Vec<usize>>,
    keys: Vec<Vec<u128>>,
    /// Per item and set of statistics, the tables of which it is the last member.
    tables: Option<Vec<Vec<Vec<Table>>>>,
    /// Per item and set, what tables of items before it say.
    sums: Vec<Vec<f64>>,
    devices: Vec<usize>,
    best: BTreeMap<u128, Vec<Timed>>,
}

impl Walk<'_> {
    /// Every assignment of the items from this one; those before it add up to `key`.
    fn from(&mut self, item: usize, key: u128) {
        if item == self.kind.items {
            return self.reached(key);
        }
        for place in 0..self.places[item].len() {
            let device = self.places[item][place];
            self.devices[item] = device;
            if let Some(tables) = &self.tables {
                let (before, after) = self.sums.split_at_mut(item + 1);
                let sums = after[0].iter_mut().zip(&before[item]);
                for ((sum, before), tables) in sums.zip(&tables[item]) {
                    *sum = before + tables.iter().map(|table| table.at(&self.devices)).sum::<f64>();
                }
            }
            self.from(item + 1, key + self.keys[item][device]);
        }
    }

    fn reached(&mut self, key: u128) {
        if self.tables.is_none() {
            let times = times(self.field, self.kind, self.home, &self.devices);
            self.sums[self.kind.items] = times;
        }
        keep(self.best.entry(key).or_default(), &self.sums[self.kind.items], &self.devices);
    }
}

/// The tables of each set of statistics by the item that is the last of their members.
fn by_last_member(tables: Vec<Vec<Table>>, items: usize) -> Vec<Vec<Vec<Table>>> {
    let sets = tables.len();
    let mut levels: Vec<Vec<Vec<Table>>> =
        (0..items).map(|_| (0..sets).map(|_| Vec::new()).collect()).collect();
    for (set, tables) in tables.into_iter().enumerate() {
        for table in tables {
            // A step that visits nothing takes the same wherever everything is.
            let last = table.members.last().map_or(0, |member| member.0);
            levels[last][set].push(table);
        }
    }
    levels
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

/// Per item and device, a number of which sums tell how many items of each sort are on each device: digits, one
/// for each sort and device, to a base that no count reaches. `None` where that takes too many digits.
fn keys(field: &Field<'_>, kind: &Kind) -> Option<Vec<Vec<u128>>> {
    let base = u128::try_from(kind.items + 1).ok()?;
    let mut keys = vec![vec![0; field.problem.devices.len()]; kind.items];
    let mut digit = 1_u128;
    for sort in &kind.sorts {
        for device in field.devices().filter(|&device| sort.profile.allowed.contains(device)) {
            for &item in &sort.items {
                keys[item][device] = digit;
            }
            digit = digit.checked_mul(base)?;
        }
    }
    Some(keys)
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
