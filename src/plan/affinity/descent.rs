//! Good arrangements where an exact one would take too long: layers divided anew, one after another.
//!
//! With both its neighbours where they are, the best division of a layer is an assignment problem: of experts
//! to slots, `ceil(E / D)` on every device, of which the last may stay empty where `E / D` is not whole. Every
//! second layer can be divided anew at once, since none of them is another's neighbour; no round makes
//! anything worse. Where memory binds, [`super::exchange`]
//! goes on from there.

use rayon::prelude::*;

use super::assign::{FORBIDDEN, assign};
use super::chain::{Arrangement, Chain, Layer};

/// Rounds over all layers, from all starts together.
const ROUNDS_MAX: u64 = 200;

/// Steps of assignments, at most `n^3` for `n` slots, that all rounds together may take beyond the first.
const STEPS_MAX: u64 = 20_000_000_000;

/// Starts: greedily from the first layer on, in order, then so many at random.
const RANDOM_STARTS: u64 = 4;

/// Arrangements that dividing a layer anew does not improve, or that rounds ran out on, the best first;
/// `None` when a layer cannot be divided as it must be at all.
pub(super) fn arrangements(
    chain: &Chain,
    out_of_time: &dyn Fn() -> bool,
) -> Option<Vec<Arrangement>> {
    let mut rounds_left = affordable(chain);
    let starts = [forward(chain)?, in_order(chain)?].into_iter();
    let starts = starts.chain((0..RANDOM_STARTS).filter_map(|seed| at_random(chain, seed)));
    let mut found: Vec<(u64, Arrangement)> = Vec::new();
    for (index, start) in starts.enumerate() {
        let enough = rounds_left == 0 || out_of_time() || chain.pairs.is_empty();
        if index > 1 && enough {
            break;
        }
        let arrangement = descend(chain, start, &mut rounds_left, out_of_time);
        found.push((chain.crossing(&arrangement), arrangement));
    }
    found.sort();
    Some(found.into_iter().map(|(_, arrangement)| arrangement).collect())
}

/// How many rounds there is time for; the clock is not asked, so that answers do not depend on it.
fn affordable(chain: &Chain) -> u64 {
    let slots = |layer: &Layer| number(layer.most * chain.devices);
    let round: u64 = chain.layers.iter().map(|layer| slots(layer).saturating_pow(3)).sum();
    (STEPS_MAX / round.max(1)).clamp(1, ROUNDS_MAX)
}

/// Rounds until one changes nothing.
fn descend(
    chain: &Chain,
    mut arrangement: Arrangement,
    rounds_left: &mut u64,
    out_of_time: &dyn Fn() -> bool,
) -> Arrangement {
    let mut crossing = chain.crossing(&arrangement);
    while *rounds_left > 0 {
        *rounds_left -= 1;
        for parity in 0..2 {
            let these: Vec<usize> = (parity..chain.layers.len()).step_by(2).collect();
            let divided: Vec<Option<Vec<usize>>> =
                these.par_iter().map(|&l| divide(chain, l, &arrangement, [true, true])).collect();
            for (l, devices) in these.into_iter().zip(divided) {
                arrangement[l] = devices.unwrap_or_else(|| arrangement[l].clone());
            }
        }
        let now = chain.crossing(&arrangement);
        if now >= crossing || out_of_time() {
            break;
        }
        crossing = now;
    }
    arrangement
}

/// The best division of one layer, with the neighbours that are asked for where they are; `None` when there
/// is no division.
fn divide(
    chain: &Chain,
    l: usize,
    arrangement: &Arrangement,
    neighbours: [bool; 2],
) -> Option<Vec<usize>> {
    let kept = kept(chain, l, arrangement, neighbours);
    slots(&chain.layers[l], chain.devices, &|expert, device| -kept[expert][device])
}

/// By expert of a layer and device: pairs that are kept together when the expert is there.
pub(super) fn kept(
    chain: &Chain,
    l: usize,
    arrangement: &Arrangement,
    [behind, ahead]: [bool; 2],
) -> Vec<Vec<i64>> {
    let mut kept = vec![vec![0_i64; chain.devices]; chain.layers[l].len()];
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let earlier = l.checked_sub(1).filter(|_| behind);
    if let Some((counts, homes)) = earlier.and_then(|k| Some((chain.after(k)?, &arrangement[k]))) {
        for (row, &home) in counts.iter().zip(homes) {
            row.iter().zip(&mut kept).for_each(|(&count, kept)| kept[home] += signed(count));
        }
    }
    let later = arrangement.get(l + 1).filter(|_| ahead);
    if let Some((counts, homes)) = later.and_then(|homes| Some((chain.after(l)?, homes))) {
        for (row, kept) in counts.iter().zip(&mut kept) {
            row.iter().zip(homes).for_each(|(&count, &home)| kept[home] += signed(count));
        }
    }
    kept
}

/// Experts to slots, at the least cost. Rows beyond the experts are nobody, who may only have a last slot.
fn slots(layer: &Layer, devices: usize, cost: &dyn Fn(usize, usize) -> i64) -> Option<Vec<usize>> {
    let per_device = layer.most;
    let price = |row: usize, slot: usize| {
        let (device, place) = (slot / per_device, slot % per_device);
        match layer.allowed.get(row) {
            Some(allowed) if allowed.contains(device) => cost(row, device),
            None if place >= layer.least => 0,
            _ => FORBIDDEN,
        }
    };
    let slots = assign(devices * per_device, &price)?;
    Some(slots[..layer.len()].iter().map(|slot| slot / per_device).collect())
}

/// The first experts of every layer on the first device, and so on, as far as they may be there.
pub(super) fn in_order(chain: &Chain) -> Option<Arrangement> {
    let divide = |layer: &Layer| {
        let distance = |expert: usize, device: usize| {
            let at = expert * chain.devices / layer.len();
            i64::try_from(at.abs_diff(device)).unwrap_or(i64::MAX)
        };
        slots(layer, chain.devices, &distance)
    };
    chain.layers.iter().map(divide).collect()
}

/// Every layer as is best after the one before.
fn forward(chain: &Chain) -> Option<Arrangement> {
    let mut arrangement = in_order(chain)?;
    for l in 1..chain.layers.len() {
        arrangement[l] = divide(chain, l, &arrangement, [true, false])?;
    }
    Some(arrangement)
}

fn at_random(chain: &Chain, seed: u64) -> Option<Arrangement> {
    let mix = |layer: usize, expert: usize, device: usize| {
        let words = [seed, number(layer), number(expert), number(device)];
        let mixed = words.into_iter().fold(0x9e37_79b9_7f4a_7c15_u64, |state, word| {
            let state = (state ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            state ^ state >> 29
        });
        i64::try_from(mixed >> 44).unwrap_or(0)
    };
    let layers = chain.layers.iter().enumerate();
    layers.map(|(l, layer)| slots(layer, chain.devices, &|e, d| mix(l, e, d))).collect()
}

fn number(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}
