//! Why there is no placement: how many bytes are missing, and which constraints cannot all hold.

mod conflict;
mod glance;

pub(super) use conflict::relaxed;

use super::caps::Caps;
use super::formulation::counts::Homes;
use super::formulation::{Goal, signed};
use super::outcome::{Conflict, Infeasibility, Shortfall};
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
    if let Some(answer) = glance::answer(search.problem) {
        return Ok(Some(answer));
    }
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
    let (nearest, _) = nearest_miss(search)?;
    // What else was given beside the problem may be what cannot hold.
    let exists = nearest.as_ref().is_some_and(|n| n.cost.within(&Caps::of(search.problem)));
    let conflict = if exists { Conflict::default() } else { conflict::conflict(search)? };
    Ok(Infeasibility { shortfalls: lacking(search.problem, nearest), conflict })
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
