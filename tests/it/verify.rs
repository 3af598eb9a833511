//! The checker against arithmetic done by hand, against each way of being wrong, and against itself.

use apportion::hardware::DeviceKind;
use apportion::memory::Workspace;
use apportion::placement::Placement;
use apportion::problem::{ObjectiveKind, ObjectiveValue, Problem};
use apportion::units::Ratio;
use apportion::verify::{DeviceUse, Measured, Violation, measure, verify};

use crate::support::{Random, Tiny, enumerate, place};

/// Two layers of two experts on two GPUs, with every kind of byte.
fn two_layers() -> Tiny {
    let workspace =
        Workspace { embedding_bytes: 1, attention_bytes: 4, feed_forward_bytes: 3, head_bytes: 7 };
    Tiny::new(2, 2)
        .with(|tiny| {
            tiny.kv_cache_bytes = 2;
            tiny.workspace = workspace;
        })
        .stage("layers.0.experts.1", 9)
        .gpus(2, 100)
}

const SECOND_HALF: [(&str, usize); 7] = [
    ("layers.0.experts.1", 1),
    ("layers.1.attention", 1),
    ("layers.1.router", 1),
    ("layers.1.experts.0", 1),
    ("final_norm", 1),
    ("output_head", 1),
    ("layers.1.experts.1", 0),
];

#[test]
fn every_byte_of_a_small_problem_is_where_hand_arithmetic_puts_it() {
    let problem = two_layers().problem();
    let measured = verify(&problem, &place(&problem, &SECOND_HALF)).unwrap();
    // Embedding 5, attention 3, router 1, two experts 8; workspace of attention beats the others.
    let first = DeviceUse {
        weights_bytes: 17,
        kv_cache_bytes: 2,
        workspace_bytes: 4,
        reserve_bytes: 0,
        staging_bytes: 0,
        used_bytes: 23,
        capacity_bytes: 100,
    };
    // Two experts 8, attention 3, router 1, norm 1, head 5; KV and logits are 9, staging is 9.
    let second = DeviceUse { weights_bytes: 18, workspace_bytes: 7, staging_bytes: 9, ..first };
    assert_eq!(measured.devices, [first, DeviceUse { used_bytes: 27, ..second }]);
    assert_eq!(measured.peak, Ratio::new(27, 100));
    assert_eq!(measured.spill_bytes, 0);
    // One hand-over; one expert of each layer is remote, each visited with probability one half.
    let traffic = measured.traffic;
    assert_eq!((traffic.hand_overs, traffic.remote_experts, traffic.units), (1, 2, 6));
    assert_eq!(traffic.expected_transfers_per_token(), Ratio::new(3, 1));
}

#[test]
fn staging_counts_only_beyond_kv_cache_and_workspace() {
    for (staged, used) in [(8, 27), (9, 27), (10, 28), (50, 68)] {
        let problem = two_layers().stage("layers.0.experts.1", staged).problem();
        let measured = measure(&problem, &place(&problem, &SECOND_HALF)).unwrap();
        assert_eq!(measured.devices[1].used_bytes, used, "{staged}");
    }
}

#[test]
fn a_device_that_hosts_nothing_needs_nothing() {
    let problem = Tiny::new(1, 0).gpu(100).device(DeviceKind::Gpu, 1, 50).problem();
    let measured = verify(&problem, &place(&problem, &[])).unwrap();
    assert_eq!(measured.devices[1], DeviceUse { capacity_bytes: 1, ..DeviceUse::default() });
    let everywhere = place(&problem, &[("output_head", 1), ("final_norm", 1)]);
    assert_eq!(measure(&problem, &everywhere).unwrap().devices[1].used_bytes, 56);
}

#[test]
fn the_host_pays_for_staging_even_when_it_keeps_nothing() {
    let tiny = Tiny::new(1, 0).gpu(100).device(DeviceKind::Cpu, 30, 3);
    let problem = tiny.clone().with(|tiny| tiny.host_staging_bytes = 20).problem();
    let empty = measure(&problem, &place(&problem, &[])).unwrap().devices[1];
    assert_eq!((empty.staging_bytes, empty.reserve_bytes, empty.used_bytes), (20, 3, 23));
    let spilled = measure(&problem, &place(&problem, &[("layers.0.mlp", 1)])).unwrap();
    assert_eq!(spilled.devices[1].used_bytes, 8 + 3 + 20);
    assert_eq!(spilled.spill_bytes, 8);
    let without = tiny.problem();
    assert_eq!(measure(&without, &place(&without, &[])).unwrap().devices[1].used_bytes, 0);
}

#[test]
fn cpus_do_not_count_for_the_peak_and_kv_cache_counts_as_spill() {
    let problem = Tiny::new(1, 0).with(|tiny| tiny.kv_cache_bytes = 6).gpu(10).cpu(20).problem();
    let all_on_cpu = Placement { device_of: vec![1; problem.components.len()] };
    let measured = measure(&problem, &all_on_cpu).unwrap();
    assert_eq!(measured.peak, Ratio::ZERO);
    assert_eq!(measured.spill_bytes, 5 + 3 + 6 + 8 + 1 + 5);
}

#[test]
fn a_tied_head_pays_its_workspace_and_its_way_back_at_the_embedding() {
    let head = Workspace { head_bytes: 9, embedding_bytes: 2, ..Workspace::default() };
    let tiny = Tiny::new(2, 0).with(|tiny| tiny.workspace = head).gpus(2, 100);
    let layers_away = [
        ("layers.0.attention", 1),
        ("layers.0.mlp", 1),
        ("layers.1.attention", 1),
        ("layers.1.mlp", 1),
    ];
    let untied = tiny.problem();
    let measured = measure(&untied, &place(&untied, &layers_away)).unwrap();
    assert_eq!(measured.traffic.hand_overs, 2);
    let no_head = place(&untied, &[("output_head", 1), ("final_norm", 1)]);
    assert_eq!(measure(&untied, &no_head).unwrap().devices[0].workspace_bytes, 2);
    let tied = tiny.tied().problem();
    let measured = measure(&tied, &place(&tied, &layers_away)).unwrap();
    assert_eq!(measured.traffic.hand_overs, 2);
    assert_eq!(measured.devices[0].workspace_bytes, 9);
}

#[test]
fn objectives_are_read_from_what_was_measured() {
    let problem = two_layers().problem();
    let measured = verify(&problem, &place(&problem, &SECOND_HALF)).unwrap();
    assert_eq!(measured.value(ObjectiveKind::SpillBytes), ObjectiveValue::Bytes(0));
    let peak = ObjectiveValue::Ratio(Ratio::new(27, 100));
    assert_eq!(measured.value(ObjectiveKind::PeakUtilization), peak);
    let traffic = ObjectiveValue::Ratio(Ratio::new(3, 1));
    assert_eq!(measured.value(ObjectiveKind::Traffic), traffic);
}

fn only_violation(problem: &Problem, placement: &Placement) -> String {
    let violations = verify(problem, placement).unwrap_err();
    assert_eq!(violations.len(), 1, "{violations:?}");
    violations[0].to_string()
}

#[test]
fn structural_violations_stop_both_checks() {
    let problem = two_layers().problem();
    let short = Placement { device_of: vec![0; 3] };
    assert_eq!(
        only_violation(&problem, &short),
        "expected one device for each of 11 components, found 3"
    );
    assert!(measure(&problem, &short).is_err());
    let beyond = place(&problem, &[("layers.1.router", 7)]);
    assert_eq!(
        only_violation(&problem, &beyond),
        "layers.1.router: expected a device index below 2, found 7"
    );
    assert!(measure(&problem, &beyond).is_err());
}

#[test]
fn a_component_where_it_may_not_be_names_the_rule() {
    let tiny = two_layers().forbid(&["embedding"], 1).pin(&["layers.0.experts.0"], 0);
    let problem = tiny.problem();
    let placement = place(&problem, &[("layers.0.experts.0", 1)]);
    assert_eq!(
        only_violation(&problem, &placement),
        "layers.0.experts.0: expected on gpu0, found on gpu1 (`--pin layers.0.experts.0=gpu0`)"
    );
    assert!(measure(&problem, &placement).is_ok());
    let mut unexplained = problem;
    unexplained.rules.clear();
    let Violation::NotAllowed { rule, .. } = &verify(&unexplained, &placement).unwrap_err()[0]
    else {
        panic!("another violation");
    };
    assert_eq!(*rule, None);
}

#[test]
fn a_component_away_from_its_partner_is_named_with_it() {
    let problem = two_layers().problem();
    assert_eq!(
        only_violation(&problem, &place(&problem, &[("layers.1.router", 1)])),
        "layers.1.router: expected on the device of layers.1.attention, which is gpu0, found on gpu1"
    );
    assert_eq!(
        only_violation(&problem, &place(&problem, &[("output_head", 1)])),
        "final_norm: expected on the device of output_head, which is gpu1, found on gpu0"
    );
}

#[test]
fn capacity_is_exact_to_the_byte() {
    let fits = two_layers().with(|tiny| tiny.devices[1].capacity_bytes = 27).problem();
    let placement = place(&fits, &SECOND_HALF);
    assert!(verify(&fits, &placement).is_ok());
    let over = two_layers().with(|tiny| tiny.devices[1].capacity_bytes = 26).problem();
    assert_eq!(
        only_violation(&over, &placement),
        "gpu1: expected at most 26 B (26 bytes), found 27 B (27 bytes)"
    );
    assert!(measure(&over, &placement).is_ok());
}

#[test]
fn all_violations_are_reported_at_once() {
    let tiny = two_layers().pin(&["embedding"], 1).with(|t| t.devices[0].capacity_bytes = 1);
    let problem = tiny.problem();
    let violations = verify(&problem, &place(&problem, &[("layers.0.router", 1)])).unwrap_err();
    assert!(matches!(
        violations[..],
        [
            Violation::NotAllowed { .. },
            Violation::NotTogether { .. },
            Violation::OverCapacity { .. }
        ]
    ));
}

#[test]
fn hostile_numbers_cannot_overflow() {
    let mut problem = two_layers().problem();
    for component in &mut problem.components {
        component.demand.weights_bytes = u64::MAX;
        component.demand.kv_cache_bytes = u64::MAX;
        component.demand.staging_bytes = u64::MAX;
        component.visits = u64::MAX;
    }
    problem.traffic_denominator = u64::MAX;
    problem.workspace.attention_bytes = u64::MAX;
    problem.devices[0].reserve_bytes = u64::MAX;
    problem.devices[0].capacity_bytes = u64::MAX;
    let placement = place(&problem, &[("layers.0.attention", 1), ("layers.0.router", 1)]);
    let measured = measure(&problem, &placement).unwrap();
    assert_eq!(measured.traffic.units, u64::MAX);
    // Saturated sums must not hide that the capacity is exceeded.
    let violations = verify(&problem, &placement).unwrap_err();
    assert_eq!(violations.len(), 2, "{violations:?}");
}

fn swapped<T>(mut items: Vec<T>, a: usize, b: usize) -> Vec<T> {
    items.swap(a, b);
    items
}

#[test]
fn renaming_equal_gpus_changes_nothing() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut problem = random.tiny().problem();
        let gpus: Vec<usize> = problem.gpus().collect();
        if gpus.len() < 2 {
            continue;
        }
        for &gpu in &gpus {
            problem.devices[gpu] = problem.devices[0].clone();
        }
        let placement = random.placement(&problem);
        let (a, b) = (gpus[0], gpus[1]);
        let renamed = Placement {
            device_of: placement
                .device_of
                .iter()
                .map(|&d| {
                    if d == a {
                        b
                    } else if d == b {
                        a
                    } else {
                        d
                    }
                })
                .collect(),
        };
        let before = measure(&problem, &placement).unwrap();
        let after = measure(&problem, &renamed).unwrap();
        assert_eq!(Measured { devices: swapped(before.devices, a, b), ..before }, after);
    }
}

#[test]
fn totals_are_the_sums_over_components() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let problem = random.tiny().problem();
        let measured = measure(&problem, &random.placement(&problem)).unwrap();
        let weights: u64 = measured.devices.iter().map(|device| device.weights_bytes).sum();
        let kv_cache: u64 = measured.devices.iter().map(|device| device.kv_cache_bytes).sum();
        let demands = || problem.components.iter().map(|component| &component.demand);
        assert_eq!(weights, demands().map(|demand| demand.weights_bytes).sum::<u64>());
        assert_eq!(kv_cache, demands().map(|demand| demand.kv_cache_bytes).sum::<u64>());
        for device in &measured.devices {
            let running = device.kv_cache_bytes + device.workspace_bytes;
            let transient = running.max(device.staging_bytes);
            let sum = device.weights_bytes + device.reserve_bytes + transient;
            assert_eq!(device.used_bytes, sum);
        }
    }
}

#[test]
fn moving_a_component_moves_its_bytes() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let problem = random.tiny().problem();
        let placement = random.placement(&problem);
        let moved = random.index(problem.components.len());
        let (from, to) = (placement.device_of[moved], random.index(problem.devices.len()));
        let mut after = placement.clone();
        after.device_of[moved] = to;
        let before = measure(&problem, &placement).unwrap();
        let after = measure(&problem, &after).unwrap();
        let demand = &problem.components[moved].demand;
        for device in 0..problem.devices.len() {
            let left = u64::from(device == from);
            let came = u64::from(device == to);
            let (before, after) = (before.devices[device], after.devices[device]);
            assert_eq!(
                before.weights_bytes + came * demand.weights_bytes,
                after.weights_bytes + left * demand.weights_bytes
            );
            assert_eq!(
                before.kv_cache_bytes + came * demand.kv_cache_bytes,
                after.kv_cache_bytes + left * demand.kv_cache_bytes
            );
        }
    }
}

#[test]
fn verify_accepts_exactly_what_measures_within_capacity_among_the_enumerated() {
    let mut accepted = 0;
    for seed in 0..40 {
        let problem = Random::new(seed).tiny().problem();
        for placement in enumerate(&problem).take(3000) {
            let measured = measure(&problem, &placement).unwrap();
            let fits = measured.devices.iter().all(|d| d.used_bytes <= d.capacity_bytes);
            assert_eq!(verify(&problem, &placement).is_ok(), fits);
            accepted += u64::from(fits);
        }
    }
    assert!(accepted > 1000, "{accepted}");
}

#[test]
fn the_enumeration_has_every_placement_once() {
    let problem = Tiny::new(1, 2).gpus(3, 100).pin(&["embedding"], 2).problem();
    let mut placements: Vec<Placement> = enumerate(&problem).collect();
    // Attention with router, two experts, head with norm: four free choices of three.
    assert_eq!(placements.len(), 81);
    placements.sort();
    placements.dedup();
    assert_eq!(placements.len(), 81);
    let nowhere = Tiny::new(1, 0).gpus(2, 9).pin(&["embedding"], 0).pin(&["embedding"], 1);
    assert_eq!(enumerate(&nowhere.problem()).count(), 0);
}
