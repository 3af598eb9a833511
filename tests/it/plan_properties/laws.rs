//! How an answer moves when the question does: more to choose from never makes the first objective worse, and
//! what only renames or rescales changes nothing.
//!
//! Later objectives live under caps that move with the first, so that the laws are about the first. All of them
//! hold whatever the budget, in this form: what is proven of the easier question is not above what was
//! found for the harder one.

use apportion::hardware::DeviceKind;
use apportion::plan::{self, Options, Outcome, Solved, StageReport};
use apportion::problem::{DeviceSet, ObjectiveKind, ObjectiveValue, Placement, Problem};
use apportion::units::Ratio;

use super::super::options;
use super::only;
use crate::support::{Random, Tiny};

/// A budget that is quickly spent, or hardly any: the laws hold whatever is left unproven.
fn budget(random: &mut Random) -> Options {
    let node_limit = if random.one_in(4) { 1 } else { 100 };
    Options { node_limit, ..options() }
}

/// `None` where it is infeasible, or not known.
fn solved(problem: &Problem, options: &Options) -> Result<Solved, Outcome> {
    match plan::solve(problem, options).unwrap() {
        Outcome::Solved(solved) => Ok(solved),
        other => Err(other),
    }
}

/// No number that is proven or found speaks against `easier` being at least as good as `harder`. Whether both
/// optima are proven.
fn no_worse(easier: &StageReport, harder: &StageReport) -> bool {
    assert!(easier.bound <= harder.optimum, "{easier:?} is above {harder:?}");
    let both = easier.proven && harder.proven;
    if both {
        // A peak is proven within its gap only.
        let gap = if easier.kind == ObjectiveKind::PeakUtilization { 1e-4 } else { 1e-9 };
        let (easier, harder) = (easier.optimum.as_f64(), harder.optimum.as_f64());
        assert!(easier * (1.0 - gap) <= harder, "{easier} with more to choose from, not {harder}");
    }
    both
}

/// Solves both and compares: what the harder question has, the easier one must have too. Whether anything was
/// compared that is proven.
fn easier_is_no_worse(easier: &Problem, harder: &Problem, options: &Options) -> bool {
    let Ok(hard) = solved(harder, options) else { return false };
    match solved(easier, options) {
        Ok(easy) => no_worse(&easy.stages[0], &hard.stages[0]),
        Err(Outcome::Unknown(_)) => false,
        Err(other) => panic!("{other:?} with more to choose from\n{harder:#?}"),
    }
}

/// A problem with one objective of any kind that makes sense there.
fn one_objective(random: &mut Random, tiny: &Tiny) -> Problem {
    let mut problem = tiny.problem();
    let kinds = [
        ObjectiveKind::SpillBytes,
        ObjectiveKind::PeakUtilization,
        ObjectiveKind::Traffic,
        ObjectiveKind::DevicesUsed,
        ObjectiveKind::Migration,
    ];
    problem.objectives = only(kinds[random.index(kinds.len())]);
    problem.current = Some(random.placement(&problem));
    problem
}

#[test]
fn more_memory_on_any_device_is_never_worse() {
    let mut random = Random::new(61);
    let mut compared = 0;
    for _ in 0..500 {
        let tiny = random.tiny();
        let mut harder = one_objective(&mut random, &tiny);
        harder.headroom_bytes = harder.devices.iter().map(|_| random.below(4)).collect();
        let mut easier = harder.clone();
        let device = random.index(easier.devices.len());
        easier.devices[device].capacity_bytes += random.within(1, 12);
        let options = budget(&mut random);
        compared += usize::from(easier_is_no_worse(&easier, &harder, &options));
    }
    assert!(compared > 200, "only {compared} were proven");
}

#[test]
fn one_more_device_is_never_worse() {
    let mut random = Random::new(62);
    let mut compared = 0;
    for _ in 0..500 {
        let tiny = random.tiny();
        let harder = one_objective(&mut random, &tiny);
        let at = harder.gpus().count();
        let (capacity, reserve) = (random.within(1, 60), random.below(3));
        let mut easier = tiny.device(DeviceKind::Gpu, capacity, reserve);
        // GPUs stand before the CPU; the new one may stay empty, and pins are to the first.
        easier.devices[at..].rotate_right(1);
        let mut easier = easier.problem();
        easier.objectives.clone_from(&harder.objectives);
        let moved = |&device: &usize| if device >= at { device + 1 } else { device };
        easier.current = harder
            .current
            .as_ref()
            .map(|current| Placement { device_of: current.device_of.iter().map(moved).collect() });
        let options = budget(&mut random);
        compared += usize::from(easier_is_no_worse(&easier, &harder, &options));
    }
    assert!(compared > 200, "only {compared} were proven");
}

#[test]
fn one_rule_less_is_never_worse() {
    let mut random = Random::new(63);
    let mut compared = 0;
    for _ in 0..500 {
        let mut tiny = random.tiny();
        let ids = tiny.ids();
        for _ in 0..random.within(1, 3) {
            let some = ids[random.index(ids.len())].to_string();
            let device = random.index(tiny.devices.len());
            let pin = random.coin();
            tiny = if pin { tiny.pin(&[&some], device) } else { tiny.forbid(&[&some], device) };
        }
        let harder = one_objective(&mut random, &tiny);
        let rules = harder.rules.len();
        let out = random.index(rules);
        let kept: Vec<usize> = (0..rules).filter(|&rule| rule != out).collect();
        let all: Vec<usize> = (0..rules).collect();
        let (easier, harder) = (harder.with_rules(&kept), harder.with_rules(&all));
        // Rules that leave something nowhere to live state no problem.
        if harder.validate().is_err() {
            continue;
        }
        let options = budget(&mut random);
        compared += usize::from(easier_is_no_worse(&easier, &harder, &options));
    }
    assert!(compared > 150, "only {compared} were proven");
}

/// Stage by stage, as long as both are proven with the same cap: what both found and proved does not
/// contradict. (An unproven stage's cap may have been looser while later ones were looked at: polishing
/// improves such a stage.) How many stages were compared.
fn the_same(a: &Solved, b: &Solved, unit: impl Fn(ObjectiveValue) -> ObjectiveValue) -> usize {
    for (index, (a, b)) in a.stages.iter().zip(&b.stages).enumerate() {
        let (mut a, b) = (a.clone(), b);
        for value in [&mut a.value, &mut a.optimum, &mut a.bound, &mut a.cap] {
            *value = unit(*value);
        }
        no_worse(&a, b);
        no_worse(b, &a);
        if a.cap != b.cap || !a.proven || !b.proven {
            return index + 1;
        }
    }
    a.stages.len()
}

fn both_or_neither(
    (a, b): (&Problem, &Problem),
    options: &Options,
    unit: impl Fn(ObjectiveValue) -> ObjectiveValue,
) -> usize {
    match (solved(a, options), solved(b, options)) {
        (Ok(a), Ok(b)) => the_same(&a, &b, unit),
        (Ok(_), Err(Outcome::Infeasible(_))) | (Err(Outcome::Infeasible(_)), Ok(_)) => {
            panic!("only one of them is feasible\n{a:#?}\n{b:#?}")
        }
        _ => 0,
    }
}

fn scaled(problem: &Problem, factor: u64) -> Problem {
    let mut scaled = problem.clone();
    for component in &mut scaled.components {
        component.demand.weights_bytes *= factor;
        component.demand.rounding_bytes *= factor;
        component.demand.kv_cache_bytes *= factor;
        component.demand.staging_bytes *= factor;
    }
    for device in &mut scaled.devices {
        device.capacity_bytes *= factor;
        device.reserve_bytes *= factor;
    }
    let workspace = &mut scaled.workspace;
    workspace.embedding_bytes *= factor;
    workspace.attention_bytes *= factor;
    workspace.feed_forward_bytes *= factor;
    workspace.head_bytes *= factor;
    scaled.host_staging_bytes *= factor;
    scaled.headroom_bytes.iter_mut().for_each(|bytes| *bytes *= factor);
    scaled
}

/// Bytes a million times as large are as large as those of models.
#[test]
fn scaling_all_bytes_changes_nothing() {
    let mut random = Random::new(64);
    let mut compared = 0;
    for _ in 0..400 {
        let mut problem = random.tiny().problem();
        problem.headroom_bytes = problem.devices.iter().map(|_| random.below(4)).collect();
        let factor = [2, 3, 1000, 1 << 20, 99_999_989][random.index(5)];
        let options = budget(&mut random);
        let times = |value| match value {
            ObjectiveValue::Bytes(bytes) => ObjectiveValue::Bytes(bytes * factor),
            other => other,
        };
        compared += both_or_neither((&problem, &scaled(&problem, factor)), &options, times);
    }
    assert!(compared > 400, "only {compared} stages were compared");
}

/// Device `d` of the problem becomes device `to[d]`, under a new name, and everything said of it goes along.
fn renamed(problem: &Problem, to: &[usize]) -> Problem {
    let mut renamed = problem.clone();
    let set = |of: DeviceSet| {
        of.iter().fold(DeviceSet(0), |all, d| DeviceSet(all.0 | DeviceSet::only(to[d]).0))
    };
    for (device, &to) in problem.devices.iter().zip(to) {
        renamed.devices[to] = device.clone();
        renamed.devices[to].id = format!("device-{to}");
    }
    for (headroom, &to) in problem.headroom_bytes.iter().zip(to) {
        renamed.headroom_bytes[to] = *headroom;
    }
    for component in &mut renamed.components {
        component.allowed = set(component.allowed);
    }
    for rule in &mut renamed.rules {
        rule.devices = set(rule.devices);
    }
    for home in renamed.current.iter_mut().flat_map(|current| &mut current.device_of) {
        *home = to[*home];
    }
    renamed
}

/// GPUs listed in another order under other names, each with its size, pins and headroom.
#[test]
fn renaming_devices_changes_nothing_but_names() {
    let mut random = Random::new(65);
    let mut compared = 0;
    for case in 0..400 {
        let tiny = random.tiny();
        let mut problem = tiny.problem();
        if case % 2 == 1 {
            problem = one_objective(&mut random, &tiny);
            let tolerance = Ratio::new(random.below(3), 10);
            problem.objectives[0].tolerance = tolerance;
            let first = problem.objectives[0].kind;
            let second = only(ObjectiveKind::Traffic);
            let more = second.into_iter().filter(|second| second.kind != first);
            problem.objectives.extend(more);
        }
        problem.headroom_bytes = problem.devices.iter().map(|_| random.below(4)).collect();
        let mut to: Vec<usize> = (0..problem.devices.len()).collect();
        let gpus = problem.gpus().count();
        for last in (1..gpus).rev() {
            to.swap(last, random.index(last + 1));
        }
        let options = budget(&mut random);
        compared += both_or_neither((&problem, &renamed(&problem, &to)), &options, |same| same);
    }
    assert!(compared > 400, "only {compared} stages were compared");
}
