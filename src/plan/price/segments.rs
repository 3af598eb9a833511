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
        Some(Self { radix, sizes, fewest })
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
        let digits = self.radix.iter().zip(&self.sizes);
        let mut all = digits.map(|(radix, size)| (state / radix % size, step / radix % size, size));
        all.all(|(here, more, size)| here + more < *size)
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
