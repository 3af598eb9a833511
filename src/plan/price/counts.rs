//! The cheapest counts of homes per device at given prices: a table over (devices done, homes placed).
//!
//! The order of the layers is known to it only through how many runs a device needs for its counts, and
//! a walk of so many runs in all makes one change less. That ignores that runs must not overlap, which
//! makes it a bound for every walk, not only for those of single runs.

use super::ascent::{Evaluation, Planes};
use super::device::{self, Best};
use super::market::{Ends, Held, Market};
use super::segments::Segments;
use crate::error::Error;
use crate::plan::formulation::signed;
use crate::plan::search::Search;
use crate::plan::solver::Backend;

/// Steps from a state by a choice that one table may take.
const WORK_MAX: usize = 100_000_000;

/// States times devices that are remembered, at 16 bytes: an eighth of a gigabyte.
const ENTRIES_MAX: usize = 1 << 23;

const NEVER: i64 = i64::MAX / 4;

/// Which walks are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) enum Walks {
    /// All of them.
    Any,
    /// Those that come to some device more than once.
    Returning,
}

/// One thing a device can do.
#[derive(Clone, Debug)]
struct Choice {
    homes: Vec<u64>,
    step: usize,
    /// Whether it comes back to the device.
    again: bool,
    cost: i64,
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
) -> Result<Option<Evaluation<Vec<Vec<u64>>>>, Error> {
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
    let (cost, taken) = match table(market, segments, walks, &choices, target - constant) {
        Tabled::Found(cost, taken) => (cost, taken),
        Tabled::Beyond => return Ok(Some(Evaluation::Beyond)),
        Tabled::TooMuchWork => return Ok(None),
    };
    let mut items = vec![0; market.items.len()];
    for choice in &taken {
        items.iter_mut().zip(&choice.items).for_each(|(sum, count)| *sum += count);
    }
    let answer = taken.iter().map(|choice| segments.homes(choice.step)).collect();
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
    let most = place_price_max(market);
    let mut planes = Planes::new(vec![(-most, most); totals.len()]);
    let mut prices = vec![0; totals.len()];
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

/// A home is worth no more than having all of its layer's items near, and some hand-overs.
fn place_price_max(market: &Market) -> i64 {
    let near = market
        .items
        .iter()
        .map(|item| market.scaled(2 * item.profile.visits).saturating_mul(signed(item.per_layer)));
    near.max().unwrap_or(0).saturating_add(4 * market.hand_over * market.scale)
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

/// What a table comes to.
enum Tabled<'c> {
    /// The cost of placing everything, and the choices that do.
    Found(i64, Vec<&'c Choice>),
    /// Everything costs more than the target.
    Beyond,
    TooMuchWork,
}

/// Adds device by device, leaving out what cannot stay within the target: the cost of the goal and the
/// choices that lead there.
fn table<'c>(
    market: &Market,
    segments: &Segments,
    walks: Walks,
    choices: &'c [Vec<Choice>],
    target: i64,
) -> Tabled<'c> {
    let Some(least) = least(choices) else { return Tabled::Beyond };
    let mut left: i64 = least.iter().sum();
    let mut work = 0_usize;
    // A state is what is placed, twice: without and with some device that is come back to.
    let states = segments.states();
    let mut reached = vec![NEVER; 2 * states];
    reached[0] = 0;
    let mut trail: Vec<Vec<(u32, u32)>> = Vec::with_capacity(choices.len());
    for (of, least) in choices.iter().zip(&least) {
        left -= least;
        let mut next = vec![NEVER; 2 * states];
        let mut by = vec![(u32::MAX, 0); 2 * states];
        for (from, &so_far) in reached.iter().enumerate() {
            if so_far >= NEVER || so_far + least + left > target {
                continue;
            }
            work += of.len();
            if work > WORK_MAX {
                return Tabled::TooMuchWork;
            }
            let (again, state) = (from / states, from % states);
            for (index, choice) in of.iter().enumerate() {
                if !segments.fits(state, choice.step) {
                    continue;
                }
                let again = again | usize::from(choice.again);
                let to = again * states + state + choice.step;
                if so_far + choice.cost < next[to] {
                    next[to] = so_far + choice.cost;
                    by[to] = (
                        u32::try_from(index).unwrap_or(u32::MAX),
                        u32::try_from(from).unwrap_or(u32::MAX),
                    );
                }
            }
        }
        reached = next;
        trail.push(by);
    }
    let goal = |again: usize| again * states + segments.all(market);
    let once = (walks == Walks::Any).then(|| goal(0));
    let goals = [Some(goal(1)), once].into_iter().flatten();
    let Some(goal) = goals.min_by_key(|&goal| reached[goal]) else { return Tabled::Beyond };
    if reached[goal] > target {
        return Tabled::Beyond;
    }
    let mut at = goal;
    let mut taken = Vec::with_capacity(choices.len());
    for (of, by) in choices.iter().zip(&trail).rev() {
        let (index, from) = by[at];
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        taken.extend(of.get(index));
        at = usize::try_from(from).unwrap_or(0);
    }
    taken.reverse();
    Tabled::Found(reached[goal], taken)
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
