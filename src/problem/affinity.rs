//! Replicated attention: what every device holds, and how experts of consecutive layers go together.
//!
//! Everything but the routed experts is on every device (embedding, attentions with their KV cache, routers,
//! mlps, shared experts, norms, head), and the experts of each layer are divided as evenly as they can be:
//! with `E` experts on `D` devices each device has `floor(E / D)` or `ceil(E / D)` of them. A device then
//! requires what [`crate::verify`] says of its experts and of everything in [`Problem::everywhere`] together.

use super::{ObjectiveKind, Problem};
use crate::error::Error;
use crate::hardware::DeviceKind;
use crate::memory::ComponentDemand;
use crate::model::{ComponentId, ComponentKind};

/// How often tokens choose one expert and then another in the next layer that has experts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// Tokens that were counted.
    pub tokens: u64,
    /// Experts that each of them chose in a layer.
    pub top_k: u64,
    /// Per pair of consecutive layers with experts, by expert of the first and of the second: tokens that
    /// chose both. Each pair of layers sums to `tokens` x `top_k` x `top_k`.
    pub pair_counts: Vec<Vec<Vec<u64>>>,
}

impl Affinity {
    /// `tokens` x `top_k` x `top_k` may not be more.
    pub const PAIRS_MAX: u64 = 1 << 40;

    /// What a transfer per token is counted in units of one over: `top_k` x `tokens`.
    pub fn denominator(&self) -> u64 {
        self.tokens.saturating_mul(self.top_k)
    }
}

/// The experts of one layer, where attention is replicated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpertLayer {
    /// The layer's number.
    pub layer: u32,
    /// Indices into [`Problem::components`], by expert.
    pub components: Vec<usize>,
}

impl ExpertLayer {
    /// The fewest and the most of them that one of so many devices has.
    pub fn share(&self, devices: usize) -> [usize; 2] {
        let devices = devices.max(1);
        [self.components.len() / devices, self.components.len().div_ceil(devices)]
    }
}

impl Problem {
    /// Whether every device holds the attention, and only experts are placed.
    pub fn is_replicated(&self) -> bool {
        !self.everywhere.is_empty()
    }

    /// The layers with experts, ascending.
    pub fn expert_layers(&self) -> Vec<ExpertLayer> {
        let mut layers: Vec<ExpertLayer> = Vec::new();
        for (index, component) in self.components.iter().enumerate() {
            let ComponentId::Expert(number, _) = component.demand.id else { continue };
            match layers.last_mut().filter(|last| last.layer == number) {
                Some(last) => last.components.push(index),
                None => layers.push(ExpertLayer { layer: number, components: vec![index] }),
            }
        }
        layers
    }

    /// What of replicated attention does not hold together; also what needs it and does not have it.
    pub(super) fn validate_affinity(&self) -> Result<(), Error> {
        let crossings = self.objectives.iter().any(|o| o.kind == ObjectiveKind::Crossings);
        if crossings && (self.affinity.is_none() || !self.is_replicated()) {
            return refuse("crossings without replicated attention and pair counts");
        }
        if !self.is_replicated() {
            return match self.affinity {
                Some(_) => refuse("pair counts without replicated attention"),
                None => Ok(()),
            };
        }
        let priced =
            [ObjectiveKind::Crossings, ObjectiveKind::PeakUtilization, ObjectiveKind::DevicesUsed];
        if self.objectives.iter().any(|o| !priced.contains(&o.kind)) {
            return refuse("an objective of attention with one home, where it is replicated");
        }
        if self.devices.iter().any(|device| device.kind != DeviceKind::Gpu) {
            return refuse("replicated attention on a device that is no GPU");
        }
        if self.current.is_some() || self.decode.is_some() || self.prefill.is_some() {
            return refuse("moves or times of attention with one home, where it is replicated");
        }
        if self.devices_max.is_some_and(|most| most < self.devices.len()) {
            return refuse("fewer devices than the attention is replicated on");
        }
        let experts = |id: ComponentId| id.kind() == ComponentKind::Expert;
        let free =
            self.components.iter().all(|c| experts(c.demand.id) && c.lives_with == c.demand.id);
        if !free || self.everywhere.iter().any(|demand| experts(demand.id)) {
            return refuse("replicated attention with other than experts to place, one by one");
        }
        let ids = self.everywhere.iter().map(|demand: &ComponentDemand| demand.id);
        if !ids.clone().zip(ids.skip(1)).all(|(a, b)| a < b) {
            return refuse("replicated components out of canonical order, or one twice");
        }
        self.affinity.as_ref().map_or(Ok(()), |affinity| self.validate_pairs(affinity))
    }

    /// Counts of these experts, that tokens can have made.
    fn validate_pairs(&self, affinity: &Affinity) -> Result<(), Error> {
        let layers = self.expert_layers();
        let Affinity { tokens, top_k, ref pair_counts } = *affinity;
        let pairs = u128::from(tokens) * u128::from(top_k) * u128::from(top_k);
        if tokens == 0 || top_k == 0 || pairs > u128::from(Affinity::PAIRS_MAX) {
            return refuse("pair counts of no token, or of too many");
        }
        if self.traffic_denominator != affinity.denominator() {
            return refuse("crossings in units other than one over tokens x top_k");
        }
        if pair_counts.len() != layers.len().saturating_sub(1) {
            return refuse("pair counts of other layers");
        }
        for (counts, ends) in pair_counts.iter().zip(layers.windows(2)) {
            let [rows, columns] = [ends[0].components.len(), ends[1].components.len()];
            if counts.len() != rows || counts.iter().any(|row| row.len() != columns) {
                return refuse("pair counts of other experts");
            }
            if counts.iter().flatten().map(|&count| u128::from(count)).sum::<u128>() != pairs {
                return refuse("pair counts that do not sum to tokens x top_k x top_k");
            }
        }
        Ok(())
    }
}

fn refuse(found: &str) -> Result<(), Error> {
    Err(Error::new("state the problem").found(found))
}
