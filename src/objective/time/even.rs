//! The expectation when every set of a size is as likely as any other.
//!
//! Of `E` experts `m` are drawn without putting back. Device after device: of the `R` experts that are not
//! on devices passed before, `n` are here, and of the `r` draws that are left `j` fall on them with the
//! hypergeometric probability
//!
//! ```text
//! P(j; R, n, r) = C(n, j) C(R - n, r - j) / C(R, r)
//! ```
//!
//! which is formed draw by draw: the next one falls here with probability `(n - j) / (R - i)` when `j` of
//! `i` have. The expected sum needs each device's own probabilities only. The expected maximum is summed
//! over the times at which a device can be done, `E max = sum of t (F(t) - F(t before))`, where `F(t)`,
//! the probability that nobody takes longer than `t`, is a product over devices that runs over how many
//! draws are left.
//!
//! Probabilities are fixed-point numbers of 62 bits, rounded down at every step; what is lost, below
//! one part in 2^50, is given to the longest time.

use super::layer::{Busy, Piece, together};
use crate::runtime::LayerDevices;

/// One as a fixed-point number.
const ONE: u64 = 1 << 62;

/// The weighted mean over the sizes, rounded to the nearest picosecond.
pub(super) fn expected_ps(
    sizes: &[(u32, u64)],
    devices: LayerDevices,
    busy: &[(Busy<'_>, &Piece)],
) -> u64 {
    let total: u128 = sizes.iter().map(|&(_, weight)| u128::from(weight)).sum();
    let experts = busy.iter().map(|(_, piece)| piece.experts.len()).sum();
    if total == 0 || experts == 0 {
        return together(devices, busy.iter().map(|(busy, _)| busy.with_experts([].into_iter())));
    }
    let within = |size: u32| usize::try_from(size).unwrap_or(usize::MAX).min(experts);
    let largest = sizes.iter().map(|&(size, _)| within(size)).max().unwrap_or(0);
    let counts = counts(busy, largest);
    let by_size = match devices {
        LayerDevices::Sequential => expected_sums(&counts, experts, largest),
        LayerDevices::Concurrent => expected_maxima(&counts, experts, largest),
    };
    // Scaled by 2^62; weights below 2^32 leave room for a minute, and beyond that it saturates.
    let weighted = sizes
        .iter()
        .map(|&(size, weight)| by_size[within(size)].saturating_mul(u128::from(weight)));
    let sum = weighted.fold(0, u128::saturating_add);
    let whole = total.saturating_mul(u128::from(ONE));
    let mean = sum.saturating_add(whole / 2) / whole;
    u64::try_from(mean).unwrap_or(u64::MAX)
}

/// A device's experts, and what it is busy with when none, one, two, ... of them are visited.
struct Count {
    experts: usize,
    busy_ps: Vec<u64>,
}

fn counts(busy: &[(Busy<'_>, &Piece)], size: usize) -> Vec<Count> {
    let count = |(busy, piece): &(Busy<'_>, &Piece)| {
        let experts = piece.experts.len();
        let any = piece.experts.first().map(|&(_, index)| index);
        let visited = (0..=experts.min(size)).zip(0_u64..);
        let busy_ps = visited.map(|(_, count)| match any {
            Some(expert) => busy.with_alike(expert, count),
            None => busy.with_experts([].into_iter()),
        });
        Count { experts, busy_ps: busy_ps.collect() }
    };
    busy.iter().map(count).collect()
}

/// For every number of draws up to the largest, scaled by [`ONE`].
fn expected_sums(counts: &[Count], experts: usize, largest: usize) -> Vec<u128> {
    let mut sums = vec![0_u128; largest + 1];
    for count in counts {
        for (sum, chances) in sums.iter_mut().zip(falls(experts, count.experts, largest)) {
            let mut mean = Mean::default();
            for (&chance, &ps) in chances.iter().zip(&count.busy_ps) {
                mean.add(ps, chance);
            }
            *sum = sum.saturating_add(mean.scaled());
        }
    }
    sums
}

/// For every number of draws up to the largest, scaled by [`ONE`].
fn expected_maxima(counts: &[Count], experts: usize, largest: usize) -> Vec<u128> {
    let mut left = experts;
    let mut tables = Vec::new();
    for count in counts {
        tables.push(falls(left, count.experts, largest));
        left -= count.experts;
    }
    let mut ends: Vec<u64> =
        counts.iter().flat_map(|count| count.busy_ps.iter().copied()).collect();
    ends.sort_unstable();
    ends.dedup();
    // Nobody is done before what is there in any case.
    let least = counts.iter().filter_map(|count| count.busy_ps.first()).max().copied().unwrap_or(0);
    ends.retain(|&end| end >= least);
    let mut means = vec![Mean::default(); largest + 1];
    let mut before = vec![0; largest + 1];
    for end in ends {
        let by_then = done_by(counts, &tables, largest, end);
        for ((mean, before), by_then) in means.iter_mut().zip(&mut before).zip(by_then) {
            mean.add(end, by_then.saturating_sub(*before));
            *before = by_then.max(*before);
        }
    }
    means.into_iter().map(Mean::scaled).collect()
}

/// A sum of times and their chances.
#[derive(Clone, Copy, Default)]
struct Mean {
    sum: u128,
    all: u64,
    longest: u64,
}

impl Mean {
    fn add(&mut self, ps: u64, chance: u64) {
        self.sum = self.sum.saturating_add(u128::from(ps) * u128::from(chance));
        self.all = self.all.saturating_add(chance);
        self.longest = if chance > 0 { self.longest.max(ps) } else { self.longest };
    }

    /// With what is missing to one given to the longest.
    fn scaled(self) -> u128 {
        let missing = u128::from(ONE.saturating_sub(self.all));
        self.sum.saturating_add(u128::from(self.longest) * missing)
    }
}

/// The probability that every device is done by `end`, for every number of draws up to the largest.
fn done_by(counts: &[Count], tables: &[Vec<Vec<u64>>], largest: usize, end: u64) -> Vec<u64> {
    // By how many draws are left after the devices so far, from the last one backwards.
    let mut rest: Vec<u64> = vec![0; largest + 1];
    rest[0] = ONE;
    for (count, table) in counts.iter().zip(tables).rev() {
        let within = count.busy_ps.iter().take_while(|&&ps| ps <= end).count();
        let chance = |draws: usize| {
            let here = table.get(draws).map_or(&[][..], Vec::as_slice);
            let ways = here.iter().take(within).enumerate();
            ways.map(|(j, &chance)| times(chance, rest[draws - j])).fold(0, u64::saturating_add)
        };
        rest = (0..=largest).map(chance).collect();
    }
    rest.into_iter().map(|chance| chance.min(ONE)).collect()
}

/// Per number of draws up to `size` from `all` experts of which `here` are here: the probabilities that
/// none, one, two, ... of them fall here. Empty for more draws than there are experts.
fn falls(all: usize, here: usize, size: usize) -> Vec<Vec<u64>> {
    let mut tables = vec![vec![ONE]];
    for drawn in 0..size.min(all) {
        let last = &tables[drawn];
        let most = here.min(drawn + 1);
        let mut next = vec![0_u64; most + 1];
        for (j, &chance) in last.iter().enumerate() {
            let elsewhere = (all - here).saturating_sub(drawn - j);
            if j < most {
                next[j + 1] += share(chance, here - j, all - drawn);
            }
            if let Some(same) = next.get_mut(j) {
                *same += share(chance, elsewhere, all - drawn);
            }
        }
        tables.push(next);
    }
    tables
}

fn times(a: u64, b: u64) -> u64 {
    u64::try_from((u128::from(a) * u128::from(b)) >> 62).unwrap_or(u64::MAX)
}

fn share(chance: u64, part: usize, whole: usize) -> u64 {
    let (part, whole) = (u128::try_from(part).unwrap_or(0), u128::try_from(whole).unwrap_or(1));
    u64::try_from(u128::from(chance) * part / whole.max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(experts: usize, busy_ps: &[u64]) -> Count {
        Count { experts, busy_ps: busy_ps.to_vec() }
    }

    fn rounded(scaled: u128) -> u64 {
        u64::try_from((scaled + u128::from(ONE / 2)) / u128::from(ONE)).unwrap()
    }

    /// Two of eight on two equal devices, four each: of 28 pairs 16 have one on each, 12 two on one.
    #[test]
    fn two_equal_devices_by_hand() {
        let both = [count(4, &[0, 28, 56]), count(4, &[0, 28, 56])];
        assert_eq!(rounded(expected_maxima(&both, 8, 2)[2]), 16 + 24);
        assert_eq!(rounded(expected_sums(&both, 8, 2)[2]), 56);
    }

    /// Three and five: 15 pairs have one on each, 3 are on the three, 10 on the five; the first device takes
    /// twice as long.
    #[test]
    fn uneven_devices_by_hand() {
        let both = [count(3, &[0, 56, 112]), count(5, &[0, 28, 56])];
        assert_eq!(rounded(expected_maxima(&both, 8, 2)[2]), (15 * 56 + 3 * 112 + 10 * 56) / 28);
    }

    #[test]
    fn probabilities_of_a_draw_sum_to_one() {
        for (all, here, size) in [(8, 4, 2), (256, 32, 8), (5, 5, 3), (6, 0, 4), (4, 3, 4)] {
            for (draws, table) in falls(all, here, size).iter().enumerate() {
                let sum: u64 = table.iter().sum();
                assert!(ONE - sum <= 1 << 10, "{all} {here} {draws}: {sum}");
            }
        }
    }
}
