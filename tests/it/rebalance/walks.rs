//! Random walks: thousands of random changes of random machines, each answered, ordered, replayed and read back.

use apportion::hardware::{DeviceKind, Spec};
use apportion::migrate::{Changes, Goal, Place, Plan};
use apportion::model::ComponentId;
use apportion::placement::{Record, differences};
use apportion::problem::{ObjectiveKind, ObjectiveValue, Problem};
use apportion::quant::Override;
use apportion::verify::verify;

use super::super::support::{Random, enumerate, placements};
use super::{next, record, small, solved};

#[test]
fn every_change_is_answered_by_a_plan_that_replays_within_the_limits() {
    let mut walked = Walked::default();
    for seed in 0..250 {
        walk(&mut Random::new(seed), &mut walked);
    }
    // What the walks met, so that they cannot become empty unnoticed.
    assert!(walked.changes >= 2400, "{walked:?}");
    assert!(walked.placed >= 1500 && walked.infeasible >= 50, "{walked:?}");
    assert!(walked.with_moves >= 250 && walked.with_loads >= 70, "{walked:?}");
    assert!(walked.with_detours >= 20 && walked.stuck <= 5, "{walked:?}");
    assert!(walked.enumerated >= 500 && walked.over_at_start >= 150, "{walked:?}");
}

#[derive(Debug, Default)]
struct Walked {
    changes: u32,
    placed: u32,
    infeasible: u32,
    with_moves: u32,
    with_loads: u32,
    with_detours: u32,
    over_at_start: u32,
    enumerated: u32,
    stuck: u32,
}

fn walk(random: &mut Random, walked: &mut Walked) {
    let scenario = small(random);
    let Some(mut here) = solved(&scenario) else { return };
    for _ in 0..14 {
        walked.changes += 1;
        let changes = change(random, &here);
        let goal =
            if random.one_in(3) { Goal::AtMost(random.below(200_000)) } else { Goal::LeastMoved };
        let found = next(&here, &changes, goal);
        let Some(there) = record(&found) else {
            walked.infeasible += 1;
            if let (Goal::AtMost(bytes), Some(least_bytes)) = (goal, found.least_bytes) {
                assert!(least_bytes > bytes);
            }
            continue;
        };
        walked.placed += 1;
        // What is written down is so, the limit on what moves included.
        let measured = verify(&found.problem, &there.placement(&found.problem).unwrap()).unwrap();
        assert_eq!(there.scenario.problem().unwrap(), found.problem);
        assert_eq!(differences(&there, &found.problem, &measured).len(), 0, "{changes:?} {goal:?}");
        if goal == Goal::LeastMoved && placements(&found.problem) <= 3000 {
            walked.enumerated += 1;
            assert_eq!(moved(&there), least(&found.problem), "{changes:?}");
        }
        if let Goal::AtMost(bytes) = goal {
            assert!(moved(&there) <= bytes);
            if placements(&found.problem) <= 3000 {
                walked.enumerated += 1;
                best(&found.problem, &there);
            }
        }
        match Plan::between(&here, &there, None).unwrap() {
            Ok(plan) => check(&plan, &here, &there, walked),
            Err(stuck) => {
                // Only what is staged while something is loaded can be in the way: all else can wait on the host.
                let demand = there.scenario.demand().unwrap();
                assert!(demand.components.iter().any(|c| c.staging_bytes > 0), "{stuck:?}");
                walked.stuck += 1;
            }
        }
        here = there;
    }
}

/// Something is different.
fn change(random: &mut Random, here: &Record) -> Changes {
    let devices = &here.scenario.hardware.devices;
    let device = &devices[random.index(devices.len())];
    let mut changes = Changes::default();
    match random.below(10) {
        0..=4 => {
            let usable = device.capacity_bytes * random.within(55, 100) / 100;
            changes.usable.push((device.id.clone(), usable.max(1)));
        }
        5 if devices.iter().filter(|d| d.kind == DeviceKind::Gpu).count() > 1 => {
            changes.lost.push(devices[0].id.clone());
        }
        5 | 6 if devices.len() < 4 => {
            let bytes = device.capacity_bytes * random.within(50, 120) / 100;
            changes.added.push(Spec::of_size(bytes.max(1)));
        }
        7 => changes.context = Some(random.within(16, 128)),
        8 => changes.batch = Some(random.within(1, 3)),
        _ => {
            let layer = random.below(3);
            let kind = if here.scenario.scheme.name() == "nf4" { "skip" } else { "f16" };
            let text = format!("layers.{layer}.experts.{}={kind}", random.below(3));
            // A layer or expert that there is not, or a type that it has already, changes nothing.
            changes.overrides.extend(Override::parse(&text));
        }
    }
    if changes.apply(&here.scenario).and_then(|next| next.problem()).is_err() {
        return Changes::default();
    }
    changes
}

fn moved(record: &Record) -> u64 {
    let migration = record.objectives.iter().find(|o| o.kind() == ObjectiveKind::Migration);
    match migration.map(|migration| migration.value) {
        Some(ObjectiveValue::Bytes(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

/// No placement within every limit, the one on what moves included, has a lower first objective than was found or proven.
fn best(problem: &Problem, record: &Record) {
    let first = &record.objectives[0];
    let values = enumerate(problem)
        .filter_map(|placement| Some(verify(problem, &placement).ok()?.value(first.kind())));
    let best = values.min().unwrap();
    assert!(first.bound <= best && best <= first.optimum, "{first:?}, {best:?}");
    assert_eq!(first.optimum, best, "{first:?}");
}

/// The fewest bytes any placement moves, by looking at each of them.
fn least(problem: &Problem) -> u64 {
    let bytes = enumerate(problem).filter_map(|placement| {
        let measured = verify(problem, &placement).ok()?;
        match measured.value(ObjectiveKind::Migration) {
            ObjectiveValue::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    });
    bytes.min().unwrap()
}

fn check(plan: &Plan, here: &Record, there: &Record, walked: &mut Walked) {
    let replayed = plan.replay().unwrap();
    assert_eq!(plan.differences(&replayed), Vec::<String>::new());
    // It ends where the placement says, and the memory there is the memory of the placement.
    let end: Vec<(ComponentId, Place)> =
        there.homes.iter().map(|&(id, device)| (id, Place::Device(device))).collect();
    assert_eq!(plan.after(plan.steps.len()), end);
    for (index, device) in plan.devices.iter().enumerate() {
        let over = replayed.start_bytes[index] > device.limit_bytes;
        walked.over_at_start += u32::from(over);
        let most = device.limit_bytes.max(replayed.start_bytes[index]);
        assert!(replayed.peak_bytes[index] <= most, "{} of {most}", replayed.peak_bytes[index]);
        assert!(replayed.end_bytes[index] <= device.limit_bytes);
        let recorded = &there.devices[index];
        if recorded.staging_bytes <= recorded.kv_cache_bytes + recorded.workspace_bytes {
            assert_eq!(replayed.end_bytes[index], recorded.used_bytes);
        }
    }
    let count = |to_host: bool| {
        let host = |step: &&apportion::migrate::Step| (step.to == Place::Host) == to_host;
        plan.steps.iter().filter(host).count()
    };
    walked.with_moves += u32::from(replayed.moved_bytes > 0);
    walked.with_loads += u32::from(replayed.loaded_bytes > 0);
    walked.with_detours += u32::from(count(true) > 0);
    assert_eq!(replayed.host_bytes > 0, count(true) > 0);
    let text = plan.to_yaml();
    let again = Plan::from_yaml(&text, "plan.yaml", None).unwrap();
    assert_eq!(again.to_yaml(), text);
    assert_eq!(again.replay().unwrap(), replayed);
    assert_eq!(again.from.to_yaml(), here.to_yaml());
}
