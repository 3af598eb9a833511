//! The cheapest counts of homes per device at given prices: a table over (devices done, homes placed).
//!
//! The order of the layers is known to it only through how many runs a device needs for its counts, and
//! a walk of so many runs in all makes one change less. That ignores that runs must not overlap, which
//! makes it a bound for every walk, not only for those of single runs.

use super::ascent::{Evaluation, Planes};
use super::device::{self, Best};
use super::market::{Ends, Held, Market};
use super::segments::Segments;
use super::table::{self, Tabled};
use crate::error::Error;
use crate::plan::classes::Presence;
use crate::plan::formulation::signed;
use crate::plan::search::Search;
use crate::plan::solver::Backend;

/// Steps that one table may take; of those about room alone many are asked.
const WORK_MAX: usize = 100_000_000;
const WORK_MAX_ROOM: usize = 30_000_000;

/// States times devices that are remembered, at 16 bytes: an eighth of a gigabyte.
const ENTRIES_MAX: usize = 1 << 23;

/// Which walks are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) enum Walks {
    /// All of them.
    Any,
    /// Those that come to some device more than once.
    Returning,
}

/// What every device holds.
#[derive(Clone, Debug)]
pub(in crate::plan) struct Shares {
    /// Per device, the homes of each class, and whether it holds the embedding and the head.
    pub(in crate::plan) homes: Vec<Vec<u64>>,
    /// Per device, the items of each class; those of all devices need not add up to what there is.
    pub(in crate::plan) items: Vec<Vec<u64>>,
}

impl Shares {
    /// What a device requires beyond its reserve.
    pub(in crate::plan) fn bytes(&self, market: &Market, device: usize) -> i128 {
        let here = |end: usize| self.homes[device][market.homes.len() + end] > 0;
        let mut held = market.ends(device, Ends { embedding: here(0), head: here(1) });
        let homes = market.homes.iter().map(|home| &home.profile).zip(&self.homes[device]);
        let items = market.items.iter().map(|item| &item.profile).zip(&self.items[device]);
        homes.chain(items).for_each(|(profile, &count)| held.add(profile, count));
        let Presence { workspace_bytes, staging_bytes } = held.presence;
        let running = i128::from(held.kv_cache_bytes) + i128::from(workspace_bytes);
        i128::from(held.weights_bytes) + running.max(i128::from(staging_bytes))
    }

    /// How many bytes of items are held too often or too rarely.
    pub(in crate::plan) fn amiss_bytes(&self, market: &Market) -> u128 {
        let items = market.items.iter().enumerate();
        let amiss = items.map(|(j, item)| {
            let held: u64 = self.items.iter().map(|of| of[j]).sum();
            u128::from(held.abs_diff(item.total)) * u128::from(item.profile.bytes())
        });
        amiss.sum()
    }
}

/// One thing a device can do.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    homes: Vec<u64>,
    /// What it adds to a state of [`Segments`].
    pub(super) step: usize,
    /// Whether it comes back to the device.
    pub(super) again: bool,
    pub(super) cost: i64,
    items: Vec<u64>,
}

/// Who is asked for the best it can make of prices.
#[derive(Clone, Copy)]
struct Seller<'a> {
    market: &'a Market,
    device: usize,
    ends: Ends,
    prices: &'a [i64],
}

/// The cheapest counts at these prices, as far as they cost at most `target`, the prices of everything
/// included; `None` when there are none or the table would be too large.
pub(super) fn cheapest<B: Backend>(
    search: &mut Search<'_, B>,
    market: &Market,
    segments: &Segments,
    walks: Walks,
    prices: &[i64],
    target: i64,
) -> Result<Option<Evaluation<Shares>>, Error> {
    if segments.states().saturating_mul(market.sites.len()) > ENTRIES_MAX {
        return Ok(None);
    }
    let mut choices: Vec<Vec<Choice>> = Vec::new();
    for device in 0..market.sites.len() {
        let of = match choices.get(market.like[device]) {
            Some(known) => known.clone(),
            None => choices_of(market, segments, walks, device, prices),
        };
        choices.push(of);
    }
    if choices.iter().any(Vec::is_empty) {
        return Ok(None);
    }
    let placed = place_prices(search, market, &mut choices)?;
    let constant = placed - market.hand_over * market.scale;
    prune(&mut choices, target - constant);
    let all = segments.all(market);
    let work_max = if market.only_room() { WORK_MAX_ROOM } else { WORK_MAX };
    let target = target - constant;
    let (cost, taken) = match table::cheapest(segments, all, walks, &choices, target, work_max) {
        Tabled::Found(cost, taken) => (cost, taken),
        Tabled::Beyond => return Ok(Some(Evaluation::Beyond)),
        Tabled::TooMuchWork => return Ok(None),
    };
    let mut items = vec![0; market.items.len()];
    for choice in &taken {
        items.iter_mut().zip(&choice.items).for_each(|(sum, count)| *sum += count);
    }
    let answer = Shares {
        homes: taken.iter().map(|choice| segments.homes(choice.step)).collect(),
        items: taken.iter().map(|choice| choice.items.clone()).collect(),
    };
    let cost = cost + constant;
    Ok(Some(Evaluation::Found { answer, cost, items }))
}

/// Rounds of the search for prices of homes.
const PLACE_ROUNDS: usize = 30;

/// Takes a price off every choice for each home it has, such that the cheapest choices of all devices have
/// about the homes there are: the sum of all those prices. Homes are added up exactly, so this changes no
/// answer; but what cannot be part of a cheap one now shows early.
fn place_prices<B: Backend>(
    search: &mut Search<'_, B>,
    market: &Market,
    choices: &mut [Vec<Choice>],
) -> Result<i64, Error> {
    let totals: Vec<i64> = market.homes.iter().map(|home| signed(home.total)).collect();
    let most = market.place_price_max();
    let mut planes = Planes::new(vec![(-most, most); totals.len()]);
    let mut prices: Vec<i64> = market.homes.iter().map(|home| market.usual_price(home)).collect();
    let mut best: Option<(i64, Vec<i64>)> = None;
    for _ in 0..PLACE_ROUNDS {
        let mut slopes = totals.clone();
        let mut bound: i64 = dot(&prices, &totals);
        for of in choices.iter() {
            let offers = of.iter().map(|choice| (choice.cost - worth(&prices, choice), choice));
            let Some((cost, choice)) = offers.min_by_key(|&(cost, _)| cost) else { continue };
            bound += cost;
            slopes.iter_mut().zip(&choice.homes).for_each(|(slope, &n)| *slope -= signed(n));
        }
        planes.add(&prices, bound, slopes);
        if best.as_ref().is_none_or(|(known, _)| bound > *known) {
            best = Some((bound, prices.clone()));
        }
        let Some((next, above)) = planes.highest(search)? else { break };
        let reached = best.as_ref().map_or(0, |(known, _)| *known);
        if next == prices || above - reached <= market.scale {
            break;
        }
        prices = next;
    }
    let prices = best.map(|(_, prices)| prices).unwrap_or_default();
    for choice in choices.iter_mut().flatten() {
        choice.cost -= worth(&prices, choice);
    }
    Ok(dot(&prices, &totals))
}

fn worth(prices: &[i64], choice: &Choice) -> i64 {
    prices.iter().zip(&choice.homes).map(|(price, &count)| price * signed(count)).sum()
}

fn dot(a: &[i64], b: &[i64]) -> i64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Drops choices with which even the cheapest of all other devices exceed the target.
fn prune(choices: &mut [Vec<Choice>], target: i64) {
    let Some(least) = least(choices) else { return };
    let all: i64 = least.iter().sum();
    for (of, least) in choices.iter_mut().zip(&least) {
        of.retain(|choice| all - least + choice.cost <= target);
    }
}

/// The cheapest choice of every device.
fn least(choices: &[Vec<Choice>]) -> Option<Vec<i64>> {
    choices.iter().map(|of| of.iter().map(|choice| choice.cost).min()).collect()
}

/// Everything one device can do.
fn choices_of(
    market: &Market,
    segments: &Segments,
    walks: Walks,
    device: usize,
    prices: &[i64],
) -> Vec<Choice> {
    let site = &market.sites[device];
    let tied = market.head.is_none();
    let mut choices = Vec::new();
    for (embedding, head) in [(false, false), (false, true), (true, false), (true, true)] {
        // A tied head is where the embedding is.
        let allowed = (!embedding || site.may_embed)
            && (!head || site.may_head)
            && (!tied || embedding == head);
        if !allowed {
            continue;
        }
        let ends = Ends { embedding, head };
        let seller = Seller { market, device, ends, prices };
        let mut homes = vec![0; market.homes.len()];
        extend(&seller, 0, &mut homes, &mut |homes, best| {
            let step = segments.state(homes, ends);
            let runs = segments.runs(segments.state(homes, Ends::default()));
            let visits = segments.runs(step);
            let mut add = |again: bool, visits: i64| {
                let cost = best.cost + visits * market.hand_over * market.scale;
                let (homes, items) = (homes.to_vec(), best.items.clone());
                choices.push(Choice { homes, step, again, cost, items });
            };
            add(runs > 1, visits);
            if walks == Walks::Returning && runs == 1 && homes.iter().sum::<u64>() > 1 {
                add(true, visits.max(2));
            }
        });
    }
    choices
}

/// All counts of homes from class `class` on that fit beside those of the classes before.
fn extend(
    seller: &Seller<'_>,
    class: usize,
    homes: &mut Vec<u64>,
    visit: &mut impl FnMut(&[u64], Best),
) {
    let &Seller { market, device, prices, .. } = seller;
    if class == homes.len() {
        let held = seller.held(homes);
        if let Some(best) = device::best(market, device, &held, homes, prices) {
            visit(homes, best);
        }
        return;
    }
    let may = market.sites[device].may_home[class];
    for count in 0..=if may { market.homes[class].total } else { 0 } {
        homes[class] = count;
        if !device::fits(market, device, &seller.held(homes)) {
            break;
        }
        extend(seller, class + 1, homes, visit);
    }
    homes[class] = 0;
}

impl Seller<'_> {
    fn held(&self, homes: &[u64]) -> Held {
        let mut held = self.market.ends(self.device, self.ends);
        for (home, &count) in self.market.homes.iter().zip(homes) {
            held.add(&home.profile, count);
        }
        held
    }
}
