//! Sets drawn by fixed rules: the same on every machine, and close to the shares they are drawn from.
//!
//! Expert after expert, every sample decides with the probability that it has given what it has decided
//! before. The decisions are made together: samples are put in a random order, their probabilities are added
//! up along it, and a sample chooses the expert where the sum passes a whole number (systematic sampling; Madow,
//! Annals of Mathematical Statistics 20, 1949). So the number that do is the expected one, rounded. The
//! random numbers are those of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) from a fixed seed.

use super::SetCount;
use super::independent::Independent;

/// How many sets are drawn.
pub(super) const SAMPLES: usize = 1024;

/// One as a fixed-point probability.
const ONE: u64 = 1 << 32;

/// Sets of a token, ascending.
pub(super) fn of_independent(independent: &Independent, seed: u64) -> Vec<Vec<u32>> {
    let mut random = SplitMix(seed);
    let behind = independent.behind();
    let mut sets = vec![independent.always.clone(); SAMPLES];
    let mut left = vec![independent.chosen; SAMPLES];
    let mut order: Vec<usize> = (0..SAMPLES).collect();
    for (choice, tables) in independent.choices.iter().zip(behind.windows(2)) {
        let chance = |left: usize| match left.checked_sub(1) {
            Some(fewer) => fixed(choice.chance[0] * tables[1][fewer] / tables[0][left]),
            None => 0,
        };
        let chances: Vec<u64> = (0..=independent.chosen).map(chance).collect();
        random.shuffle(&mut order);
        let mut sum = random.below(ONE);
        for &sample in &order {
            let next = sum + chances[left[sample]];
            if next / ONE > sum / ONE {
                sets[sample].push(choice.expert);
                left[sample] -= 1;
            }
            sum = next;
        }
    }
    for set in &mut sets {
        set.sort_unstable();
    }
    sets
}

/// Every set about as often as its weight says, in random order.
pub(super) fn of_listed(sets: &[SetCount], seed: u64) -> Vec<Vec<u32>> {
    let mut random = SplitMix(seed);
    let total: u128 = sets.iter().map(|set| u128::from(set.1)).sum();
    let samples = SAMPLES as u128;
    let mut sum = total / 2;
    let mut drawn = Vec::with_capacity(SAMPLES);
    for (set, weight) in sets {
        let next = sum + u128::from(*weight) * samples;
        let times = next / total.max(1) - sum / total.max(1);
        drawn.extend((0..times).map(|_| set.clone()));
        sum = next;
    }
    random.shuffle(&mut drawn);
    drawn
}

/// A generator that is the same everywhere.
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to below `bound`, which is far below 2^64.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let scaled = (u128::from(self.next()) * u128::from(bound)) >> 64;
        u64::try_from(scaled).unwrap_or(0)
    }

    pub(super) fn shuffle<T>(&mut self, entries: &mut [T]) {
        for last in (1..entries.len()).rev() {
            let other = self.below(last as u64 + 1);
            entries.swap(last, usize::try_from(other).unwrap_or(last));
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped; what is no number is 0"
)]
fn fixed(chance: f64) -> u64 {
    (chance.clamp(0.0, 1.0) * ONE as f64 + 0.5) as u64
}
