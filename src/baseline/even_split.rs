//! The same number of layers on every GPU, whatever they weigh.

use super::{Baseline, place_by};
use crate::model::ComponentId;
use crate::placement::Placement;
use crate::problem::Problem;

pub(super) struct EvenSplit;

impl Baseline for EvenSplit {
    fn name(&self, _: &Problem) -> &'static str {
        "even split"
    }

    fn description(&self) -> &'static str {
        "the same number of whole layers on every GPU, embedding first, head last"
    }

    fn place(&self, problem: &Problem) -> Result<Placement, String> {
        let gpus: Vec<usize> = problem.gpus().collect();
        let Some(&first) = gpus.first() else { return Err("needs a GPU".to_owned()) };
        let layers = u64::from(problem.layers()).max(1);
        // Layer l of L goes to GPU floor(l n / L): counts differ by at most one. Embedding, norm and
        // head go with the first and the last layer.
        let gpu_of = |layer: u64| {
            let share = usize::try_from(layer.min(layers - 1) * gpus.len() as u64 / layers);
            share.ok().and_then(|index| gpus.get(index)).copied().unwrap_or(first)
        };
        Ok(place_by(problem, |id| match id.layer() {
            Some(layer) => gpu_of(u64::from(layer)),
            None if id == ComponentId::Embedding => first,
            None => gpu_of(layers - 1),
        }))
    }
}
