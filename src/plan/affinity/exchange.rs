//! Experts exchanged between devices until each has room, and then for fewer crossings.

use rayon::prelude::*;

use super::Within;
use super::chain::{Arrangement, Chain};
use super::descent::kept;
use super::rooms::Rooms;

/// Exchanges that are made from one start.
const EXCHANGES_MAX: usize = 400;

/// One expert to another's device, and the other, if there is one, to its.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Exchange {
    layer: usize,
    expert: usize,
    device: usize,
    other: Option<usize>,
}

impl Exchange {
    fn apply(self, arrangement: &mut Arrangement) {
        let devices = &mut arrangement[self.layer];
        let from = devices[self.expert];
        devices[self.expert] = self.device;
        if let Some(other) = self.other {
            devices[other] = from;
        }
    }
}

/// What is known of an arrangement, to value its exchanges by.
struct State<'a> {
    chain: &'a Chain,
    rooms: &'a Rooms,
    within: &'a Within,
    arrangement: &'a Arrangement,
    required: Vec<u64>,
    kept: Vec<Vec<Vec<i64>>>,
}

impl State<'_> {
    /// Bytes beyond what devices may require.
    fn over(&self) -> u64 {
        let pairs = self.required.iter().zip(&self.within.device_bytes);
        pairs.map(|(required, most)| required.saturating_sub(*most)).sum()
    }

    /// Bytes beyond, and pairs lost more than now. What is held beside weights is taken to stay as it is: it
    /// is looked at anew after the exchange.
    fn value(&self, exchange: Exchange) -> (u64, i64) {
        let Exchange { layer, expert, device, other } = exchange;
        let from = self.arrangement[layer][expert];
        let items = &self.rooms.items[layer];
        let (out, back) = (items[expert].bytes, other.map_or(0, |other| items[other].bytes));
        let most = &self.within.device_bytes;
        let beyond = |d: usize, plus: u64, less: u64| {
            (self.required[d] + plus).saturating_sub(less).saturating_sub(most[d])
        };
        let now = self.required[from].saturating_sub(most[from])
            + self.required[device].saturating_sub(most[device]);
        let over = self.over() - now + beyond(from, back, out) + beyond(device, out, back);
        let kept = &self.kept[layer];
        let lost = |e: usize, from: usize, to: usize| kept[e][from] - kept[e][to];
        let lost = lost(expert, from, device) + other.map_or(0, |e| lost(e, device, from));
        (over, lost)
    }

    /// All exchanges that keep every layer divided as it must be.
    fn exchanges(&self) -> Vec<Exchange> {
        let mut all = Vec::new();
        let layers = self.chain.layers.iter().zip(self.arrangement).enumerate();
        for (l, (layer, devices)) in layers {
            let mut here = vec![0; self.chain.devices];
            for &device in devices {
                here[device] += 1;
            }
            for (expert, &from) in devices.iter().enumerate() {
                let allowed = layer.allowed[expert];
                for device in allowed.iter().filter(|&device| device != from) {
                    if here[from] > layer.least && here[device] < layer.most {
                        all.push(Exchange { layer: l, expert, device, other: None });
                    }
                }
                for (other, &to) in devices.iter().enumerate().skip(expert + 1) {
                    if to != from && allowed.contains(to) && layer.allowed[other].contains(from) {
                        all.push(Exchange { layer: l, expert, device: to, other: Some(other) });
                    }
                }
            }
        }
        all
    }
}

/// As [`nearest`]; `None` where that ends beyond a cap.
pub(super) fn improve(
    chain: &Chain,
    rooms: &Rooms,
    within: &Within,
    start: Arrangement,
    out_of_time: &dyn Fn() -> bool,
) -> Option<Arrangement> {
    let found = nearest(chain, rooms, within, start, out_of_time);
    within.admits(chain, rooms, &found).then_some(found)
}

/// Exchanges as long as one leaves less beyond the devices' room, or as much and fewer pairs apart.
pub(super) fn nearest(
    chain: &Chain,
    rooms: &Rooms,
    within: &Within,
    mut arrangement: Arrangement,
    out_of_time: &dyn Fn() -> bool,
) -> Arrangement {
    for _ in 0..EXCHANGES_MAX {
        if out_of_time() {
            break;
        }
        let before = within.beyond(rooms, &arrangement);
        let chosen = {
            let state = State {
                chain,
                rooms,
                within,
                arrangement: &arrangement,
                required: rooms.required(&arrangement),
                kept: (0..chain.layers.len())
                    .map(|l| kept(chain, l, &arrangement, [true, true]))
                    .collect(),
            };
            let valued = state.exchanges().into_par_iter().map(|e| (state.value(e), e)).min();
            valued.filter(|(value, _)| *value < (before, 0))
        };
        let Some((_, exchange)) = chosen else { break };
        let mut changed = arrangement.clone();
        exchange.apply(&mut changed);
        // What is held beside weights may have grown.
        if within.beyond(rooms, &changed) > before {
            break;
        }
        arrangement = changed;
    }
    arrangement
}
