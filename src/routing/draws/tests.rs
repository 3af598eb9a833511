//! Draws by hand, against enumeration, and against the counts they are made from.

use std::collections::BTreeMap;

use super::*;
use crate::routing::Statistics;

fn statistics(top_k: u64, tokens: u64, counts: Vec<Vec<u64>>) -> Statistics {
    let (model, text) = ("m".to_owned(), "t".to_owned());
    let source = None;
    let statistics = Statistics {
        model,
        text,
        source,
        tokens,
        top_k,
        counts,
        set_counts: None,
        pair_counts: None,
    };
    Statistics::from_json(&statistics.to_json(), "test").unwrap()
}

/// Uneven counts of `experts` that sum to `tokens x k`, none above `tokens`.
fn uneven(experts: u64, k: u64, tokens: u64) -> Vec<u64> {
    let mut row = vec![0; usize::try_from(experts).unwrap()];
    let mut left = tokens * k;
    for round in 1.. {
        for (count, expert) in row.iter_mut().zip(0..) {
            let share = 1 + tokens * (1 + expert * 7919 % 13) / (experts * 20 + round);
            let add = share.min(left).min(tokens - *count);
            *count += add;
            left -= add;
        }
        if left == 0 {
            break;
        }
    }
    row
}

/// The share of weight that lies on sets with each expert.
fn marginals(sets: &[SetCount], experts: usize) -> Vec<f64> {
    let mut sums = vec![0_u64; experts];
    for (set, weight) in sets {
        for &expert in set {
            sums[usize::try_from(expert).unwrap()] += weight;
        }
    }
    let all = float(sets.iter().map(|set| set.1).sum());
    sums.iter().map(|&sum| float(sum) / all).collect()
}

#[expect(clippy::cast_precision_loss, reason = "compared with a tolerance")]
fn float(number: u64) -> f64 {
    number as f64
}

fn sets(draw: &Draw) -> &[SetCount] {
    match draw {
        Draw::Sets(sets) => sets,
        Draw::Even(_) => panic!("{draw:?}"),
    }
}

fn sizes(draw: &Draw) -> &[(u32, u64)] {
    match draw {
        Draw::Even(sizes) => sizes,
        Draw::Sets(_) => panic!("{draw:?}"),
    }
}

/// Every set of `k` of so many experts, as bits.
fn subsets(experts: u32, k: u32) -> Vec<u32> {
    (0..1_u32 << experts).filter(|bits| bits.count_ones() == k).collect()
}

#[test]
fn two_of_eight_by_hand() {
    assert_eq!(uniform(8, 2, 1), Draw::Even(vec![(2, 1)]));
    // Of 28 pairs the second token's is the same once, shares one expert 12 times, none 15 times.
    let draw = uniform(8, 2, 2);
    let whole = 1_u64 << 32;
    for (&(size, weight), (expected, ways)) in sizes(&draw).iter().zip([(2, 1), (3, 12), (4, 15)]) {
        assert_eq!(size, expected);
        assert!((weight * 28).abs_diff(ways * whole) <= 28, "{draw:?}");
    }
    assert_eq!(uniform(0, 0, 7), Draw::Even(Vec::new()));
    assert_eq!(uniform(4, 4, 7), Draw::Even(vec![(4, whole)]));
}

#[test]
fn sizes_agree_with_every_way_to_choose() {
    for (experts, k) in [(3, 1), (4, 2), (5, 2), (5, 4), (6, 3), (6, 1)] {
        let all = subsets(experts, k);
        let mut unions: BTreeMap<u32, u64> = BTreeMap::from([(0, 1)]);
        for batch in 1..=6_u64 {
            let mut next = BTreeMap::new();
            for (union, ways) in &unions {
                for set in &all {
                    *next.entry(union | set).or_insert(0) += ways;
                }
            }
            unions = next;
            if batch == 1 {
                continue;
            }
            let total: u64 = unions.values().sum();
            let draw = uniform(experts, k, batch);
            for size in 0..=experts {
                let ways: u64 =
                    unions.iter().filter(|(u, _)| u.count_ones() == size).map(|(_, w)| w).sum();
                let weight = sizes(&draw).iter().find(|s| s.0 == size).map_or(0, |s| s.1);
                let exact = (u128::from(ways) << 32) / u128::from(total);
                assert!(u128::from(weight).abs_diff(exact) <= 1, "{experts} {k} {batch} {size}");
            }
        }
    }
}

#[test]
fn large_batches_visit_everything_and_small_ones_the_expected_number() {
    for (experts, k) in [(256, 8), (8, 2), (1024, 1), (128, 64), (64, 63)] {
        assert_eq!(uniform(experts, k, 1 << 20), Draw::Even(vec![(experts, 1 << 32)]));
        for batch in [2_u32, 3, 16, 100] {
            let draw = uniform(experts, k, batch.into());
            let all: u64 = sizes(&draw).iter().map(|size| size.1).sum();
            assert!(all.abs_diff(1 << 32) < 1 << 10);
            let sum: u64 = sizes(&draw).iter().map(|&(size, w)| w / 1024 * u64::from(size)).sum();
            let mean = float(sum) * 1024.0 / float(all);
            let missed = (1.0 - f64::from(k) / f64::from(experts)).powi(batch.try_into().unwrap());
            let expected = f64::from(experts) * (1.0 - missed);
            assert!((mean - expected).abs() < 0.01, "{experts} {k} {batch}: {mean} {expected}");
        }
    }
}

#[test]
fn listed_sets_meet_the_counts_and_are_as_independent_as_can_be() {
    let tokens = 10_007;
    for (experts, k) in [(4, 1), (8, 2), (8, 7), (12, 5), (16, 3), (64, 2)] {
        let row = uneven(experts, k, tokens);
        let draws = measured(&statistics(k, tokens, vec![row.clone(), vec![]]), 1);
        let draws = draws.unwrap();
        assert_eq!(draws[1], Draw::Even(Vec::new()));
        let sets = sets(&draws[0]);
        for (share, count) in marginals(sets, row.len()).iter().zip(&row) {
            let counted = float(*count) / float(tokens);
            assert!((share - counted).abs() < 1e-6, "{experts} {k}: {share} {counted}");
        }
        assert!(sets.iter().all(|(set, _)| set.len() as u64 == k));
    }
    // Exchanging partners between two sets changes no product of their probabilities.
    let draws = measured(&statistics(2, 100, vec![vec![70, 50, 30, 26, 24]]), 1).unwrap();
    let of = |a: u32, b: u32| {
        let found = sets(&draws[0]).iter().find(|(set, _)| *set == [a, b]);
        float(found.unwrap().1)
    };
    assert!((of(0, 1) * of(2, 3) / (of(0, 2) * of(1, 3)) - 1.0).abs() < 1e-6);
    assert!((of(0, 4) * of(2, 3) / (of(0, 3) * of(2, 4)) - 1.0).abs() < 1e-6);
}

#[test]
fn experts_that_all_or_none_choose_are_set_apart() {
    let draws = measured(&statistics(2, 100, vec![vec![100, 0, 75, 25]]), 1).unwrap();
    let quarter = WEIGHT / 4;
    assert_eq!(sets(&draws[0]), [(vec![0, 2], 3 * quarter), (vec![0, 3], quarter)]);
    let draws = measured(&statistics(2, 100, vec![vec![0, 100, 100, 0]]), 9).unwrap();
    assert_eq!(sets(&draws[0]), [(vec![1, 2], WEIGHT)]);
}

/// Counts at the edge of what can be: one expert nearly always, many nearly never.
#[test]
fn extreme_counts_are_met() {
    let tokens = 1 << 32;
    let (most, much) = (tokens - 1, tokens - 4);
    let rows = [
        (1, vec![tokens - 3, 1, 1, 1]),
        (2, vec![most, most, 1, 1]),
        (4, vec![most, most, most, most, 4]),
        (3, vec![most, much, tokens / 2, tokens / 2, 5]),
    ];
    for (k, row) in rows {
        let draws = measured(&statistics(k, tokens, vec![row.clone()]), 1).unwrap();
        for (share, count) in marginals(sets(&draws[0]), row.len()).iter().zip(&row) {
            assert!((share - float(*count) / float(tokens)).abs() < 1e-6, "{k} {row:?}");
        }
    }
}

#[test]
fn samples_are_close_to_the_counts_and_the_same_every_time() {
    let tokens = 100_003;
    for (experts, k) in [(64, 8), (128, 4), (256, 8)] {
        let row = uneven(experts, k, tokens);
        let statistics = statistics(k, tokens, vec![row.clone(), row.clone()]);
        let draws = measured(&statistics, 1).unwrap();
        assert_eq!(draws, measured(&statistics, 1).unwrap());
        assert_ne!(draws[0], draws[1], "layers are not sampled alike");
        for draw in &draws {
            let sets = sets(draw);
            assert_eq!(draw.weight(), u128::from(WEIGHT));
            assert!(sets.len() <= samples::SAMPLES && sets.iter().all(|s| s.1 <= WEIGHT));
            assert!(sets.iter().all(|(set, _)| set.windows(2).all(|p| p[0] < p[1])));
            for (share, count) in marginals(sets, row.len()).iter().zip(&row) {
                let off = (share - float(*count) / float(tokens)).abs();
                assert!(off < 5.0 / 1024.0, "{experts} {k}: {off}");
            }
        }
    }
}

#[test]
fn unions_of_few_experts_agree_with_every_way_to_choose() {
    let listed = vec![(vec![0, 1], 5_u64), (vec![0, 3], 2), (vec![1, 2], 4), (vec![2, 3], 0)];
    let bits = |set: &[u32]| set.iter().fold(0_u32, |bits, expert| bits | 1 << expert);
    for batch in 1..=4_u64 {
        let mut ways: BTreeMap<u32, u64> = BTreeMap::from([(0, 1)]);
        for _ in 0..batch {
            let mut next = BTreeMap::new();
            for (union, times) in &ways {
                for (set, weight) in &listed {
                    *next.entry(union | bits(set)).or_insert(0) += times * weight;
                }
            }
            next.retain(|_, times| *times > 0);
            ways = next;
        }
        let total = 11_u64.pow(batch.try_into().unwrap());
        let unions = unions::all(&listed, 4, batch);
        assert_eq!(unions.len(), ways.len(), "{batch}");
        for (set, weight) in unions {
            let exact = u128::from(ways[&bits(&set)]) * u128::from(WEIGHT) / u128::from(total);
            assert!(u128::from(weight).abs_diff(exact) <= 2, "{batch} {set:?}");
        }
    }
}

#[test]
fn what_a_batch_visits_follows_from_the_counts() {
    for (experts, k, tolerance) in [(8, 2, 1e-5), (64, 2, 1e-3), (256, 8, 1e-3)] {
        let tokens = 10_007;
        let row = uneven(experts, k, tokens);
        let statistics = statistics(k, tokens, vec![row.clone()]);
        for batch in [2_i32, 5, 16, 64] {
            let draws = measured(&statistics, u64::try_from(batch).unwrap()).unwrap();
            assert!(sets(&draws[0]).len() <= Draw::SETS_MAX);
            for (share, count) in marginals(sets(&draws[0]), row.len()).iter().zip(&row) {
                let visited = 1.0 - (1.0 - float(*count) / float(tokens)).powi(batch);
                assert!(
                    (share - visited).abs() < tolerance,
                    "{experts} {batch}: {share} {visited}"
                );
            }
        }
        assert!(measured(&statistics, 1 << 20).is_ok());
    }
}

#[test]
fn counted_sets_are_used_as_they_are() {
    let mut counted = statistics(2, 7, vec![vec![5, 5, 4], vec![]]);
    counted.set_counts =
        Some(vec![vec![(vec![0, 1], 3), (vec![0, 2], 2), (vec![1, 2], 2)], vec![]]);
    let counted = Statistics::from_json(&counted.to_json(), "test").unwrap();
    let draws = measured(&counted, 1).unwrap();
    assert_eq!(sets(&draws[0]), counted.set_counts.as_ref().unwrap()[0]);
    // Of 49 pairs of tokens 9 + 4 + 4 choose the same set, and every two different ones all three experts.
    let union = measured(&counted, 2).unwrap();
    let weights: Vec<u64> = sets(&union[0]).iter().map(|set| set.1).collect();
    for (weight, ways) in weights.iter().zip([9, 4, 4, 32]) {
        assert!((weight * 49).abs_diff(ways * WEIGHT) <= 98, "{union:?}");
    }
    assert_eq!(kind(None, 5), Kind::Exact);
    assert_eq!([1, 5].map(|batch| kind(Some(&counted), batch)), [Kind::Measured; 2]);
    let single = Statistics { set_counts: None, ..counted };
    assert_eq!(kind(Some(&single), 1), Kind::Modelled);
}

#[test]
fn more_experts_per_token_than_can_be_priced_are_refused() {
    let error = measured(&statistics(65, 1, vec![vec![1; 65]]), 1).unwrap_err().to_string();
    assert!(error.contains("at most 64 experts for a token, found 65"), "{error}");
}
