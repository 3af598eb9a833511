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
use super::menu::{Entry, Floor, Known, Menu, deal, entry};
use super::{quick, tries};
use crate::problem::{DeviceSet, Draw};
use crate::runtime::{LayerDevices, SendRule};

/// `known` are times that were worked out before.
pub(super) fn menu(
    field: &Field<'_>,
    kind: &Kind,
    home: usize,
    weights: &[f64],
    known: &mut Known,
) -> Menu {
    let entries = tries::entries(field, kind, home, weights, known);
    let alike = kind.sorts.iter().all(|sort| sort.alike);
    let sequential = field.timing.devices == LayerDevices::Sequential;
    let mut menu = Menu { entries, ..Menu::default() };
    if alike && sequential {
        menu.floors = whole_sorts(field, kind, home, weights, known);
    } else {
        menu.apart = Some(apart(field, kind, home, weights));
        if alike {
            menu.floors = quick::by_share_of_home(field, kind, home, weights);
        }
    }
    menu
}

/// Each sort on one device.
fn whole_sorts(
    field: &Field<'_>,
    kind: &Kind,
    home: usize,
    weights: &[f64],
    known: &mut Known,
) -> Vec<Floor> {
    let ways = tries::whole_sorts(field, kind);
    let floor = |devices: Vec<usize>| {
        let by_set = known.of_ways(field, kind, home, &devices);
        let Entry { held, ps, .. } = entry(field, kind, devices, by_set, weights);
        Floor { ps, held, somewhere: (0.0, DeviceSet(0)) }
    };
    ways.into_iter().map(floor).collect()
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
    let mut floors = nothing(field, kind);
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

/// Per item and device nothing, or no way at all where the item may not be.
pub(super) fn nothing(field: &Field<'_>, kind: &Kind) -> Vec<Vec<f64>> {
    let mut floors = vec![vec![f64::INFINITY; field.problem.devices.len()]; kind.items];
    for sort in &kind.sorts {
        for &item in &sort.items {
            for device in field.devices().filter(|&d| sort.profile.allowed.contains(d)) {
                floors[item][device] = 0.0;
            }
        }
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
