//! The exact optimum where devices are as good as each other: a shortest path over partitions.
//!
//! Crossings do not change when the devices of a layer are renamed together with those of all others, and
//! between two layers only which groups meet counts. So a layer's states are its partitions into groups of
//! equal size that have no names (35, 105 and 1 for eight experts on two, four and eight devices), an edge
//! costs the best way to put the groups of the one upon those of the other, an assignment problem, and names
//! follow from the first layer on.

use rayon::prelude::*;

use super::assign::assign;
use super::chain::{Arrangement, Chain, Layer};

/// No layer may have more states.
const STATES_MAX: usize = 20_000;

/// The group of every expert.
type Partition = Vec<usize>;

/// The fewest crossing pairs of all arrangements, and one that has them; `None` when it takes more than
/// `work_max` elementary steps, or not every expert may be everywhere.
pub(super) fn shortest(chain: &Chain, work_max: u64) -> Option<Arrangement> {
    if !chain.is_free() || chain.pairs.len() + 1 != chain.layers.len() {
        return None;
    }
    let states: Vec<Vec<Partition>> =
        chain.layers.iter().map(|layer| partitions(layer, chain.devices)).collect::<Option<_>>()?;
    if work(chain, &states) > work_max {
        return None;
    }
    // Per state the most pairs kept together up to there, and the state before it.
    let mut kept: Vec<u64> = vec![0; states[0].len()];
    let mut before: Vec<Vec<usize>> = Vec::new();
    for (l, ends) in states.windows(2).enumerate() {
        let meets: Vec<Meet> =
            ends[0].iter().map(|state| Meet::of(chain, l, state)).collect::<Option<_>>()?;
        let best = |state: &Partition| {
            let mut best: Option<(usize, u64)> = None;
            for (from, (meet, kept)) in meets.iter().zip(&kept).enumerate() {
                let together = meet.together(state);
                // The first of the best, so that the answer does not depend on threads.
                if best.is_some_and(|(_, most)| kept + meet.at_most(&together) <= most) {
                    continue;
                }
                let reached = kept + meet.put_upon(&together).0;
                if best.is_none_or(|(_, most)| reached > most) {
                    best = Some((from, reached));
                }
            }
            best
        };
        let found: Vec<(usize, u64)> = ends[1].par_iter().map(best).collect::<Option<_>>()?;
        kept = found.iter().map(|&(_, kept)| kept).collect();
        before.push(found.into_iter().map(|(from, _)| from).collect());
    }
    let last = (0..kept.len()).max_by_key(|&s| (kept[s], std::cmp::Reverse(s)))?;
    named(chain, &states, &trace(&before, last))
}

/// The state of every layer on the way to the last.
fn trace(before: &[Vec<usize>], last: usize) -> Vec<usize> {
    let mut path = vec![last];
    for from in before.iter().rev() {
        path.push(from[path[path.len() - 1]]);
    }
    path.reverse();
    path
}

/// Groups get the names of devices, from the first layer on.
fn named(chain: &Chain, states: &[Vec<Partition>], path: &[usize]) -> Option<Arrangement> {
    let mut arrangement: Arrangement = vec![states[0][path[0]].clone()];
    for l in 1..path.len() {
        let next = &states[l][path[l]];
        // Device names of the layer before are groups as good as any.
        let meet = Meet::of(chain, l - 1, &arrangement[l - 1])?;
        let (_, names) = meet.put_upon(&meet.together(next));
        arrangement.push(next.iter().map(|&group| names[group]).collect());
    }
    Some(arrangement)
}

fn work(chain: &Chain, states: &[Vec<Partition>]) -> u64 {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let devices = count(chain.devices);
    let matched = if chain.devices <= 2 { 4 } else { devices.saturating_pow(3) };
    let between = |(ends, layer): (&[Vec<Partition>], &Layer)| {
        let edges = count(ends[0].len()).saturating_mul(count(ends[1].len()));
        edges.saturating_mul(count(layer.len()) * devices + matched)
    };
    states.windows(2).zip(&chain.layers[1..]).map(between).fold(0, u64::saturating_add)
}

/// A layer's groups, and what each of them has in common with every expert of the next layer.
struct Meet {
    devices: usize,
    /// By group, then by expert of the next layer.
    with: Vec<Vec<u64>>,
}

impl Meet {
    fn of(chain: &Chain, l: usize, groups: &[usize]) -> Option<Self> {
        let counts = chain.after(l)?;
        let mut with = vec![vec![0; chain.layers[l + 1].len()]; chain.devices];
        for (row, &group) in counts.iter().zip(groups) {
            for (sum, count) in with[group].iter_mut().zip(row) {
                *sum += count;
            }
        }
        Some(Self { devices: chain.devices, with })
    }

    /// By group of `next` and group of these: pairs that stay together when the one is put upon the other.
    fn together(&self, next: &[usize]) -> Vec<u64> {
        let mut together = vec![0_u64; self.devices * self.devices];
        for (here, with) in self.with.iter().enumerate() {
            for (&group, count) in next.iter().zip(with) {
                together[group * self.devices + here] += count;
            }
        }
        together
    }

    /// No way to put groups upon groups keeps more together.
    fn at_most(&self, together: &[u64]) -> u64 {
        together.chunks(self.devices).filter_map(|row| row.iter().max()).sum()
    }

    /// The most pairs that stay together, and per group of the next layer the one it is put upon.
    fn put_upon(&self, together: &[u64]) -> (u64, Vec<usize>) {
        let at = |group: usize, here: usize| together[group * self.devices + here];
        let names = if self.devices == 2 {
            let straight = at(0, 0) + at(1, 1) >= at(0, 1) + at(1, 0);
            if straight { vec![0, 1] } else { vec![1, 0] }
        } else {
            let cost = |group, here| -i64::try_from(at(group, here)).unwrap_or(i64::MAX);
            assign(self.devices, &cost).unwrap_or_else(|| (0..self.devices).collect())
        };
        (names.iter().enumerate().map(|(group, &here)| at(group, here)).sum(), names)
    }
}

/// Every way to divide a layer into groups without names, each once: groups are numbered in the order of
/// their first experts.
fn partitions(layer: &Layer, devices: usize) -> Option<Vec<Partition>> {
    let mut found = Vec::new();
    let mut partial = Partial { layer, devices, groups: Vec::new(), sizes: vec![0; devices] };
    partial.extend(&mut found).then_some(found)
}

struct Partial<'a> {
    layer: &'a Layer,
    devices: usize,
    groups: Partition,
    sizes: Vec<usize>,
}

impl Partial<'_> {
    /// Whether there are few enough.
    fn extend(&mut self, found: &mut Vec<Partition>) -> bool {
        if self.groups.len() == self.layer.len() {
            found.push(self.groups.clone());
            return found.len() <= STATES_MAX;
        }
        let open = self.sizes.iter().take_while(|&&size| size > 0).count();
        for group in 0..(open + 1).min(self.devices) {
            if !self.has_room(group) {
                continue;
            }
            self.groups.push(group);
            self.sizes[group] += 1;
            let few = self.extend(found);
            self.sizes[group] -= 1;
            self.groups.pop();
            if !few {
                return false;
            }
        }
        true
    }

    /// Whether one more leaves room for a full division.
    fn has_room(&self, group: usize) -> bool {
        let Layer { least, most, .. } = *self.layer;
        let fuller = self.sizes.iter().filter(|&&size| size > least).count();
        let size = self.sizes[group];
        size < least || (size < most && fuller < self.layer.fuller(self.devices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::DeviceSet;

    fn count(experts: usize, devices: usize) -> usize {
        let layer = Layer {
            components: (0..experts).collect(),
            allowed: vec![DeviceSet::first(devices); experts],
            least: experts / devices,
            most: experts.div_ceil(devices),
        };
        partitions(&layer, devices).unwrap().len()
    }

    /// n! over the factorials of the sizes, and of how many groups there are of each.
    #[test]
    fn there_are_as_many_partitions_as_can_be_counted() {
        assert_eq!([2, 4, 8].map(|devices| count(8, devices)), [35, 105, 1]);
        assert_eq!(count(8, 3), 40_320 / (6 * 6 * 2) / 2);
        assert_eq!(count(5, 2), 10);
        assert_eq!(count(3, 5), 1);
        assert_eq!(count(7, 1), 1);
    }
}
