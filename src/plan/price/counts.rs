//! The cheapest counts of homes per device at given prices: a table over (devices done, homes placed).
//!
//! The order of the layers is known to it only through how many runs a device needs for its counts, and
//! a walk of so many runs in all makes one change less. That ignores that runs must not overlap, which
//! makes it a bound for every walk, not only for those of single runs.

use super::ascent::Evaluation;
use super::device::{self, Best};
use super::market::{Ends, Held, Market};
use super::segments::Segments;

/// Steps from a state by a choice that one table may take.
const WORK_MAX: usize = 100_000_000;

const NEVER: i64 = i64::MAX / 4;

/// Which walks are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) enum Walks {
    /// All of them.
    Any,
    /// Those that come to some device more than once.
    Returning,
}

/// What the cheapest counts are.
#[derive(Clone, Debug)]
pub(in crate::plan) struct Answer {
    /// Per device, homes per class.
    pub(in crate::plan) homes: Vec<Vec<u64>>,
}

/// One thing a device can do.
#[derive(Clone, Debug)]
struct Choice {
    step: usize,
    ends: Ends,
    /// Whether it comes back to the device.
    again: bool,
    cost: i64,
    items: Vec<u64>,
}

/// Who is asked for the best it can make of prices.
#[derive(Clone, Copy)]
struct Seller<'a> {
    market: &'a Market,
    segments: &'a Segments,
    device: usize,
    ends: Ends,
    prices: &'a [i64],
}

/// The cheapest counts at these prices, as far as they cost at most `target`, the prices of everything
/// included; `None` when there are none or the table would be too large.
pub(super) fn cheapest(
    market: &Market,
    segments: &Segments,
    walks: Walks,
    prices: &[i64],
    target: i64,
) -> Option<Evaluation<Answer>> {
    let mut choices: Vec<Vec<Choice>> = Vec::new();
    for device in 0..market.sites.len() {
        let of = match choices.get(market.like[device]) {
            Some(known) => known.clone(),
            None => choices_of(market, segments, walks, device, prices),
        };
        choices.push(of);
    }
    let constant = -market.hand_over * market.scale;
    prune(&mut choices, target - constant)?;
    let (cost, taken) = match table(market, segments, walks, &choices, target - constant) {
        Some(Some(found)) => found,
        Some(None) => return Some(Evaluation::Beyond),
        None => return None,
    };
    let mut items = vec![0; market.items.len()];
    for choice in &taken {
        items.iter_mut().zip(&choice.items).for_each(|(sum, count)| *sum += count);
    }
    let homes = taken.iter().map(|choice| segments.homes(choice.step)).collect();
    let cost = cost + constant;
    Some(Evaluation::Found { answer: Answer { homes }, cost, items })
}

/// Drops choices with which even the cheapest of all other devices exceed the target.
fn prune(choices: &mut [Vec<Choice>], target: i64) -> Option<()> {
    let least = least(choices)?;
    let all: i64 = least.iter().sum();
    for (of, least) in choices.iter_mut().zip(&least) {
        of.retain(|choice| all - least + choice.cost <= target);
    }
    Some(())
}

/// The cheapest choice of every device.
fn least(choices: &[Vec<Choice>]) -> Option<Vec<i64>> {
    choices.iter().map(|of| of.iter().map(|choice| choice.cost).min()).collect()
}

/// Adds device by device, leaving out what cannot stay within the target: the cost of the goal and the
/// choices that lead there, or nothing below the target; `None` when that takes too long.
#[expect(clippy::type_complexity, reason = "an answer that may be missing for two reasons")]
fn table<'c>(
    market: &Market,
    segments: &Segments,
    walks: Walks,
    choices: &'c [Vec<Choice>],
    target: i64,
) -> Option<Option<(i64, Vec<&'c Choice>)>> {
    let Some(least) = least(choices) else { return Some(None) };
    let mut left: i64 = least.iter().sum();
    let mut work = 0_usize;
    // A state is (homes placed, embedding placed, head placed, some device came back to).
    let states = segments.states();
    let flag = |choice: &Choice| {
        usize::from(choice.ends.embedding) + 2 * usize::from(choice.ends.head)
            + 4 * usize::from(choice.again)
    };
    let mut reached = vec![NEVER; 8 * states];
    reached[0] = 0;
    let mut trail: Vec<Vec<(u32, u32)>> = Vec::with_capacity(choices.len());
    for (of, least) in choices.iter().zip(&least) {
        left -= least;
        let mut next = vec![NEVER; 8 * states];
        let mut by = vec![(u32::MAX, 0); 8 * states];
        for (from, &so_far) in reached.iter().enumerate() {
            if so_far >= NEVER || so_far + least + left > target {
                continue;
            }
            work += of.len();
            if work > WORK_MAX {
                return None;
            }
            let (flags, state) = (from / states, from % states);
            for (index, choice) in of.iter().enumerate() {
                let more = flag(choice);
                if flags & more & 3 != 0 || !segments.fits(state, choice.step) {
                    continue;
                }
                let to = (flags | more) * states + state + choice.step;
                if so_far + choice.cost < next[to] {
                    next[to] = so_far + choice.cost;
                    by[to] = (u32::try_from(index).ok()?, u32::try_from(from).ok()?);
                }
            }
        }
        reached = next;
        trail.push(by);
    }
    let ends = usize::from(market.embedding.is_some()) + 2 * usize::from(market.head.is_some());
    let homes: Vec<u64> = market.homes.iter().map(|home| home.total).collect();
    let goal = |again: usize| (ends + 4 * again) * states + segments.state(&homes);
    let once = (walks == Walks::Any).then(|| goal(0));
    let goals = [Some(goal(1)), once].into_iter().flatten();
    let goal = goals.min_by_key(|&goal| reached[goal])?;
    if reached[goal] > target {
        return Some(None);
    }
    let mut at = goal;
    let mut taken = Vec::with_capacity(choices.len());
    for (of, by) in choices.iter().zip(&trail).rev() {
        let (index, from) = by[at];
        taken.push(of.get(usize::try_from(index).ok()?)?);
        at = usize::try_from(from).ok()?;
    }
    taken.reverse();
    Some(Some((reached[goal], taken)))
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
        let allowed = (!embedding || site.may_embed) && (!head || (site.may_head && !tied));
        if !allowed {
            continue;
        }
        let ends = Ends { embedding, head };
        let seller = Seller { market, segments, device, ends, prices };
        let mut homes = vec![0; market.homes.len()];
        extend(&seller, 0, &mut homes, &mut |homes, best| {
            let runs = segments.runs(homes);
            let mut add = |runs: i64| {
                let cost = best.cost + visits(&seller, homes, runs) * market.hand_over * market.scale;
                let (step, items) = (segments.state(homes), best.items.clone());
                choices.push(Choice { step, ends, again: runs > 1, cost, items });
            };
            add(runs);
            if walks == Walks::Returning && runs == 1 && homes.iter().sum::<u64>() > 1 {
                add(2);
            }
        });
    }
    choices
}

/// How often the chain comes to a device that is home to layers in so many runs: the ends that it holds
/// may be part of a run, but not both of the same one, unless all layers live there.
fn visits(seller: &Seller<'_>, homes: &[u64], runs: i64) -> i64 {
    let Seller { market, ends, .. } = seller;
    let all = homes.iter().zip(&market.homes).all(|(count, home)| *count == home.total);
    let head = ends.head || (market.head.is_none() && ends.embedding);
    match (ends.embedding, head) {
        (false, false) => runs,
        (true, true) if !all => runs.max(2),
        _ => runs.max(1),
    }
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
