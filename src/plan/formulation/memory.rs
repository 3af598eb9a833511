//! Rows of what a device must hold: `C1 capacity`, `C2 running`, `C3 staging`, `C4 presence`.

use super::{Goal, signed};
use crate::plan::classes::{Presence, Profile};
use crate::plan::evaluate::host_staging_bytes;
use crate::plan::program::{Program, Var};
use crate::plan::stage::Caps;
use crate::problem::{ObjectiveKind, Problem};

/// A variable that says how many units of one profile live on a device.
#[derive(Clone, Copy, Debug)]
pub(in crate::plan) struct Occupant {
    pub(in crate::plan) var: Var,
    pub(in crate::plan) profile: Profile,
    /// The largest value the variable can take.
    pub(in crate::plan) count_max: usize,
}

/// Adds the memory of every device, the cap on spilled bytes, and the goal if it is about memory.
///
/// `occupants` is per device.
pub(in crate::plan) fn add(
    program: &mut Program,
    problem: &Problem,
    occupants: &[Vec<Occupant>],
    caps: &Caps,
    goal: Goal,
) {
    let peak = (goal == Goal::Objective(ObjectiveKind::PeakUtilization))
        .then(|| program.continuous("peak".to_owned(), None));
    let quantum = quantum(problem);
    for (device, occupants) in occupants.iter().enumerate() {
        let required = required(program, problem, device, occupants, quantum);
        let id = &problem.devices[device].id;
        if let Some(peak) = peak.filter(|_| problem.gpus().any(|gpu| gpu == device)) {
            let mut terms = required.clone();
            terms.push((peak, -signed(problem.devices[device].capacity_bytes)));
            program.at_most(format!("peak_{id}"), terms, 0);
        }
        let mut terms = required;
        if goal == Goal::Shortfall {
            let missing = program.continuous(format!("missing_{id}"), None);
            terms.push((missing, -quantum));
            program.objective.push((missing, quantum));
        }
        program.at_most(format!("capacity_{id}"), terms, signed(caps.device_bytes[device]));
    }
    program.objective.extend(peak.map(|peak| (peak, 1)));
    add_spill(program, problem, occupants, caps, goal);
}

/// What `device` requires, as terms; rounding up to `quantum` is what makes the rows well scaled and is
/// exact, since the continuous variable may take any value.
fn required(
    program: &mut Program,
    problem: &Problem,
    device: usize,
    occupants: &[Occupant],
    quantum: i64,
) -> Vec<(Var, i64)> {
    let id = &problem.devices[device].id;
    let mut terms: Vec<(Var, i64)> =
        occupants.iter().map(|o| (o.var, signed(o.profile.weights_bytes))).collect();
    let kv_cache: Vec<(Var, i64)> =
        occupants.iter().map(|o| (o.var, signed(o.profile.kv_cache_bytes))).collect();
    let presences = presence_variables(program, id, occupants);
    let host_staging = signed(host_staging_bytes(problem, device));
    if host_staging == 0 && presences.is_empty() {
        terms.extend(kv_cache);
    } else {
        let transient = program.continuous(format!("transient_{id}"), None);
        terms.push((transient, quantum));
        add_transient(program, id, (transient, -quantum), &presences, &kv_cache);
        if host_staging > 0 {
            program.at_most(format!("host_staging_{id}"), vec![(transient, -quantum)], -host_staging);
        }
    }
    let reserve = signed(problem.devices[device].reserve_bytes);
    if reserve > 0 {
        let occupied = program.binary(format!("occupied_{id}"));
        if host_staging > 0 {
            program.fix(occupied, 1);
        }
        for occupant in occupants {
            bound_by(program, id, occupant, occupied);
        }
        terms.push((occupied, reserve));
    }
    terms
}

/// `C2`: KV cache and workspace, `C3`: staging; the transient part is at least either.
fn add_transient(
    program: &mut Program,
    id: &str,
    transient: (Var, i64),
    presences: &[(Presence, Var)],
    kv_cache: &[(Var, i64)],
) {
    for (index, (presence, present)) in presences.iter().enumerate() {
        let mut running = kv_cache.to_vec();
        running.push(transient);
        running.push((*present, signed(presence.workspace_bytes)));
        program.at_most(format!("running_{id}_{index}"), running, 0);
        // Where the workspace is at least the staged matrix, the row above already says it.
        if presence.staging_bytes > presence.workspace_bytes {
            let staging = vec![transient, (*present, signed(presence.staging_bytes))];
            program.at_most(format!("staging_{id}_{index}"), staging, 0);
        }
    }
}

/// `C4`: one binary per presence that costs anything, at least 1 when any of its units is there. A
/// presence that only one unit can bring needs none: the unit's own binary says it.
fn presence_variables(
    program: &mut Program,
    id: &str,
    occupants: &[Occupant],
) -> Vec<(Presence, Var)> {
    let mut presences: Vec<Presence> = occupants.iter().map(|o| o.profile.presence).collect();
    presences.sort_unstable();
    presences.dedup();
    presences.retain(|p| p.workspace_bytes > 0 || p.staging_bytes > 0);
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
        for occupant in members {
            bound_by(program, id, occupant, present);
        }
        out.push((presence, present));
    }
    out
}

fn bound_by(program: &mut Program, id: &str, occupant: &Occupant, switch: Var) {
    let most = i64::try_from(occupant.count_max).unwrap_or(i64::MAX);
    let name = format!("if_{}_{id}_{}", switch.0, occupant.var.0);
    program.at_most(name, vec![(occupant.var, 1), (switch, -most)], 0);
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
