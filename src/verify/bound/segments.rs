//! How many runs of the chain a device needs for what it holds of it.
//!
//! The chain is the embedding, the layers' homes front to back, and the head. A device that holds so many
//! homes of each class, and these ends, holds them in some number of runs of consecutive links; the chain
//! has one change less than all runs of all devices together. The fewest runs that any choice of links
//! with these counts allows is a lower bound for each device by itself, so the sum of them is one for all.

use super::Work;
use super::kinds::Kinds;
use super::leaf::{Terms, Walk};
use super::table::wide;
use crate::error::Error;

/// The fewest runs, by counts.
pub(super) struct Segments {
    /// Per class of the problem, its digit, if it is on the chain.
    digit: Vec<Option<usize>>,
    sizes: Vec<usize>,
    fewest: Vec<u32>,
    /// The digit of a head that is the embedding, which has no class of its own.
    tied: bool,
}

impl Segments {
    /// `None` where hand-overs do not count, or some of the chain is not tracked.
    pub(super) fn of(terms: &Terms<'_>, work: &mut Work) -> Result<Option<Self>, Error> {
        let kinds = terms.kinds;
        let on_chain: Vec<usize> = kinds.homes().chain(terms.embedding).chain(terms.head).collect();
        let all_tracked = on_chain.iter().all(|class| terms.tracked.contains(class));
        if terms.walk != Walk::Any || terms.hand_over == 0 || !all_tracked {
            return Ok(None);
        }
        let mut digit = vec![None; kinds.classes.len()];
        let mut sizes = Vec::new();
        for class in on_chain {
            digit[class] = Some(sizes.len());
            sizes.push(usize::try_from(kinds.classes[class].count).unwrap_or(usize::MAX - 1) + 1);
        }
        let tied = kinds.head_is_embedding && terms.embedding.is_some();
        if tied {
            sizes.push(2);
        }
        let states = sizes.iter().fold(1, |all: u128, &size| all.saturating_mul(wide(size)));
        let states = Work::entries(states, 1)?;
        let chain = chain(kinds, terms, &digit, tied.then(|| sizes.len() - 1));
        work.spend(wide(states), 4 * wide(chain.len()))?;
        Ok(Some(Self { digit, fewest: fewest(&chain, &sizes, states), sizes, tied }))
    }

    /// The fewest runs for these counts per class.
    pub(super) fn runs(&self, counts: &[(usize, i64)], embedding: Option<usize>) -> i128 {
        let mut digits = vec![0; self.sizes.len()];
        for &(class, n) in counts {
            let n = usize::try_from(n).unwrap_or(0);
            if let Some(digit) = self.digit[class] {
                digits[digit] = n;
            }
            if self.tied && Some(class) == embedding {
                digits[self.sizes.len() - 1] = n;
            }
        }
        let place = digits.iter().zip(&self.sizes).rev();
        let place = place.fold(0, |place, (digit, size)| place * size + digit);
        i128::from(self.fewest[place])
    }
}

/// The chain as digits, one per link.
fn chain(
    kinds: &Kinds,
    terms: &Terms<'_>,
    digit: &[Option<usize>],
    tied: Option<usize>,
) -> Vec<usize> {
    let of = |class: usize| digit[class];
    let front = terms.embedding.and_then(of);
    let back = terms.head.and_then(of).or(tied);
    let layers = kinds.layers.iter().filter_map(|&class| of(class));
    front.into_iter().chain(layers).chain(back).collect()
}

/// Link after link: each is left out, or taken into a run, which costs one unless the link before it was
/// taken too.
fn fewest(chain: &[usize], sizes: &[usize], states: usize) -> Vec<u32> {
    let strides: Vec<usize> = sizes
        .iter()
        .scan(1, |stride, size| {
            let here = *stride;
            *stride *= size;
            Some(here)
        })
        .collect();
    // By counts so far: the fewest runs when the last link was left out, and when it was taken.
    let mut left_out = vec![u32::MAX; states];
    let mut taken = vec![u32::MAX; states];
    left_out[0] = 0;
    for &link in chain {
        let mut next_taken = vec![u32::MAX; states];
        for state in 0..states {
            let full = state / strides[link] % sizes[link] + 1 == sizes[link];
            if !full {
                let runs = taken[state].min(left_out[state].saturating_add(1));
                next_taken[state + strides[link]] = runs;
            }
        }
        for (out, taken) in left_out.iter_mut().zip(&taken) {
            *out = (*out).min(*taken);
        }
        taken = next_taken;
    }
    left_out.iter().zip(&taken).map(|(out, taken)| *out.min(taken)).collect()
}
