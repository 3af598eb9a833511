//! Today's habits: exactly what their authors or tools do, measured by our rule.

use apportion::baseline::{RowOutcome, compare, first_misfit};
use apportion::model::{ComponentId, ComponentKind};
use apportion::placement::Placement;
use apportion::problem::Problem;
use apportion::units::{Ratio, parse_bytes};
use apportion::verify::measure;

use crate::support::{Random, Tiny, mixtral, place, placed, why_not};

/// The devices of some components, by name.
fn homes<const N: usize>(problem: &Problem, placement: &Placement, ids: [&str; N]) -> [usize; N] {
    ids.map(|id| placement.device_of[problem.index_of(id.parse().unwrap()).unwrap()])
}

fn count(problem: &Problem, placement: &Placement, kind: ComponentKind, device: usize) -> usize {
    let homes = problem.components.iter().zip(&placement.device_of);
    homes.filter(|(c, d)| c.demand.id.kind() == kind && **d == device).count()
}

fn incident() -> Problem {
    // 4 bits a weight and a 32-bit scale for every 64 of them.
    mixtral(72).gpus(2, parse_bytes("15.60GiB").unwrap()).problem()
}

#[test]
fn the_hand_written_map_is_the_one_that_failed() {
    let problem = incident();
    let placement = placed(&problem, "hand-written 12/20");
    let on = |kind, device| count(&problem, &placement, kind, device);
    assert_eq!((on(ComponentKind::Expert, 0), on(ComponentKind::Expert, 1)), (50, 206));
    assert_eq!((on(ComponentKind::Attention, 0), on(ComponentKind::Attention, 1)), (12, 20));
    assert_eq!((on(ComponentKind::Router, 0), on(ComponentKind::Router, 1)), (12, 20));
    assert_eq!(homes(&problem, &placement, ["embedding", "final_norm", "output_head"]), [0, 1, 1]);
    let measured = measure(&problem, &placement).unwrap();
    assert!(measured.devices[1].weights_bytes > parse_bytes("19GiB").unwrap());
    // Six experts of each of layers 1 to 11, one of each of layers 12 to 31.
    assert_eq!(measured.traffic.remote_experts, 66 + 20);
}

#[test]
fn the_hand_written_map_dies_while_an_expert_is_staged() {
    let problem = incident();
    let placement = placed(&problem, "hand-written 12/20");
    let misfit = first_misfit(&problem, &placement).unwrap();
    assert_eq!(misfit.device, 1);
    assert_eq!(misfit.component.kind(), ComponentKind::Expert);
    assert!(misfit.required_bytes > misfit.capacity_bytes);
    // Everything before it fitted, so it exceeds by less than its own weights.
    assert!(misfit.required_bytes - misfit.capacity_bytes <= 99_090_432);
}

#[test]
fn the_repair_balances_bytes_and_pays_in_transfers() {
    let problem = incident();
    let placement = placed(&problem, "alternating 16/16");
    let at = |ids| homes(&problem, &placement, ids);
    assert_eq!(at(["layers.0.experts.6", "layers.0.experts.7", "layers.15.attention"]), [0, 0, 0]);
    assert_eq!(at(["layers.1.experts.0", "layers.1.experts.1", "layers.15.experts.2"]), [0, 1, 0]);
    assert_eq!(
        at(["layers.16.experts.0", "layers.16.experts.1", "layers.31.experts.7"]),
        [1, 0, 0]
    );
    assert_eq!(at(["layers.16.attention", "layers.31.router", "output_head"]), [1, 1, 1]);
    let measured = measure(&problem, &placement).unwrap();
    assert_eq!(measured.traffic.remote_experts, 31 * 4);
    // Two of eight experts per token, there and back, and one hand-over.
    let expected = Ratio::new(124 * 2 * 2 + 8, 8);
    assert_eq!(measured.traffic.expected_transfers_per_token(), expected);
    assert_eq!(first_misfit(&problem, &placement), None);
}

#[test]
fn habits_say_what_they_are_not_defined_for() {
    let small = Tiny::new(3, 2).gpus(2, 100).problem();
    let only_mixtral = "written for 32 layers of 8 experts only";
    assert_eq!(why_not(&small, "hand-written 12/20"), only_mixtral);
    assert_eq!(why_not(&small, "alternating halves"), "needs an even number of layers, found 3");
    let dense = Tiny::new(4, 0).gpus(2, 100).problem();
    assert_eq!(why_not(&dense, "alternating halves"), "needs routed experts");
    let one = mixtral(72).gpu(1 << 40).problem();
    assert_eq!(why_not(&one, "hand-written 12/20"), "needs two GPUs");
    assert_eq!(why_not(&one, "alternating 16/16"), "needs two GPUs");
    let no_gpu = Tiny::new(2, 2).cpu(100).problem();
    assert_eq!(why_not(&no_gpu, "even split"), "needs a GPU");
    assert_eq!(why_not(&no_gpu, "accelerate balanced"), "needs a GPU");
}

#[test]
fn the_alternation_works_for_any_even_number_of_layers() {
    let problem = Tiny::new(2, 2).gpus(2, 100).problem();
    let placement = placed(&problem, "alternating halves");
    assert_eq!(homes(&problem, &placement, ["layers.0.experts.0", "layers.0.experts.1"]), [0, 0]);
    assert_eq!(homes(&problem, &placement, ["layers.1.experts.0", "layers.1.experts.1"]), [1, 0]);
}

#[test]
fn the_fill_goes_on_when_a_whole_layer_does_not_fit() {
    // Embedding 5, layers of 3 + 8, norm and head 6.
    let problem = Tiny::new(3, 0).gpu(27).gpu(26).cpu(100).problem();
    let placement = placed(&problem, "front-to-back fill");
    let ids = ["embedding", "layers.1.mlp", "layers.2.attention", "final_norm", "output_head"];
    assert_eq!(homes(&problem, &placement, ids), [0, 0, 1, 1, 1]);
    let tight = Tiny::new(3, 0).gpu(26).gpu(21).cpu(100).problem();
    let placement = placed(&tight, "front-to-back fill");
    assert_eq!(placement.device_of, [0, 0, 0, 1, 1, 2, 2, 2, 2]);
    let nowhere = Tiny::new(3, 0).gpu(26).gpu(1).problem();
    let placement = placed(&nowhere, "front-to-back fill");
    assert_eq!(placement.device_of, [0, 0, 0, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn the_fill_counts_staging_and_workspace() {
    let tiny = Tiny::new(2, 0).gpu(27).gpu(100).with(|t| t.workspace.feed_forward_bytes = 1);
    assert_eq!(placed(&tiny.problem(), "front-to-back fill").device_of, [0, 0, 0, 1, 1, 1, 1]);
    let tiny = Tiny::new(2, 0).gpu(27).gpu(100).stage("layers.0.mlp", 12);
    assert_eq!(placed(&tiny.problem(), "front-to-back fill").device_of, [0, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn the_even_split_counts_layers_only() {
    let problem = Tiny::new(5, 0).gpus(2, 1).cpu(1000).problem();
    let placement = placed(&problem, "even split");
    assert_eq!(placement.device_of, [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
    let more_gpus = Tiny::new(2, 0).gpus(3, 1).problem();
    assert_eq!(placed(&more_gpus, "even split").device_of, [0, 0, 0, 1, 1, 1, 1]);
}

#[test]
fn the_first_misfit_is_the_first_in_canonical_order() {
    let problem = Tiny::new(2, 0).gpu(18).gpu(14).stage("layers.0.mlp", 2).problem();
    let placement = place(&problem, &[("layers.1.mlp", 1), ("layers.1.attention", 1)]);
    // 5 + 3 + 8 and 2 staged are exactly 18; the norm is one byte too many.
    let misfit = first_misfit(&problem, &placement).unwrap();
    assert_eq!(misfit.component, ComponentId::FinalNorm);
    assert_eq!((misfit.device, misfit.required_bytes, misfit.capacity_bytes), (0, 19, 18));
    let none = place(&problem, &[("layers.1.mlp", 1), ("final_norm", 1), ("output_head", 1)]);
    let misfit = first_misfit(&problem, &none).unwrap();
    assert_eq!((misfit.component, misfit.required_bytes), (ComponentId::Attention(1), 21));
}

#[test]
fn a_host_that_cannot_stage_fails_at_the_first_component() {
    let tiny = Tiny::new(1, 0).gpu(100).cpu(9).with(|tiny| tiny.host_staging_bytes = 10);
    let problem = tiny.problem();
    let misfit = first_misfit(&problem, &place(&problem, &[])).unwrap();
    assert_eq!((misfit.component, misfit.device), (ComponentId::Embedding, 1));
}

#[test]
fn a_misfit_is_named_exactly_when_the_checker_finds_a_device_over_capacity() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let problem = random.tiny().problem();
        let placement = random.placement(&problem);
        let measured = measure(&problem, &placement).unwrap();
        let over = measured.devices.iter().any(|d| d.used_bytes > d.capacity_bytes);
        assert_eq!(first_misfit(&problem, &placement).is_some(), over, "seed {seed}");
    }
}

#[test]
fn a_comparison_has_every_habit_in_a_fixed_order() {
    let rows = compare(&incident());
    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(
        names,
        [
            "hand-written 12/20",
            "alternating 16/16",
            "front-to-back fill",
            "accelerate balanced",
            "even split"
        ]
    );
    assert!(matches!(rows[0].outcome, RowOutcome::DoesNotFit { .. }));
    assert!(rows[1..].iter().all(|row| matches!(row.outcome, RowOutcome::Fits(_))));
    assert_eq!(rows, compare(&incident()));
    let small = compare(&Tiny::new(1, 0).gpu(100).problem());
    assert!(matches!(small[0].outcome, RowOutcome::NotApplicable(_)));
}
