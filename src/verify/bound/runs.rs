//! Placements in which every device is home to one run of consecutive layers at most, hand-over by
//! hand-over.
//!
//! The runs follow each other front to back, each on a device of its own, so there is exactly one hand-over
//! between two of them, one before the first unless the embedding is with it, and one after the last unless
//! the head is with it. The table says, for so many layers done and so many devices taken of each group of
//! equal ones, what these devices make of it at least.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::Work;
use super::device::{Device, NEVER};
use super::leaf::Terms;
use super::table::{tries, wide};
use crate::error::Error;

/// Of a state to which no runs lead.
const UNREACHED: i128 = i128::MAX;

/// How a device can be taken: layers `from..to`, embedding here, head here.
type Taken = (usize, usize, bool, bool);

/// Equal devices: how many, what each contributes when not taken, and when taken.
struct Group {
    count: usize,
    idle: i128,
    taken: BTreeMap<Taken, i128>,
}

/// The least sum of contributions and hand-overs.
pub(super) fn single_runs(
    terms: &Terms<'_>,
    devices: BTreeMap<Device, usize>,
    work: &mut Work,
) -> Result<i128, Error> {
    let layers = terms.kinds.layers.len();
    let ways = wide(layers + 1).saturating_mul(wide(layers + 1)) * 2;
    Work::entries(ways.saturating_mul(wide(devices.len())), 8)?;
    let groups = devices
        .into_iter()
        .map(|(device, count)| Group::of(terms, &device, count, work))
        .collect::<Result<Vec<_>, Error>>()?;
    let sets = groups.iter().fold(1, |sets: u128, g| sets.saturating_mul(wide(g.count) + 1));
    let states = Work::entries(sets.saturating_mul(4 * wide(layers + 1)), 1)?;
    let sets = states / (4 * (layers + 1));
    let choices: usize = groups.iter().map(|group| group.taken.len()).sum();
    work.spend(wide(sets) * 4, wide(choices))?;
    // Both bits: what of embedding and head has its place. What there is not needs none.
    let nothing_to_place =
        usize::from(terms.embedding.is_none()) + 2 * usize::from(terms.head.is_none());
    let mut table = vec![UNREACHED; states];
    table[nothing_to_place] = 0;
    for from in 0..=layers {
        for set in 0..sets {
            for placed in 0..4 {
                let so_far = table[(from * sets + set) * 4 + placed];
                if so_far == UNREACHED {
                    continue;
                }
                let mut stride = 1;
                for group in &groups {
                    let free = set / stride % (group.count + 1) < group.count;
                    let starting = (from, 0, false, false)..(from + 1, 0, false, false);
                    for (&(_, to, embedding, head), &least) in group.taken.range(starting) {
                        let places = usize::from(embedding) + 2 * usize::from(head);
                        if !free || placed & places != 0 {
                            continue;
                        }
                        let sum = so_far + least - group.idle;
                        let next = &mut table[(to * sets + set + stride) * 4 + (placed | places)];
                        *next = sum.min(*next);
                    }
                    stride *= group.count + 1;
                }
            }
        }
    }
    let idle: i128 = groups.iter().map(|g| i128::try_from(g.count).unwrap_or(0) * g.idle).sum();
    let done = table[layers * sets * 4..].iter().skip(3).step_by(4).min();
    let done = done.copied().filter(|done| *done != UNREACHED);
    Ok(done.map_or(NEVER, |done| done + idle))
}

impl Group {
    fn of(
        terms: &Terms<'_>,
        device: &Device,
        count: usize,
        work: &mut Work,
    ) -> Result<Self, Error> {
        let layers = terms.kinds.layers.len();
        let mut least: BTreeMap<Vec<(usize, i64)>, i128> = BTreeMap::new();
        let ways: Vec<Taken> = ways_to_take(terms, layers);
        let idle = counts(terms, (0, 0, false, false));
        let all = ways.iter().map(|&taken| counts(terms, taken)).chain([idle.clone()]);
        least.extend(all.map(|counts| (counts, NEVER)));
        work.spend(wide(least.len()), tries(terms, device))?;
        least.par_iter_mut().for_each(|(counts, least)| *least = terms.least(device, counts));
        let of = |taken: &Taken| least[&counts(terms, *taken)];
        let taken = ways.iter().filter(|taken| of(taken) < NEVER);
        let taken = taken.map(|taken| (*taken, of(taken) + hand_overs(terms, *taken))).collect();
        Ok(Self { count, idle: least[&idle], taken })
    }
}

/// Every run with or without the ends, and, when all layers are done, the ends alone.
fn ways_to_take(terms: &Terms<'_>, layers: usize) -> Vec<Taken> {
    let embeddings = if terms.embedding.is_some() { &[false, true][..] } else { &[false] };
    let heads = if terms.head.is_some() { &[false, true][..] } else { &[false] };
    let ends = || embeddings.iter().flat_map(|&e| heads.iter().map(move |&h| (e, h)));
    let runs = (0..layers).flat_map(|from| (from + 1..=layers).map(move |to| (from, to)));
    let runs = runs.flat_map(|(from, to)| ends().map(move |(e, h)| (from, to, e, h)));
    let ends_alone = ends().filter(|&(e, h)| e || h).map(|(e, h)| (layers, layers, e, h));
    runs.chain(ends_alone).collect()
}

/// What a device so taken holds of every class that is not an item.
fn counts(terms: &Terms<'_>, (from, to, embedding, head): Taken) -> Vec<(usize, i64)> {
    let mut counts: Vec<(usize, i64)> = terms.kinds.homes().map(|class| (class, 0)).collect();
    for layer in &terms.kinds.layers[from..to] {
        if let Some((_, n)) = counts.iter_mut().find(|(class, _)| class == layer) {
            *n += 1;
        }
    }
    counts.extend(terms.embedding.map(|class| (class, i64::from(embedding))));
    counts.extend(terms.head.map(|class| (class, i64::from(head))));
    counts
}

/// The hand-over to a run, and the one from the last run to the head. (An embedding or head alone on a
/// device pays nothing here: the first and the last run pay for not being with it.)
fn hand_overs(terms: &Terms<'_>, (from, to, embedding, head): Taken) -> i128 {
    if from == to {
        return 0;
    }
    let head_here = if terms.kinds.head_is_embedding { embedding } else { head };
    let has_head = terms.kinds.head_is_embedding || terms.head.is_some();
    let before = if from == 0 { terms.embedding.is_some() && !embedding } else { true };
    let after = to == terms.kinds.layers.len() && has_head && !head_here;
    terms.hand_over * (i128::from(before) + i128::from(after))
}
