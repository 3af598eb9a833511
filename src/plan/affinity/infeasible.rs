//! Why experts cannot be divided: what is missing, and whose fault it is.

use super::chain::Chain;
use super::labels::{self, Found, Goal};
use super::rooms::Rooms;
use super::{WORK_PER_NODE, Within, descent, exchange};
use crate::plan::infeasible::relaxed;
use crate::plan::outcome::{Conflict, Infeasibility, Member, Options, Shortfall};
use crate::plan::search::Deadline;
use crate::problem::Problem;

/// Whether the experts can be divided among devices that may have them and have room; `None` when that would
/// take too long to know.
pub(in crate::plan) fn exists(problem: &Problem, options: &Options) -> Option<bool> {
    let deadline = Deadline::of(options);
    // Pairs do not matter.
    let chain = Chain::of(problem).unpaired();
    let rooms = Rooms::of(problem, &chain);
    let within = Within::of(problem);
    let Some(start) = descent::in_order(&chain) else { return Some(false) };
    let ranges = rooms.range(&chain);
    if ranges.iter().zip(&within.device_bytes).any(|([least, _], most)| least > most) {
        return Some(false);
    }
    let limits: u64 = within.device_bytes.iter().fold(0, |sum, most| sum.saturating_add(*most));
    if rooms.total(&chain) > limits {
        return Some(false);
    }
    let over = || deadline.is_over();
    if exchange::improve(&chain, &rooms, &within, start, &over).is_some() {
        return Some(true);
    }
    let work_max = options.node_limit.saturating_mul(WORK_PER_NODE);
    match labels::best(&chain, &rooms, &within, Goal::Crossings, true, work_max) {
        Found::Best(_) => Some(true),
        Found::None => Some(false),
        Found::TooMany => None,
    }
}

/// What devices lack in the arrangement that was found to lack the least; empty when one fits, or when rules
/// leave no even division at all.
pub(in crate::plan) fn shortfalls(problem: &Problem, options: &Options) -> Vec<Shortfall> {
    let deadline = Deadline::of(options);
    let chain = Chain::of(problem).unpaired();
    let rooms = Rooms::of(problem, &chain);
    let within = Within::of(problem);
    let over = || deadline.is_over();
    let Some(start) = descent::in_order(&chain) else { return Vec::new() };
    let nearest = exchange::nearest(&chain, &rooms, &within, start, &over);
    let required = rooms.required(&nearest).into_iter().enumerate();
    let missing = required.map(|(device, bytes)| Shortfall {
        device,
        missing_bytes: bytes.saturating_sub(within.device_bytes[device]),
    });
    missing.filter(|shortfall| shortfall.missing_bytes > 0).collect()
}

/// The reasons, for a problem known to be infeasible.
pub(super) fn explain(problem: &Problem, options: &Options) -> Infeasibility {
    let shortfalls = shortfalls(problem, options);
    Infeasibility { shortfalls, conflict: conflict(problem, options) }
}

/// Members that cannot all hold: one after the other is relaxed, and stays so where that does not help.
fn conflict(problem: &Problem, options: &Options) -> Conflict {
    let devices = 0..problem.devices.len();
    let headroom = |&d: &usize| problem.headroom_bytes.get(d).is_some_and(|&bytes| bytes > 0);
    let rules = (0..problem.rules.len()).map(Member::Rule);
    let mut kept: Vec<Member> = rules
        .chain(devices.clone().filter(headroom).map(Member::Headroom))
        .chain(devices.map(Member::Capacity))
        .collect();
    let possible = |kept: &[Member]| exists(&relaxed(problem, kept), options);
    if possible(&kept) != Some(false) {
        // What was given beside the problem is to blame.
        return Conflict::default();
    }
    let mut undecided = false;
    for member in kept.clone() {
        let rest: Vec<Member> = kept.iter().copied().filter(|&other| other != member).collect();
        match possible(&rest) {
            Some(false) => kept = rest,
            Some(true) => {}
            None => undecided = true,
        }
    }
    kept.sort_unstable();
    Conflict { members: kept, undecided }
}
