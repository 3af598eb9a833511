//! GGUF files: block types ([`types`]) and the recipes that choose among them ([`recipes`]).
//!
//! A GGUF merges a layer's experts into three-dimensional tensors; one expert is an equal slice of each,
//! because types are chosen per merged tensor and blocks run along rows. Files hold ready-made weights,
//! so loading stages nothing.

mod recipes;
mod types;

use super::StoredTensor;
use crate::model::{Model, Tensor};

use recipes::Recipe;

/// The layout files have today.
pub(super) const TODAY: u32 = 99_991_231;

/// A file type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileType {
    Q4_0,
    Q8_0,
    Q4KM,
    Q5KM,
    Q6K,
}

impl FileType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "q4_0",
            Self::Q8_0 => "q8_0",
            Self::Q4KM => "q4_k_m",
            Self::Q5KM => "q5_k_m",
            Self::Q6K => "q6_k",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Q4_0 => "GGUF Q4_0, no importance matrix",
            Self::Q8_0 => "GGUF Q8_0",
            Self::Q4KM => "GGUF Q4_K_M",
            Self::Q5KM => "GGUF Q5_K_M",
            Self::Q6K => "GGUF Q6_K",
        }
    }

    fn recipe(self) -> &'static Recipe {
        match self {
            Self::Q4_0 => &recipes::Q4_0,
            Self::Q8_0 => &recipes::Q8_0,
            Self::Q4KM => &recipes::Q4_K_M,
            Self::Q5KM => &recipes::Q5_K_M,
            Self::Q6K => &recipes::Q6_K,
        }
    }
}

/// What each tensor of a GGUF layout takes.
pub(super) fn store(model: &Model, tensors: &[Tensor], file_type: FileType) -> Vec<StoredTensor> {
    let facts = Facts::of(model);
    tensors.iter().map(|tensor| store_one(tensor, file_type.recipe(), &facts)).collect()
}

/// What the recipes ask about a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    layers: u32,
    experts: u32,
    tied_head: bool,
    /// llama.cpp's `LLM_TYPE_70B`: architecture `llama`, 80 layers, grouped key-value heads.
    is_llama_70b: bool,
}

impl Facts {
    pub(super) fn of(model: &Model) -> Self {
        let geometry = &model.geometry;
        Self {
            layers: geometry.layers,
            experts: geometry.experts,
            tied_head: geometry.tied_head,
            is_llama_70b: model.gguf_architecture() == "llama"
                && geometry.layers == 80
                && geometry.heads != geometry.kv_heads,
        }
    }
}

/// The tensor, or its slice of a merged one, as the file holds it.
fn store_one(tensor: &Tensor, recipe: &Recipe, facts: &Facts) -> StoredTensor {
    let chosen = recipes::choose(tensor, recipe, facts);
    StoredTensor {
        type_name: chosen.name(),
        bytes: chosen.bytes(tensor.elements()),
        staged_bytes: 0,
    }
}

/// The first and last eighth of the layers, and every third between.
fn use_more_bits(layer: u32, layers: u32) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_of_32_layers_get_more_bits() {
        let layers: Vec<u32> = (0..32).filter(|&layer| use_more_bits(layer, 32)).collect();
        assert_eq!(layers, [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]);
    }
}
