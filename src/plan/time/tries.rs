//! Ways worth trying for a layer with too many to list.

use super::field::{Field, Kind, Sort};
use super::floors::{counted, visited};
use super::menu::{Entry, Known, entry};

/// Steps between none and all of a sort's items.
const STEPS: usize = 16;

/// Ways worth trying with this home, each once.
pub(super) fn entries(
    field: &Field<'_>,
    kind: &Kind,
    home: usize,
    weights: &[f64],
    known: &mut Known,
) -> Vec<Entry> {
    let mut ways = whole_sorts(field, kind);
    let largest = kind.sorts.iter().enumerate().max_by_key(|(_, sort)| sort.items.len());
    if let Some((place, sort)) = largest {
        ways.extend(shares(field, kind, home, place, sort));
        if !sort.alike {
            ways.extend(by_name(field, kind, home, sort, weights));
        }
    }
    ways.sort_unstable();
    ways.dedup();
    let entry = |devices: Vec<usize>| {
        let by_set = known.of_ways(field, kind, home, &devices);
        entry(field, kind, devices, by_set, weights)
    };
    ways.into_iter().map(entry).collect()
}

/// Every sort whole, wherever it may be.
pub(super) fn whole_sorts(field: &Field<'_>, kind: &Kind) -> Vec<Vec<usize>> {
    let mut ways = vec![vec![0; kind.items]];
    for sort in &kind.sorts {
        let places = field.devices().filter(|&d| sort.profile.allowed.contains(d));
        let on = |device: usize| {
            let with = move |way: &Vec<usize>| {
                let mut way = way.clone();
                sort.items.iter().for_each(|&item| way[item] = device);
                way
            };
            ways.iter().map(with).collect::<Vec<_>>()
        };
        ways = places.flat_map(on).collect();
    }
    ways
}

/// Some at home, and the others on one other device, or evenly on some of the others.
fn shares(
    field: &Field<'_>,
    kind: &Kind,
    home: usize,
    place: usize,
    sort: &Sort,
) -> Vec<Vec<usize>> {
    let all = sort.items.len();
    let devices = field.problem.devices.len();
    let others: Vec<usize> =
        field.devices().filter(|&d| d != home && sort.profile.allowed.contains(d)).collect();
    let most = if sort.profile.allowed.contains(home) { all } else { 0 };
    let mut at_home: Vec<usize> = (0..=STEPS).map(|step| most * step / STEPS).collect();
    at_home.extend((0..=8).flat_map(|few| [few.min(most), most - few.min(most)]));
    at_home.extend((0..=8).map(|few| (all / devices + few).min(most)));
    at_home.sort_unstable();
    at_home.dedup();
    let mut ways = Vec::new();
    for here in at_home {
        let mut deal_to = |to: &[usize]| {
            if to.is_empty() && here < all {
                return;
            }
            let mut counts = vec![0; devices];
            counts[home] = here;
            for (number, &device) in to.iter().enumerate() {
                let away = all - here;
                counts[device] = away / to.len() + usize::from(number < away % to.len());
            }
            ways.push(counted(kind, place, &counts, home));
        };
        for &device in &others {
            deal_to(&[device]);
        }
        for first in 0..others.len() {
            for many in [2, 3, 4, 6, others.len()] {
                if many <= others.len() && (many < others.len() || first == 0) {
                    let some: Vec<usize> =
                        others.iter().cycle().skip(first).take(many).copied().collect();
                    deal_to(&some);
                }
            }
        }
    }
    ways
}

/// The most visited items at home, or dealt out in turn, as far as they are of this sort.
fn by_name(
    field: &Field<'_>,
    kind: &Kind,
    home: usize,
    sort: &Sort,
    weights: &[f64],
) -> Vec<Vec<usize>> {
    let mut order: Vec<(f64, usize)> = Vec::new();
    let odds = visited(kind, weights);
    for &(number, part) in &kind.parts().experts {
        if let Some(item) = kind.item_of(part).filter(|item| sort.items.contains(item)) {
            order.push((odds.get(&number).copied().unwrap_or(0.0), item));
        }
    }
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let places: Vec<usize> =
        field.devices().filter(|&d| sort.profile.allowed.contains(d)).collect();
    let elsewhere = kind.sorts.iter().flat_map(|other| {
        let device = if other.profile.allowed.contains(home) {
            home
        } else {
            other.profile.allowed.iter().next().unwrap_or(home)
        };
        other.items.iter().map(move |&item| (item, device))
    });
    let mut base = vec![home; kind.items];
    elsewhere.for_each(|(item, device)| base[item] = device);
    let mut ways = Vec::new();
    for &other in places.iter().filter(|&&device| device != home) {
        for step in 0..=STEPS {
            let hot = order.len() * step / STEPS;
            let mut way = base.clone();
            for (rank, &(_, item)) in order.iter().enumerate() {
                way[item] = if rank < hot { home } else { other };
            }
            ways.push(way);
        }
    }
    // Dealt out like cards, back and forth, so that every device gets as much to do.
    let mut way = base;
    for (rank, &(_, item)) in order.iter().enumerate() {
        let (round, place) = (rank / places.len(), rank % places.len());
        way[item] = places[if round % 2 == 0 { place } else { places.len() - 1 - place }];
    }
    ways.push(way);
    let home_allowed = sort.profile.allowed.contains(home);
    ways.retain(|way| home_allowed || sort.items.iter().all(|&item| way[item] != home));
    ways
}
