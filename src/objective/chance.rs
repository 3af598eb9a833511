//! How likely it is that a token visits a device at all, for the checker.
//!
//! A token visits `k` of a layer's `E` experts, every set of `k` as likely as any other. It misses `n` of
//! them with probability `C(E - n, k) / C(E, k)`, which is the product over `i < k` of
//! `(E - n - i) / (E - i)`: expert after expert is chosen among those that are left.

/// The chance that at least one of `n` experts is visited, rounded up to a multiple of one over
/// `denominator`, in those multiples.
///
/// Exact before that rounding: the numerators are multiplied out in full, and dividing by one factor after
/// the other, each time rounding down, is dividing by their product and rounding down once.
pub(super) fn any_visited(denominator: u64, experts: u32, experts_per_token: u32, n: u64) -> u64 {
    let (experts, visited) = (u64::from(experts), u64::from(experts_per_token));
    if n == 0 || visited == 0 {
        return 0;
    }
    let mut missed = vec![denominator];
    for i in 0..visited {
        multiply(&mut missed, experts.saturating_sub(n).saturating_sub(i));
    }
    for i in 0..visited {
        divide(&mut missed, experts.saturating_sub(i).max(1));
    }
    // At most the denominator again, so only the last digit is left.
    denominator - missed.first().copied().unwrap_or(0).min(denominator)
}

/// Multiplies a number of base 2^64 digits, lowest first.
fn multiply(digits: &mut Vec<u64>, factor: u64) {
    let mut carry = 0_u128;
    for digit in digits.iter_mut() {
        let product = u128::from(*digit) * u128::from(factor) + carry;
        *digit = low(product);
        carry = product >> 64;
    }
    if carry > 0 {
        digits.push(low(carry));
    }
}

/// Divides it, rounding down.
fn divide(digits: &mut [u64], divisor: u64) {
    let mut rest = 0_u128;
    for digit in digits.iter_mut().rev() {
        let dividend = rest << 64 | u128::from(*digit);
        *digit = low(dividend / u128::from(divisor));
        rest = dividend % u128::from(divisor);
    }
}

/// The lowest 64 bits.
fn low(number: u128) -> u64 {
    u64::try_from(number & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mixtral: two of eight. Counted by hand: 28 pairs, of which 21, 15, 10, 6, 3, 1 miss 1 to 6.
    #[test]
    fn pairs_of_eight() {
        let of = |n| any_visited(28, 8, 2, n);
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, 8].map(of), [0, 7, 13, 18, 22, 25, 27, 28, 28]);
    }

    #[test]
    fn rounded_up() {
        // 13/28 = 0.464285714...
        assert_eq!(any_visited(1_000_000_000, 8, 2, 2), 464_285_715);
    }
}
