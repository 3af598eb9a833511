//! Which type each tensor gets: llama.cpp's file-type recipes, without an importance matrix.
//!
//! The rules are those of `llama_tensor_get_type` in src/llama-quant.cpp since experts are merged
//! (2024). A recipe is a default type and its exceptions; [`choose`] adds the rules all recipes share.

use super::types::Type;
use super::{Facts, use_more_bits};
use crate::model::{Tensor, TensorRole};

/// One file type: its default and where it departs from it.
#[derive(Debug)]
pub(in crate::quant) struct Recipe {
    default: Type,
    /// `output.weight`, or `token_embd.weight` when the head is tied to it.
    output: Type,
    /// `attn_v` and `ffn_down` in the layers that get more bits.
    more_bits: Type,
    /// `attn_output` when there are exactly 8 experts.
    attn_output_of_8: Type,
}

pub(in crate::quant) const Q4_0: Recipe = Recipe {
    default: Type::Q4_0,
    output: Type::Q6K,
    more_bits: Type::Q4_0,
    attn_output_of_8: Type::Q4_0,
};
pub(in crate::quant) const Q8_0: Recipe = Recipe {
    default: Type::Q8_0,
    output: Type::Q8_0,
    more_bits: Type::Q8_0,
    attn_output_of_8: Type::Q8_0,
};
pub(in crate::quant) const Q4_K_M: Recipe = Recipe {
    default: Type::Q4K,
    output: Type::Q6K,
    more_bits: Type::Q6K,
    attn_output_of_8: Type::Q5K,
};
pub(in crate::quant) const Q5_K_M: Recipe = Recipe {
    default: Type::Q5K,
    output: Type::Q6K,
    more_bits: Type::Q6K,
    attn_output_of_8: Type::Q5K,
};
pub(in crate::quant) const Q6_K: Recipe = Recipe {
    default: Type::Q6K,
    output: Type::Q6K,
    more_bits: Type::Q6K,
    attn_output_of_8: Type::Q6K,
};

/// The type of one tensor, fallbacks for odd rows included.
pub(super) fn choose(tensor: &Tensor, recipe: &Recipe, facts: &Facts) -> Type {
    let wanted = match tensor.role {
        // What has one dimension, and the router, is never quantized; converters write both in f32.
        TensorRole::Norm
        | TensorRole::Bias
        | TensorRole::Router
        | TensorRole::SharedGate
        | TensorRole::Parameter
        | TensorRole::RopeFrequencies => {
            return Type::F32;
        }
        TensorRole::Output => output(tensor, recipe),
        TensorRole::TokenEmbedding if facts.tied_head => output(tensor, recipe),
        // Eight experts share one attention: its small matrices are worth the bits.
        TensorRole::AttnK | TensorRole::AttnV if facts.experts == 8 => Type::Q8_0,
        TensorRole::AttnOutput if facts.experts == 8 => recipe.attn_output_of_8,
        TensorRole::AttnV => attn_v(tensor, recipe, facts),
        TensorRole::FfnDown => by_layer(tensor, recipe, facts),
        TensorRole::TokenEmbedding
        | TensorRole::AttnQ
        | TensorRole::AttnK
        | TensorRole::AttnOutput
        | TensorRole::AttnQkv
        | TensorRole::AttnLatent
        | TensorRole::StateProjection
        | TensorRole::FfnGate
        | TensorRole::FfnGateUp
        | TensorRole::FfnUp => recipe.default,
    };
    wanted.fitting(row(tensor))
}

fn output(tensor: &Tensor, recipe: &Recipe) -> Type {
    if row(tensor).is_multiple_of(recipe.default.block_elements()) {
        recipe.output
    } else {
        Type::Q8_0
    }
}

fn attn_v(tensor: &Tensor, recipe: &Recipe, facts: &Facts) -> Type {
    match by_layer(tensor, recipe, facts) {
        // In the 70B models eight query heads share one value head.
        Type::Q4K if facts.is_llama_70b => Type::Q5K,
        other => other,
    }
}

/// llama.cpp counts tensors of a role as it meets them; with one of each per layer that is the layer.
fn by_layer(tensor: &Tensor, recipe: &Recipe, facts: &Facts) -> Type {
    let layer = tensor.component.layer().unwrap_or(0);
    if use_more_bits(layer, facts.layers) { recipe.more_bits } else { recipe.default }
}

/// Elements of one row: the innermost dimension, which blocks run along.
fn row(tensor: &Tensor) -> u64 {
    tensor.shape.last().copied().unwrap_or(1)
}
