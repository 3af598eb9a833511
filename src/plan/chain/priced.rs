//! The search by prices: walks of single runs in order of what they must cost, and a bound for all others.

use std::collections::BTreeSet;

use super::{Chain, NEVER_UNITS};
use crate::error::Error;
use crate::plan::price::{self, Market, Run, SingleRuns, Walks};
use crate::plan::solver::Backend;
use crate::plan::value;
use crate::problem::{ObjectiveKind, ObjectiveValue};

/// Counts of homes that are tried as walks, per stage.
const ARRANGED_MAX: usize = 12;

/// What prices establish about a stage that they do not close.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// All walks of single runs that could matter were solved.
    pub(super) runs_complete: bool,
}

/// Closes the stage, or says what is known of it; `None` when prices do not apply here.
pub(super) fn search<B: Backend>(chain: &mut Chain<'_, '_, B>) -> Result<Option<Known>, Error> {
    let (problem, classes) = (chain.search.problem, chain.search.classes);
    if !price::apply(problem, classes) {
        return Ok(None);
    }
    let market = Market::of(problem, classes, chain.caps, &price::zones(classes));
    if !price::affordable(&market) {
        if chain.kind == ObjectiveKind::Traffic {
            all_walks(chain, &market, None)?;
        }
        return Ok(None);
    }
    let (prices, units) = first_walks(chain, &market)?;
    let mut others = 0;
    if chain.kind == ObjectiveKind::Traffic {
        if !chain.closed() {
            all_walks(chain, &market, prices.as_deref())?;
        }
        if !chain.closed() && units > bound_units(chain) {
            others = returning(chain, &market, prices.as_deref())?;
            raise(chain, units.min(others));
        }
    }
    if chain.closed() {
        return Ok(Some(Known { runs_complete: false }));
    }
    let (complete, units) = match prices.and_then(|prices| SingleRuns::of(&market, &prices)) {
        Some(walks) => listed(chain, &market, &walks)?,
        None => (true, NEVER_UNITS),
    };
    let units = units.min(chain.unsettled_units);
    raise(chain, units.min(others));
    Ok(Some(Known { runs_complete: complete }))
}

/// The bound so far, of a stage that minimises traffic.
fn bound_units<B: Backend>(chain: &Chain<'_, '_, B>) -> u64 {
    match chain.answer.bound {
        ObjectiveValue::Ratio(bound) => bound.floor_of(chain.search.problem.traffic_denominator),
        ObjectiveValue::Bytes(_) | ObjectiveValue::Count(_) | ObjectiveValue::Time(_) => 0,
    }
}

/// The best prices for walks of single runs, the bound they prove, and their walks tried.
fn first_walks<B: Backend>(
    chain: &mut Chain<'_, '_, B>,
    market: &Market,
) -> Result<(Option<Vec<i64>>, u64), Error> {
    let target = chain.traffic_max().min(1 << 40);
    let Some(priced) = price::single_runs(chain.search, market, target)? else {
        return Ok((None, NEVER_UNITS));
    };
    let units = units(market, priced.bound, chain.pressure.step);
    let mut tried = BTreeSet::new();
    for walk in &priced.answers {
        let homes = homes(&walk.runs);
        if tried.insert(homes.clone()) {
            chain.leaf(&homes, units)?;
        }
    }
    Ok((Some(priced.prices), units))
}

/// Bounds every walk by the counts of homes it has, and tries to walk the cheapest ones.
fn all_walks<B: Backend>(
    chain: &mut Chain<'_, '_, B>,
    market: &Market,
    start: Option<&[i64]>,
) -> Result<(), Error> {
    let mut tried = BTreeSet::new();
    // The first prices are usually the best; what walks they suggest may settle the stage at once.
    for rounds in [1, price::ROUNDS_NEAR_MAX] {
        let target = chain.traffic_max().min(1 << 40);
        let walks = Walks::Any;
        let Some(priced) = price::counts(chain.search, market, walks, start, rounds, target)?
        else {
            return Ok(());
        };
        let bound = units(market, priced.bound, chain.pressure.step);
        raise(chain, bound);
        for shares in &priced.answers {
            let homes = &shares.homes;
            if tried.len() < ARRANGED_MAX
                && !chain.closed()
                && tried.insert(homes.clone())
                && let Some(walk) = price::arranged(market, homes)
            {
                chain.leaf(&walk, bound)?;
            }
        }
        if chain.closed() {
            break;
        }
    }
    Ok(())
}

/// A bound for the walks that come to some device more than once.
fn returning<B: Backend>(
    chain: &mut Chain<'_, '_, B>,
    market: &Market,
    start: Option<&[i64]>,
) -> Result<u64, Error> {
    let target = chain.traffic_max().min(1 << 40);
    let priced = price::counts(
        chain.search,
        market,
        Walks::Returning,
        start,
        price::ROUNDS_NEAR_MAX,
        target,
    )?;
    Ok(priced.map_or(0, |priced| units(market, priced.bound, chain.pressure.step)))
}

/// Tries walks of single runs in order of what they must cost, until none can matter any more: whether it
/// got there, and what those that were not tried cost at least.
fn listed<B: Backend>(
    chain: &mut Chain<'_, '_, B>,
    market: &Market,
    walks: &SingleRuns,
) -> Result<(bool, u64), Error> {
    let step = chain.pressure.step;
    let mut threshold = units(market, walks.least(), step);
    while threshold <= chain.traffic_max() {
        let most = market.scaled(threshold);
        let go_on = walks.visit(most, &mut |runs, cost| {
            if threshold > chain.traffic_max() {
                return Ok(true);
            }
            let bound = units(market, cost, step);
            // Cheaper ones were visited before.
            if bound < threshold && threshold > units(market, walks.least(), step) {
                return Ok(true);
            }
            Ok::<bool, Error>(chain.leaf(&homes(runs), bound)? && !chain.closed())
        })?;
        if !go_on || chain.search.out_of_time() {
            return Ok((false, threshold));
        }
        threshold += step;
    }
    Ok((true, NEVER_UNITS))
}

/// Raises the stage's bound.
fn raise<B: Backend>(chain: &mut Chain<'_, '_, B>, units: u64) {
    let problem = chain.search.problem;
    let best = chain.answer.best.as_ref().map(|best| value::of(problem, &best.cost, chain.kind));
    if chain.kind == ObjectiveKind::Traffic
        && let Some(best) = best
    {
        let bound = value::transfers(problem, units).min(best);
        chain.answer.bound = chain.answer.bound.max(bound);
    }
}

/// The traffic that a scaled bound proves, lifted to the next that there can be.
fn units(market: &Market, bound: i64, step: u64) -> u64 {
    let bound = u64::try_from(bound).unwrap_or(0);
    let scale = u64::try_from(market.scale).unwrap_or(1);
    bound.div_ceil(scale).div_ceil(step) * step
}

fn homes(runs: &[Run]) -> Vec<usize> {
    runs.iter().flat_map(|run| std::iter::repeat_n(run.device, run.to - run.from)).collect()
}
