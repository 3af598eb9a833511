//! The best prices: those at which even the cheapest answer costs the most.
//!
//! The bound is concave and piecewise linear in the prices. Every evaluation yields a plane above it; a
//! small linear program over the planes proposes the next prices, until planes and bound meet.

use super::market::Market;
use crate::error::Error;
use crate::plan::formulation::signed;
use crate::plan::search::Search;
use crate::plan::solver::Backend;
use crate::plan::value::floor;
use crate::program::{Program, Var};

/// Evaluations at most, from nothing and from prices that are known to be good.
pub(in crate::plan) const ROUNDS_MAX: usize = 60;
pub(in crate::plan) const ROUNDS_NEAR_MAX: usize = 8;

/// Prices move on a grid of this many steps between the least and the most they can be.
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

/// A concave function of prices, known by planes above it, between bounds on each price.
pub(super) struct Planes {
    bounds: Vec<(i64, i64)>,
    planes: Vec<(i64, Vec<i64>)>,
}

impl Planes {
    pub(super) fn new(bounds: Vec<(i64, i64)>) -> Self {
        Self { bounds, planes: Vec::new() }
    }

    /// Adds the plane through `value` at `prices`.
    pub(super) fn add(&mut self, prices: &[i64], value: i64, slopes: Vec<i64>) {
        // Relative to the least prices, which are the program's zero.
        let beyond = slopes.iter().zip(prices).zip(&self.bounds);
        let flat: i64 = beyond.map(|((slope, price), (least, _))| slope * (price - least)).sum();
        self.planes.push((value - flat, slopes));
    }

    /// The prices at which the lowest plane is highest, and how high that is.
    pub(super) fn highest<B: Backend>(
        &self,
        search: &mut Search<'_, B>,
    ) -> Result<Option<(Vec<i64>, i64)>, Error> {
        let mut program = Program::default();
        let grid = i32::try_from(GRID).unwrap_or(i32::MAX);
        let name = |j: usize| format!("price{j}");
        let vars: Vec<Var> =
            (0..self.bounds.len()).map(|j| program.continuous(name(j), Some(grid))).collect();
        let units: Vec<i64> =
            self.bounds.iter().map(|(least, most)| ((most - least) / GRID).max(1)).collect();
        // The height may be negative, a variable may not.
        let lowest = self.planes.iter().map(|(flat, _)| *flat).min().unwrap_or(0);
        let floor_height = lowest.min(0).saturating_mul(4);
        let height = program.continuous("height".to_owned(), None);
        for (index, (flat, slopes)) in self.planes.iter().enumerate() {
            let mut terms = vec![(height, 1)];
            let slopes = slopes.iter().zip(&vars).zip(&units);
            terms.extend(slopes.map(|((slope, &var), unit)| (var, -slope * unit)));
            program.at_most(format!("plane{index}"), terms, flat - floor_height);
        }
        program.objective = vec![(height, -1)];
        let run = search.run(&program, 0.0, 1)?;
        let Some(values) = run.values else { return Ok(None) };
        let value = |var: Var| values.get(var.index()).copied().unwrap_or(0.0);
        let prices = vars.iter().zip(&units).zip(&self.bounds);
        let prices =
            prices.map(|((&var, unit), (least, _))| least + signed(floor(value(var) + 0.5)) * unit);
        Ok(Some((prices.collect(), floor_height.saturating_add(signed(floor(value(height)))))))
    }
}

/// The least and the most worth asking for every item that has a price: anything up to sending it far
/// away, or not far from prices that are known to be good.
fn bounds(market: &Market, free: &[usize], start: Option<&[i64]>) -> Vec<(i64, i64)> {
    let of = |&j: &usize| {
        let item = &market.items[j];
        let near = market.item_price(item) / 8;
        match start {
            Some(start) => ((start[j] - near).max(0), start[j] + near),
            None => (0, market.item_price_max(item)),
        }
    };
    free.iter().map(of).collect()
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
    start: Option<&[i64]>,
    rounds: usize,
    target: i64,
    mut evaluate: impl FnMut(&mut Search<'_, B>, &[i64], i64) -> Result<Option<Evaluation<T>>, Error>,
) -> Result<Option<Priced<T>>, Error> {
    let free = priced(market);
    let mut prices = vec![0; market.items.len()];
    for &j in &free {
        prices[j] = start.map_or(market.item_price(&market.items[j]), |start| start[j]);
    }
    let mut planes = Planes::new(bounds(market, &free, start));
    let mut best: Option<Priced<T>> = None;
    for _ in 0..rounds {
        let total: i64 = free.iter().map(|&j| prices[j] * signed(market.items[j].total)).sum();
        let Some(evaluation) = evaluate(search, &prices, total)? else { break };
        let Evaluation::Found { answer, cost, items } = evaluation else {
            let answers = best.map(|best| best.answers).unwrap_or_default();
            return Ok(Some(Priced { prices, bound: target.saturating_add(1), answers }));
        };
        let bound = cost + total;
        let slopes = free.iter().map(|&j| signed(market.items[j].total) - signed(items[j]));
        let here: Vec<i64> = free.iter().map(|&j| prices[j]).collect();
        planes.add(&here, bound, slopes.collect());
        let best = best.get_or_insert_with(|| Priced {
            prices: prices.clone(),
            bound,
            answers: Vec::new(),
        });
        best.answers.insert(0, answer);
        if bound > best.bound {
            best.bound = bound;
            best.prices.clone_from(&prices);
        }
        if best.bound > target || search.out_of_time() {
            break;
        }
        let Some((next, above)) = planes.highest(search)? else { break };
        // The planes are read from floating point; a hundredth of a traffic unit is beyond doubt.
        let done = above.saturating_sub(best.bound) <= (market.scale / 100).max(1)
            || (market.only_room() && above <= target);
        let mut proposed = prices.clone();
        free.iter().zip(next).for_each(|(&j, price)| proposed[j] = price);
        if done || proposed == prices {
            break;
        }
        prices = proposed;
    }
    Ok(best)
}
