//! The repair of the hand-written map: half the layers each, experts dealt out alternately.
//!
//! It balances bytes and pays for it in traffic: half of all experts are away from their layer.

use super::{Baseline, experts_of, place_by, two_gpus};
use crate::model::ComponentId;
use crate::placement::Placement;
use crate::problem::Problem;

pub(super) struct Alternating;

impl Baseline for Alternating {
    fn name(&self, problem: &Problem) -> &'static str {
        if problem.layers() == 32 { "alternating 16/16" } else { "alternating halves" }
    }

    fn description(&self) -> &'static str {
        "half of the layers on each of two GPUs, experts of a layer dealt to both alternately"
    }

    fn place(&self, problem: &Problem) -> Result<Placement, String> {
        let layers = problem.layers();
        if (0..layers).all(|layer| experts_of(problem, layer) == 0) {
            return Err("needs routed experts".to_owned());
        }
        if !layers.is_multiple_of(2) {
            return Err(format!("needs an even number of layers, found {layers}"));
        }
        let gpus = two_gpus(problem)?;
        Ok(place_by(problem, |id| gpus[usize::from(on_second(id, layers / 2))]))
    }
}

/// Even experts stay with their layer's attention on GPU 0 and go to GPU 1 with those of its layers.
fn on_second(id: ComponentId, half: u32) -> bool {
    match id {
        ComponentId::Embedding | ComponentId::Expert(0, _) | ComponentId::ExpertMatrix(0, _) => {
            false
        }
        ComponentId::FinalNorm | ComponentId::OutputHead => true,
        ComponentId::Expert(layer, expert) => (layer >= half) == (expert % 2 == 0),
        ComponentId::Attention(layer)
        | ComponentId::Router(layer)
        | ComponentId::Mlp(layer)
        | ComponentId::SharedExpert(layer)
        | ComponentId::ExpertMatrix(layer, _) => layer >= half,
    }
}
