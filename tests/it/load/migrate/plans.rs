//! Whole plans, applied while text is generated.

use std::sync::Arc;

use apportion::load::devices::Planned;
use apportion::load::migrate::{Migrator, Route};
use apportion::migrate::{Changes, Goal, rebalance};
use apportion::placement::Record;
use apportion::plan::Options;
use apportion::sweep::Found;

use super::*;

fn fixture(seed: u32) -> Wanted {
    let devices = 2 + seed as usize % 2;
    match seed % 4 {
        0 => Wanted::new("tiny-mixtral-gguf/tk-Q4_K_M.gguf", devices),
        1 => Wanted::new("tiny-mixtral-gguf/tk-f32.gguf", devices),
        _ => Wanted::new("tiny-mixtral", devices).quant("f32"),
    }
}

/// Devices hold what the placement says, to the byte.
#[track_caller]
fn assert_planned(decoder: &Decoder, planned: &[Planned]) {
    for (device, planned) in decoder.placed().devices.iter().zip(planned) {
        let balance = device.ledger.balance();
        assert_eq!(device.id, planned.id);
        assert_eq!(balance.weights_bytes(), planned.on_it.weights_bytes, "{}", device.id);
        assert_eq!(balance.kv_cache_bytes(), planned.on_it.kv_cache_bytes, "{}", device.id);
    }
}

#[test]
fn twenty_plans_change_nothing_but_where_things_are() {
    const TOKENS: usize = 10;
    let (mut applied, mut parked) = (0, 0);
    for seed in 0..24 {
        // Weights that are converted while they are loaded stage more than the placement counts.
        let spare = if seed % 4 < 2 { 0 } else { 1_000_000 };
        let found = plan_between(&fixture(seed), [seed, seed + 100], spare);
        let Some((wanted, plan)) = found else { continue };
        applied += 1;
        parked += u32::from(parks(&plan));
        let model = apportion::model::Model::from_checkpoint(
            &apportion::checkpoint::Checkpoint::open(&wanted.weights).unwrap(),
            "fixture",
        );
        let read = Plan::from_yaml(&plan.to_yaml(), "plan.yaml", Some(&model.unwrap())).unwrap();
        assert_eq!(read.fingerprint(), plan.fingerprint());
        let (mut still, _) = wanted.decoder(&plan.from, Mode::Concurrent);
        let reference = greedy(&mut still, TOKENS, &mut |_| {});
        let mode = if seed % 2 == 0 { Mode::Sequential } else { Mode::Concurrent };
        let (mut decoder, _) = wanted.decoder(&plan.from, mode);
        let route = Route::of(&read).unwrap();
        let steps = read.steps.len();
        let mut migrator = Migrator::new(read, 0, &mut decoder, 1).unwrap();
        let mut random = Random::new(u64::from(seed));
        let mut between = |decoder: &mut Decoder| {
            let most = u64::try_from(steps / TOKENS * 2 + 1).unwrap();
            for _ in 0..=random.below(most) {
                migrator.step(decoder).unwrap();
                assert_accounts(decoder);
                let (plan, done) = (migrator.plan(), migrator.done());
                assert_eq!(*decoder.placed().homes(), route.homes(plan, done).unwrap());
                assert_planned(decoder, &Planned::after(plan, &route, done).unwrap());
            }
        };
        let found = greedy(&mut decoder, TOKENS, &mut between);
        assert!(found == reference, "plan {seed}: {:?} {:?}", found.0, reference.0);
        while migrator.step(&mut decoder).unwrap().is_some() {}
        assert_eq!((migrator.done(), migrator.next()), (steps, None));
        let found = greedy(&mut decoder, TOKENS, &mut |_| {});
        assert!(found == reference, "after plan {seed}");
        assert_planned(&decoder, &Planned::of(&plan.to).unwrap());
        assert_eq!(*decoder.placed().homes(), plan.to.homes.iter().copied().collect());
        for (peak, [_, most, _]) in migrator.peaks().iter().zip(&plan.claims.devices) {
            assert!(peak.peak_bytes <= peak.budget_bytes, "{peak:?}");
            assert!(peak.peak_bytes <= *most, "{peak:?}, {most} in the plan");
        }
    }
    assert!(applied >= 20, "{applied}");
    assert!(parked >= 2, "{parked}");
}

#[test]
fn a_device_that_refuses_half_way_leaves_a_model_that_runs_and_can_go_on() {
    let wanted = Wanted::new("tiny-mixtral", 2).quant("f32");
    let (wanted, plan) = plan_between(&wanted, [1, 2], 1_000_000).unwrap();
    let (mut decoder, _) = wanted.decoder(&plan.from, Mode::Concurrent);
    let reference = greedy(&mut decoder, 6, &mut |_| {});
    let steps = plan.steps.len();
    let mut migrator = Migrator::new(plan, 0, &mut decoder, 1).unwrap();
    let mut refused = 0;
    for half in 0..steps {
        // Before every other step the device that gets something has no room.
        if half % 2 == 0 {
            let step = *migrator.next().unwrap();
            let Place::Device(to) = step.to else { panic!("{step:?}") };
            let ledger = Arc::clone(&decoder.placed().devices[to].ledger);
            let budget = ledger.budget_bytes();
            ledger.set_budget(ledger.balance().bytes() + step.weights_bytes - 1);
            let before = decoder.placed().homes().clone();
            let error = migrator.step(&mut decoder).unwrap_err().to_string();
            assert!(error.contains(&format!("put {} on the device", step.component)), "{error}");
            assert_eq!((migrator.done(), decoder.placed().homes()), (half, &before));
            assert!(greedy(&mut decoder, 6, &mut |_| {}) == reference);
            ledger.set_budget(budget);
            refused += 1;
        }
        migrator.step(&mut decoder).unwrap();
        assert_accounts(&decoder);
    }
    assert!(refused > 3 && migrator.next().is_none());
    assert!(greedy(&mut decoder, 6, &mut |_| {}) == reference);
}

#[test]
fn a_plan_for_another_model_map_or_machine_is_refused_before_anything_moves() {
    let wanted = Wanted::new("tiny-mixtral", 2).quant("f32");
    let (tight, plan) = plan_between(&wanted, [1, 2], 1_000_000).unwrap();
    let refusal = |what: &str, wanted: &Wanted, record: &Record, done: usize| {
        let (mut decoder, _) = wanted.decoder(record, Mode::Concurrent);
        let before = decoder.placed().homes().clone();
        let refused = Migrator::new(plan.clone(), done, &mut decoder, 1).map(|_| ());
        let refused = refused.expect_err(what).to_string();
        assert_eq!(*decoder.placed().homes(), before);
        assert_eq!(decoder.placed().devices.len(), wanted.devices);
        refused
    };
    let other = refusal("other", &tight, &wanted.record(&scattered(3, 2)), 0);
    assert!(other.contains("expected it on `gpu") && other.contains("after 0 steps"), "{other}");
    let on_the_way = refusal("begun", &tight, &plan.from, 1);
    assert!(on_the_way.contains("after 1 steps"), "{on_the_way}");
    let beyond = refusal("beyond", &tight, &plan.from, plan.steps.len() + 1);
    assert!(beyond.contains(&format!("at most its {} steps", plan.steps.len())), "{beyond}");
    let three = Wanted::new("tiny-mixtral", 3).quant("f32");
    let machine = refusal("machine", &three, &three.record(&scattered(1, 2)), 0);
    assert!(machine.contains("a model on gpu0, gpu1, found gpu0, gpu1, gpu2"), "{machine}");
    let half = Wanted::new("tiny-mixtral", 2).quant("f16");
    let bytes = refusal("bytes", &half, &half.record(&scattered(1, 2)), 0);
    assert!(bytes.contains("bytes and") && bytes.contains("of its cache"), "{bytes}");
    let short = Wanted { context: 64, ..Wanted::new("tiny-mixtral", 2).quant("f32") };
    let caches = refusal("caches", &short, &short.record(&scattered(1, 2)), 0);
    assert!(caches.contains("bytes and") && caches.contains("of its cache"), "{caches}");
}

/// What follows from changes, as a plan.
fn changed(from: &Record, changes: &Changes) -> Plan {
    let next = rebalance(from, changes, Goal::LeastMoved, None, &Options::default()).unwrap();
    let Found::Placed(solved, measured) = &next.found else { panic!("{:?}", next.found) };
    let to = Record::of(&next.scenario, &next.problem, solved, measured);
    Plan::between(from, &to, None).unwrap().unwrap()
}

#[test]
fn steps_that_load_and_caches_that_change_are_for_another_program() {
    let wanted = Wanted::new("tiny-mixtral", 2).quant("f32");
    let from = wanted.record(&|_| 0);
    let from = Record {
        scenario: apportion::scenario::Scenario {
            constraints: Vec::new(),
            ..from.scenario.clone()
        },
        ..from
    };
    let problem = from.scenario.problem().unwrap();
    let from = Record { problem: apportion::scenario::fingerprint(&problem), ..from };
    let (mut decoder, _) = wanted.decoder(&wanted.record(&|_| 0), Mode::Concurrent);
    for (changes, words) in [
        (
            Changes { lost: vec!["gpu0".to_owned()], ..Changes::default() },
            "gives up or loads weights",
        ),
        (Changes { context: Some(64), ..Changes::default() }, "another context, batch or type"),
    ] {
        let plan = changed(&from, &changes);
        let refused = Migrator::new(plan, 0, &mut decoder, 1).unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
        assert!(refused.hint_text().unwrap().contains("load the placement"), "{refused:?}");
    }
    assert_accounts(&decoder);
}

#[test]
fn memory_that_shrank_stays_shrunk() {
    let wanted = Wanted::new("tiny-mixtral", 2).quant("f32");
    let from = wanted.record(&|_| 0);
    let from = Record {
        scenario: apportion::scenario::Scenario {
            constraints: Vec::new(),
            ..from.scenario.clone()
        },
        ..from
    };
    let problem = from.scenario.problem().unwrap();
    let from = Record { problem: apportion::scenario::fingerprint(&problem), ..from };
    let usable = vec![("gpu0".to_owned(), 2 << 20)];
    let plan = changed(&from, &Changes { usable, ..Changes::default() });
    assert!(!plan.steps.is_empty());
    let (mut decoder, _) = wanted.decoder(&wanted.record(&|_| 0), Mode::Concurrent);
    let reference = greedy(&mut decoder, 6, &mut |_| {});
    let mut migrator = Migrator::new(plan, 0, &mut decoder, 1).unwrap();
    while migrator.step(&mut decoder).unwrap().is_some() {}
    let ledger = &decoder.placed().devices[0].ledger;
    assert!(ledger.budget_bytes() <= 2 << 20);
    assert!(ledger.balance().bytes() <= ledger.budget_bytes());
    assert!(greedy(&mut decoder, 6, &mut |_| {}) == reference);
}
