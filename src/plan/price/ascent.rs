//! The best prices: those at which even the cheapest walk costs the most.
//!
//! The bound is concave and piecewise linear in the prices. Every evaluation yields a plane above it; a
//! small linear program over the planes proposes the next prices, until planes and bound meet.

use super::market::Market;
use crate::error::Error;
use crate::plan::program::{Program, Var};
use crate::plan::search::Search;
use crate::plan::solver::Backend;
use crate::plan::value::floor;

/// Evaluations at most.
const ROUNDS_MAX: usize = 60;

/// Prices move on a grid of this many steps between nothing and the most they can be.
const GRID: i64 = 1 << 20;

/// What is cheapest at some prices.
#[derive(Clone, Debug)]
pub(super) enum Evaluation<T> {
    /// This, at this cost without the prices of everything, holding these items.
    Found { answer: T, cost: i64, items: Vec<u64> },
    /// Nothing costs as little as the target.
    Beyond,
}

/// The best prices found.
#[derive(Clone, Debug)]
pub(in crate::plan) struct Priced<T> {
    pub(in crate::plan) prices: Vec<i64>,
    /// No placement costs less, scaled.
    pub(in crate::plan) bound: i64,
    /// The cheapest answers met on the way, the last evaluated first.
    pub(in crate::plan) answers: Vec<T>,
}

/// The largest price worth asking for an item.
fn price_max(market: &Market, item: usize) -> i64 {
    let away = market.scaled(2 * market.items[item].profile.visits);
    away.saturating_add(2 * market.hand_over * market.scale)
}

/// Items whose price matters: those that are not wholly where they must be.
fn priced(market: &Market) -> Vec<usize> {
    let settled = |j: usize| market.sites.iter().any(|s| s.items[j].0 == market.items[j].total);
    (0..market.items.len()).filter(|&j| !settled(j)).collect()
}

/// Raises the bound until it reaches `target`, or no prices prove more. `None` when nothing fits at all.
pub(super) fn ascend<B: Backend, T: Clone>(
    search: &mut Search<'_, B>,
    market: &Market,
    target: i64,
    mut evaluate: impl FnMut(&[i64], i64) -> Option<Evaluation<T>>,
) -> Result<Option<Priced<T>>, Error> {
    let free = priced(market);
    let mut prices = vec![0; market.items.len()];
    for &j in &free {
        prices[j] = market.scaled(2 * market.items[j].profile.visits);
    }
    let mut planes: Vec<(i64, Vec<i64>)> = Vec::new();
    let mut best: Option<Priced<T>> = None;
    for _ in 0..ROUNDS_MAX {
        let total: i64 = free.iter().map(|&j| prices[j] * signed(market.items[j].total)).sum();
        let Some(evaluation) = evaluate(&prices, total) else { break };
        let Evaluation::Found { answer, cost, items } = evaluation else {
            let answers = best.map(|best| best.answers).unwrap_or_default();
            return Ok(Some(Priced { prices, bound: target, answers }));
        };
        let bound = cost + total;
        let slopes: Vec<i64> =
            free.iter().map(|&j| signed(market.items[j].total) - signed(items[j])).collect();
        let flat: i64 = slopes.iter().zip(&free).map(|(slope, &j)| slope * prices[j]).sum();
        planes.push((bound - flat, slopes));
        let answers = best.as_mut().map(|b| std::mem::take(&mut b.answers)).unwrap_or_default();
        let better = best.as_ref().is_none_or(|best| bound > best.bound);
        let mut now = match best.take() {
            Some(best) if !better => best,
            _ => Priced { prices: prices.clone(), bound, answers: Vec::new() },
        };
        now.answers = answers;
        now.answers.insert(0, answer);
        let reached = now.bound;
        best = Some(now);
        if reached >= target || search.out_of_time() {
            break;
        }
        let Some((next, above)) = propose(search, market, &free, &planes)? else { break };
        // The planes are read from floating point; a hundredth of a traffic unit is beyond doubt.
        let done = above.saturating_sub(reached) <= (market.scale / 100).max(1);
        if done || next == prices {
            break;
        }
        prices = next;
    }
    Ok(best)
}

/// The prices at which the planes are highest, and how high that is.
fn propose<B: Backend>(
    search: &mut Search<'_, B>,
    market: &Market,
    free: &[usize],
    planes: &[(i64, Vec<i64>)],
) -> Result<Option<(Vec<i64>, i64)>, Error> {
    let mut program = Program::default();
    let grid = i32::try_from(GRID).unwrap_or(i32::MAX);
    let vars: Vec<Var> = free
        .iter()
        .map(|j| program.continuous(format!("price{j}"), Some(grid)))
        .collect();
    let units: Vec<i64> = free.iter().map(|&j| (price_max(market, j) / GRID).max(1)).collect();
    let height = program.continuous("height".to_owned(), None);
    for (index, (flat, slopes)) in planes.iter().enumerate() {
        let mut terms = vec![(height, 1)];
        let slopes = slopes.iter().zip(&vars).zip(&units);
        terms.extend(slopes.map(|((slope, &var), unit)| (var, -slope * unit)));
        program.at_most(format!("plane{index}"), terms, *flat);
    }
    let most = market.hand_over.saturating_mul(market.scale).saturating_mul(1 << 20);
    program.at_most("most".to_owned(), vec![(height, 1)], most);
    program.objective = vec![(height, -1)];
    let run = search.run(&program, 0.0, 1)?;
    let Some(values) = run.values else { return Ok(None) };
    let mut prices = vec![0; market.items.len()];
    for ((&j, var), unit) in free.iter().zip(&vars).zip(&units) {
        let value = values.get(var.index()).copied().unwrap_or(0.0);
        prices[j] = signed(floor(value + 0.5)) * unit;
    }
    let above = values.get(height.index()).copied().unwrap_or(0.0);
    Ok(Some((prices, signed(floor(above)))))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
