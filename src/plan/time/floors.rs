//! Menus of layers with too many ways to list: floors that hold for every way, and ways worth trying.
//!
//! - Devices take turns and experts are alike: what a device adds is concave in the number of experts there
//!   (every further one is less likely to be the first that a step sends for), so the least of all ways
//!   under any prices puts each sort on one device.
//! - Devices work at the same time and experts are alike: give every device but the home the shortest visits
//!   and ways that any of them has. Exchanging experts between two of these changes the expected maximum
//!   as a function that only depends on how uneven the two are, and grows with it (the hypergeometric law
//!   diminishes variation, and the longer of two equal devices takes the longer the more unevenly the
//!   draws fall). So with `n` experts at home nothing is quicker than the others dealt out evenly.
//! - Otherwise item by item: a step that visits an item is at least so long there. Where devices work at the
//!   same time the longest of `q` takes at least a `q`-th of their sum, and no more can be busy than
//!   parts are visited; where a device is sent to once, an expert pays at least its part of that.

use std::collections::BTreeMap;

use super::field::{Field, Kind};
use super::float;
use super::menu::{Entry, Floor, Menu, deal, entry, times};
use super::tries;
use crate::objective::{Piece, Pieces, feed_forward_ps};
use crate::problem::{DeviceSet, Draw, Timing};
use crate::runtime::{LayerDevices, SendRule};

pub(super) fn menu(field: &Field<'_>, kind: &Kind, home: usize, weights: &[f64]) -> Menu {
    let entries = tries::entries(field, kind, home, weights);
    let alike = kind.sorts.iter().all(|sort| sort.alike);
    let sequential = field.timing.devices == LayerDevices::Sequential;
    let mut menu = Menu { entries, ..Menu::default() };
    if alike && sequential {
        menu.floors = whole_sorts(field, kind, home, weights);
    } else {
        menu.apart = Some(apart(field, kind, home, weights));
        if alike {
            menu.floors = by_share_of_home(field, kind, home, weights);
        }
    }
    menu
}

/// Each sort on one device.
fn whole_sorts(field: &Field<'_>, kind: &Kind, home: usize, weights: &[f64]) -> Vec<Floor> {
    let ways = tries::whole_sorts(field, kind);
    let floor = |devices: Vec<usize>| {
        let by_set = times(field, kind, home, &devices);
        let Entry { held, ps, .. } = entry(field, kind, devices, by_set, weights);
        Floor { ps, held, somewhere: (0.0, DeviceSet(0)) }
    };
    ways.into_iter().map(floor).collect()
}

/// A small layer beside the problem's: its components are numbered anew, and every device but the home is
/// as quick as the quickest.
struct Quick {
    timing: Timing,
    home: usize,
    others: Vec<usize>,
    always: Vec<usize>,
    expert: usize,
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
            (0..devices).map(|d| if d == home { row[home] } else { quickest }).collect()
        };
        let between = |table: &Vec<Vec<u64>>| -> Vec<Vec<u64>> {
            let there = least(&|device| table[home][device]);
            let back = least(&|device| table[device][home]);
            let at = |from: usize, to: usize| match (from == home, to == home) {
                (true, false) => there,
                (false, true) => back,
                _ => 0,
            };
            (0..devices).map(|from| (0..devices).map(|to| at(from, to)).collect()).collect()
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
        let always = (0..parts.always.len()).collect();
        Self { timing: small, home, others, always, expert: parts.always.len() }
    }

    /// With so many experts at home and the others dealt out evenly; `always` at home or nowhere.
    fn ps(&self, draw: &Draw, numbers: &[u32], at_home: usize, always: bool) -> u64 {
        let mut left = numbers.iter().copied();
        let mut pieces = Vec::new();
        let mut piece = |device: usize, count: usize, always: Vec<usize>| {
            let experts: Vec<(u32, usize)> =
                left.by_ref().take(count).map(|number| (number, self.expert)).collect();
            if !experts.is_empty() || !always.is_empty() {
                pieces.push(Piece { device, always, experts });
            }
        };
        piece(self.home, at_home, if always { self.always.clone() } else { Vec::new() });
        let away = numbers.len() - at_home;
        for (place, &device) in self.others.iter().enumerate() {
            let even = away / self.others.len() + usize::from(place < away % self.others.len());
            piece(device, even, Vec::new());
        }
        feed_forward_ps(&self.timing, draw, self.home, &Pieces(pieces))
    }
}

/// For every number of experts at home: the others at their best.
fn by_share_of_home(field: &Field<'_>, kind: &Kind, home: usize, weights: &[f64]) -> Vec<Floor> {
    let parts = kind.parts();
    let expert = parts.experts.first().and_then(|&(_, index)| kind.item_of(index));
    let sort = kind.sorts.iter().find(|sort| expert.is_some_and(|item| sort.items.contains(&item)));
    // One sort of all experts, or nothing is said.
    let Some(sort) = sort.filter(|sort| sort.items.len() == parts.experts.len()) else {
        return Vec::new();
    };
    let quick = Quick::of(field, kind, home, sort.profile.allowed);
    let numbers: Vec<u32> = parts.experts.iter().map(|expert| expert.0).collect();
    let most = if sort.profile.allowed.contains(home) { numbers.len() } else { 0 };
    let least = if quick.others.is_empty() { numbers.len() } else { 0 };
    let away = DeviceSet(quick.others.iter().fold(0, |set, &d| set | DeviceSet::only(d).0));
    let rest: Vec<&super::field::Sort> =
        kind.sorts.iter().filter(|other| !std::ptr::eq(*other, sort)).collect();
    let rest_bytes: f64 = rest
        .iter()
        .map(|other| super::count(other.items.len()) * float(other.profile.bytes()))
        .sum();
    let mut floors = Vec::new();
    let size = float(sort.profile.bytes());
    for at_home in least..=most {
        let ps = |always: bool| -> f64 {
            let sets = weights.iter().zip(kind.draws());
            sets.map(|(weight, draw)| weight * float(quick.ps(draw, &numbers, at_home, always)))
                .sum()
        };
        let mut held = vec![0.0; field.problem.devices.len()];
        held[home] = super::count(at_home) * size;
        let somewhere = (super::count(numbers.len() - at_home) * size, away);
        if rest.iter().all(|other| other.profile.allowed.contains(home)) {
            let mut held = held.clone();
            held[home] += rest_bytes;
            floors.push(Floor { ps: ps(true), held, somewhere });
        }
        if !rest.is_empty() {
            // What every token visits is elsewhere: nothing is asked of it but the time it takes itself.
            let alone = rest_alone(field, kind, home);
            floors.push(Floor { ps: ps(false).max(alone), held, somewhere });
        }
    }
    floors
}

/// What the longest of the parts that every token visits takes at least away from home.
fn rest_alone(field: &Field<'_>, kind: &Kind, home: usize) -> f64 {
    let timing = field.timing;
    let of = |part: usize| {
        let away = field.devices().filter(|&device| device != home).map(|device| {
            let way = timing.round_trip_ps(home, device, timing.tokens_milli);
            timing.visit_ps[part][device].saturating_add(way)
        });
        away.min().unwrap_or(0)
    };
    // One of them at least is away, the quickest at worst.
    float(kind.parts().always.iter().map(|&part| of(part)).min().unwrap_or(0))
}

/// Per item and device, what it adds at least.
fn apart(field: &Field<'_>, kind: &Kind, home: usize, weights: &[f64]) -> Vec<Vec<f64>> {
    let timing = field.timing;
    let parts = kind.parts();
    let visited = visited(kind, weights);
    let most = kind.draws().iter().map(most_visited).max().unwrap_or(0);
    let always = parts.always.len();
    let scale = match timing.devices {
        LayerDevices::Sequential => 1.0,
        LayerDevices::Concurrent => {
            super::count((most + always).min(field.problem.devices.len()).max(1))
        }
    };
    // A way that parts share is paid for once.
    let [share_expert, share_always] = match timing.sends {
        SendRule::PerExpert => [1.0, 1.0],
        SendRule::PerDevice if always == 0 => [super::count(most.max(1)), 1.0],
        SendRule::PerDevice => [2.0 * super::count(most.max(1)), 2.0 * super::count(always)],
    };
    let mut floors = vec![vec![f64::INFINITY; field.problem.devices.len()]; kind.items];
    for sort in &kind.sorts {
        for &item in &sort.items {
            for device in field.devices().filter(|&d| sort.profile.allowed.contains(d)) {
                floors[item][device] = 0.0;
            }
        }
    }
    let mut add = |part: usize, likely: f64, tokens: u64, share: f64| {
        let Some(item) = kind.item_of(part) else { return };
        for (device, floor) in floors[item].iter_mut().enumerate() {
            let way = float(timing.round_trip_ps(home, device, tokens)) / share;
            *floor += likely * (float(timing.visit_ps[part][device]) + way) / scale;
        }
    };
    for &part in &parts.always {
        add(part, 1.0, timing.tokens_milli, share_always);
    }
    for &(number, part) in &parts.experts {
        let tokens = timing.expert_tokens_milli[part];
        add(part, visited.get(&number).copied().unwrap_or(0.0), tokens, share_expert);
    }
    floors
}

/// How likely a step visits each expert.
pub(super) fn visited(kind: &Kind, weights: &[f64]) -> BTreeMap<u32, f64> {
    let experts = &kind.parts().experts;
    let mut odds: BTreeMap<u32, f64> = experts.iter().map(|&(number, _)| (number, 0.0)).collect();
    for (draw, scale) in kind.draws().iter().zip(weights) {
        match draw {
            Draw::Even(sizes) => {
                let total: f64 = sizes.iter().map(|&(_, weight)| float(weight)).sum();
                let mean: f64 = sizes.iter().map(|&(n, weight)| f64::from(n) * float(weight)).sum();
                let each = mean / (total.max(1.0) * super::count(experts.len().max(1)));
                for likely in odds.values_mut() {
                    *likely += scale * each;
                }
            }
            Draw::Sets(sets) => {
                let total: f64 = sets.iter().map(|&(_, weight)| float(weight)).sum();
                for (set, weight) in sets {
                    for number in set {
                        if let Some(likely) = odds.get_mut(number) {
                            *likely += scale * float(*weight) / total;
                        }
                    }
                }
            }
        }
    }
    odds
}

fn most_visited(draw: &Draw) -> usize {
    match draw {
        Draw::Even(sizes) => {
            sizes.iter().map(|&(n, _)| usize::try_from(n).unwrap_or(usize::MAX)).max().unwrap_or(0)
        }
        Draw::Sets(sets) => sets.iter().map(|(set, _)| set.len()).max().unwrap_or(0),
    }
}

/// So many items of one sort on each device, as a way.
pub(super) fn counted(kind: &Kind, place: usize, counts: &[usize], rest: usize) -> Vec<usize> {
    let devices = counts.len();
    let of = |number: usize, sort: &super::field::Sort| {
        if number == place {
            return counts.to_vec();
        }
        let mut all = vec![0; devices];
        all[if sort.profile.allowed.contains(rest) {
            rest
        } else {
            sort.profile.allowed.iter().next().unwrap_or(rest)
        }] = sort.items.len();
        all
    };
    let counts: Vec<Vec<usize>> = kind.sorts.iter().enumerate().map(|(n, s)| of(n, s)).collect();
    deal(kind, &counts)
}
