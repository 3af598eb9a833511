//! How many runs of the chain it takes, at least, to hold so many homes of each class and the chain's ends.

use super::market::{Ends, Market, number};

/// Counts of homes per class, and the ends, as one number, and the fewest runs for each.
#[derive(Debug)]
pub(super) struct Segments {
    /// What one layer of a class adds to a state; after the classes, the embedding and the head.
    radix: Vec<usize>,
    sizes: Vec<usize>,
    /// Per state; `u32::MAX` for none, which does not occur among counts up to the totals.
    fewest: Vec<u32>,
    fields: Fields,
}

/// The counts of every state side by side in one word, each below a bit of its own that is left free: whether
/// one state can be added to another is one subtraction.
#[derive(Debug)]
struct Fields {
    /// Per state.
    packed: Vec<u128>,
    /// The totals, with all free bits set.
    full: u128,
    free: u128,
}

impl Fields {
    /// `None` when a word is too short.
    fn of(radix: &[usize], sizes: &[usize], states: usize) -> Option<Self> {
        let (mut shifts, mut full, mut free, mut used) = (Vec::new(), 0, 0, 0_u32);
        for &size in sizes {
            let total = size - 1;
            let bits = usize::BITS - total.leading_zeros();
            shifts.push(used);
            if used + bits + 1 > u128::BITS {
                return None;
            }
            full |= u128::try_from(total).ok()? << used;
            free |= 1_u128 << (used + bits);
            used += bits + 1;
        }
        let word = |state: usize| {
            let digits = radix.iter().zip(sizes).map(|(radix, size)| state / radix % size);
            let fields = digits
                .zip(&shifts)
                .map(|(digit, shift)| u128::try_from(digit).unwrap_or(0) << shift);
            fields.sum()
        };
        Some(Self { packed: (0..states).map(word).collect(), full: full | free, free })
    }

    /// A field that is exceeded borrows the bit above it.
    fn fits(&self, state: usize, step: usize) -> bool {
        (self.full - self.packed[state] - self.packed[step]) & self.free == self.free
    }
}

/// States times layers that are affordable.
const WORK_MAX: usize = 40_000_000;

impl Segments {
    /// `None` when there are too many counts.
    pub(super) fn of(market: &Market) -> Option<Self> {
        let mut sizes = Vec::new();
        for home in &market.homes {
            sizes.push(usize::try_from(home.total).ok()? + 1);
        }
        sizes.extend([2, 2]);
        let mut radix = vec![1_usize];
        for size in &sizes {
            radix.push(radix.last()?.checked_mul(*size)?);
        }
        let states = radix.pop()?;
        if states.saturating_mul(market.layers.len()) > WORK_MAX {
            return None;
        }
        // The chain: the embedding, the layers, the head, each a class of its own or a layer's.
        let ends = (sizes.len() - 2, sizes.len() - 1);
        let embedding = market.embedding.map(|_| ends.0);
        let chain: Vec<usize> =
            embedding.into_iter().chain(market.layers.iter().copied()).chain([ends.1]).collect();
        let fewest = fewest(&chain, &radix, &sizes, states);
        let fields = Fields::of(&radix, &sizes, states)?;
        Some(Self { radix, sizes, fewest, fields })
    }

    pub(super) fn states(&self) -> usize {
        self.fewest.len()
    }

    pub(super) fn state(&self, homes: &[u64], ends: Ends) -> usize {
        let counts = homes.iter().map(|&n| usize::try_from(n).unwrap_or(usize::MAX));
        let counts = counts.chain([usize::from(ends.embedding), usize::from(ends.head)]);
        counts.zip(&self.radix).map(|(count, radix)| count * radix).sum()
    }

    /// The fewest runs of the chain that a state needs.
    pub(super) fn runs(&self, state: usize) -> i64 {
        i64::from(self.fewest[state])
    }

    /// Whether `step` can be added to `state` without exceeding a total.
    pub(super) fn fits(&self, state: usize, step: usize) -> bool {
        self.fields.fits(state, step)
    }

    /// The state in which everything is placed.
    pub(super) fn all(&self, market: &Market) -> usize {
        let homes: Vec<u64> = market.homes.iter().map(|home| home.total).collect();
        self.state(&homes, Ends { embedding: market.embedding.is_some(), head: true })
    }

    /// The homes a state stands for, and the ends.
    pub(super) fn homes(&self, state: usize) -> Vec<u64> {
        let digits = self.radix.iter().zip(&self.sizes);
        digits.map(|(radix, size)| number(state / radix % size)).collect()
    }
}

/// Link by link: taken into a run that goes on, into a new one, or left out.
fn fewest(chain: &[usize], radix: &[usize], sizes: &[usize], states: usize) -> Vec<u32> {
    let mut outside = vec![u32::MAX; states];
    let mut inside = vec![u32::MAX; states];
    outside[0] = 0;
    for &class in chain {
        let mut taken = vec![u32::MAX; states];
        for state in 0..states - radix[class] {
            let fewest = inside[state].min(outside[state].saturating_add(1));
            if fewest < u32::MAX && state / radix[class] % sizes[class] + 1 < sizes[class] {
                taken[state + radix[class]] = fewest;
            }
        }
        for (outside, inside) in outside.iter_mut().zip(&inside) {
            *outside = (*outside).min(*inside);
        }
        inside = taken;
    }
    outside.iter().zip(&inside).map(|(outside, inside)| *outside.min(inside)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_fits_where_no_total_is_exceeded() {
        let (radix, sizes) = ([1, 4, 4, 20], [4, 1, 5, 2]);
        let states = 40;
        let fields = Fields::of(&radix, &sizes, states).expect("a few bits");
        let digit = |state: usize, at: usize| state / radix[at] % sizes[at];
        for (state, step) in (0..states).flat_map(|a| (0..states).map(move |b| (a, b))) {
            let fits = (0..4).all(|at| digit(state, at) + digit(step, at) < sizes[at]);
            assert_eq!(fields.fits(state, step), fits, "{state} and {step}");
        }
    }
}
