//! The sum over devices, and how much work a certificate may ask for.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::Work;
use super::device::{Device, NEVER};
use super::leaf::Terms;
use super::segments::Segments;
use crate::error::Error;

/// The least sum of contributions over all ways to share the tracked classes among the devices, all members
/// placed; everything else each device chooses for itself.
///
/// The table says for each count of the tracked classes what the devices so far make of it at least. One
/// device after the other, each count is the best of: what the device holds, and the table's figure for
/// the rest.
pub(super) fn shared(
    terms: &Terms<'_>,
    devices: BTreeMap<Device, usize>,
    work: &mut Work,
) -> Result<i128, Error> {
    let totals: Vec<i64> = terms.tracked.iter().map(|&c| terms.kinds.classes[c].count).collect();
    let radix: Vec<(i64, i64)> = totals.iter().map(|&n| (0, n)).collect();
    let states = Work::entries(combinations(&radix), 2)?;
    let segments = Segments::of(terms, work)?;
    let mut table = vec![NEVER; states];
    table[0] = 0;
    for (device, count) in devices {
        let ranges: Vec<(i64, i64)> = terms.tracked.iter().map(|&c| device.bounds[c]).collect();
        let patterns = Work::entries(combinations(&ranges), 8)?;
        work.spend(u128::try_from(patterns).unwrap_or(u128::MAX), tries(terms, &device))?;
        let least = |index: usize| {
            let counts = digits(index, &ranges);
            let fixed: Vec<_> = terms.tracked.iter().copied().zip(counts.iter().copied()).collect();
            let least = terms.least(&device, &fixed);
            // Instead of one change for being visited, one for every run that it takes.
            let more = segments.as_ref().filter(|_| least < NEVER).map_or(0, |segments| {
                let runs = segments.runs(&fixed, terms.embedding);
                terms.hand_over * runs - terms.visits(&fixed)
            });
            (position(&counts, &totals), counts, least + more)
        };
        let mut held: Vec<_> = (0..patterns).into_par_iter().map(least).collect();
        held.retain(|(_, _, least)| *least < NEVER);
        work.spend(wide(held.len()) * wide(states), wide(count))?;
        for _ in 0..count {
            let best = |state: usize| {
                let counts = digits(state, &radix);
                let fits = |taken: &[i64]| taken.iter().zip(&counts).all(|(t, n)| t <= n);
                let held = held.iter().filter(|(_, taken, _)| fits(taken));
                held.map(|&(at, _, least)| table[state - at] + least).min().unwrap_or(NEVER)
            };
            table = (0..states).into_par_iter().map(best).collect();
        }
    }
    Ok(table[states - 1])
}

/// How many steps a device takes at most to find its least contribution: so many counts of its open classes,
/// a look at every class for each, and where sends are shared at every number of the last one.
pub(super) fn tries(terms: &Terms<'_>, device: &Device) -> u128 {
    let range = |&class: &usize| device.bounds[class];
    let last = terms.last.filter(|_| terms.gathered.is_some()).map(|class| range(&class));
    let each = combinations(last.as_slice()).max(1).saturating_add(wide(device.bounds.len()));
    combinations(&terms.open.iter().map(range).collect::<Vec<_>>()).saturating_mul(each)
}

/// How many choices of one number from each range there are; saturated.
fn combinations(ranges: &[(i64, i64)]) -> u128 {
    let size =
        |&(least, most): &(i64, i64)| u128::try_from(i128::from(most) - i128::from(least) + 1);
    ranges.iter().map(|range| size(range).unwrap_or(0)).fold(1, u128::saturating_mul)
}

/// The choice of this index, the last range turning fastest.
fn digits(index: usize, ranges: &[(i64, i64)]) -> Vec<i64> {
    let mut rest = i64::try_from(index).unwrap_or(i64::MAX);
    let mut digits = vec![0; ranges.len()];
    for (digit, (least, most)) in digits.iter_mut().zip(ranges).rev() {
        let size = most - least + 1;
        *digit = least + rest % size;
        rest /= size;
    }
    digits
}

/// The index of these counts among all up to `totals`.
fn position(counts: &[i64], totals: &[i64]) -> usize {
    let place = counts.iter().zip(totals).fold(0, |place, (n, total)| place * (total + 1) + n);
    usize::try_from(place).unwrap_or(usize::MAX)
}

pub(super) fn wide(number: usize) -> u128 {
    u128::try_from(number).unwrap_or(u128::MAX)
}
