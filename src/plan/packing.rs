//! Names for counts where remote experts like company: those of one device from as few layers as possible.
//!
//! The layers at the end of a device's share empty first and entirely, all kinds of items alike, and each
//! device takes the layers that it can take most of. Between two devices this attains the least there is:
//! every kind is as concentrated as its count allows, in the same layers, and the price of company is
//! concave.

use super::classes::{Classes, LayerClass};

/// Per layer of `class` and item, its device; `counts` is per item class and device. `None` when the counts
/// do not fit the homes.
pub(super) fn pack(
    classes: &Classes,
    class: &LayerClass,
    counts: &[Vec<usize>],
    homes: &[usize],
) -> Option<Vec<Vec<usize>>> {
    let mut left = counts.to_vec();
    let mut layers: Vec<Vec<Option<usize>>> = Vec::with_capacity(class.layers.len());
    // `empty[layer][item class]`: how many are not at home.
    let mut empty: Vec<Vec<usize>> = Vec::with_capacity(class.layers.len());
    for &layer in &class.layers {
        let home = homes[layer];
        let mut empty_here = vec![0; class.items.len()];
        let mut item = |item: &super::classes::Unit| {
            let j = class.items.iter().position(|i| i.profile == item.profile)?;
            let stays = left[j][home] > 0;
            if stays {
                left[j][home] -= 1;
            } else {
                empty_here[j] += 1;
            }
            Some(stays.then_some(home))
        };
        layers.push(classes.layers[layer].items.iter().map(&mut item).collect::<Option<_>>()?);
        empty.push(empty_here);
    }
    while let Some(load) = best(&empty, &left) {
        for j in 0..class.items.len() {
            let count = left[j][load.device].min(empty[load.layer][j]);
            left[j][load.device] -= count;
            empty[load.layer][j] -= count;
            let items = &classes.layers[class.layers[load.layer]].items;
            let places = layers[load.layer].iter_mut().zip(items);
            let places = places.filter(|(device, item)| {
                device.is_none() && item.profile == class.items[j].profile
            });
            places.take(count).for_each(|(device, _)| *device = Some(load.device));
        }
    }
    layers.into_iter().map(|items| items.into_iter().collect()).collect()
}

/// Some of a layer's empty places, for one device to fill.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    /// How many: the more, the better.
    items: usize,
    /// Places it leaves to others, the fewer the better.
    left_over: std::cmp::Reverse<usize>,
    layer: usize,
    device: usize,
}

/// The largest load that one device can take from one layer.
fn best(empty: &[Vec<usize>], left: &[Vec<usize>]) -> Option<Load> {
    let devices = left.first().map_or(0, Vec::len);
    let load = |(layer, device): (usize, usize)| {
        let places = &empty[layer];
        let items: usize = left.iter().zip(places).map(|(left, &n)| left[device].min(n)).sum();
        let left_over = std::cmp::Reverse(places.iter().sum::<usize>() - items);
        Load { items, left_over, layer, device }
    };
    let open = (0..empty.len()).filter(|&layer| empty[layer].iter().any(|&n| n > 0));
    let pairs = open.flat_map(|layer| (0..devices).map(move |device| (layer, device)));
    pairs.map(load).filter(|load| load.items > 0).max()
}
