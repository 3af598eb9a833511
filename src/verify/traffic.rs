//! How often a token's activation changes device.
//!
//! Counts only; what a transfer costs in time is not known here.

use std::collections::BTreeMap;

use super::{Traffic, homes, saturate};
use crate::model::ComponentKind;
use crate::problem::{Placement, Problem};

/// Counts the transfers of a structurally sound placement.
pub(super) fn traffic(problem: &Problem, placement: &Placement) -> Traffic {
    let attention: BTreeMap<u32, usize> = homes(problem, placement)
        .filter(|(component, _)| component.demand.id.kind() == ComponentKind::Attention)
        .filter_map(|(component, device)| Some((component.demand.id.layer()?, device)))
        .collect();
    let hand_overs = hand_overs(problem, placement, &attention);
    let mut remote_experts = 0;
    let mut units = u128::from(hand_overs) * u128::from(problem.traffic_denominator);
    for (component, device) in homes(problem, placement) {
        let layer = component.demand.id.layer();
        let Some(&home) = layer.and_then(|layer| attention.get(&layer)) else { continue };
        if home == device {
            continue;
        }
        remote_experts += u64::from(component.demand.id.kind().is_feed_forward());
        units += 2 * u128::from(component.visits);
    }
    Traffic {
        hand_overs,
        remote_experts,
        units: saturate(units),
        denominator: problem.traffic_denominator,
    }
}

fn hand_overs(problem: &Problem, placement: &Placement, attention: &BTreeMap<u32, usize>) -> u64 {
    let device_of = |kind| {
        let mut homes = homes(problem, placement);
        homes.find(|(c, _)| c.demand.id.kind() == kind).map(|(_, device)| device)
    };
    let embedding = device_of(ComponentKind::Embedding);
    let head = if problem.tied_head { embedding } else { device_of(ComponentKind::OutputHead) };
    let chain: Vec<usize> =
        embedding.into_iter().chain(attention.values().copied()).chain(head).collect();
    chain.windows(2).map(|pair| u64::from(pair[0] != pair[1])).sum()
}
