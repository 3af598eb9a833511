//! Rows of what a device must hold: `C1 capacity`, `C2 running`, `C3 staging`, `C4 switched` and
//! `filled`, `C15 empty`.

use super::{Goal, signed};
use crate::hardware::DeviceKind;
use crate::objective::{Amount, Linear, Placed};
use crate::plan::caps::Caps;
use crate::plan::classes::{Classes, Presence, Profile};
use crate::plan::evaluate::host_staging_bytes;
use crate::problem::{ObjectiveKind, Problem};
use crate::program::{Program, Var};

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

/// The memory of all devices while a program is stated.
#[derive(Debug)]
pub(in crate::plan) struct Memory<'a> {
    problem: &'a Problem,
    /// Per device.
    pub(in crate::plan) occupants: Vec<Vec<Occupant>>,
    forced: &'a Forced,
    /// What a device can hold at all.
    limit_bytes: Vec<u64>,
    /// Per device, once asked for: whether it hosts anything.
    hosts: Vec<Option<Amount>>,
    /// At least the utilization of every GPU, when that is the goal.
    peak: Option<Var>,
}

impl<'a> Memory<'a> {
    /// States what every device must hold.
    ///
    /// `occupants` and `forced` are per device.
    pub(in crate::plan) fn state(
        program: &mut Program,
        problem: &'a Problem,
        occupants: Vec<Vec<Occupant>>,
        forced: &'a Forced,
        caps: &Caps,
        goal: Goal,
    ) -> Self {
        let peak = (goal == Goal::Objective(ObjectiveKind::PeakUtilization))
            .then(|| program.continuous("peak".to_owned(), None));
        // What is missing may be put anywhere, so nothing is known of how much a device holds.
        let limit_bytes = match goal {
            Goal::Shortfall => vec![u64::MAX; problem.devices.len()],
            Goal::Objective(_) => caps.device_bytes.clone(),
        };
        let hosts = vec![None; problem.devices.len()];
        let mut memory = Self { problem, occupants, forced, limit_bytes, hosts, peak };
        for device in 0..problem.devices.len() {
            memory.add_device(program, device, caps.device_bytes[device], goal);
        }
        memory
    }

    fn add_device(&mut self, program: &mut Program, device: usize, limit_bytes: u64, goal: Goal) {
        let quantum = quantum(self.problem);
        let required = self.required(program, device, quantum);
        let of = &self.problem.devices[device];
        let id = &of.id;
        if let Some(peak) = self.peak.filter(|_| of.kind == DeviceKind::Gpu) {
            let mut terms = required.terms.clone();
            terms.push((peak, -signed(of.capacity_bytes)));
            program.at_most(format!("peak_{id}"), terms, -required.constant);
        }
        let mut terms = required.terms;
        if goal == Goal::Shortfall {
            let missing = program.continuous(format!("missing_{id}"), None);
            terms.push((missing, -quantum));
            program.objective.push((missing, quantum));
        }
        let limit = signed(limit_bytes) - required.constant;
        program.at_most(format!("capacity_{id}"), terms, limit);
    }

    /// What a device requires.
    fn required(&mut self, program: &mut Program, device: usize, quantum: i64) -> Linear {
        let id = &self.problem.devices[device].id;
        let occupants = &self.occupants[device];
        let weights = occupants.iter().map(|o| (o.var, signed(o.profile.weights_bytes)));
        let mut required = Linear { terms: weights.collect(), constant: 0 };
        let kv_cache = occupants.iter().map(|o| (o.var, signed(o.profile.kv_cache_bytes)));
        let kv_cache: Vec<(Var, i64)> = kv_cache.filter(|&(_, bytes)| bytes > 0).collect();
        let host_staging = host_staging_bytes(self.problem, device);
        let floor = Floor::of(&self.forced[device], host_staging);
        let presences =
            presence_variables(program, id, occupants, &floor, self.limit_bytes[device]);
        if presences.is_empty() && floor.staging_bytes <= floor.workspace_bytes {
            required.terms.extend(kv_cache);
            required.constant = signed(floor.workspace_bytes);
        } else {
            // A continuous variable in large units, so that the row stays well scaled; it may take any
            // value.
            let transient = program.continuous(format!("transient_{id}"), None);
            required.terms.push((transient, quantum));
            add_transient(program, id, (transient, -quantum), &presences, &kv_cache, &floor);
        }
        let reserve = signed(self.problem.devices[device].reserve_bytes);
        if host_staging > 0 {
            required.constant += reserve;
        } else if reserve > 0 {
            required.add(self.hosts(program, device), reserve);
        }
        required
    }

    /// Whether a device hosts anything.
    fn hosts(&mut self, program: &mut Program, device: usize) -> Amount {
        if let Some(known) = self.hosts[device] {
            return known;
        }
        let id = &self.problem.devices[device].id;
        let members: Vec<&Occupant> = self.occupants[device].iter().collect();
        let hosts = if !self.forced[device].is_empty() {
            Amount::Known(1)
        } else if members.is_empty() {
            Amount::Known(0)
        } else {
            let occupied = program.binary(format!("occupied_{id}"));
            switched_by(program, id, &members, occupied, self.limit_bytes[device]);
            Amount::Variable(occupied)
        };
        self.hosts[device] = Some(hosts);
        hosts
    }

    /// `C15`: 1 exactly when a device hosts anything.
    pub(in crate::plan) fn counted(&mut self, program: &mut Program, device: usize) -> Linear {
        let hosts = self.hosts(program, device);
        if let Amount::Variable(occupied) = hosts {
            let mut terms: Vec<(Var, i64)> =
                self.occupants[device].iter().map(|o| (o.var, -1)).collect();
            terms.push((occupied, 1));
            program.at_most(format!("empty_{}", self.problem.devices[device].id), terms, 0);
        }
        let mut form = Linear::default();
        form.add(hosts, 1);
        form
    }

    /// The peak, when that is the goal.
    pub(in crate::plan) fn peak(&self) -> Linear {
        let mut form = Linear::default();
        self.peak.into_iter().for_each(|peak| form.add(Amount::Variable(peak), 1));
        form
    }

    /// Visits all occupants.
    pub(in crate::plan) fn placed(&self, classes: &Classes, visit: &mut dyn FnMut(Placed)) {
        for (device, occupants) in self.occupants.iter().enumerate() {
            for Occupant { var, profile, .. } in occupants {
                visit(Placed {
                    amount: Amount::Variable(*var),
                    device,
                    held_bytes: profile.bytes(),
                    moved_bytes: classes.moved_bytes(profile, device),
                });
            }
        }
    }
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

/// The unit of continuous byte variables: a power of two that keeps them near a thousand.
fn quantum(problem: &Problem) -> i64 {
    let largest = problem.devices.iter().map(|d| d.capacity_bytes).max().unwrap_or(1);
    let mut quantum = 1_u64;
    while largest / quantum > 1 << 10 {
        quantum <<= 1;
    }
    signed(quantum)
}
