//! Scaled rotary frequencies, as divisors of the plain ones.

/// How frequencies are scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scaling {
    /// Not at all.
    None,
    /// All by one factor.
    Linear(f64),
    /// Long waves by a factor, short ones not at all.
    Llama3 {
        /// The factor.
        factor: f64,
        /// Waves longer than the original context over this are scaled.
        low: f64,
        /// Waves shorter than the original context over this are not.
        high: f64,
        /// Tokens.
        original_context: f64,
    },
}

/// The kinds of scaling by their names in configs.
pub(super) const KINDS: &str = "default, linear or llama3";

impl Scaling {
    /// Whether the numbers make sense; else what was expected of them.
    pub(super) fn check(self) -> Result<(), &'static str> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        match self {
            Self::None => Ok(()),
            Self::Linear(factor) if positive(factor) => Ok(()),
            Self::Linear(_) => Err("a finite factor above 0"),
            Self::Llama3 { factor, low, high, original_context } => {
                let all = [factor, low, high, original_context].into_iter().all(positive);
                if all && low < high {
                    return Ok(());
                }
                Err("finite numbers above 0, low_freq_factor below high_freq_factor")
            }
        }
    }

    /// A divisor per rotated pair; empty where all are 1.
    ///
    /// Source: `_compute_linear_scaling_rope_parameters` and `_compute_llama3_parameters` in
    /// `modeling_rope_utils.py` of transformers.
    pub(super) fn divisors(self, theta: f64, head_width: u32) -> Vec<f32> {
        let pairs = 0..head_width / 2;
        match self {
            Self::None => Vec::new(),
            Self::Linear(factor) => pairs.map(|_| single(factor)).collect(),
            Self::Llama3 { factor, low, high, original_context } => pairs
                .map(|pair| {
                    let exponent = f64::from(2 * pair) / f64::from(head_width);
                    let wave = std::f64::consts::TAU * theta.powf(exponent);
                    let turns = original_context / wave;
                    if turns > high {
                        return 1.0;
                    }
                    if turns < low {
                        return single(factor);
                    }
                    let smooth = (turns - low) / (high - low);
                    single(1.0 / ((1.0 - smooth) / factor + smooth))
                })
                .collect(),
        }
    }
}

/// Frequencies are computed in single precision, so more would not be used.
#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest single")]
fn single(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f32, expected: f64) -> bool {
        (f64::from(found) - expected).abs() <= 1e-6 * expected
    }

    /// Llama 3.2 1B. Expected values: the published formula in exact decimals, worked out apart from this
    /// code: wave of pair i is 2 pi 500000^(i/32), 8192 tokens, factors 32, 1 and 4.
    #[test]
    fn llama3_divides_long_waves_only() {
        let scaling =
            Scaling::Llama3 { factor: 32.0, low: 1.0, high: 4.0, original_context: 8192.0 };
        scaling.check().unwrap();
        let divisors = scaling.divisors(5e5, 64);
        assert_eq!(divisors.len(), 32);
        assert_eq!(divisors[..15], [1.0; 15]);
        for (pair, expected) in
            [(15, 1.651_329_245_7), (16, 3.292_262_102_9), (17, 9.666_728_978_7)]
        {
            assert!(near(divisors[pair], expected), "{pair}: {}", divisors[pair]);
        }
        assert_eq!(divisors[18..], [32.0; 14]);
    }

    #[test]
    fn linear_divides_all_and_nothing_divides_none() {
        assert_eq!(Scaling::Linear(2.5).divisors(1e4, 8), [2.5; 4]);
        assert!(Scaling::None.divisors(1e4, 8).is_empty());
    }

    #[test]
    fn absurd_numbers_are_refused() {
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Scaling::Linear(factor).check().is_err(), "{factor}");
            let llama = Scaling::Llama3 { factor, low: 1.0, high: 4.0, original_context: 8192.0 };
            assert!(llama.check().is_err(), "{factor}");
        }
        let llama = Scaling::Llama3 { factor: 8.0, low: 4.0, high: 4.0, original_context: 1.0 };
        assert!(llama.check().is_err());
    }
}
