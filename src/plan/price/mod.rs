//! Bounds by prices: what no placement can be below, device by device.
//!
//! Put a price on every item. Whatever the placement, what all devices hold costs the same in total; so
//! the traffic of any placement is at least the sum of what each device can make of it at best. That
//! needs no program: a device is a small knapsack, and the homes of the layers are added up exactly by a
//! table. The walk that attains the bound is a near-perfect candidate at once. See
//! [`crate::documentation::formulation`], "Prices".

mod arrange;
mod ascent;
mod counts;
mod device;
mod market;
mod room;
mod runs;
mod segments;
mod table;

use crate::error::Error;
use crate::plan::classes::Classes;
use crate::plan::search::Search;
use crate::plan::solver::Backend;
use crate::problem::{Problem, Sends};
use ascent::Evaluation;

pub(super) use arrange::arranged;
pub(super) use ascent::{Priced, ROUNDS_MAX, ROUNDS_NEAR_MAX};
pub(super) use counts::{Shares, Walks};
pub(super) use market::{Market, zones};
pub(super) use room::{ROOM_ROUNDS_MAX, Room, in_room, room, values_room};
pub(super) use runs::{Run, Walk, Walks as SingleRuns, affordable};

/// Numbers up to which sums of scaled prices stay far from overflowing.
const UNITS_MAX: u64 = 1 << 20;

/// Whether prices say anything about the traffic of such a problem: items are sent for one by one, none has
/// a cache of its own, and the numbers are those of models.
pub(super) fn apply(problem: &Problem, classes: &Classes) -> bool {
    let mut items = classes.by_kind.iter().flat_map(|class| &class.items);
    problem.sends == Sends::PerExpert
        && problem.traffic_denominator <= UNITS_MAX
        && items.all(|item| item.profile.kv_cache_bytes == 0 && item.profile.visits <= UNITS_MAX)
}

/// The best prices for walks of single runs.
pub(super) fn single_runs<B: Backend>(
    search: &mut Search<'_, B>,
    market: &Market,
    target_units: u64,
) -> Result<Option<Priced<Walk>>, Error> {
    ascent::ascend(search, market, None, ROUNDS_MAX, market.scaled(target_units), |_, prices, _| {
        let walk = runs::cheapest(market, prices);
        Ok(walk.map(|walk| Evaluation::Found {
            cost: walk.cost,
            items: walk.items.clone(),
            answer: walk,
        }))
    })
}

/// The best prices for counts of homes, whatever the order of the layers.
pub(super) fn counts<B: Backend>(
    search: &mut Search<'_, B>,
    market: &Market,
    walks: Walks,
    start: Option<&[i64]>,
    rounds: usize,
    target_units: u64,
) -> Result<Option<Priced<Shares>>, Error> {
    let Some(segments) = segments::Segments::of(market) else { return Ok(None) };
    let target = market.scaled(target_units);
    ascent::ascend(search, market, start, rounds, target, |search, prices, total| {
        counts::cheapest(search, market, &segments, walks, prices, target - total)
    })
}
