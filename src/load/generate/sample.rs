//! From logits to the next token.
//!
//! For equal logits the same token is chosen on every machine: the random numbers come from a counter and
//! the exponentials from additions and multiplications alone, which every machine rounds alike. The ones of
//! the system's library do not.

use std::cmp::Ordering;

use crate::error::Error;

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// What logits are divided by; 0 always takes the most probable token.
    pub temperature: f64,
    /// Only the most probable tokens that together reach this probability are chosen from; 1 for all.
    pub top_p: f64,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Default for Sampling {
    /// The most probable token, always.
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, seed: 0 }
    }
}

/// Chooses one token after the other.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    drawn: u64,
}

impl Sampler {
    /// One at its first token.
    ///
    /// # Errors
    /// A temperature below 0, a share that is not above 0 and at most 1, and what is not a number.
    pub fn new(sampling: Sampling) -> Result<Self, Error> {
        let Sampling { temperature, top_p, .. } = sampling;
        if !(temperature.is_finite() && temperature >= 0.0) {
            return Err(Error::new("sample")
                .place("temperature")
                .expected("a number from 0 up")
                .found(temperature.to_string()));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(Error::new("sample")
                .place("top-p")
                .expected("a share above 0 and at most 1")
                .found(top_p.to_string()));
        }
        Ok(Self { sampling, drawn: 0 })
    }

    /// The next token, by `[vocabulary]` logits.
    ///
    /// Temperature 0 takes the largest logit, the lowest number among equals, and draws no random number.
    /// Otherwise probabilities are proportional to exp(logit / temperature); of those, the fewest of the
    /// most probable ones that reach `top_p` of the sum are kept, and one is drawn from them.
    ///
    /// # Errors
    /// No logits, NaN or infinity among them, or minus infinity everywhere: the model's weights are damaged.
    pub fn next(&mut self, logits: &[f32]) -> Result<u32, Error> {
        let best = largest(logits)?;
        if self.sampling.temperature == 0.0 {
            return number(best);
        }
        let (top, temperature) = (f64::from(logits[best]), self.sampling.temperature);
        let weight = |logit: &f32| exp_below_zero((f64::from(*logit) - top) / temperature);
        let weights: Vec<f64> = logits.iter().map(weight).collect();
        let point = unit(self.sampling.seed, self.drawn);
        self.drawn = self.drawn.wrapping_add(1);
        number(if self.sampling.top_p < 1.0 {
            let kept = nucleus(&weights, self.sampling.top_p);
            draw(kept.iter().map(|&token| (token, weights[token])), point)
        } else {
            draw(weights.iter().copied().enumerate(), point)
        })
    }
}

/// The place of the largest logit, the first among equals.
fn largest(logits: &[f32]) -> Result<usize, Error> {
    let refuse = || Error::new("choose a token").expected("logits that are numbers");
    let mut best: Option<(usize, f32)> = None;
    for (token, &logit) in logits.iter().enumerate() {
        if logit.is_nan() || logit == f32::INFINITY {
            return Err(refuse().found(format!("{logit} for token {token}")).hint(
                "weights or scales in the checkpoint are not finite, or overflow in their type",
            ));
        }
        let better = best.is_none_or(|(_, most)| logit > most);
        if better && logit > f32::NEG_INFINITY {
            best = Some((token, logit));
        }
    }
    best.map(|(token, _)| token).ok_or_else(|| refuse().found("none"))
}

fn number(token: usize) -> Result<u32, Error> {
    u32::try_from(token)
        .map_err(|_| Error::new("choose a token").found(format!("token {token} is out of range")))
}

/// The fewest of the most probable tokens whose weights reach the share, most probable first, the lower
/// number first among equals.
fn nucleus(weights: &[f64], share: f64) -> Vec<usize> {
    let enough = weights.iter().sum::<f64>() * share;
    let order = |a: &usize, b: &usize| weights[*b].total_cmp(&weights[*a]).then(a.cmp(b));
    let mut tokens: Vec<usize> = (0..weights.len()).collect();
    // Mostly a few dozen reach it; sorting all of a large vocabulary for them would take longer than a layer.
    let mut sorted = 64;
    while sorted < tokens.len() {
        tokens.select_nth_unstable_by(sorted, order);
        tokens[..sorted].sort_unstable_by(order);
        if let Some(kept) = reaching(&tokens[..sorted], weights, enough) {
            tokens.truncate(kept);
            return tokens;
        }
        sorted *= 8;
    }
    tokens.sort_unstable_by(order);
    let kept = reaching(&tokens, weights, enough).unwrap_or(tokens.len());
    tokens.truncate(kept);
    tokens
}

/// How many of the first tokens it takes to reach `enough`.
fn reaching(tokens: &[usize], weights: &[f64], enough: f64) -> Option<usize> {
    let mut sum = 0.0;
    let reaches = |token: &usize| {
        sum += weights[*token];
        sum.total_cmp(&enough) != Ordering::Less
    };
    tokens.iter().position(reaches).map(|last| last + 1)
}

/// The token at a point in [0, 1) of the weights laid end to end.
fn draw(weights: impl Iterator<Item = (usize, f64)> + Clone, point: f64) -> usize {
    let target = point * weights.clone().map(|(_, weight)| weight).sum::<f64>();
    let mut sum = 0.0;
    let mut last = 0;
    for (token, weight) in weights.filter(|&(_, weight)| weight > 0.0) {
        sum += weight;
        last = token;
        if sum > target {
            break;
        }
    }
    last
}

/// The `index`-th number in [0, 1) of a seed, in steps of 2^-52.
fn unit(seed: u64, index: u64) -> f64 {
    // The fraction of a number between 1 and 2.
    f64::from_bits(0x3FF0_0000_0000_0000 | (random(seed, index) >> 12)) - 1.0
}

/// The `index`-th output of SplitMix64 from `seed` (Steele, Lea, Flood 2014; constants of Vigna's public
/// domain version): its state is a counter, so no output needs those before.
fn random(seed: u64, index: u64) -> u64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// e^x for x <= 0, within 4.5e-16 of it relative to it; 0 below -708, where it is under 10^-307.
///
/// x = r - n ln 2 with |r| <= ln 2 / 2, and e^x = e^r / 2^n: the 15th term of the series of e^r is below
/// 2^-62, and the first part of ln 2 has so few digits that its multiples are exact.
fn exp_below_zero(x: f64) -> f64 {
    const LN_2_FIRST: f64 = f64::from_bits(0x3FE6_2E42_FEE0_0000);
    const LN_2_REST: f64 = f64::from_bits(0x3DEA_39EF_3579_3C76);
    /// Added to a whole number below it, leaves that number in the last digits.
    const WHOLE: f64 = 4_503_599_627_370_496.0;
    if x < -708.0 {
        return 0.0;
    }
    let n = (-x * std::f64::consts::LOG2_E).round();
    let r = (x + n * LN_2_FIRST) + n * LN_2_REST;
    let mut sum = 1.0;
    for term in (1..=14_u8).rev() {
        sum = 1.0 + r / f64::from(term) * sum;
    }
    let n = (n + WHOLE).to_bits() & 0x7FF;
    sum * f64::from_bits((1023 - n) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(temperature: f64, top_p: f64, seed: u64) -> Sampler {
        Sampler::new(Sampling { temperature, top_p, seed }).unwrap()
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        let mut greedy = sampler(0.0, 1.0, 1);
        assert_eq!(greedy.next(&[1.0, 3.0, -2.0, 3.0]).unwrap(), 1);
        assert_eq!(greedy.next(&[f32::NEG_INFINITY, -5.0]).unwrap(), 1);
        assert_eq!(greedy.drawn, 0);
    }

    #[test]
    fn logits_that_are_no_numbers_are_errors_at_any_temperature() {
        for temperature in [0.0, 1.0] {
            let mut sampler = sampler(temperature, 1.0, 1);
            for (logits, word) in [
                (&[0.0, f32::NAN][..], "NaN for token 1"),
                (&[f32::INFINITY], "inf for token 0"),
                (&[f32::NEG_INFINITY; 2], "none"),
                (&[], "none"),
            ] {
                let message = sampler.next(logits).unwrap_err().to_string();
                assert!(message.contains(word), "{message}");
            }
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (temperature, top_p) in [
            (-0.1, 1.0),
            (f64::NAN, 1.0),
            (f64::INFINITY, 1.0),
            (1.0, 0.0),
            (1.0, 1.1),
            (1.0, f64::NAN),
        ] {
            assert!(Sampler::new(Sampling { temperature, top_p, seed: 0 }).is_err());
        }
    }

    /// The first outputs of Vigna's splitmix64.c for the seed 1234567, as rosettacode.org lists them.
    #[test]
    fn random_numbers_are_splitmix() {
        let known = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        let outputs: Vec<u64> = (0..5).map(|index| random(1_234_567, index)).collect();
        assert_eq!(outputs, known);
        assert!((0..1000).all(|index| (0.0..1.0).contains(&unit(7, index))));
    }

    #[test]
    fn exponentials_are_those_of_the_library_to_the_last_digits() {
        assert_eq!(exp_below_zero(0.0).to_bits(), 1.0_f64.to_bits());
        for step in 0..14_000_u32 {
            let x = -f64::from(step) * 0.050_37;
            let (ours, theirs) = (exp_below_zero(x), x.exp());
            assert!((ours - theirs).abs() <= theirs * 4.5e-16, "{x}: {ours} {theirs}");
        }
        assert_eq!(exp_below_zero(f64::NEG_INFINITY).to_bits(), 0);
    }

    #[test]
    fn tokens_come_as_often_as_they_are_probable() {
        // Probabilities 1/8, 1/2, 3/8.
        let logits = [1.0_f32.ln(), 4.0_f32.ln(), 3.0_f32.ln()];
        let mut sampler = sampler(1.0, 1.0, 42);
        let mut counts = [0_u32; 3];
        for _ in 0..80_000 {
            counts[usize::try_from(sampler.next(&logits).unwrap()).unwrap()] += 1;
        }
        // Four standard deviations of the widest, sqrt(80000 / 4) = 141.
        for (count, expected) in counts.into_iter().zip([10_000, 40_000, 30_000]) {
            assert!(count.abs_diff(expected) < 566, "{counts:?}");
        }
    }

    #[test]
    fn a_share_keeps_the_fewest_that_reach_it() {
        let weights = [0.1, 0.4, 0.2, 0.2, 0.1];
        assert_eq!(nucleus(&weights, 0.3), [1]);
        assert_eq!(nucleus(&weights, 0.5), [1, 2]);
        assert_eq!(nucleus(&weights, 0.75), [1, 2, 3]);
        assert_eq!(nucleus(&weights, 0.95), [1, 2, 3, 0, 4]);
        let flat = vec![1.0; 1000];
        assert_eq!(nucleus(&flat, 0.5), (0..500).collect::<Vec<_>>());
        assert_eq!(nucleus(&flat, 0.064), (0..64).collect::<Vec<_>>());
        let mut sampler = sampler(1.0, 0.5, 3);
        let logits = [0.0, 9.0, 0.0];
        assert!((0..100).all(|_| sampler.next(&logits).unwrap() == 1));
    }

    #[test]
    fn equal_seeds_choose_equal_tokens_and_others_do_not() {
        let logits: Vec<f32> = (0..50_u8).map(|i| f32::from(i % 7)).collect();
        let run = |seed| {
            let mut sampler = sampler(1.3, 0.9, seed);
            (0..12).map(|_| sampler.next(&logits).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }

    #[test]
    fn a_low_temperature_is_greedy() {
        let mut sampler = sampler(1e-300, 1.0, 9);
        assert_eq!(sampler.next(&[0.0, 0.5, 0.4]).unwrap(), 1);
    }
}
