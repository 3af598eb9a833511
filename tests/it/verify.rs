//! The checker against arithmetic done by hand and against each way of being wrong.

use apportion::hardware::DeviceKind;
use apportion::memory::Workspace;
use apportion::model::ComponentId;
use apportion::placement::Placement;
use apportion::problem::{ObjectiveKind, ObjectiveValue, Problem};
use apportion::units::Ratio;
use apportion::verify::{DeviceUse, Violation, measure, verify};

use crate::support::{Tiny, place};

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
        rounding_bytes: 0,
        kv_cache_bytes: 2,
        workspace_bytes: 4,
        reserve_bytes: 0,
        staging_bytes: 0,
        used_bytes: 23,
        capacity_bytes: 100,
        headroom_bytes: 0,
    };
    // Two experts 8, attention 3, router 1, norm 1, head 5; KV and logits are 9, staging is 9.
    let second = DeviceUse { weights_bytes: 18, workspace_bytes: 7, staging_bytes: 9, ..first };
    assert_eq!(measured.devices, [first, DeviceUse { used_bytes: 27, ..second }]);
    assert_eq!(measured.peak(), Ratio::new(27, 100));
    assert_eq!(measured.spill_bytes(), 0);
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
fn workspace_is_the_largest_of_the_kinds_a_device_hosts() {
    let problem = two_layers().problem();
    for (moved, workspace) in [
        (&["embedding"][..], 1),
        (&["layers.0.attention"], 4),
        (&["layers.0.router"], 4),
        (&["layers.0.experts.0"], 3),
        (&["output_head"], 7),
        (&["final_norm"], 0),
        (&["final_norm", "layers.0.experts.0", "embedding"], 3),
    ] {
        let elsewhere: Vec<(&str, usize)> = moved.iter().map(|&id| (id, 1)).collect();
        let measured = measure(&problem, &place(&problem, &elsewhere)).unwrap();
        assert_eq!(measured.devices[1].workspace_bytes, workspace, "{moved:?}");
    }
    let dense = two_layers().with(|tiny| (tiny.dense_layers, tiny.shared_expert) = (1, true));
    let problem = dense.problem();
    for moved in ["layers.0.mlp", "layers.1.shared_expert"] {
        let measured = measure(&problem, &place(&problem, &[(moved, 1)])).unwrap();
        assert_eq!(measured.devices[1].workspace_bytes, 3, "{moved}");
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
    assert_eq!(spilled.spill_bytes(), 8);
    let without = tiny.problem();
    assert_eq!(measure(&without, &place(&without, &[])).unwrap().devices[1].used_bytes, 0);
}

#[test]
fn cpus_do_not_count_for_the_peak_and_kv_cache_counts_as_spill() {
    let problem = Tiny::new(1, 0).with(|tiny| tiny.kv_cache_bytes = 6).gpu(10).cpu(20).problem();
    let all_on_cpu = Placement { device_of: vec![1; problem.components.len()] };
    let measured = measure(&problem, &all_on_cpu).unwrap();
    assert_eq!(measured.peak(), Ratio::ZERO);
    assert_eq!(measured.spill_bytes(), 5 + 3 + 6 + 8 + 1 + 5);
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
fn remote_components_cost_what_they_are_visited() {
    let tiny = Tiny::new(1, 4).with(|tiny| tiny.shared_expert = true).gpus(2, 100);
    let problem = tiny.visit("layers.0.experts.2", 3).weigh("layers.0.experts.3", 40).problem();
    for (remote, units) in [
        ("layers.0.experts.0", 2),
        ("layers.0.experts.2", 6),
        // Every token passes the shared expert: once there and once back, in quarters.
        ("layers.0.shared_expert", 8),
    ] {
        let traffic = measure(&problem, &place(&problem, &[(remote, 1)])).unwrap().traffic;
        assert_eq!((traffic.hand_overs, traffic.remote_experts, traffic.units), (0, 1, units));
    }
    let heavy = measure(&problem, &place(&problem, &[("layers.0.experts.3", 1)])).unwrap();
    assert_eq!(heavy.devices[1].weights_bytes, 40);
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
    let tiny = two_layers()
        .forbid(&["embedding"], 1)
        .forbid(&["layers.0.experts.0", "layers.0.experts.1"], 7)
        .pin(&["layers.0.experts.0"], 0);
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
    let mut torn = problem;
    torn.components.retain(|component| component.demand.id != ComponentId::OutputHead);
    assert_eq!(
        only_violation(&torn, &place(&torn, &[])),
        "final_norm: expected on the device of output_head, which does not exist, found on gpu0"
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
