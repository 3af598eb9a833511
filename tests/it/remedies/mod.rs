//! Ways out of small infeasible cases, decided by trying every placement.

mod cases;

use std::sync::atomic::{AtomicU64, Ordering};

use apportion::problem::Problem;
use apportion::remedy::{Case, Cost, NotEnough, Offer, Remedy, remedies};

use crate::support::Tiny;
use cases::{Fake, Limited, MIB, dense, feasible};

#[test]
fn bytes_are_the_fewest_on_one_device_or_on_each() {
    // 5 + 3 + 8 + 6 in all on 8 and 10: 13 beside 9, or 14 beside 8, or 11 beside 11.
    let case = Fake::new(dense().gpu(8 * MIB).gpu(10 * MIB));
    assert_eq!(
        case.remedies(),
        [
            Remedy::AddBytes { device: 1, bytes: 4 * MIB },
            Remedy::AddBytes { device: 0, bytes: 5 * MIB },
            Remedy::AddBytesEach { bytes: 3 * MIB },
            Remedy::AddDevice { like: 0 },
            Remedy::AddDevice { like: 1 },
        ]
    );
}

#[test]
fn equal_devices_are_offered_once() {
    let case = Fake::new(dense().gpus(2, 8 * MIB).gpu(4 * MIB));
    let found = case.remedies();
    let devices: Vec<&Remedy> =
        found.iter().filter(|remedy| matches!(remedy, Remedy::AddDevice { .. })).collect();
    assert_eq!(devices, [&Remedy::AddDevice { like: 0 }]);
}

#[test]
fn amounts_are_enough_and_a_mebibyte_less_is_not() {
    for capacities in [[8, 9], [3, 12], [10, 10], [1, 20]] {
        let [first, second] = capacities.map(|mib| mib * MIB + 12_345);
        let case = Fake::new(dense().gpu(first).gpu(second));
        let mut amounts = 0;
        for remedy in case.remedies() {
            let extra = match remedy {
                Remedy::AddBytes { device: 0, bytes } => [bytes, 0],
                Remedy::AddBytes { bytes, .. } => [0, bytes],
                Remedy::AddBytesEach { bytes } => [bytes, bytes],
                _ => continue,
            };
            amounts += 1;
            assert!(feasible(&case.with_extra_capacity(&extra).unwrap()), "{remedy:?}");
            let less = extra.map(|bytes| bytes.saturating_sub(MIB));
            assert!(!feasible(&case.with_extra_capacity(&less).unwrap()), "{remedy:?}");
        }
        // Equal devices without rules are one choice.
        let choices = if first == second { 2 } else { 3 };
        assert_eq!(amounts, choices, "{capacities:?}");
    }
}

#[test]
fn the_largest_context_that_fits_is_found() {
    let mut case = Fake::new(dense().gpu(26 * MIB));
    case.context = 2048;
    case.kv_cache_bytes_per_step = MIB;
    // 22 MiB of weights leave four steps of a mebibyte.
    assert_eq!(case.remedies()[0], Remedy::Context { tokens: 1024 });
    case.context = 1300;
    assert_eq!(case.remedies()[0], Remedy::Context { tokens: 1024 });
    // The last whole step below an odd context counts too.
    case.tiny.devices[0].capacity_bytes = 27 * MIB;
    assert_eq!(case.remedies()[0], Remedy::Context { tokens: 1280 });
    case.tiny.devices[0].capacity_bytes = 22 * MIB + 1;
    assert!(!matches!(case.remedies()[0], Remedy::Context { .. }));
    case.context = 256;
    assert!(!matches!(case.remedies()[0], Remedy::Context { .. }));
}

#[test]
fn the_most_sequences_that_fit_are_found() {
    let mut case = Fake::new(dense().gpu(26 * MIB));
    (case.context, case.batch, case.kv_cache_bytes_per_step) = (16 * 256, 16, MIB);
    assert!(case.remedies().contains(&Remedy::Batch { sequences: 4 }));
    case.tiny.devices[0].capacity_bytes = 22 * MIB;
    assert!(case.not_enough().contains(&NotEnough::Batch));
}

#[test]
fn what_was_tried_in_vain_is_told() {
    let mut case = Fake::new(dense().gpus(2, 8 * MIB).pin(&["embedding"], 0));
    case.schemes = vec![("q8", 1)];
    let tried = ["unknown", "q8"].map(ToOwned::to_owned).into();
    assert_eq!(
        case.not_enough(),
        [
            NotEnough::Rule { rule: 0 },
            NotEnough::Context { tokens: None },
            NotEnough::Quantization { tried },
        ]
    );
    case.context = 1024;
    assert!(case.not_enough().contains(&NotEnough::Context { tokens: Some(256) }));
}

#[test]
fn the_heaviest_quantization_that_fits_is_found() {
    let mut case = Fake::new(dense().gpu(17 * MIB));
    case.schemes = vec![("q8", 1), ("q4", 2), ("q2", 4)];
    assert_eq!(case.remedies()[0], Remedy::Quantization { scheme: "q4".to_owned() });
    case.tiny.devices[0].capacity_bytes = 14 * MIB;
    assert_eq!(case.remedies()[0], Remedy::Quantization { scheme: "q2".to_owned() });
    case.tiny.devices[0].capacity_bytes = 11 * MIB;
    assert!(!matches!(case.remedies()[0], Remedy::Quantization { .. }));
}

#[test]
fn pins_come_first_and_one_by_one() {
    // Embedding and mlp on GPU 0 need 13; apart from pins 11 + 11 fits.
    let by_default = Fake::new(dense().gpus(2, 11 * MIB).default_pins());
    assert_eq!(by_default.remedies()[0], Remedy::ReleaseDefaultPins);
    let by_user = Fake::new(
        dense()
            .gpus(2, 11 * MIB)
            .pin(&["embedding"], 0)
            .pin(&["layers.0.attention"], 1)
            .pin(&["layers.0.mlp"], 0),
    );
    let found = by_user.remedies();
    // Without the second rule 13 still meet on GPU 0; without the first, 3 + 5 + 6 exceed GPU 1.
    assert!(!found.contains(&Remedy::ReleaseRule { rule: 1 }), "{found:?}");
    assert!(!found.contains(&Remedy::ReleaseRule { rule: 0 }), "{found:?}");
    assert_eq!(found[0], Remedy::ReleaseRule { rule: 2 });
}

#[test]
fn limits_are_lifted_as_little_as_helps() {
    // 22 MiB in all, on four devices of 8: three are enough.
    let fake = || Fake::new(dense().gpus(4, 8 * MIB));
    let case = Limited { fake: fake(), headroom_bytes: Vec::new(), devices_max: Some(1) };
    let found = remedies(&case, &feasible).enough;
    let remedy = Remedy::DevicesMax { devices: 3 };
    assert_eq!(found[0], Offer { remedy, cost: Cost::Devices { more: 2 } }, "{found:?}");
    // The mlp fills a device of 8 alone, so nothing can be kept free.
    let headroom_bytes = vec![4 * MIB; 4];
    let case = Limited { fake: fake(), headroom_bytes, devices_max: None };
    let found = remedies(&case, &feasible).enough;
    let remedy = Remedy::Headroom { percent: 0 };
    assert_eq!(found[0], Offer { remedy, cost: Cost::Headroom { percent: 100 } }, "{found:?}");
    // A device of 11 beside one of 12 MiB: 3 + 8 leave nothing of the first, 5 + 6 one of the second.
    let fake = || Fake::new(dense().gpu(11 * MIB).gpu(12 * MIB));
    let case = Limited { fake: fake(), headroom_bytes: vec![0, 4 * MIB], devices_max: None };
    let found = remedies(&case, &feasible).enough;
    let remedy = Remedy::Headroom { percent: 25 };
    assert_eq!(found[0], Offer { remedy, cost: Cost::Headroom { percent: 75 } }, "{found:?}");
    assert!(feasible(&case.with_headroom_percent(25).unwrap()));
    assert!(!feasible(&case.with_headroom_percent(26).unwrap()));
    // Both at once: neither alone is enough, and that is said.
    let headroom_bytes = vec![4 * MIB; 4];
    let case = Limited { fake: fake(), headroom_bytes, devices_max: Some(1) };
    let found = remedies(&case, &feasible);
    assert!(found.not_enough.contains(&NotEnough::Headroom), "{found:?}");
    assert!(found.not_enough.contains(&NotEnough::DevicesMax), "{found:?}");
}

#[test]
fn every_class_has_its_place() {
    let mut case = Fake::new(dense().gpus(2, 11 * MIB).default_pins());
    case.schemes = vec![("half", 2)];
    let found = case.remedies();
    let order: Vec<&str> = found
        .iter()
        .map(|remedy| match remedy {
            Remedy::ReleaseDefaultPins => "default pins",
            Remedy::ReleaseRule { .. } => "rule",
            Remedy::Headroom { .. } => "headroom",
            Remedy::DevicesMax { .. } => "devices",
            Remedy::Context { .. } => "context",
            Remedy::Batch { .. } => "batch",
            Remedy::Quantization { .. } => "quantization",
            Remedy::AddBytes { .. } => "bytes",
            Remedy::AddBytesEach { .. } => "bytes each",
            Remedy::AddDevice { .. } => "device",
        })
        .collect();
    // More on GPU 1 alone, or one more GPU, cannot help what is pinned to GPU 0.
    assert_eq!(order, ["default pins", "quantization", "bytes", "bytes each"]);
    assert_eq!(found, case.remedies());
}

/// What each remedy costs, and that the cheaper one of a kind comes first.
#[test]
fn offers_are_ranked_by_what_they_cost() {
    let mut case = Fake::new(dense().gpu(22 * MIB).gpu(2 * MIB));
    (case.context, case.batch, case.kv_cache_bytes_per_step) = (9 * 256, 7, MIB / 2);
    case.schemes = vec![("half", 2)];
    let offers = remedies(&case, &feasible).enough;
    assert!(offers.is_sorted_by_key(|offer| offer.cost), "{offers:?}");
    let cost = |wanted: &dyn Fn(&Remedy) -> bool| {
        offers.iter().find(|offer| wanted(&offer.remedy)).map(|offer| offer.cost)
    };
    // Nothing fits on 2 MiB, and beside everything else no cache does.
    assert_eq!(cost(&|r| matches!(r, Remedy::Context { .. })), None, "{offers:?}");
    let halved = Cost::Weights { bytes: (3 + 8) * MIB / 2 };
    assert_eq!(cost(&|r| matches!(r, Remedy::Quantization { .. })), Some(halved));
    let device = Cost::Device { bytes: 22 * MIB };
    assert_eq!(cost(&|r| *r == Remedy::AddDevice { like: 0 }), Some(device));
    // 4 of 16 MiB of cache fit: a quarter of the context, or one of five sequences, and that costs more.
    let mut case = Fake::new(dense().gpu(26 * MIB));
    (case.context, case.batch, case.kv_cache_bytes_per_step) = (16 * 256, 5, MIB);
    let offers = remedies(&case, &feasible).enough;
    let costs: Vec<Cost> = offers.iter().take(2).map(|offer| offer.cost).collect();
    assert_eq!(costs, [75, 80].map(|percent| Cost::Service { percent }));
}

#[test]
fn a_feasible_case_and_a_hopeless_one_have_no_remedies() {
    assert_eq!(Fake::new(dense().gpu(22 * MIB)).remedies(), []);
    // Each pin is there twice, so that releasing one of them is not enough.
    let norm = |tiny: Tiny| tiny.pin(&["final_norm"], 0);
    let head = |tiny: Tiny| tiny.pin(&["output_head"], 1);
    let torn = Fake::new(head(head(norm(norm(dense().gpus(2, 100 * MIB))))));
    assert_eq!(torn.remedies(), []);
}

#[test]
fn searches_stay_within_their_questions() {
    let case = Fake::new(dense().gpu(8 * MIB));
    let asked = AtomicU64::new(0);
    let never = |_: &Problem| {
        asked.fetch_add(1, Ordering::Relaxed);
        false
    };
    assert_eq!(remedies(&case, &never).enough, []);
    // The case itself, the bytes' upper end, the added device; the context has nothing below it.
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}
