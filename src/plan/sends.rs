//! What sending a token to a device costs, when it is sent once however many experts it visits there.
//!
//! Of the `C(E, k)` equally likely sets of experts, `C(E - n, k)` have none of `n` given ones. That share is
//! `C(E - k, n) / C(E, n)` as well, so it is a product of as many fractions as the smaller of `k` and `n`.
//! The products are formed exactly, in as many digits as they need, and only their quotient is rounded:
//! down for missing, so up for visiting.

use crate::problem::{Problem, Sends};
use crate::units::greatest_common_divisor;

/// One way to a device by the number of a layer's experts there, from none to all, in units of one over the
/// traffic denominator.
#[derive(Clone, Debug)]
pub(super) struct Prices {
    /// As they are.
    pub(super) exact: Vec<u64>,
    /// At most as they are, and each expert adds at most what the one before it added. Rounding up may take
    /// that from the exact ones, and what is said about company rests on it.
    pub(super) concave: Vec<u64>,
}

impl Prices {
    /// `None` where sends are per expert.
    pub(super) fn of(problem: &Problem) -> Option<Self> {
        let exact = exact(problem)?;
        let concave = concave(&exact);
        Some(Self { exact, concave })
    }

    /// The price of what every token visits.
    pub(super) fn certain(&self) -> u64 {
        self.exact.last().copied().unwrap_or(0)
    }

    /// The exact price of so many experts.
    pub(super) fn exact(&self, experts: usize) -> u64 {
        self.exact.get(experts).copied().unwrap_or(self.certain())
    }

    /// At most the exact price of so many experts, and concave.
    pub(super) fn concave(&self, experts: usize) -> u64 {
        self.concave.get(experts).or(self.concave.last()).copied().unwrap_or(0)
    }
}

fn exact(problem: &Problem) -> Option<Vec<u64>> {
    let Sends::PerDevice { experts, experts_per_token } = problem.sends else { return None };
    let price = |n| visited(problem.traffic_denominator, experts, experts_per_token, n);
    Some((0..=experts).map(price).collect())
}

fn concave(exact: &[u64]) -> Vec<u64> {
    let mut rise = u64::MAX;
    let mut below = 0;
    let mut lowered = |&price: &u64| {
        rise = rise.min(price.saturating_sub(below));
        below += rise;
        below
    };
    exact.iter().take(1).copied().chain(exact.iter().skip(1).map(&mut lowered)).collect()
}

/// A number that divides whatever a layer's sends to one device may cost.
pub(super) fn step(problem: &Problem) -> u64 {
    let all = match exact(problem) {
        Some(prices) => prices,
        None => problem.components.iter().map(|c| c.visits).collect(),
    };
    all.into_iter().fold(0, |step, price| greatest_common_divisor(step, 2 * price))
}

/// `unit` times the chance that a token visits one of `n` experts, rounded up.
fn visited(unit: u64, experts: u32, experts_per_token: u32, n: u32) -> u64 {
    let fewer = n.min(experts_per_token);
    let more = n.max(experts_per_token);
    if more + fewer > experts {
        // Too few are left to choose from: one of them is always chosen.
        return if fewer == 0 { 0 } else { unit };
    }
    let mut missed = Product::of(unit);
    for i in 0..fewer {
        missed.times(experts - more - i);
    }
    for i in 0..fewer {
        missed.over(experts - i);
    }
    unit - missed.value()
}

/// A whole number of any size: digits of 32 bits, lowest first.
struct Product(Vec<u32>);

impl Product {
    fn of(number: u64) -> Self {
        let [high, low] = [number >> 32, number & u64::from(u32::MAX)];
        Self([low, high].into_iter().flat_map(u32::try_from).collect())
    }

    fn times(&mut self, factor: u32) {
        let mut carry = 0_u64;
        for digit in &mut self.0 {
            carry += u64::from(*digit) * u64::from(factor);
            *digit = lowest(carry);
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(lowest(carry));
        }
    }

    /// Rounds down. Doing so factor by factor rounds no further than dividing by their product once.
    fn over(&mut self, divisor: u32) {
        let mut rest = 0_u64;
        for digit in self.0.iter_mut().rev() {
            rest = rest << 32 | u64::from(*digit);
            *digit = lowest(rest / u64::from(divisor));
            rest %= u64::from(divisor);
        }
    }

    /// What two digits hold; a share of a 64-bit number always fits.
    fn value(&self) -> u64 {
        self.0.iter().take(2).rev().fold(0, |value, &digit| value << 32 | u64::from(digit))
    }
}

fn lowest(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_of_small_draws_by_hand() {
        // Two of four: of six pairs, three avoid one given expert, one avoids two.
        let of = |n| visited(6, 4, 2, n);
        assert_eq!([0, 1, 2, 3, 4].map(of), [0, 3, 5, 6, 6]);
        assert_eq!(visited(10, 3, 1, 1), 4, "10/3, rounded up");
        assert_eq!(visited(10, 3, 3, 1), 10);
    }

    #[test]
    fn what_rounding_bends_is_straightened_from_below() {
        // One of seven, in tenths: 10/7, 20/7, ... rounded up.
        let exact: Vec<u64> = (0..=7).map(|n| visited(10, 7, 1, n)).collect();
        assert_eq!(exact, [0, 2, 3, 5, 6, 8, 9, 10]);
        assert_eq!(concave(&exact), [0, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(concave(&[0, 7, 13, 18]), [0, 7, 13, 18]);
    }

    /// Eight of 256, as DeepSeek-V3 draws: `1 - C(256 - n, 8) / C(256, 8)` computed with fractions of any
    /// precision, at a billion units.
    #[test]
    fn chances_of_large_draws() {
        let of = |n| visited(1_000_000_000, 256, 8, n);
        let known =
            [31_250_000, 61_642_157, 661_831_501, 996_510_058, 1_000_000_000, 1_000_000_000];
        assert_eq!([1, 2, 32, 128, 249, 256].map(of), known);
    }
}
