//! Rows of what a device must hold: `C1 capacity`, `C2 running`, `C3 staging`, `C4 switched` and
//! `filled`, `C5 spill`.

use super::{Goal, signed};
use crate::plan::caps::Caps;
use crate::plan::classes::{Presence, Profile};
use crate::plan::evaluate::host_staging_bytes;
use crate::plan::program::{Program, Var};
use crate::problem::{ObjectiveKind, Problem};

/// A variable that says how many units of one profile live on a device.
#[derive(Clone, Copy, Debug)]
pub(in crate::plan) struct Occupant {
    pub(in crate::plan) var: Var,
    pub(in crate::plan) profile: Profile,
    /// The largest value the variable can take.
    pub(in crate::plan) count_max: usize,
}

/// What is known to live on a device before solving: the presences it is charged for in any case.
pub(in crate::plan) type Forced = Vec<Vec<Presence>>;

/// Adds the memory of every device, the cap on spilled bytes, and the goal if it is about memory.
///
/// `occupants` and `forced` are per device.
pub(in crate::plan) fn add(
    program: &mut Program,
    problem: &Problem,
    occupants: &[Vec<Occupant>],
    forced: &Forced,
    caps: &Caps,
    goal: Goal,
) {
    let peak = (goal == Goal::Objective(ObjectiveKind::PeakUtilization))
        .then(|| program.continuous("peak".to_owned(), None));
    let quantum = quantum(problem);
    for (device, occupants) in occupants.iter().enumerate() {
        // What is missing may be put anywhere, so nothing is known of how much a device holds.
        let limit_bytes =
            if goal == Goal::Shortfall { u64::MAX } else { caps.device_bytes[device] };
        let site = Site { device, forced: &forced[device], limit_bytes };
        let required = required(program, problem, &site, occupants, quantum);
        let id = &problem.devices[device].id;
        if let Some(peak) = peak.filter(|_| problem.gpus().any(|gpu| gpu == device)) {
            let mut terms = required.terms.clone();
            terms.push((peak, -signed(problem.devices[device].capacity_bytes)));
            program.at_most(format!("peak_{id}"), terms, -required.constant);
        }
        let mut terms = required.terms;
        if goal == Goal::Shortfall {
            let missing = program.continuous(format!("missing_{id}"), None);
            terms.push((missing, -quantum));
            program.objective.push((missing, quantum));
        }
        let limit = signed(caps.device_bytes[device]) - required.constant;
        program.at_most(format!("capacity_{id}"), terms, limit);
    }
    program.objective.extend(peak.map(|peak| (peak, 1)));
    add_spill(program, problem, occupants, caps, goal);
}

/// A sum of terms and a constant.
struct Required {
    terms: Vec<(Var, i64)>,
    constant: i64,
}

/// A device and what is known about it.
struct Site<'a> {
    device: usize,
    forced: &'a [Presence],
    limit_bytes: u64,
}

/// What a device requires.
fn required(
    program: &mut Program,
    problem: &Problem,
    site: &Site<'_>,
    occupants: &[Occupant],
    quantum: i64,
) -> Required {
    let &Site { device, forced, limit_bytes } = site;
    let id = &problem.devices[device].id;
    let weights = occupants.iter().map(|o| (o.var, signed(o.profile.weights_bytes)));
    let mut required = Required { terms: weights.collect(), constant: 0 };
    let kv_cache = occupants.iter().map(|o| (o.var, signed(o.profile.kv_cache_bytes)));
    let kv_cache: Vec<(Var, i64)> = kv_cache.filter(|&(_, bytes)| bytes > 0).collect();
    let host_staging = host_staging_bytes(problem, device);
    let floor = Floor::of(forced, host_staging);
    let presences = presence_variables(program, id, occupants, &floor, limit_bytes);
    if presences.is_empty() && floor.staging_bytes <= floor.workspace_bytes {
        required.terms.extend(kv_cache);
        required.constant = signed(floor.workspace_bytes);
    } else {
        // A continuous variable in large units, so that the row stays well scaled; it may take any value.
        let transient = program.continuous(format!("transient_{id}"), None);
        required.terms.push((transient, quantum));
        add_transient(program, id, (transient, -quantum), &presences, &kv_cache, &floor);
    }
    let reserve = signed(problem.devices[device].reserve_bytes);
    if !forced.is_empty() || host_staging > 0 {
        required.constant += reserve;
    } else if reserve > 0 {
        let occupied = program.binary(format!("occupied_{id}"));
        switched_by(program, id, &occupants.iter().collect::<Vec<_>>(), occupied, limit_bytes);
        required.terms.push((occupied, reserve));
    }
    required
}

/// What a device is charged whatever is decided.
struct Floor {
    workspace_bytes: u64,
    staging_bytes: u64,
}

impl Floor {
    fn of(forced: &[Presence], host_staging_bytes: u64) -> Self {
        let most = |of: fn(&Presence) -> u64| forced.iter().map(of).max().unwrap_or(0);
        Self {
            workspace_bytes: most(|p| p.workspace_bytes),
            staging_bytes: most(|p| p.staging_bytes).max(host_staging_bytes),
        }
    }

    /// Whether a presence adds nothing to it.
    fn covers(&self, presence: &Presence) -> bool {
        presence.workspace_bytes <= self.workspace_bytes
            && presence.staging_bytes <= self.staging_bytes.max(self.workspace_bytes)
    }
}

/// `C2`: KV cache and workspace, `C3`: staging; the transient part is at least either.
fn add_transient(
    program: &mut Program,
    id: &str,
    transient: (Var, i64),
    presences: &[(Presence, Var)],
    kv_cache: &[(Var, i64)],
    floor: &Floor,
) {
    let mut running = kv_cache.to_vec();
    running.push(transient);
    program.at_most(format!("running_{id}"), running.clone(), -signed(floor.workspace_bytes));
    if floor.staging_bytes > floor.workspace_bytes {
        program.at_most(format!("staging_{id}"), vec![transient], -signed(floor.staging_bytes));
    }
    for (index, (presence, present)) in presences.iter().enumerate() {
        if presence.workspace_bytes > floor.workspace_bytes {
            let mut terms = running.clone();
            terms.push((*present, signed(presence.workspace_bytes)));
            program.at_most(format!("running_{id}_{index}"), terms, 0);
        }
        // Where a workspace is at least the staged matrix, the rows above already say it.
        if presence.staging_bytes > presence.workspace_bytes.max(floor.workspace_bytes) {
            let staging = vec![transient, (*present, signed(presence.staging_bytes))];
            program.at_most(format!("staging_{id}_{index}"), staging, 0);
        }
    }
}

/// `C4`: one binary per presence that adds anything, at least 1 when any of its units is there. A
/// presence that only one unit can bring needs none: the unit's own binary says it.
fn presence_variables(
    program: &mut Program,
    id: &str,
    occupants: &[Occupant],
    floor: &Floor,
    limit_bytes: u64,
) -> Vec<(Presence, Var)> {
    let mut presences: Vec<Presence> = occupants.iter().map(|o| o.profile.presence).collect();
    presences.sort_unstable();
    presences.dedup();
    presences.retain(|presence| !floor.covers(presence));
    let mut out = Vec::with_capacity(presences.len());
    for (index, presence) in presences.into_iter().enumerate() {
        let members: Vec<&Occupant> =
            occupants.iter().filter(|o| o.profile.presence == presence).collect();
        if let [only] = members.as_slice()
            && only.count_max == 1
        {
            out.push((presence, only.var));
            continue;
        }
        let present = program.binary(format!("present_{id}_{index}"));
        switched_by(program, id, &members, present, limit_bytes);
        out.push((presence, present));
    }
    out
}

/// Nothing of `members` unless the switch is on: each by its count, and all of them by what the device can
/// hold at all. The second alone nearly says it, and says it well in the relaxation: a device filled by
/// them has its switch nearly on.
fn switched_by(
    program: &mut Program,
    id: &str,
    members: &[&Occupant],
    switch: Var,
    limit_bytes: u64,
) {
    let total = members
        .iter()
        .map(|o| o.profile.bytes().saturating_mul(u64::try_from(o.count_max).unwrap_or(u64::MAX)));
    let most = total.fold(0, u64::saturating_add).min(limit_bytes);
    let mut bytes: Vec<(Var, i64)> =
        members.iter().map(|o| (o.var, signed(o.profile.bytes()))).collect();
    bytes.push((switch, -signed(most)));
    program.at_most(format!("filled_{id}_{}", switch.0), bytes, 0);
    for occupant in members {
        let fit = limit_bytes.checked_div(occupant.profile.bytes()).unwrap_or(u64::MAX);
        let count = u64::try_from(occupant.count_max).unwrap_or(u64::MAX).min(fit);
        let terms = vec![(occupant.var, 1), (switch, -signed(count))];
        program.at_most(format!("switched_{id}_{}_{}", switch.0, occupant.var.0), terms, 0);
    }
}

/// `C5`: bytes on CPU devices, as goal or under a cap.
fn add_spill(
    program: &mut Program,
    problem: &Problem,
    occupants: &[Vec<Occupant>],
    caps: &Caps,
    goal: Goal,
) {
    let on_cpu = problem.cpus().flat_map(|d| &occupants[d]);
    let spill: Vec<(Var, i64)> = on_cpu.map(|o| (o.var, signed(o.profile.bytes()))).collect();
    if let Some(cap) = caps.spill_bytes.filter(|_| !spill.is_empty()) {
        program.at_most("spill".to_owned(), spill.clone(), signed(cap));
    }
    if goal == Goal::Objective(ObjectiveKind::SpillBytes) {
        program.objective.extend(spill);
    }
}

/// The unit of continuous byte variables: a power of two that keeps them near a thousand.
fn quantum(problem: &Problem) -> i64 {
    let largest = problem.devices.iter().map(|d| d.capacity_bytes).max().unwrap_or(1);
    let mut quantum = 1_u64;
    while largest / quantum > 1 << 10 {
        quantum <<= 1;
    }
    signed(quantum)
}
