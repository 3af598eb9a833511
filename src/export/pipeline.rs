//! Pipeline stages: consecutive whole layers on GPUs, as serving engines divide a model.
//!
//! Of these engines the first stage holds the embedding and the last one the final norm and the head; a head that
//! is the embedding's matrix is held twice. A stage is one stretch of layers. Which GPU runs which stage is free:
//! `CUDA_VISIBLE_DEVICES` puts them in order.

use super::{Plan, Refusal, machine};
use crate::model::ComponentId;

/// The home of the embedding or of the head, by that of the first or last layer.
pub(super) fn end_of_chain(plan: &Plan<'_>, id: ComponentId) -> Option<(usize, &'static str)> {
    let layer = match id {
        ComponentId::Embedding => 0,
        ComponentId::OutputHead | ComponentId::FinalNorm if !plan.problem.tied_head => {
            plan.problem.layers().checked_sub(1)?
        }
        _ => return None,
    };
    let why = if layer == 0 { "with the first layer" } else { "with the last layer" };
    Some((plan.home(ComponentId::Attention(layer))?, why))
}

/// A stretch of layers on one GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    /// Its device index.
    pub(super) device: usize,
    /// How many layers.
    pub(super) layers: u32,
}

/// The stages of a map whose layers are whole, front to back.
pub(super) fn stages(plan: &Plan<'_>) -> Result<Vec<Stage>, Refusal> {
    let on_cpu = plan.homes().find(|&(_, device)| !plan.is_gpu(device));
    if let Some((id, _)) = on_cpu {
        let reason = "it runs on GPUs only; solve again without --cpu";
        return Err(Refusal::new(plan, id, reason, []));
    }
    let mut stages: Vec<Stage> = Vec::new();
    for layer in 0..plan.problem.layers() {
        let id = ComponentId::Attention(layer);
        let Some(device) = plan.home(id) else { continue };
        let again = stages.iter().any(|stage| stage.device == device);
        match stages.last_mut() {
            Some(stage) if stage.device == device => stage.layers += 1,
            _ if again => {
                let reason = "a GPU runs one stretch of layers there, and this is a second one";
                let wishes = ["--granularity", "layer", "--objective", "traffic,peak_utilization"];
                return Err(Refusal::new(plan, id, reason, wishes));
            }
            _ => stages.push(Stage { device, layers: 1 }),
        }
    }
    if plan.scenario.model.geometry.tied_head && stages.len() > 1 {
        let reason = "the first and the last stage each hold the embedding there, because the head is its \
                      matrix, and the map has it once";
        return Err(Refusal::new(plan, ComponentId::Embedding, reason, ["--max-devices", "1"]));
    }
    Ok(stages)
}

/// `16,16`.
pub(super) fn partition(stages: &[Stage]) -> String {
    stages.iter().map(|stage| stage.layers.to_string()).collect::<Vec<_>>().join(",")
}

/// A comment, and where all GPUs are in one machine the variable that puts them in order.
pub(super) fn gpus_in_order(plan: &Plan<'_>, stages: &[Stage]) -> String {
    let ids: Vec<&str> = stages.iter().map(|stage| plan.device(stage.device).id.as_str()).collect();
    let comment = format!("# stages, front to back: {}\n", ids.join(", "));
    let nodes = &plan.scenario.hardware.network.nodes;
    let mut of_stages = ids.iter().map(|id| nodes.get(*id));
    let first = of_stages.next().flatten();
    if of_stages.any(|node| node != first) {
        return comment;
    }
    format!("{comment}{}", visible(plan, stages.iter().map(|stage| stage.device)))
}

/// The variable with the places of these GPUs among those of their node.
pub(super) fn visible(plan: &Plan<'_>, devices: impl Iterator<Item = usize>) -> String {
    let ordinals = devices.filter_map(|device| machine::ordinal(plan, device));
    let ordinals: Vec<String> = ordinals.map(|ordinal| ordinal.to_string()).collect();
    format!("export CUDA_VISIBLE_DEVICES={}\n", ordinals.join(","))
}
