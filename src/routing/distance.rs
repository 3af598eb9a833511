//! How far two countings of chosen experts are apart.

use crate::units::Ratio;

/// Parts of one that a layer's distance is counted in, rounded down.
const PARTS: u64 = 1_000_000;

/// The total variation distance of two countings, `[layer][expert]`: half the sum of what the shares of experts differ
/// by, the mean over the layers that chose something in both. 0 for equal shares, 1 where no expert was chosen in both;
/// `None` where no layer can be compared.
///
/// ```
/// use apportion::routing::distance;
/// use apportion::units::Ratio;
/// let distance = distance(&[vec![3, 1]], &[vec![2, 2]]);
/// assert_eq!(distance, Some(Ratio::new(1, 4)));
/// ```
pub fn distance(one: &[Vec<u64>], other: &[Vec<u64>]) -> Option<Ratio> {
    let layers: Vec<u64> =
        one.iter().zip(other).filter_map(|(one, other)| layer(one, other)).collect();
    let count = u64::try_from(layers.len()).ok().filter(|&count| count > 0)?;
    let sum: u64 = layers.iter().sum();
    Some(Ratio::new(sum, count.checked_mul(PARTS)?))
}

/// In parts of one.
fn layer(one: &[u64], other: &[u64]) -> Option<u64> {
    let total = |counts: &[u64]| counts.iter().map(|&count| u128::from(count)).sum::<u128>();
    let (one_total, other_total) = (total(one), total(other));
    if one.len() != other.len() || one_total == 0 || other_total == 0 {
        return None;
    }
    // Counts are below 2^38: 2^32 tokens, of which each chooses 64 experts at most.
    let pairs = one.iter().zip(other);
    let apart = pairs.map(|(&one, &other)| {
        let (one, other) = (u128::from(one), u128::from(other));
        one.saturating_mul(other_total).abs_diff(other.saturating_mul(one_total))
    });
    let apart = apart.fold(0_u128, u128::saturating_add);
    let parts = apart.saturating_mul(u128::from(PARTS)) / (2 * one_total * other_total);
    u64::try_from(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_compared_and_not_counts() {
        for (one, other, apart) in [
            (vec![vec![1, 3]], vec![vec![25, 75]], Some((0, 1))),
            (vec![vec![1, 0]], vec![vec![0, 9]], Some((1, 1))),
            (vec![vec![2, 1, 1]], vec![vec![1, 1, 2]], Some((1, 4))),
            // The mean of layers; those without experts are none.
            (
                vec![vec![], vec![1, 0], vec![1, 1]],
                vec![vec![], vec![0, 1], vec![2, 2]],
                Some((1, 2)),
            ),
            (vec![vec![0, 0]], vec![vec![1, 1]], None),
            (vec![vec![1]], vec![vec![1, 1]], None),
            (vec![], vec![], None),
        ] {
            let apart = apart.map(|(a, b)| Ratio::new(a, b));
            assert_eq!(distance(&one, &other), apart, "{one:?} {other:?}");
            assert_eq!(distance(&other, &one), apart);
        }
        let many = vec![vec![1 << 38, 0]];
        assert_eq!(distance(&many, &[vec![0, 1 << 38]]), Some(Ratio::new(1, 1)));
    }
}
