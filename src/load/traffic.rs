//! What a plan says activations cost once it is known which experts the tokens went to.
//!
//! Counted from the map alone, by the rule of this runtime: an activation crosses every hand-over of the chain
//! once, and goes there and back for every other device that has any of a token's experts, however many of
//! them. The decoder counts what it really sends; the two must be equal.

use std::collections::BTreeMap;

use super::decoder::Observer;
use crate::model::ComponentId;

/// The sends that observed choices of experts ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlannedSends {
    homes: BTreeMap<ComponentId, usize>,
    to_experts: u64,
}

impl PlannedSends {
    /// Of a map: every component and its device.
    pub fn new(homes: &[(ComponentId, usize)]) -> Self {
        Self { homes: homes.iter().copied().collect(), to_experts: 0 }
    }

    /// A component lives elsewhere from now on.
    pub fn moved(&mut self, component: ComponentId, device: usize) {
        self.homes.insert(component, device);
    }

    /// Activations that cross the chain for one token, from the embedding to the head, and those of dense parts
    /// that live away from their attention; a router that does, for a while, gets them once.
    pub fn of_chain(&self) -> u64 {
        let home = |id: ComponentId| self.homes.get(&id);
        let attention = self.homes.iter().filter(|(id, _)| matches!(id, ComponentId::Attention(_)));
        // A tied head is where the embedding is.
        let head = home(ComponentId::OutputHead).or_else(|| home(ComponentId::Embedding));
        let stops: Vec<&usize> = home(ComponentId::Embedding)
            .into_iter()
            .chain(attention.map(|(_, device)| device))
            .chain(home(ComponentId::FinalNorm))
            .chain(head)
            .collect();
        let hand_overs = stops.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let away = |(id, device): (&ComponentId, &usize)| match id {
            ComponentId::Mlp(layer) => home(ComponentId::Attention(*layer)) != Some(device),
            _ => false,
        };
        let dense = self.homes.iter().filter(|&entry| away(entry)).count();
        let router = |(id, device): (&ComponentId, &usize)| match id {
            ComponentId::Router(layer) => home(ComponentId::Attention(*layer)) != Some(device),
            _ => false,
        };
        let routers = self.homes.iter().filter(|&entry| router(entry)).count();
        u64::try_from(hand_overs + 2 * dense + routers).unwrap_or(u64::MAX)
    }

    /// Activations to experts on other devices and back, for all tokens observed.
    pub fn to_experts(&self) -> u64 {
        self.to_experts
    }
}

impl Observer for PlannedSends {
    fn chosen(&mut self, layer: u32, experts: &[Vec<u32>]) {
        let attention = self.homes.get(&ComponentId::Attention(layer));
        for chosen in experts {
            let mut devices: Vec<&usize> = chosen
                .iter()
                .filter_map(|&expert| self.homes.get(&ComponentId::Expert(layer, expert)))
                .filter(|device| Some(*device) != attention)
                .collect();
            devices.sort_unstable();
            devices.dedup();
            self.to_experts += 2 * u64::try_from(devices.len()).unwrap_or(u64::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_once_to_every_other_device_that_it_needs() {
        let homes = [
            (ComponentId::Embedding, 0),
            (ComponentId::Attention(0), 0),
            (ComponentId::Attention(1), 1),
            (ComponentId::Mlp(1), 2),
            (ComponentId::Expert(0, 0), 0),
            (ComponentId::Expert(0, 1), 1),
            (ComponentId::Expert(0, 2), 1),
            (ComponentId::Expert(0, 3), 2),
            (ComponentId::FinalNorm, 0),
        ];
        let mut sends = PlannedSends::new(&homes);
        // 0 to 1, 1 to 0; there and back to the dense part.
        assert_eq!(sends.of_chain(), 4);
        sends.chosen(0, &[vec![1, 2], vec![0, 1], vec![1, 3]]);
        assert_eq!(sends.to_experts(), 2 + 2 + 4);
    }
}
