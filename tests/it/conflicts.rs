//! Which constraints cannot all hold: by hand, and against every placement of small problems.

use apportion::plan::{self, Conflict, Member, Outcome};
use apportion::problem::{DeviceSet, Problem, Rule};
use apportion::verify::verify;
use rayon::prelude::*;

use super::options;
use crate::support::{Random, Tiny, enumerate, placements};

/// `None` when there is a placement.
fn conflict(problem: &Problem) -> Option<Conflict> {
    match plan::solve(problem, &options()).unwrap() {
        Outcome::Infeasible(why) => Some(why.conflict),
        Outcome::Solved(_) => None,
        Outcome::Unknown(limit) => panic!("{limit:?} {problem:#?}"),
    }
}

#[track_caller]
fn names(problem: &Problem, members: &[Member]) {
    let expected = Conflict { members: members.to_vec(), undecided: false };
    assert_eq!(conflict(problem), Some(expected));
}

/// One dense layer: attention 3, mlp 8; embedding 5, norm with head 6: 22 in all.
fn dense() -> Tiny {
    Tiny::new(1, 0)
}

#[test]
fn two_pins_to_a_device_that_holds_one_of_them() {
    use Member::{Capacity, Rule};
    let tiny = dense().gpu(12).gpu(40).pin(&["layers.0.attention"], 1);
    let tiny = tiny.pin(&["embedding"], 0).pin(&["layers.0.mlp"], 0);
    names(&tiny.problem(), &[Rule(1), Rule(2), Capacity(0)]);
    // As default pins they are one rule of two components, and named like any other.
    names(&dense().gpu(12).gpu(40).default_pins().problem(), &[Rule(0), Capacity(0)]);
}

#[test]
fn memory_that_is_short_is_named_alone() {
    use Member::Capacity;
    names(&dense().gpu(21).problem(), &[Capacity(0)]);
    names(&dense().gpus(2, 10).problem(), &[Capacity(0), Capacity(1)]);
    // Pins that conflict as well, headroom and a limit change nothing about that.
    let mut problem = dense().gpus(2, 10).pin(&["embedding", "layers.0.mlp"], 0).problem();
    problem.headroom_bytes = vec![5, 5];
    problem.devices_max = Some(1);
    names(&problem, &[Capacity(0), Capacity(1)]);
    // Host memory counts like any other.
    names(&dense().gpu(10).cpu(10).problem(), &[Capacity(0), Capacity(1)]);
}

#[test]
fn the_largest_thing_that_fits_nowhere_names_every_device() {
    // 25 bytes would fit on 27, but not the mlp of 11.
    let problem = dense().gpu(8).gpu(9).gpu(10).weigh("layers.0.mlp", 11).problem();
    names(&problem, &[Member::Capacity(0), Member::Capacity(1), Member::Capacity(2)]);
}

#[test]
fn a_limit_on_devices_is_named_with_the_pins_it_cannot_bear() {
    use Member::{DevicesMax, Rule};
    let tiny = dense().gpus(2, 100).pin(&["embedding"], 0).pin(&["output_head"], 1);
    let mut problem = tiny.pin(&["layers.0.mlp"], 1).problem();
    problem.devices_max = Some(1);
    // Memory has nothing to do with it; of the two pins to GPU 1 the later one is left.
    names(&problem, &[Rule(0), Rule(2), DevicesMax]);
}

#[test]
fn a_limit_on_devices_is_named_with_those_that_are_too_small() {
    use Member::{Capacity, DevicesMax};
    let mut problem = dense().gpus(3, 12).problem();
    problem.devices_max = Some(1);
    names(&problem, &[DevicesMax, Capacity(0), Capacity(1), Capacity(2)]);
}

#[test]
fn headroom_is_named_where_it_is_in_the_way() {
    use Member::{Capacity, Headroom};
    let mut problem = dense().gpu(11).gpu(12).problem();
    problem.headroom_bytes = vec![0, 2];
    names(&problem, &[Headroom(1), Capacity(0), Capacity(1)]);
    // Either headroom alone would do harm; the first device's is named.
    problem.headroom_bytes = vec![1, 1];
    names(&problem, &[Headroom(0), Capacity(0), Capacity(1)]);
    // With a larger device neither alone, but both.
    let mut problem = dense().gpu(11).gpu(14).problem();
    problem.headroom_bytes = vec![2, 3];
    names(&problem, &[Headroom(0), Headroom(1), Capacity(0), Capacity(1)]);
}

#[test]
fn sixty_four_equal_devices_are_named_in_no_time() {
    let tiny = Tiny::new(61, 8).gpus(64, 32).default_pins();
    let all: Vec<Member> = (0..64).map(Member::Capacity).collect();
    names(&tiny.problem(), &all);
}

/// A small problem, more often infeasible than not; `None` where rules leave a component nowhere, or where
/// there are too many placements to try.
fn case(seed: u64) -> Option<Problem> {
    let mut random = Random::new(seed);
    let mut problem = random.tiny().problem();
    problem.rules.clear();
    problem.apply_rules();
    if placements(&problem) > 3_000 {
        return None;
    }
    let devices = problem.devices.len();
    for device in &mut problem.devices {
        let share = random.within(4, 11);
        device.capacity_bytes = (device.capacity_bytes * share / 10).max(1);
    }
    for _ in 0..random.below(5) {
        let device = DeviceSet::only(random.index(devices));
        let forbidden = DeviceSet::first(devices).without(device);
        let from = random.index(problem.components.len());
        let count = 1 + random.index(4);
        problem.rules.push(Rule {
            text: "rule".to_owned(),
            default: random.one_in(3),
            fixed: random.one_in(8),
            devices: if random.one_in(3) { forbidden } else { device },
            components: (from..problem.components.len()).take(count).collect(),
        });
    }
    problem.apply_rules();
    if random.coin() {
        let most = |d: usize| problem.devices[d].capacity_bytes;
        problem.headroom_bytes = (0..devices).map(|d| random.below(6).min(most(d))).collect();
    }
    if random.coin() {
        problem.devices_max = Some(1 + random.index(devices));
    }
    problem.components.iter().all(|c| !c.allowed.is_empty()).then_some(problem)
}

/// The problem with all constraints relaxed but these.
fn under(problem: &Problem, members: &[Member]) -> Problem {
    let mut relaxed = problem.clone();
    relaxed.rules.clear();
    relaxed.devices_max = None;
    relaxed.headroom_bytes = vec![0; problem.devices.len()];
    for device in &mut relaxed.devices {
        device.capacity_bytes = 1 << 40;
    }
    for &member in members {
        match member {
            Member::Rule(rule) => relaxed.rules.push(problem.rules[rule].clone()),
            Member::DevicesMax => relaxed.devices_max = problem.devices_max,
            Member::Headroom(device) => {
                relaxed.headroom_bytes[device] = problem.headroom_bytes[device];
            }
            Member::Capacity(device) => {
                relaxed.devices[device].capacity_bytes = problem.devices[device].capacity_bytes;
            }
        }
    }
    relaxed.apply_rules();
    relaxed
}

fn feasible(problem: &Problem) -> bool {
    enumerate(problem).any(|placement| verify(problem, &placement).is_ok())
}

/// What of the order in which constraints are relaxed can be seen from outside: the first ones of it, up to
/// each kind of wish.
fn wishes(problem: &Problem) -> [Vec<Member>; 4] {
    let own = |rule: &Rule| !rule.default && !rule.fixed;
    let rules = problem.rules.iter().enumerate();
    let own: Vec<Member> =
        rules.filter(|(_, rule)| own(rule)).map(|(index, _)| Member::Rule(index)).collect();
    let limited = [own.clone(), vec![Member::DevicesMax]].concat();
    let headrooms: Vec<Member> = (0..problem.devices.len()).map(Member::Headroom).collect();
    let roomy = [limited.clone(), headrooms].concat();
    let rules: Vec<Member> = (0..problem.rules.len()).map(Member::Rule).collect();
    let all = [roomy.clone(), rules].concat();
    [own, limited, roomy, all]
}

fn every_member(problem: &Problem) -> Vec<Member> {
    let devices = 0..problem.devices.len();
    let headroom = |&d: &usize| problem.headroom_bytes.get(d).is_some_and(|&bytes| bytes > 0);
    (0..problem.rules.len())
        .map(Member::Rule)
        .chain([Member::DevicesMax])
        .chain(devices.clone().filter(headroom).map(Member::Headroom))
        .chain(devices.map(Member::Capacity))
        .collect()
}

fn without(members: &[Member], left_out: &[Member]) -> Vec<Member> {
    members.iter().copied().filter(|member| !left_out.contains(member)).collect()
}

/// Whether it was infeasible, and what is wrong with the answer.
fn check(seed: u64) -> Result<bool, String> {
    let Some(problem) = case(seed) else { return Ok(false) };
    let found = conflict(&problem);
    if found.is_none() != feasible(&problem) {
        return Err("feasible or not?".to_owned());
    }
    let Some(Conflict { members, undecided }) = found else { return Ok(false) };
    if undecided || members.is_empty() || !members.is_sorted() {
        return Err(format!("{members:?}, undecided: {undecided}"));
    }
    if feasible(&under(&problem, &members)) {
        return Err(format!("{members:?} can all hold"));
    }
    for &member in &members {
        if !feasible(&under(&problem, &without(&members, &[member]))) {
            return Err(format!("{member:?} is not needed in {members:?}"));
        }
    }
    // A wish is named only when without wishes of its kind, and those relaxed before it, there is a
    // placement.
    for kinds in wishes(&problem) {
        let named = members.iter().any(|member| kinds.contains(member));
        let rest = under(&problem, &without(&every_member(&problem), &kinds));
        if named != feasible(&rest) {
            return Err(format!("{members:?} and {kinds:?}"));
        }
    }
    Ok(true)
}

#[test]
fn conflicts_are_real_and_irreducible() {
    let results: Vec<(u64, Result<bool, String>)> =
        (0..12_000).into_par_iter().map(|seed| (seed, check(seed))).collect();
    let wrong = |(seed, result): &(u64, Result<bool, String>)| {
        result.as_ref().err().map(|error| format!("seed {seed}: {error}"))
    };
    let failures: Vec<String> = results.iter().filter_map(wrong).collect();
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures[..failures.len().min(8)].join("\n")
    );
    let infeasible = results.iter().filter(|(_, result)| *result == Ok(true)).count();
    println!("{infeasible} conflicts");
    assert!(infeasible >= 2_000, "only {infeasible} were infeasible");
}
