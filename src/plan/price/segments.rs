//! How many runs of consecutive layers it takes, at least, to be home to so many layers of each class.

use super::market::{Market, number};

/// Counts of homes per class as one number, and the fewest runs for each.
#[derive(Debug)]
pub(super) struct Segments {
    /// What one layer of a class adds to a state.
    pub(super) radix: Vec<usize>,
    sizes: Vec<usize>,
    /// Per state; `u32::MAX` for none, which does not occur among counts up to the totals.
    fewest: Vec<u32>,
}

/// States times layers that are affordable.
const WORK_MAX: usize = 20_000_000;

impl Segments {
    /// `None` when there are too many counts.
    pub(super) fn of(market: &Market) -> Option<Self> {
        let mut sizes = Vec::new();
        for home in &market.homes {
            sizes.push(usize::try_from(home.total).ok()? + 1);
        }
        let mut radix = vec![1_usize];
        for size in &sizes {
            radix.push(radix.last()?.checked_mul(*size)?);
        }
        let states = radix.pop()?;
        if states.saturating_mul(market.layers.len()) > WORK_MAX {
            return None;
        }
        let fewest = fewest(market, &radix, states);
        Some(Self { radix, sizes, fewest })
    }

    pub(super) fn states(&self) -> usize {
        self.fewest.len()
    }

    pub(super) fn state(&self, homes: &[u64]) -> usize {
        let counts = homes.iter().map(|&n| usize::try_from(n).unwrap_or(usize::MAX));
        counts.zip(&self.radix).map(|(count, radix)| count * radix).sum()
    }

    /// The fewest runs that are home to these.
    pub(super) fn runs(&self, homes: &[u64]) -> i64 {
        i64::from(self.fewest[self.state(homes)])
    }

    /// Whether `step` can be added to `state` without exceeding a total.
    pub(super) fn fits(&self, state: usize, step: usize) -> bool {
        let digits = self.radix.iter().zip(&self.sizes);
        let mut all = digits.map(|(radix, size)| (state / radix % size, step / radix % size, size));
        all.all(|(here, more, size)| here + more < *size)
    }

    /// The homes a state stands for.
    pub(super) fn homes(&self, state: usize) -> Vec<u64> {
        let digits = self.radix.iter().zip(&self.sizes);
        digits.map(|(radix, size)| number(state / radix % size)).collect()
    }
}

/// Layer by layer: taken into a run that goes on, into a new one, or left out.
fn fewest(market: &Market, radix: &[usize], states: usize) -> Vec<u32> {
    let mut outside = vec![u32::MAX; states];
    let mut inside = vec![u32::MAX; states];
    outside[0] = 0;
    for &class in &market.layers {
        let mut taken = vec![u32::MAX; states];
        for state in 0..states.saturating_sub(radix[class]) {
            let fewest = inside[state].min(outside[state].saturating_add(1));
            if fewest < u32::MAX {
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
