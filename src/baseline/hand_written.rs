//! The hand-written Mixtral map that ran out of memory at 98 % of the load.
//!
//! It is kept exactly as it was written, for one shape of model only; generalising it would make it
//! something nobody ever used.

use super::{Baseline, experts_of, place_by, two_gpus};
use crate::model::ComponentId;
use crate::placement::Placement;
use crate::problem::Problem;

const LAYERS: u32 = 32;
const EXPERTS: usize = 8;
const LAYERS_ON_FIRST: u32 = 12;

pub(super) struct HandWritten;

impl Baseline for HandWritten {
    fn name(&self, _: &Problem) -> &'static str {
        "hand-written 12/20"
    }

    fn description(&self) -> &'static str {
        "the first 12 layers and 50 experts on GPU 0, the last 20 layers and 206 experts on GPU 1"
    }

    fn place(&self, problem: &Problem) -> Result<Placement, String> {
        let mixtral = problem.layers() == LAYERS
            && (0..LAYERS).all(|layer| experts_of(problem, layer) == EXPERTS);
        if !mixtral {
            return Err(format!("written for {LAYERS} layers of {EXPERTS} experts only"));
        }
        let [first, second] = two_gpus(problem)?;
        Ok(place_by(problem, |id| if on_first(id) { first } else { second }))
    }
}

fn on_first(id: ComponentId) -> bool {
    match id {
        ComponentId::Embedding | ComponentId::Expert(0, _) | ComponentId::ExpertMatrix(0, _) => {
            true
        }
        ComponentId::Expert(layer, expert) if layer < LAYERS_ON_FIRST => expert < 2,
        ComponentId::Expert(_, expert) => expert == 0,
        ComponentId::Attention(layer)
        | ComponentId::Router(layer)
        | ComponentId::Mlp(layer)
        | ComponentId::SharedExpert(layer)
        | ComponentId::ExpertMatrix(layer, _) => layer < LAYERS_ON_FIRST,
        ComponentId::FinalNorm | ComponentId::OutputHead => false,
    }
}
