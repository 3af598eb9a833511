//! The experts of every layer as a chain: what is placed, and what consecutive layers pay for being apart.

use crate::problem::{DeviceSet, Placement, Problem};

/// Per layer with experts, per expert, its device.
pub(super) type Arrangement = Vec<Vec<usize>>;

/// One layer with experts.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Indices into the problem's components.
    pub(super) components: Vec<usize>,
    /// Where each may be.
    pub(super) allowed: Vec<DeviceSet>,
    /// The fewest of them on a device.
    pub(super) least: usize,
    /// The most of them on a device.
    pub(super) most: usize,
}

impl Layer {
    pub(super) fn len(&self) -> usize {
        self.components.len()
    }

    /// How many devices have one more than `least`.
    pub(super) fn fuller(&self, devices: usize) -> usize {
        self.len() - self.least * devices
    }
}

/// The problem as what decides about crossings.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) devices: usize,
    pub(super) layers: Vec<Layer>,
    /// Per pair of consecutive layers, by expert of the first, then of the second; empty where nothing is
    /// known of pairs.
    pub(super) pairs: Vec<Vec<Vec<u64>>>,
    components: usize,
}

impl Chain {
    pub(super) fn of(problem: &Problem) -> Self {
        let devices = problem.devices.len();
        let layers = problem.expert_layers().into_iter().map(|layer| {
            let [least, most] = layer.share(devices);
            let allowed = layer.components.iter().map(|&c| problem.components[c].allowed).collect();
            Layer { components: layer.components, allowed, least, most }
        });
        let pairs = problem.affinity.as_ref().map(|affinity| affinity.pair_counts.clone());
        Self {
            devices,
            layers: layers.collect(),
            pairs: pairs.unwrap_or_default(),
            components: problem.components.len(),
        }
    }

    /// The same without anything to pay.
    pub(super) fn unpaired(&self) -> Self {
        Self { pairs: Vec::new(), ..self.clone() }
    }

    /// Whether every expert may be on every device, so that devices differ in nothing but their memory.
    pub(super) fn is_free(&self) -> bool {
        let all = DeviceSet::first(self.devices);
        self.layers.iter().flat_map(|layer| &layer.allowed).all(|&allowed| allowed == all)
    }

    /// The counts between layer `l` and the next.
    pub(super) fn after(&self, l: usize) -> Option<&[Vec<u64>]> {
        self.pairs.get(l).map(Vec::as_slice)
    }

    /// Pairs on two devices, between all layers.
    pub(super) fn crossing(&self, arrangement: &Arrangement) -> u64 {
        let between = |(counts, ends): (&Vec<Vec<u64>>, &[Vec<usize>])| -> u64 {
            let rows = counts.iter().zip(&ends[0]);
            let apart = |row: &[u64], device: &usize| -> u64 {
                row.iter().zip(&ends[1]).filter(|(_, to)| *to != device).map(|(n, _)| n).sum()
            };
            rows.map(|(row, device)| apart(row, device)).sum()
        };
        self.pairs.iter().zip(arrangement.windows(2)).map(between).sum()
    }

    /// Whether every layer is divided as it must be, among devices that may have its experts.
    pub(super) fn admits(&self, arrangement: &Arrangement) -> bool {
        let divided = |(layer, devices): (&Layer, &Vec<usize>)| {
            let mut here = vec![0; self.devices];
            for (allowed, &device) in layer.allowed.iter().zip(devices) {
                if !allowed.contains(device) {
                    return false;
                }
                here[device] += 1;
            }
            here.iter().all(|count| (layer.least..=layer.most).contains(count))
        };
        self.layers.iter().zip(arrangement).all(divided)
    }

    pub(super) fn placement(&self, arrangement: &Arrangement) -> Placement {
        let mut device_of = vec![0; self.components];
        for (layer, devices) in self.layers.iter().zip(arrangement) {
            for (&component, &device) in layer.components.iter().zip(devices) {
                device_of[component] = device;
            }
        }
        Placement { device_of }
    }

    /// A placement as an arrangement; `None` for one of other components or devices.
    pub(super) fn arrangement(&self, placement: &Placement) -> Option<Arrangement> {
        let device_of = &placement.device_of;
        let known =
            device_of.len() == self.components && device_of.iter().all(|&d| d < self.devices);
        let of = |layer: &Layer| layer.components.iter().map(|&c| device_of[c]).collect();
        known.then(|| self.layers.iter().map(of).collect())
    }
}
