//! The exact optimum where devices differ: a shortest path over named assignments, with memory as a resource.
//!
//! A layer's states are its divisions among devices with names. A label of a state is a way to get there: the
//! pairs it lost and the bytes each device has so far. One that is no better in anything than another is
//! dropped; where memory cannot bind, only the pairs count, and every state keeps one.

use super::Within;
use super::chain::{Arrangement, Chain, Layer};
use super::rooms::{Item, Rooms};
use crate::units::Ratio;

/// No layer may have more states.
const STATES_MAX: usize = 20_000;

/// Nodes of the tree in which they are listed.
const LISTED_MAX: usize = 400_000;

/// What is sought among the arrangements within the caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal<'a> {
    /// The fewest pairs apart.
    Crossings,
    /// The lowest peak over these capacities.
    Peak(&'a [u64]),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The best there is.
    Best(Arrangement),
    /// Proven: there is none.
    None,
    /// It would take too long.
    TooMany,
}

#[derive(Clone, Debug)]
struct Label {
    crossing: u64,
    /// Per device, the weights of its experts so far, then what it holds beside them; empty where memory
    /// cannot bind.
    loads: Vec<u64>,
    /// The label it came from, in the layer before.
    from: usize,
}

/// The best arrangement within the caps; `memory` says whether bytes are looked at at all.
pub(super) fn best(
    chain: &Chain,
    rooms: &Rooms,
    within: &Within,
    goal: Goal<'_>,
    memory: bool,
    work_max: u64,
) -> Found {
    let listed: Option<Vec<Vec<Vec<usize>>>> =
        chain.layers.iter().map(|layer| assignments(layer, chain.devices)).collect();
    let Some(states) = listed else { return Found::TooMany };
    let mut walk = Walk { chain, rooms, within, memory, work_left: work_max };
    let mut layers: Vec<Vec<(usize, Label)>> = Vec::new();
    for l in 0..states.len() {
        let Some(labels) = walk.step(l, &states, layers.last()) else { return Found::TooMany };
        if labels.is_empty() {
            return Found::None;
        }
        layers.push(labels);
    }
    let Some(last) = layers.last() else { return Found::None };
    let rank = |label: &Label| match goal {
        Goal::Crossings => (Ratio::new(label.crossing, 1), 0),
        Goal::Peak(capacities) => (walk.peak(label, capacities), label.crossing),
    };
    let chosen = (0..last.len()).min_by_key(|&at| (rank(&last[at].1), at));
    chosen.map_or(Found::None, |at| Found::Best(trace(&states, &layers, at)))
}

fn trace(states: &[Vec<Vec<usize>>], layers: &[Vec<(usize, Label)>], last: usize) -> Arrangement {
    let mut arrangement = Arrangement::new();
    let mut at = last;
    for (states, labels) in states.iter().zip(layers).rev() {
        let (state, label) = &labels[at];
        arrangement.push(states[*state].clone());
        at = label.from;
    }
    arrangement.reverse();
    arrangement
}

struct Walk<'a> {
    chain: &'a Chain,
    rooms: &'a Rooms,
    within: &'a Within,
    memory: bool,
    work_left: u64,
}

impl Walk<'_> {
    /// The labels of a layer, by state; `None` when the work is used up.
    fn step(
        &mut self,
        l: usize,
        states: &[Vec<Vec<usize>>],
        before: Option<&Vec<(usize, Label)>>,
    ) -> Option<Vec<(usize, Label)>> {
        let items = &self.rooms.items[l];
        let mut fronts: Vec<Vec<Label>> = vec![Vec::new(); states[l].len()];
        let start = (usize::MAX, self.start());
        let begin = [start];
        let reached: &[(usize, Label)] = before.map_or(&begin, Vec::as_slice);
        let mut with: Option<(usize, Vec<Vec<u64>>)> = None;
        for (from, (state, label)) in reached.iter().enumerate() {
            if with.as_ref().is_none_or(|(known, _)| known != state) {
                let counts = l.checked_sub(1).and_then(|l| self.chain.after(l));
                let devices = l.checked_sub(1).map(|l| states[l][*state].as_slice());
                let lost = lost(self.chain, counts, devices, items.len());
                with = Some((*state, lost));
            }
            let Some((_, lost)) = &with else { continue };
            for (next, front) in states[l].iter().zip(&mut fronts) {
                let steps = items.len() + front.len() * label.loads.len().max(1);
                self.work_left = self.work_left.checked_sub(u64::try_from(steps).ok()?)?;
                if let Some(longer) = self.longer(label, from, next, lost, items) {
                    keep(front, longer);
                }
            }
        }
        let labels = fronts.into_iter().enumerate();
        Some(labels.flat_map(|(s, front)| front.into_iter().map(move |label| (s, label))).collect())
    }

    fn start(&self) -> Label {
        let devices = self.chain.devices;
        let transient = std::iter::repeat_n(self.rooms.transient_bytes, devices);
        let loads = std::iter::repeat_n(0, devices).chain(transient);
        let loads = if self.memory { loads.collect() } else { Vec::new() };
        Label { crossing: 0, loads, from: 0 }
    }

    /// The label one layer on; `None` beyond a cap.
    fn longer(
        &self,
        label: &Label,
        from: usize,
        next: &[usize],
        lost: &[Vec<u64>],
        items: &[Item],
    ) -> Option<Label> {
        let apart: u64 = next.iter().enumerate().map(|(e, &device)| lost[device][e]).sum();
        let crossing = label.crossing + apart;
        if self.within.crossing.is_some_and(|most| crossing > most) {
            return None;
        }
        let mut loads = label.loads.clone();
        if self.memory {
            let (weights, transient) = loads.split_at_mut(self.chain.devices);
            for (item, &device) in items.iter().zip(next) {
                weights[device] += item.bytes;
                transient[device] = transient[device].max(item.transient_bytes);
            }
            let required = self.rooms.base_bytes.iter().zip(weights).zip(transient);
            let mut required =
                required.map(|((base, weights), transient)| *base + *weights + *transient);
            if !self.within.device_bytes.iter().all(|most| required.next() <= Some(*most)) {
                return None;
            }
        }
        Some(Label { crossing, loads, from })
    }

    fn peak(&self, label: &Label, capacities: &[u64]) -> Ratio {
        if !self.memory {
            return Ratio::ZERO;
        }
        let (weights, transient) = label.loads.split_at(self.chain.devices);
        let shares = (0..self.chain.devices).map(|d| {
            Ratio::new(self.rooms.base_bytes[d] + weights[d] + transient[d], capacities[d])
        });
        shares.max().unwrap_or(Ratio::ZERO)
    }
}

/// By device and expert of a layer: pairs with the layer before that are apart when the expert is there.
fn lost(
    chain: &Chain,
    counts: Option<&[Vec<u64>]>,
    devices: Option<&[usize]>,
    experts: usize,
) -> Vec<Vec<u64>> {
    let mut lost = vec![vec![0; experts]; chain.devices];
    let (Some(counts), Some(devices)) = (counts, devices) else { return lost };
    for (row, &home) in counts.iter().zip(devices) {
        for (device, sums) in lost.iter_mut().enumerate().filter(|(device, _)| *device != home) {
            debug_assert_ne!(device, home);
            for (sum, count) in sums.iter_mut().zip(row) {
                *sum += count;
            }
        }
    }
    lost
}

/// Adds a label unless one is at least as good in everything; drops those it is as good as.
fn keep(front: &mut Vec<Label>, label: Label) {
    let as_good = |a: &Label, b: &Label| {
        a.crossing <= b.crossing && a.loads.iter().zip(&b.loads).all(|(a, b)| a <= b)
    };
    if front.iter().any(|other| as_good(other, &label)) {
        return;
    }
    front.retain(|other| !as_good(&label, other));
    front.push(label);
}

/// Every division of a layer among the devices; `None` when there are too many.
fn assignments(layer: &Layer, devices: usize) -> Option<Vec<Vec<usize>>> {
    let mut listing = Listing {
        layer,
        fuller: layer.fuller(devices),
        here: vec![0; devices],
        chosen: Vec::new(),
        found: Vec::new(),
        nodes: 0,
    };
    listing.extend().then_some(listing.found)
}

struct Listing<'a> {
    layer: &'a Layer,
    fuller: usize,
    here: Vec<usize>,
    chosen: Vec<usize>,
    found: Vec<Vec<usize>>,
    nodes: usize,
}

impl Listing<'_> {
    /// Whether there are few enough.
    fn extend(&mut self) -> bool {
        self.nodes += 1;
        if self.chosen.len() == self.layer.len() {
            self.found.push(self.chosen.clone());
            return self.found.len() <= STATES_MAX;
        }
        for device in self.layer.allowed[self.chosen.len()].iter() {
            let Layer { least, most, .. } = *self.layer;
            let fuller = self.here.iter().filter(|&&count| count > least).count();
            let count = self.here[device];
            if count >= most || (count >= least && fuller >= self.fuller) {
                continue;
            }
            self.here[device] += 1;
            self.chosen.push(device);
            let few = self.extend();
            self.chosen.pop();
            self.here[device] -= 1;
            if !few || self.nodes > LISTED_MAX {
                return false;
            }
        }
        true
    }
}
