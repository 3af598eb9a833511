//! Counts back to names: the same counts always give the same placement.

use super::classes::{Classes, ItemClass, Layer, LayerClass};
use super::evaluate::Assignment;
use super::formulation::counts::CountSolution;
use super::packing;

/// Names the layers and experts of `solution`, given each layer's home.
///
/// `homes` must realise `solution.homes`. Experts stay at home as far as the counts allow; the layers at
/// the end of a device's share send theirs away first, the highest experts of a layer before the lowest.
/// `None` when the counts do not fit the homes.
pub(super) fn assignment(
    classes: &Classes,
    solution: &CountSolution,
    homes: &[usize],
) -> Option<Assignment> {
    let mut items: Vec<Vec<usize>> =
        classes.layers.iter().map(|layer| vec![usize::MAX; layer.items.len()]).collect();
    for (c, class) in classes.by_kind.iter().enumerate() {
        if classes.sends.is_some() {
            let packed = packing::pack(classes, class, &solution.items[c], homes)?;
            for (&layer, devices) in class.layers.iter().zip(packed) {
                items[layer] = devices;
            }
            continue;
        }
        for (j, item) in class.items.iter().enumerate() {
            let places = places(classes, class, item);
            let devices = fill(&places, homes, &solution.items[c][j])?;
            for (&(layer, index), device) in places.iter().zip(devices) {
                items[layer][index] = device;
            }
        }
    }
    Some(Assignment {
        embedding: solution.embedding,
        head: solution.head,
        homes: homes.to_vec(),
        items,
    })
}

/// The counts of an assignment to so many devices.
pub(super) fn counts(classes: &Classes, assignment: &Assignment, devices: usize) -> CountSolution {
    let count = |on: &mut dyn Iterator<Item = usize>| {
        let mut counts = vec![0; devices];
        on.for_each(|device| counts[device] += 1);
        counts
    };
    let items = |class: &LayerClass, item: &ItemClass| {
        let places = places(classes, class, item);
        count(&mut places.iter().map(|&(layer, index)| assignment.items[layer][index]))
    };
    let class = |class: &LayerClass| {
        let homes = count(&mut class.layers.iter().map(|&layer| assignment.homes[layer]));
        (homes, class.items.iter().map(|item| items(class, item)).collect())
    };
    let (homes, items) = classes.by_kind.iter().map(class).unzip();
    CountSolution { embedding: assignment.embedding, head: assignment.head, homes, items }
}

/// Every (layer, item) of one item class, in order.
fn places(classes: &Classes, class: &LayerClass, item: &ItemClass) -> Vec<(usize, usize)> {
    let of = |&layer: &usize| {
        let Layer { items, .. } = &classes.layers[layer];
        let same = items.iter().enumerate().filter(|(_, unit)| unit.profile == item.profile);
        same.map(move |(index, _)| (layer, index)).collect::<Vec<_>>()
    };
    class.layers.iter().flat_map(of).collect()
}

/// A device for every place: home while the home still has some, then whoever has some left.
fn fill(places: &[(usize, usize)], homes: &[usize], counts: &[usize]) -> Option<Vec<usize>> {
    let mut left = counts.to_vec();
    let mut devices = vec![None; places.len()];
    for (device, &(layer, _)) in devices.iter_mut().zip(places) {
        let home = homes[layer];
        if left[home] > 0 {
            left[home] -= 1;
            *device = Some(home);
        }
    }
    let mut away = left.iter().enumerate().flat_map(|(d, &n)| std::iter::repeat_n(d, n));
    devices.into_iter().map(|device| device.or_else(|| away.next())).collect()
}

/// Orders the layers for given home counts: stay on a device as long as its share of the layer's class
/// lasts, start where the embedding is if that hosts anything, and keep the head's device for the end.
pub(super) fn arrange(
    classes: &Classes,
    solution: &CountSolution,
    first: usize,
) -> Option<Vec<usize>> {
    let mut left = solution.homes.clone();
    let mut current = first;
    let mut homes = Vec::with_capacity(classes.layers.len());
    for layer in &classes.layers {
        let share = &left[layer.class];
        if share[current] == 0 {
            let total = |d: usize| left.iter().map(|class| class[d]).sum::<usize>();
            let later = |d: &usize| (*d == solution.head, std::cmp::Reverse(total(*d)), *d);
            current = (0..share.len()).filter(|&d| share[d] > 0).min_by_key(later)?;
        }
        left[layer.class][current] -= 1;
        homes.push(current);
    }
    Some(homes)
}
