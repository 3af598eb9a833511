//! One machine of several: which devices a consumer sees that runs on one node, and in which order it counts them.

use super::{Plan, Refusal};
use crate::hardware::DeviceKind;
use crate::model::ComponentId;

/// The node of a device, where the hardware says one.
fn node<'a>(plan: &Plan<'a>, device: usize) -> Option<&'a str> {
    let nodes = &plan.scenario.hardware.network.nodes;
    nodes.get(&plan.problem.devices[device].id).map(String::as_str)
}

/// Refuses a map over two nodes.
pub(super) fn one(plan: &Plan<'_>) -> Result<(), Refusal> {
    let Some(first) = here(plan) else { return Ok(()) };
    let elsewhere = |device: usize| node(plan, device).filter(|node| *node != first);
    let found = plan.homes().find_map(|(id, device)| Some((id, elsewhere(device)?)));
    // Attention on every device is on those without experts too.
    let all = plan.problem.is_replicated().then_some(0..plan.problem.devices.len());
    let on_any = || {
        let other = all.into_iter().flatten().find_map(elsewhere)?;
        Some((plan.homes().next().map_or(ComponentId::Embedding, |(id, _)| id), other))
    };
    match found.or_else(on_any) {
        None => Ok(()),
        Some((id, other)) => {
            let (first, other) = if first < other { (first, other) } else { (other, first) };
            let reason = format!(
                "it is told of one machine, and the map is on the nodes `{first}` and `{other}`"
            );
            Err(Refusal::new(plan, id, reason, []))
        }
    }
}

/// The first node that holds anything.
fn here<'a>(plan: &Plan<'a>) -> Option<&'a str> {
    plan.homes().find_map(|(_, device)| node(plan, device))
}

/// Devices of a kind on the node that holds the first component, in order.
pub(super) fn local(plan: &Plan<'_>, kind: DeviceKind) -> Vec<usize> {
    let here = here(plan);
    let mut all: Vec<usize> = (0..plan.problem.devices.len()).collect();
    all.retain(|&device| {
        let there = node(plan, device);
        plan.device(device).kind == kind && (here.is_none() || there.is_none() || there == here)
    });
    all
}

/// The place of a GPU among those of its own node.
pub(super) fn ordinal(plan: &Plan<'_>, device: usize) -> Option<usize> {
    let of_node = |gpu: &usize| node(plan, *gpu) == node(plan, device);
    plan.problem.gpus().filter(of_node).position(|gpu| gpu == device)
}
