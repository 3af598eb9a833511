//! What the tokens of a batch visit together when each chooses for itself.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::samples::{SAMPLES, SplitMix};
use super::{Layer, SetCount, WEIGHT};

/// One as a fixed-point number.
const ONE: u128 = 1 << 62;

/// Every set that `batch` tokens may visit of few experts, with its weight.
///
/// All tokens stay within a set `U` with probability `F(U) = (sum of P(S) over S in U)^batch`, and visit
/// exactly `U` with `F(U)` less what stays within a part of it: the sums over parts are taken and undone one
/// expert after the other (zeta and Moebius transform). Fixed-point numbers of 62 bits.
pub(super) fn all(sets: &[SetCount], experts: usize, batch: u64) -> Vec<SetCount> {
    let total: u128 = sets.iter().map(|set| u128::from(set.1)).sum();
    let mut within = vec![0_u128; 1 << experts];
    for (set, weight) in sets {
        let bits = set.iter().fold(0_usize, |bits, expert| bits | 1 << expert);
        if let Some(sum) = within.get_mut(bits) {
            *sum += u128::from(*weight);
        }
    }
    for expert in 0..experts {
        for bits in (0..1 << experts).filter(|bits| bits >> expert & 1 == 1) {
            within[bits] += within[bits ^ 1 << expert];
        }
    }
    let signed = |sum: u128| i128::try_from(power(sum * ONE / total.max(1), batch)).unwrap_or(0);
    let mut exactly: Vec<i128> = within.into_iter().map(signed).collect();
    for expert in 0..experts {
        for bits in (0..1 << experts).filter(|bits| bits >> expert & 1 == 1) {
            exactly[bits] -= exactly[bits ^ 1 << expert];
        }
    }
    // 2^62 to 2^40; what is below nothing is rounding.
    let weight = |chance: i128| u64::try_from((chance.max(0) + (1 << 21)) >> 22).unwrap_or(0);
    let members = |bits: usize| (0..32).filter(|expert| bits >> expert & 1 == 1).collect();
    let weighed = exactly.into_iter().enumerate();
    let weighed = weighed.map(|(bits, chance)| (members(bits), weight(chance).min(WEIGHT)));
    weighed.filter(|&(_, weight)| weight > 0).collect()
}

fn power(base: u128, exponent: u64) -> u128 {
    let (mut power, mut base, mut left) = (ONE, base.min(ONE), exponent);
    while left > 0 {
        if left & 1 == 1 {
            power = (power * base) >> 62;
        }
        base = (base * base) >> 62;
        left >>= 1;
    }
    power
}

/// Samples of what `batch` tokens visit, from samples of what one does, which are returned if that is all; equal
/// ones are one.
///
/// A sample of twice as many tokens is the union of two samples; which two is turned around by a random number
/// every time, never by none. Chance makes some experts too frequent and others too rare by then, so in the end
/// samples picked at random lose or gain one until every expert is in as many as `chosen` of `tokens` demand.
pub(super) fn sampled(sets: &[Vec<u32>], layer: &Layer<'_>, batch: u64) -> Vec<SetCount> {
    let mut random = SplitMix(!layer.seed);
    let words = layer.counts.len().div_ceil(64);
    let bits = |set: &Vec<u32>| {
        let mut bits = vec![0_u64; words];
        for (word, bit) in set.iter().map(|&expert| split(expert)) {
            bits[word] |= bit;
        }
        bits
    };
    let mut power: Vec<Vec<u64>> = sets.iter().map(bits).collect();
    let mut visited = vec![vec![0; words]; power.len()];
    let mut left = batch;
    while left > 0 {
        if left & 1 == 1 {
            visited = joined(&visited, &power, &mut random);
        }
        left >>= 1;
        if left > 0 {
            power = joined(&power, &power, &mut random);
        }
    }
    if batch > 1 {
        balance(&mut visited, layer, batch, &mut random);
    }
    let mut times: BTreeMap<Vec<u32>, u64> = BTreeMap::new();
    for bits in &visited {
        let experts = (0..).take(layer.counts.len());
        let has = |expert: &u32| bits[split(*expert).0] & split(*expert).1 != 0;
        *times.entry(experts.filter(has).collect()).or_default() += 1;
    }
    let each = WEIGHT / SAMPLES as u64;
    times.into_iter().map(|(set, times)| (set, times * each)).collect()
}

/// The word and the bit of an expert.
fn split(expert: u32) -> (usize, u64) {
    (usize::try_from(expert / 64).unwrap_or(0), 1 << (expert % 64))
}

/// Puts every expert into as many samples as its count says; none becomes smaller than the choice of one token.
fn balance(samples: &mut [Vec<u64>], layer: &Layer<'_>, batch: u64, random: &mut SplitMix) {
    let mut order: Vec<usize> = (0..samples.len()).collect();
    let size = |bits: &Vec<u64>| bits.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
    for (&count, expert) in layer.counts.iter().zip(0..) {
        let (word, bit) = split(expert);
        let missed = u128::from(layer.tokens - count.min(layer.tokens)) * ONE;
        let visited = ONE - power(missed / u128::from(layer.tokens.max(1)), batch);
        let wanted = (visited * SAMPLES as u128 + ONE / 2) >> 62;
        let has = |bits: &Vec<u64>| bits[word] & bit != 0;
        let mut there = samples.iter().filter(|bits| has(bits)).count() as u128;
        random.shuffle(&mut order);
        for &sample in &order {
            let bits = &mut samples[sample];
            match there.cmp(&wanted) {
                Ordering::Equal => break,
                Ordering::Greater if has(bits) && size(bits) > layer.per_token => {
                    bits[word] ^= bit;
                    there -= 1;
                }
                Ordering::Less if !has(bits) => {
                    bits[word] |= bit;
                    there += 1;
                }
                _ => {}
            }
        }
    }
}

fn joined(one: &[Vec<u64>], other: &[Vec<u64>], random: &mut SplitMix) -> Vec<Vec<u64>> {
    let samples = one.len().max(2);
    let turn = 1 + random.below(samples as u64 - 1);
    let turn = usize::try_from(turn).unwrap_or(1);
    let union = |(index, bits): (usize, &Vec<u64>)| {
        let partner = &other[(index + turn) % other.len()];
        bits.iter().zip(partner).map(|(a, b)| a | b).collect()
    };
    one.iter().enumerate().map(union).collect()
}
