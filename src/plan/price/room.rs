//! Whether everything fits, by prices: if even the best that all devices can hold is worth less than
//! everything there is, it does not.
//!
//! Unlike the bytes of a relaxation this knows that a device holds whole items, and that whoever is home to a
//! layer pays for the workspace.

use super::ascent::{self, Priced};
use super::counts::{self, Shares, Walks};
use super::market::Market;
use super::segments::Segments;
use crate::error::Error;
use crate::plan::caps::Caps;
use crate::plan::classes::Classes;
use crate::plan::search::Search;
use crate::plan::solver::Backend;
use crate::problem::Problem;

/// Prices that are tried per question at most; those of bytes, the first, usually answer it.
pub(in crate::plan) const ROOM_ROUNDS_MAX: usize = 12;

/// What prices say of everything under caps.
#[derive(Debug)]
pub(in crate::plan) enum Room {
    /// It does not fit, at these prices.
    Lacking(Vec<i64>),
    /// It may; these are what devices would hold at the prices that were tried, the last one first.
    Open(Vec<Shares>),
}

/// Whether prices say anything about room: no item has a cache of its own.
pub(in crate::plan) fn values_room(classes: &Classes) -> bool {
    let mut items = classes.by_kind.iter().flat_map(|class| &class.items);
    items.all(|item| item.profile.kv_cache_bytes == 0)
}

/// Devices and items as they are priced when nothing but room matters.
pub(in crate::plan) fn in_room(problem: &Problem, classes: &Classes, caps: &Caps) -> Market {
    Market::of(problem, classes, caps, &[]).without_traffic()
}

/// Asks whether everything fits; `None` when the table would be too large.
pub(in crate::plan) fn room<B: Backend>(
    search: &mut Search<'_, B>,
    market: &Market,
    rounds: usize,
) -> Result<Option<Room>, Error> {
    let Some(segments) = Segments::of(market) else { return Ok(None) };
    let priced = ascent::ascend(search, market, None, rounds, 0, |search, prices, total| {
        counts::cheapest(search, market, &segments, Walks::Any, prices, -total)
    })?;
    Ok(match priced {
        Some(Priced { prices, bound: 1.., .. }) => Some(Room::Lacking(prices)),
        Some(Priced { answers, .. }) => Some(Room::Open(answers)),
        None => None,
    })
}
