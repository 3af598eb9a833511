//! Sets that are as independent as the counts of single experts allow.
//!
//! Of all distributions over sets of `k` experts in which expert `i` is chosen with probability `pi_i` (its
//! count over the tokens), the one of maximum entropy is that of independent choices with some
//! probabilities `p_i`, given that `k` are chosen:
//!
//! ```text
//! P(S) = product of p_i in S x product of (1 - p_i) outside / Q(k)
//! ```
//!
//! with `Q(n)` the probability that independent choices are `n` in all (conditional Bernoulli sampling; Chen,
//! Dempster and Liu, Biometrika 81, 1994). The `p_i` are found one after the other: with those of the others as
//! they are, `pi_i` is met when
//!
//! ```text
//! p_i / (1 - p_i) = pi_i / (1 - pi_i) x Q'(k) / Q'(k - 1)
//! ```
//!
//! where `Q'` leaves `i` out. That is ascent along coordinates on a concave likelihood, so it converges; at most
//! [`ROUNDS_MAX`] rounds are made. An expert that every token chose or none did is set apart.
//!
//! Only sums, differences, products and quotients of doubles are taken, which are the same on every machine,
//! and weights leave as integers.

use super::{SetCount, Statistics, WEIGHT};

/// Rounds over all experts.
const ROUNDS_MAX: usize = 200;

/// Counts are met when no probability is further off.
const CLOSE: f64 = 1e-10;

/// Independent choices among experts, given how many are chosen.
#[derive(Clone, Debug)]
pub(super) struct Independent {
    /// Chosen by every token.
    pub(super) always: Vec<u32>,
    /// Chosen by some tokens.
    pub(super) choices: Vec<Choice>,
    /// How many of those a token chooses.
    pub(super) chosen: usize,
}

/// An expert and the odds that it is chosen when all choose for themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) expert: u32,
    /// The share of tokens that chose it, and of those that did not.
    share: [f64; 2],
    /// Chosen, and not; they sum to one.
    pub(super) chance: [f64; 2],
}

impl Independent {
    /// Finds the choices of a layer; the counts sum to `tokens x per_token`.
    pub(super) fn fit(counts: &[u64], tokens: u64, per_token: u64) -> Self {
        let numbered = || counts.iter().zip(0_u32..);
        let always: Vec<u32> =
            numbered().filter(|&(&count, _)| count >= tokens).map(|(_, expert)| expert).collect();
        let some = numbered().filter(|&(&count, _)| count > 0 && count < tokens);
        let choice = |(&count, expert): (&u64, u32)| {
            let share = [count, tokens - count].map(|part| double(part) / double(tokens));
            Choice { expert, share, chance: share }
        };
        let choices = some.map(choice).collect();
        let chosen = usize::try_from(per_token).unwrap_or(0).saturating_sub(always.len());
        let mut independent = Self { always, choices, chosen };
        if independent.chosen > 0 {
            let _ = (0..ROUNDS_MAX).find(|_| independent.round() < CLOSE);
        }
        independent
    }

    /// Sets every choice once; how far the worst one was off.
    fn round(&mut self) -> f64 {
        let k = self.chosen;
        let behind = self.behind();
        let mut before = nothing_chosen(k);
        let mut worst = 0.0_f64;
        for (choice, behind) in self.choices.iter_mut().zip(&behind[1..]) {
            let [with, without] =
                [k - 1, k].map(|n| (0..=n).map(|j| before[j] * behind[n - j]).sum::<f64>());
            let [chosen, not] = choice.chance;
            let share = chosen * with / (chosen * with + not * without);
            let odds = choice.share[0] / choice.share[1] * (without / with);
            // Where the others cannot be so many or so few there is nothing to set.
            if odds.is_finite() && odds > 0.0 {
                choice.chance = [odds / (1.0 + odds), 1.0 / (1.0 + odds)];
                worst = worst.max((share - choice.share[0]).abs());
            }
            before = with_choice(&before, choice.chance);
        }
        worst
    }

    /// Behind every choice, and before the first: the probabilities that none, one, ... up to `chosen` of the
    /// choices there are taken.
    pub(super) fn behind(&self) -> Vec<Vec<f64>> {
        let mut tables = vec![nothing_chosen(self.chosen)];
        for choice in self.choices.iter().rev() {
            tables.push(with_choice(&tables[tables.len() - 1], choice.chance));
        }
        tables.reverse();
        tables
    }

    /// Every set with its weight, in ascending order; `None` where there are more than 4096.
    pub(super) fn all_sets(&self) -> Option<Vec<SetCount>> {
        let experts = self.choices.len();
        let sets = possible_sets(experts, self.chosen)?;
        let all = self.behind().first().map_or(1.0, |all| all[self.chosen]);
        let mut weighed = Vec::with_capacity(sets);
        let mut places: Vec<usize> = (0..self.chosen).collect();
        loop {
            let mut chance = 1.0 / all;
            for (index, choice) in self.choices.iter().enumerate() {
                chance *= choice.chance[usize::from(places.binary_search(&index).is_err())];
            }
            let chosen = places.iter().map(|&place| self.choices[place].expert);
            let mut set: Vec<u32> = self.always.iter().copied().chain(chosen).collect();
            set.sort_unstable();
            weighed.push((set, weight(chance)));
            // The last place that can move does, those behind it follow.
            let movable = (0..self.chosen).rev().find(|&i| places[i] + self.chosen - i < experts);
            let Some(first) = movable else { break };
            let start = places[first] + 1;
            for (place, index) in places[first..].iter_mut().zip(start..) {
                *place = index;
            }
        }
        weighed.retain(|&(_, weight)| weight > 0);
        weighed.sort_unstable();
        Some(weighed)
    }
}

/// How many sets of `chosen` of so many experts there are; `None` above [`Statistics::SETS_MAX`].
pub(crate) fn possible_sets(experts: usize, chosen: usize) -> Option<usize> {
    let mut sets = 1_usize;
    for i in 0..chosen.min(experts.checked_sub(chosen)?) {
        sets = sets.checked_mul(experts - i)? / (i + 1);
        // They only grow up to half of the experts.
        if sets > Statistics::SETS_MAX {
            return None;
        }
    }
    Some(sets)
}

fn nothing_chosen(most: usize) -> Vec<f64> {
    let mut table = vec![0.0; most + 1];
    table[0] = 1.0;
    table
}

fn with_choice(table: &[f64], [chosen, not]: [f64; 2]) -> Vec<f64> {
    let one_less = std::iter::once(0.0).chain(table.iter().copied());
    table.iter().zip(one_less).map(|(same, less)| same * not + less * chosen).collect()
}

#[expect(clippy::cast_precision_loss, reason = "tokens are at most 2^32")]
fn double(number: u64) -> f64 {
    number as f64
}

/// Rounded to the nearest whole weight.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped"
)]
fn weight(chance: f64) -> u64 {
    let weight = chance.clamp(0.0, 1.0) * WEIGHT as f64 + 0.5;
    weight as u64
}
