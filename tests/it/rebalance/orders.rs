//! Orders of moves between any two placements, in tight memory: possible or not, and for how few bytes, by a search
//! that is written differently.

use std::collections::{BTreeMap, BTreeSet};

use apportion::migrate::{Place, Plan};
use apportion::placement::{Placement, Record};
use apportion::problem::Problem;
use apportion::scenario::{Current, Scenario};
use apportion::sweep::{Found, answer};
use apportion::verify::{measure, verify};

use super::super::support::{Random, enumerate, placements};
use super::{options, small};

#[test]
fn few_moves_are_ordered_for_the_fewest_bytes_or_not_at_all() {
    let [mut direct, mut detours, mut none, mut compared] = [0; 4];
    for seed in 0..900 {
        let mut random = Random::new(1000 + seed);
        let mut scenario = small(&mut random);
        // Staging and caches have their own tests.
        scenario.scheme = apportion::quant::Scheme::parse("f16").unwrap();
        scenario.hardware = tight(&scenario, &mut random);
        let Some((from, to)) = two(&scenario, &mut random) else { continue };
        let moving = from.homes.iter().zip(&to.homes).filter(|(a, b)| a.1 != b.1).count();
        if moving > 6 {
            continue;
        }
        compared += 1;
        let problem = to.scenario.problem().unwrap();
        let expected = reference(&problem, &from, &to);
        match (Plan::between(&from, &to, Some(0)).unwrap(), expected) {
            (Ok(plan), Some(least)) => {
                let replayed = plan.replay().unwrap();
                assert_eq!(replayed.moved_bytes, least, "seed {seed}");
                assert_eq!(replayed.host_bytes, 0);
                if plan.steps.len() > moving { detours += 1 } else { direct += 1 }
            }
            (Err(stuck), None) => {
                assert!(stuck.proven && !stuck.waiting.is_empty(), "seed {seed}: {stuck:?}");
                none += 1;
                through_the_host(&from, &to);
            }
            (found, expected) => {
                panic!("seed {seed}: {found:?} where {expected:?} bytes are the least")
            }
        }
    }
    assert!(
        compared >= 100 && direct >= 40 && detours >= 4 && none >= 10,
        "{compared}: {direct}, {detours}, {none}"
    );
}

/// With enough host memory there is always an order, and just enough is enough.
fn through_the_host(from: &Record, to: &Record) {
    let plan = Plan::between(from, to, None).unwrap().unwrap();
    let replayed = plan.replay().unwrap();
    assert!(replayed.host_bytes > 0 && replayed.whole);
    assert!(plan.steps.iter().any(|step| step.from == Place::Host));
    let again = Plan::between(from, to, Some(replayed.host_bytes)).unwrap().unwrap();
    assert_eq!(again.replay().unwrap().moved_bytes, replayed.moved_bytes);
}

/// Devices that have little beside what they hold.
fn tight(scenario: &Scenario, random: &mut Random) -> apportion::hardware::Hardware {
    let demand = scenario.demand().unwrap();
    let total = demand.weights_bytes() + demand.kv_cache_bytes();
    let workspace = demand.workspace.kinds().into_iter().max().unwrap();
    let gpus = random.within(2, 3);
    let sizes: Vec<u64> =
        (0..gpus).map(|_| total * random.within(104, 125) / 100 / gpus + workspace).collect();
    apportion::hardware::Hardware::from_sizes(&sizes, None, 0).unwrap()
}

/// Two placements that fit, the second as if it had been solved from the first.
fn two(scenario: &Scenario, random: &mut Random) -> Option<(Record, Record)> {
    let scenario = Scenario { default_pins: false, ..scenario.clone() };
    let problem = scenario.problem().unwrap();
    let fitting: Vec<Placement> = if placements(&problem) <= 20_000 {
        enumerate(&problem).filter(|placement| verify(&problem, placement).is_ok()).collect()
    } else {
        Vec::new()
    };
    if fitting.len() < 2 {
        return None;
    }
    let Found::Placed(solved, measured) = answer(&problem, &options()).unwrap() else {
        return None;
    };
    let mut from = Record::of(&scenario, &problem, &solved, &measured);
    let set = |record: &mut Record, placement: &Placement| {
        for (home, &device) in record.homes.iter_mut().zip(&placement.device_of) {
            home.1 = device;
        }
    };
    set(&mut from, &fitting[random.index(fitting.len())]);
    // Mostly one that is near, so that few components move.
    let distance = |placement: &&Placement| {
        let homes = placement.device_of.iter().zip(&from.homes);
        homes.filter(|(a, b)| **a != b.1).count()
    };
    let near: Vec<&Placement> = fitting.iter().filter(|p| (2..=6).contains(&distance(p))).collect();
    let mut to = from.clone();
    set(&mut to, near.get(random.index(near.len().max(1)))?);
    let devices = &scenario.hardware.devices;
    let homes = from.homes.iter().map(|&(id, device)| (id, Some(devices[device].id.clone())));
    to.scenario.limits.current = Some(Current { homes: homes.collect() });
    to.scenario.objectives.extend(apportion::scenario::parse_objectives(&["migration"]).unwrap());
    Some((from, to))
}

/// The fewest bytes with which single moves lead from one placement to the other, each device within its limit when it
/// has received; without host memory.
fn reference(problem: &Problem, from: &Record, to: &Record) -> Option<u64> {
    let map = |record: &Record| -> Vec<usize> { record.homes.iter().map(|home| home.1).collect() };
    let (start, end) = (map(from), map(to));
    let bytes = |component: usize| {
        let demand = &problem.components[component].demand;
        demand.weights_bytes + demand.kv_cache_bytes
    };
    let movable: Vec<usize> = (0..start.len()).filter(|&c| start[c] != end[c]).collect();
    let mut open: BTreeSet<(u64, Vec<usize>)> = BTreeSet::from([(0, start.clone())]);
    let mut known: BTreeMap<Vec<usize>, u64> = BTreeMap::from([(start, 0)]);
    while let Some((cost, here)) = open.pop_first() {
        if here == end {
            return Some(cost);
        }
        for &component in &movable {
            for device in 0..problem.devices.len() {
                if here[component] == device {
                    continue;
                }
                let mut there = here.clone();
                there[component] = device;
                let used = measure(problem, &Placement { device_of: there.clone() }).unwrap();
                let sum = cost + bytes(component);
                let better = known.get(&there).is_none_or(|known| sum < *known);
                if better && used.devices[device].used_bytes <= problem.limit_bytes(device) {
                    known.insert(there.clone(), sum);
                    open.insert((sum, there));
                }
            }
        }
    }
    None
}
