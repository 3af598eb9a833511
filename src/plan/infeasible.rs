//! Why there is no placement: how many bytes are missing, and which rules are to blame.

use super::caps::Caps;
use super::classes::Classes;
use super::formulation::counts::Homes;
use super::formulation::{Goal, signed};
use super::outcome::{Infeasibility, Shortfall};
use super::search::{Candidate, Search};
use super::solver::Backend;
use super::solver::to_f64;
use crate::error::Error;
use crate::problem::{ObjectiveKind, Problem};

/// Whether some placement satisfies capacities and permissions; `None` when a limit was reached before
/// either was known.
pub(super) fn placement_exists<B: Backend>(
    search: &mut Search<'_, B>,
) -> Result<Option<bool>, Error> {
    let caps = Caps::of(search.problem);
    if search.seeded(ObjectiveKind::PeakUtilization, &caps).is_some() {
        return Ok(Some(true));
    }
    let (nearest, missing_at_least) = nearest_miss(search)?;
    let exists = nearest.is_some_and(|nearest| nearest.cost.within(&caps));
    // Missing bytes are whole, so any part of one proves a whole one, but for the solver's noise.
    let capacity: u64 = caps.device_bytes.iter().sum();
    let noise = 0.01 + to_f64(signed(capacity)) * 1e-9;
    Ok(if exists { Some(true) } else { (missing_at_least > noise).then_some(false) })
}

/// The reasons, for a problem known to be infeasible.
pub(super) fn explain<B: Backend>(search: &mut Search<'_, B>) -> Result<Infeasibility, Error> {
    let problem = search.problem;
    let (nearest, _) = nearest_miss(search)?;
    let all: Vec<usize> = (0..problem.rules.len()).collect();
    let own: Vec<usize> = all.iter().copied().filter(|&r| !problem.rules[r].default).collect();
    // Where not even missing memory makes a placement, memory is not what the rules conflict with.
    let roomy = nearest.is_none().then(|| roomy(problem));
    let without = |change: fn(&mut Problem)| -> Result<bool, Error> {
        let mut problem = problem.clone();
        change(&mut problem);
        Ok(feasible_with(search, &problem, &all)? == Some(true))
    };
    Ok(Infeasibility {
        conflicting_rules: conflict(search, roomy.as_ref().unwrap_or(problem), &all)?,
        default_pins_alone: own.len() < all.len()
            && feasible_with(search, problem, &own)? == Some(true),
        devices_max_alone: problem.devices_max.is_some()
            && without(|problem| problem.devices_max = None)?,
        headroom_alone: problem.headroom_bytes.iter().any(|&bytes| bytes > 0)
            && without(|problem| problem.headroom_bytes.clear())?,
        shortfalls: lacking(problem, nearest),
    })
}

/// The problem on devices of which each has room for everything.
fn roomy(problem: &Problem) -> Problem {
    let demands = problem.components.iter().map(|c| &c.demand);
    let bytes = demands.map(|d| {
        [d.weights_bytes, d.rounding_bytes, d.kv_cache_bytes, d.staging_bytes].iter().sum::<u64>()
    });
    let once = problem.workspace.kinds().into_iter().chain([problem.host_staging_bytes]);
    let everything: u64 = bytes.chain(once).sum();
    let mut roomy = problem.clone();
    roomy.headroom_bytes.clear();
    for device in &mut roomy.devices {
        device.capacity_bytes = everything + device.reserve_bytes;
    }
    roomy
}

/// What the placement that comes closest lacks on each device.
pub(super) fn shortfalls<B: Backend>(search: &mut Search<'_, B>) -> Result<Vec<Shortfall>, Error> {
    let (nearest, _) = nearest_miss(search)?;
    Ok(lacking(search.problem, nearest))
}

fn lacking(problem: &Problem, nearest: Option<Candidate>) -> Vec<Shortfall> {
    let required = nearest.map(|c| c.cost.required_bytes).unwrap_or_default();
    let over = required
        .iter()
        .enumerate()
        .map(|(device, required)| Shortfall {
            device,
            missing_bytes: required.saturating_sub(problem.limit_bytes(device)),
        })
        .filter(|shortfall| shortfall.missing_bytes > 0);
    over.collect()
}

/// The placement that misses the capacities by the fewest bytes in total, and how many are missing at
/// least.
fn nearest_miss<B: Backend>(search: &mut Search<'_, B>) -> Result<(Option<Candidate>, f64), Error> {
    let caps = Caps::of(search.problem);
    let nothing = vec![Vec::new(); search.problem.devices.len()];
    let (run, solution) =
        search.count(Goal::Shortfall, &caps, Homes::Free, &nothing, search.node_limit)?;
    let unlimited = caps.without_devices();
    let mut best = None;
    if let Some(solution) = solution {
        search.arrange(ObjectiveKind::Traffic, &unlimited, &solution, &mut best);
    }
    // Without a limit on devices something always places everything, on devices as large as it takes.
    let nothing_helps = if run.infeasible { f64::INFINITY } else { 0.0 };
    Ok((best, run.bound.unwrap_or(nothing_helps)))
}

/// Rules of which each is needed for the conflict: removed one after the other, those without which the
/// rest is satisfiable stay. Empty when no rule is to blame.
fn conflict<B: Backend>(
    search: &Search<'_, B>,
    problem: &Problem,
    rules: &[usize],
) -> Result<Vec<usize>, Error> {
    if feasible_with(search, problem, &[])? == Some(false) {
        return Ok(Vec::new());
    }
    let mut needed = rules.to_vec();
    for rule in rules {
        let rest: Vec<usize> = needed.iter().copied().filter(|r| r != rule).collect();
        if feasible_with(search, problem, &rest)? == Some(false) {
            needed = rest;
        }
    }
    Ok(needed)
}

/// Whether a placement exists when only these of the problem's rules hold.
fn feasible_with<B: Backend>(
    search: &Search<'_, B>,
    problem: &Problem,
    rules: &[usize],
) -> Result<Option<bool>, Error> {
    let problem: Problem = problem.with_rules(rules);
    let classes = Classes::of(&problem)?;
    placement_exists(&mut search.beside(&problem, &classes))
}
