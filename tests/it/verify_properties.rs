//! The checker against itself on random problems: what must hold whatever the numbers are.

use apportion::placement::Placement;
use apportion::verify::{Measured, measure, verify};

use crate::support::{self, Random, Tiny, enumerate};

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
        let problem = Random::new(seed).enumerable(3000);
        for placement in enumerate(&problem) {
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
    assert_eq!((placements.len(), support::placements(&problem)), (81, 81));
    placements.sort();
    placements.dedup();
    assert_eq!(placements.len(), 81);
    let nowhere = Tiny::new(1, 0).gpus(2, 9).pin(&["embedding"], 0).pin(&["embedding"], 1);
    assert_eq!(enumerate(&nowhere.problem()).count(), 0);
}
