//! What devices require for their experts beside what each of them holds anyway.
//!
//! `required = base + weights of the experts + max(what runs with experts, what is staged)`, where the base
//! is reserve and weights of what is everywhere. The checker computes the same from its own rule.

use super::chain::{Arrangement, Chain};
use crate::plan::classes::workspace_bytes;
use crate::problem::Problem;

/// One expert.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// Weights and what the allocator adds.
    pub(super) bytes: u64,
    /// What a device that has it holds beside weights, at least.
    pub(super) transient_bytes: u64,
}

/// What devices have, and what they need.
#[derive(Clone, Debug)]
pub(super) struct Rooms {
    /// Per device, reserve and weights of what is everywhere.
    pub(super) base_bytes: Vec<u64>,
    /// What a device without experts holds beside weights.
    pub(super) transient_bytes: u64,
    /// Per layer with experts, per expert.
    pub(super) items: Vec<Vec<Item>>,
}

impl Rooms {
    pub(super) fn of(problem: &Problem, chain: &Chain) -> Self {
        let everywhere = &problem.everywhere;
        let resident: u64 = everywhere.iter().map(|d| d.weights_bytes + d.rounding_bytes).sum();
        let cache: u64 = everywhere.iter().map(|d| d.kv_cache_bytes).sum();
        let workspaces = everywhere.iter().map(|d| workspace_bytes(problem, d.id.kind()));
        let workspace_bytes = workspaces.max().unwrap_or(0);
        let staged = everywhere.iter().map(|d| d.staging_bytes).max().unwrap_or(0);
        let with_experts = workspace_bytes.max(problem.workspace.feed_forward_bytes);
        let item = |&c: &usize| {
            let demand = &problem.components[c].demand;
            Item {
                bytes: demand.weights_bytes + demand.rounding_bytes,
                transient_bytes: (cache + with_experts).max(demand.staging_bytes),
            }
        };
        let items = chain.layers.iter().map(|layer| layer.components.iter().map(item).collect());
        Self {
            base_bytes: problem.devices.iter().map(|d| d.reserve_bytes + resident).collect(),
            transient_bytes: (cache + workspace_bytes).max(staged),
            items: items.collect(),
        }
    }

    /// What each device requires.
    pub(super) fn required(&self, arrangement: &Arrangement) -> Vec<u64> {
        let mut bytes = self.base_bytes.clone();
        let mut transient = vec![self.transient_bytes; bytes.len()];
        for (items, devices) in self.items.iter().zip(arrangement) {
            for (item, &device) in items.iter().zip(devices) {
                bytes[device] += item.bytes;
                transient[device] = transient[device].max(item.transient_bytes);
            }
        }
        bytes.iter().zip(transient).map(|(bytes, transient)| bytes + transient).collect()
    }

    /// What each device requires at least, and at most, whatever its experts are.
    pub(super) fn range(&self, chain: &Chain) -> Vec<[u64; 2]> {
        (0..chain.devices).map(|device| self.range_on(chain, device)).collect()
    }

    fn range_on(&self, chain: &Chain, device: usize) -> [u64; 2] {
        let mut bytes = [self.base_bytes[device]; 2];
        let mut transient = [self.transient_bytes; 2];
        for (layer, items) in chain.layers.iter().zip(&self.items) {
            let may = layer.allowed.iter().map(|allowed| allowed.contains(device));
            let here = items.iter().zip(may).filter(|(_, may)| *may).map(|(item, _)| item);
            let mut sizes: Vec<u64> = here.clone().map(|item| item.bytes).collect();
            sizes.sort_unstable();
            bytes[0] += sizes.iter().take(layer.least).sum::<u64>();
            bytes[1] += sizes.iter().rev().take(layer.most).sum::<u64>();
            let beside = here.map(|item| item.transient_bytes);
            if layer.least > 0 {
                transient[0] = transient[0].max(beside.clone().min().unwrap_or(0));
            }
            transient[1] = transient[1].max(beside.max().unwrap_or(0));
        }
        [bytes[0] + transient[0], bytes[1] + transient[1]]
    }

    /// What all devices together require at least.
    pub(super) fn total(&self, chain: &Chain) -> u64 {
        let experts: u64 = self.items.iter().flatten().map(|item| item.bytes).sum();
        let base: u64 = self.base_bytes.iter().sum();
        let unweighed = Self {
            items: self.items.iter().map(|items| weightless(items)).collect(),
            ..self.clone()
        };
        let transient: u64 = unweighed
            .range(chain)
            .iter()
            .zip(&self.base_bytes)
            .map(|([least, _], base)| least - base)
            .sum();
        base + experts + transient
    }
}

/// The same without their weights.
fn weightless(items: &[Item]) -> Vec<Item> {
    items.iter().map(|item| Item { bytes: 0, ..*item }).collect()
}
