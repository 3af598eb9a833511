//! The best one device can make of prices: a small bounded knapsack.
//!
//! A device is home to some layers. Of every item it may hold, it earns the item's price, and pays the
//! traffic of those that exceed what its own layers have. So the first items of a class are worth their
//! price and the rest less: two pieces per class, filled by what they earn per byte, with a short tree
//! search for the last bytes.

use super::market::{Held, Market};

/// Tree nodes per knapsack; beyond them what is left is bounded instead of searched.
const NODES_MAX: u32 = 400;

/// What a device makes of it.
#[derive(Clone, Debug)]
pub(super) struct Best {
    /// At least this is what the traffic of its items costs less their prices, scaled.
    pub(super) cost: i64,
    /// Items held, per class, in the best filling found.
    pub(super) items: Vec<u64>,
}

/// Some items of a class that are worth the same each.
#[derive(Clone, Copy, Debug)]
struct Piece {
    item: usize,
    bytes: u64,
    gain: i64,
    count: u64,
}

/// The least cost of a device that holds `held` and is home to `homes` layers of each class; `None` when
/// that does not fit.
pub(super) fn best(
    market: &Market,
    device: usize,
    held: &Held,
    homes: &[u64],
    prices: &[i64],
) -> Option<Best> {
    // A device that holds nothing fits whatever it would keep free.
    let idle = held.is_nothing() && market.sites[device].items.iter().all(|bounds| bounds.0 == 0);
    let mut found = idle.then(|| Best { cost: 0, items: vec![0; market.items.len()] });
    for (workspace_bytes, staging_bytes) in levels(market, device) {
        let held = with_level(held, workspace_bytes, staging_bytes);
        let Some(room) = room(market, device, &held) else { continue };
        let fits = |j: usize| {
            let presence = market.items[j].profile.presence;
            presence.workspace_bytes <= held.presence.workspace_bytes
                && presence.staging_bytes <= held.presence.staging_bytes
        };
        let Some(best) = filled(market, device, room, homes, prices, fits) else { continue };
        if found.as_ref().is_none_or(|found| best.cost < found.cost) {
            found = Some(best);
        }
    }
    found
}

/// Whether `held` fits before any item is chosen.
pub(super) fn fits(market: &Market, device: usize, held: &Held) -> bool {
    held.is_nothing() || room(market, device, held).is_some()
}

/// Every combination of a workspace and a staged matrix that items could bring, and bringing none.
fn levels(market: &Market, device: usize) -> Vec<(u64, u64)> {
    let here = market.items.iter().zip(&market.sites[device].items);
    let presences = here.filter(|(_, bounds)| bounds.1 > 0).map(|(item, _)| item.profile.presence);
    let (mut workspaces, mut stagings): (Vec<u64>, Vec<u64>) =
        presences.map(|p| (p.workspace_bytes, p.staging_bytes)).unzip();
    for values in [&mut workspaces, &mut stagings] {
        values.push(0);
        values.sort_unstable();
        values.dedup();
    }
    let pairs = workspaces.iter().flat_map(|&w| stagings.iter().map(move |&s| (w, s)));
    pairs.collect()
}

fn with_level(held: &Held, workspace_bytes: u64, staging_bytes: u64) -> Held {
    let mut held = *held;
    held.presence.workspace_bytes = held.presence.workspace_bytes.max(workspace_bytes);
    held.presence.staging_bytes = held.presence.staging_bytes.max(staging_bytes);
    held
}

/// Bytes left for items.
fn room(market: &Market, device: usize, held: &Held) -> Option<u64> {
    let site = &market.sites[device];
    let running = held.kv_cache_bytes.saturating_add(held.presence.workspace_bytes);
    let transient = running.max(held.presence.staging_bytes);
    let free = site.room_bytes?.checked_sub(transient)?.checked_sub(held.weights_bytes)?;
    let spare =
        site.held_max.checked_sub(held.weights_bytes.saturating_add(held.kv_cache_bytes))?;
    Some(free.min(spare))
}

/// The best filling of `room` by items that `fits` admits.
fn filled(
    market: &Market,
    device: usize,
    mut room: u64,
    homes: &[u64],
    prices: &[i64],
    fits: impl Fn(usize) -> bool,
) -> Option<Best> {
    let mut best = Best { cost: 0, items: vec![0; market.items.len()] };
    let mut pieces = Vec::with_capacity(2 * market.items.len());
    for (j, item) in market.items.iter().enumerate() {
        let (least, most) = market.sites[device].items[j];
        if !fits(j) {
            if least > 0 {
                return None;
            }
            continue;
        }
        let bytes = item.profile.weights_bytes;
        let here = market.homes.iter().zip(homes).filter(|(home, _)| home.class == item.home);
        let places = item.per_layer * here.map(|(_, count)| count).sum::<u64>();
        let away = market.scaled(2 * item.profile.visits);
        room = room.checked_sub(bytes.saturating_mul(least))?;
        best.items[j] = least;
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        best.cost += signed(least.saturating_sub(places)) * away - signed(least) * prices[j];
        let at_home = places.min(most).saturating_sub(least);
        let beyond = most - least - at_home;
        for (gain, count) in [(prices[j], at_home), (prices[j] - away, beyond)] {
            if gain > 0 && count > 0 {
                pieces.push(Piece { item: j, bytes, gain, count });
            }
        }
    }
    let mut knapsack = Knapsack::new(pieces);
    knapsack.search(0, room, 0);
    best.cost -= knapsack.bound();
    for (piece, &count) in knapsack.pieces.iter().zip(&knapsack.best) {
        best.items[piece.item] += count;
    }
    Some(best)
}

/// A depth-first search over how many of each piece, most gain per byte first.
struct Knapsack {
    pieces: Vec<Piece>,
    taken: Vec<u64>,
    best: Vec<u64>,
    best_gain: i64,
    /// The most that any branch that was not searched could gain.
    left_open: i64,
    nodes: u32,
}

impl Knapsack {
    fn new(mut pieces: Vec<Piece>) -> Self {
        let per_byte = |a: &Piece, b: &Piece| {
            (i128::from(b.gain) * i128::from(a.bytes))
                .cmp(&(i128::from(a.gain) * i128::from(b.bytes)))
        };
        pieces.sort_by(per_byte);
        let none = vec![0; pieces.len()];
        Self { pieces, taken: none.clone(), best: none, best_gain: 0, left_open: 0, nodes: 0 }
    }

    fn bound(&self) -> i64 {
        self.best_gain.max(self.left_open)
    }

    /// The most that `room` could gain from piece `from` on, if parts of items counted.
    fn relaxed(&self, from: usize, mut room: u64) -> i64 {
        let mut gain = 0;
        for piece in &self.pieces[from..] {
            let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            let fit = room.checked_div(piece.bytes).unwrap_or(u64::MAX);
            if fit >= piece.count {
                gain += piece.gain * signed(piece.count);
                room -= piece.bytes * piece.count;
                continue;
            }
            let part = i128::from(piece.gain) * i128::from(room) / i128::from(piece.bytes);
            return gain + i64::try_from(part).unwrap_or(i64::MAX);
        }
        gain
    }

    fn search(&mut self, at: usize, room: u64, gain: i64) {
        let Some(&piece) = self.pieces.get(at) else {
            if gain > self.best_gain {
                self.best_gain = gain;
                self.best.clone_from(&self.taken);
            }
            return;
        };
        let most = room.checked_div(piece.bytes).unwrap_or(u64::MAX).min(piece.count);
        for count in (0..=most).rev() {
            let here = gain + piece.gain * i64::try_from(count).unwrap_or(i64::MAX);
            let rest = room - piece.bytes * count;
            let possible = here + self.relaxed(at + 1, rest);
            if possible <= self.best_gain {
                break;
            }
            self.nodes += 1;
            if self.nodes > NODES_MAX {
                self.left_open = self.left_open.max(possible);
                break;
            }
            self.taken[at] = count;
            self.search(at + 1, rest, here);
        }
        self.taken[at] = 0;
    }
}
