//! Bounds that follow from a few additions.
//!
//! Two layers of two experts: embedding 5, homes 3 + 1 each, four experts of 4, norm and head 1 + 5: 35
//! bytes.

use apportion::certificate::{Certificate, Proof, StageProof, Tree};
use apportion::problem::{Objective, ObjectiveKind, ObjectiveValue, Placement, Problem, Sends};
use apportion::units::Ratio;
use apportion::verify::prove;

use super::{leaf, name, relaxation};
use crate::support::Tiny;

use ObjectiveKind::{DevicesUsed, Migration, PeakUtilization, SpillBytes, Traffic};

/// One unit of price for every byte.
pub const BYTES: [(&str, i64); 4] =
    [("embedding", 5), ("layers.0.attention", 4), ("layers.0.experts.0", 4), ("output_head", 6)];

fn only(tiny: &Tiny, kind: ObjectiveKind) -> Problem {
    let mut problem = tiny.problem();
    problem.objectives = vec![Objective { kind, tolerance: Ratio::ZERO }];
    problem
}

/// What a proof of this bound gives.
fn answer(
    problem: &Problem,
    bound: ObjectiveValue,
    proof: Proof,
) -> Result<Option<ObjectiveValue>, String> {
    let kind = problem.objectives[0].kind;
    let stages = vec![StageProof { kind, bound, cap: bound, zones: Vec::new(), proof }];
    let certificate = Certificate { problem: String::new(), stages };
    prove(problem, &certificate)
        .map(|certified| certified[0].proven)
        .map_err(|error| error.to_string())
}

fn ratio(numerator: u64, denominator: u64) -> ObjectiveValue {
    ObjectiveValue::Ratio(Ratio::new(numerator, denominator))
}

#[test]
fn what_does_not_fit_twice_is_a_bound_on_the_peak() {
    // Below 18 of 100, a device holds 17 bytes at most, two devices 34 of the 35.
    let problem = only(&Tiny::new(2, 2).gpus(2, 100), PeakUtilization);
    let proof = || relaxation(&[], &[], &BYTES);
    assert_eq!(answer(&problem, ratio(18, 100), proof()), Ok(Some(ratio(18, 100))));
    // Below 19 it may hold 18, 6 and three times 4; twice that is more than 35.
    let refused = answer(&problem, ratio(19, 100), proof()).unwrap_err();
    assert!(refused.contains("expected a proof of 19/100"), "{refused}");
}

#[test]
fn what_the_gpu_cannot_hold_spills() {
    let problem = only(&Tiny::new(2, 2).gpu(20).cpu(100), SpillBytes);
    // The GPU gains 20 at most (five times 4), the CPU nothing: 35 - 20.
    let proof = || relaxation(&[(SpillBytes, 1)], &[], &BYTES);
    let fifteen = ObjectiveValue::Bytes(15);
    assert_eq!(answer(&problem, ObjectiveValue::Bytes(12), proof()), Ok(Some(fifteen)));
    let refused = answer(&problem, ObjectiveValue::Bytes(16), proof()).unwrap_err();
    assert!(refused.contains("expected a proof of 16, found 15"), "{refused}");
}

#[test]
fn parts_fill_what_whole_ones_cannot() {
    // 19 bytes: whole ones gain 19 (5 + 6 + 4 + 4) or less; with experts in parts always 19.
    let problem = only(&Tiny::new(2, 2).gpu(19).cpu(100), SpillBytes);
    let Tree::Leaf(mut prices) = leaf(&[(SpillBytes, 1)], &[], &BYTES) else { unreachable!() };
    prices.prices[3].1 = 0;
    prices.prices[0].1 = 0;
    // Without the ends, whole ones gain 16 (four times 4) and parts 19: what spills is 24 less that.
    let whole = Proof::Relaxation(Tree::Leaf(prices.clone()));
    prices.fractional = vec![name("layers.0.experts.0")];
    let parts = Proof::Relaxation(Tree::Leaf(prices));
    let zero = || ObjectiveValue::Bytes(0);
    assert_eq!(answer(&problem, zero(), whole), Ok(Some(ObjectiveValue::Bytes(24 - 16))));
    assert_eq!(answer(&problem, zero(), parts), Ok(Some(ObjectiveValue::Bytes(24 - 19))));
}

#[test]
fn the_last_part_is_rounded_in_favour_of_less() {
    // Beside the embedding are 10 bytes: two and a half experts at 3 each gain 7.5, which counts as 8 of 12.
    let tiny = Tiny::new(2, 2).gpu(15).cpu(100).pin(&["embedding"], 0);
    let problem = only(&tiny, SpillBytes);
    let prices = [("layers.0.experts.0", 3)];
    let Tree::Leaf(mut prices) = leaf(&[(SpillBytes, 1)], &[], &prices) else { unreachable!() };
    prices.fractional = vec![name("layers.0.experts.0")];
    let parts = Proof::Relaxation(Tree::Leaf(prices));
    let four = ObjectiveValue::Bytes(4);
    assert_eq!(answer(&problem, ObjectiveValue::Bytes(0), parts), Ok(Some(four)));
}

#[test]
fn two_runs_of_one_device_are_the_walk_home() {
    // A tied head, and the second of three layers elsewhere: two hand-overs, and no third for the way back.
    let tiny = Tiny::new(3, 0).tied().gpus(2, 100);
    let tiny = tiny.pin(&["layers.1.attention", "layers.1.mlp"], 1);
    let here = ["layers.0.attention", "layers.0.mlp", "layers.2.attention", "layers.2.mlp"];
    let problem = only(&tiny.pin(&here, 0).pin(&["embedding", "final_norm"], 0), Traffic);
    let leaf = || leaf(&[(Traffic, 1)], &[], &[]);
    let walks = Proof::Walks { single_runs: leaf(), others: leaf() };
    assert_eq!(answer(&problem, ratio(2, 1), walks), Ok(Some(ratio(2, 1))));
    let any = Proof::Relaxation(leaf());
    assert_eq!(answer(&problem, ratio(2, 1), any), Ok(Some(ratio(2, 1))));
}

#[test]
fn capacity_bounds_the_devices_used() {
    let problem = only(&Tiny::new(2, 2).gpus(3, 18), DevicesUsed);
    // A device pays 18 and gains 18 at most, so 18 n >= 35.
    let proof = relaxation(&[(DevicesUsed, 18)], &[], &BYTES);
    let two = ObjectiveValue::Count(2);
    assert_eq!(answer(&problem, two, proof), Ok(Some(two)));
}

#[test]
fn one_hand_over_is_proven_by_walks_and_by_tracking() {
    // 18 bytes a device: both are needed, and 5 + 12 and 12 + 6 have one hand-over of 2 / 2.
    let problem = only(&Tiny::new(2, 2).gpus(2, 18), Traffic);
    let weights = [(Traffic, 1)];
    let all = ["embedding", "layers.0.attention", "layers.0.experts.0", "output_head"];
    let tracked = relaxation(&weights, &all, &[]);
    assert_eq!(answer(&problem, ratio(1, 1), tracked), Ok(Some(ratio(2, 2))));
    let walks =
        Proof::Walks { single_runs: leaf(&weights, &[], &[]), others: leaf(&weights, &all, &[]) };
    assert_eq!(answer(&problem, ratio(1, 1), walks.clone()), Ok(Some(ratio(2, 2))));
    let refused = answer(&problem, ratio(3, 2), walks).unwrap_err();
    assert!(refused.contains("expected a proof of 3/2, found 2/2"), "{refused}");
}

#[test]
fn a_tied_head_brings_the_walk_home() {
    // The head is the embedding: 5 + 1 and 24 bytes on two devices of 18 end where they began.
    let problem = only(&Tiny::new(2, 2).tied().gpus(2, 18), Traffic);
    let weights = [(Traffic, 1)];
    let all = ["embedding", "layers.0.attention", "layers.0.experts.0"];
    let tracked = relaxation(&weights, &all, &[]);
    assert_eq!(answer(&problem, ratio(2, 1), tracked), Ok(Some(ratio(4, 2))));
    let walks =
        Proof::Walks { single_runs: leaf(&weights, &[], &[]), others: leaf(&weights, &all, &[]) };
    assert_eq!(answer(&problem, ratio(2, 1), walks), Ok(Some(ratio(4, 2))));
}

#[test]
fn experts_share_their_sends_per_device() {
    // Two of eight experts on the other device: 1 - C(6,2)/C(8,2) = 13/28, there and back.
    let away = ["layers.0.experts.0", "layers.0.experts.1"];
    let stay: Vec<String> = (2..8).map(|e| format!("layers.0.experts.{e}")).collect();
    let mut here: Vec<&str> = stay.iter().map(String::as_str).collect();
    here.extend([
        "embedding",
        "output_head",
        "layers.0.attention",
        "layers.0.router",
        "final_norm",
    ]);
    let tiny = Tiny::new(1, 8).gpus(2, 100).pin(&here, 0).pin(&away, 1);
    let mut problem = only(&tiny, Traffic);
    problem.sends = Sends::PerDevice { experts: 8, experts_per_token: 2 };
    problem.traffic_denominator = 28;
    let proof = relaxation(&[(Traffic, 1)], &[], &[]);
    assert_eq!(answer(&problem, ratio(26, 28), proof), Ok(Some(ratio(26, 28))));
}

#[test]
fn what_moves_is_counted_from_where_it_is() {
    // All 35 bytes are on a device that keeps 20 at most.
    let mut problem = Tiny::new(2, 2).gpu(20).gpu(35).problem();
    problem.objectives = vec![Objective { kind: Migration, tolerance: Ratio::ZERO }];
    problem.current = Some(Placement { device_of: vec![0; problem.components.len()] });
    let proof = relaxation(&[(Migration, 1)], &[], &BYTES);
    let fifteen = ObjectiveValue::Bytes(15);
    assert_eq!(answer(&problem, fifteen, proof), Ok(Some(fifteen)));
}

#[test]
fn nothing_is_below_zero_and_search_is_no_proof() {
    let problem = only(&Tiny::new(2, 2).gpus(2, 100), Traffic);
    assert_eq!(answer(&problem, ratio(0, 2), Proof::Zero), Ok(Some(ratio(0, 2))));
    assert!(answer(&problem, ratio(1, 2), Proof::Zero).is_err());
    assert_eq!(answer(&problem, ratio(1, 2), Proof::Search), Ok(None));
}

#[test]
fn splits_cover_both_sides() {
    // Below 18 of 100, with the embedding here or there; a side alone does not do.
    let problem = only(&Tiny::new(2, 2).gpus(2, 100), PeakUtilization);
    let tree = |most: &[(&str, i64)]| {
        Proof::Relaxation(Tree::Split {
            device: 1,
            class: name("embedding"),
            at: 0,
            least: Box::new(leaf(&[], &[], &BYTES)),
            most: Box::new(leaf(&[], &[], most)),
        })
    };
    assert!(answer(&problem, ratio(18, 100), tree(&BYTES)).is_ok());
    assert!(answer(&problem, ratio(18, 100), tree(&[])).is_err());
}
