//! Menus of layers whose experts are placed matrix by matrix, where there are too many ways to list: every
//! way over the home and one other device, and floors of visits alone.

use super::field::{Field, Kind};
use super::floors::nothing;
use super::menu::{Menu, entry, times};
use super::{count, float};
use crate::runtime::LayerDevices;

/// A menu that is not complete.
pub(super) fn menu(field: &Field<'_>, kind: &Kind, home: usize, weights: &[f64]) -> Menu {
    let mut ways: Vec<Vec<usize>> =
        field.devices().flat_map(|other| over_two(kind, home, other)).collect();
    ways.retain(|devices| is_allowed(kind, devices));
    ways.sort_unstable();
    ways.dedup();
    let entry = |devices: Vec<usize>| {
        let by_set = times(field, kind, home, &devices);
        entry(field, kind, devices, by_set, weights)
    };
    let entries = ways.into_iter().map(entry).collect();
    Menu { entries, apart: Some(apart(field, kind)), ..Menu::default() }
}

/// A layer has a handful of items: its matrices and what every token visits.
fn over_two(kind: &Kind, home: usize, other: usize) -> Vec<Vec<usize>> {
    let device = |way: usize, item: usize| if way >> item & 1 == 1 { other } else { home };
    let ways = 0..1_usize << kind.items;
    ways.map(|way| (0..kind.items).map(|item| device(way, item)).collect()).collect()
}

fn is_allowed(kind: &Kind, devices: &[usize]) -> bool {
    let mut items = kind.sorts.iter().flat_map(|sort| sort.items.iter().map(move |&i| (sort, i)));
    items.all(|(sort, item)| sort.profile.allowed.contains(devices[item]))
}

/// What each item adds at least: its visit. What works at the same time takes at least its share of the sum.
fn apart(field: &Field<'_>, kind: &Kind) -> Vec<Vec<f64>> {
    let timing = field.timing;
    let parts = kind.parts();
    let (last, before) =
        parts.matrices.split_last().map_or((None, &[][..]), |(l, b)| (Some(l.1), b));
    let at_once: Vec<usize> =
        before.iter().map(|matrix| matrix.1).chain(parts.always.iter().copied()).collect();
    let scale = match timing.devices {
        LayerDevices::Sequential => 1.0,
        LayerDevices::Concurrent => count(at_once.len().max(1)),
    };
    let mut floors = nothing(field, kind);
    let parts = at_once.into_iter().map(|part| (part, scale)).chain(last.map(|part| (part, 1.0)));
    for (part, scale) in parts {
        let Some(item) = kind.item_of(part) else { continue };
        for (floor, &ps) in floors[item].iter_mut().zip(&timing.visit_ps[part]) {
            *floor += float(ps) / scale;
        }
    }
    floors
}
