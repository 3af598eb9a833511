//! The types llama.cpp's quantizer chooses, tensor by tensor, from names and shapes alone.
//!
//! A [`FileType`] is a default type and its exceptions by what a tensor does, by layer, by how many
//! experts and heads there are. [`Recipe::types`] applies the rules of `llama_tensor_get_type` in
//! llama.cpp's src/llama-quant.cpp (2026), or those of an earlier [`Era`].
//!
//! Some rules count tensors as they come. The quantizer visits them by layer, then by name, those
//! without a layer first (`weight_name_comparer`), whatever their order in the file; before
//! [`Era::VISITED_BY_LAYER`] it went by the order of the file.

mod chooser;
mod era;
mod fallback;
mod file_type;
mod kept;
mod tensor;

pub use era::Era;
pub use file_type::FileType;
pub use tensor::Row;

use crate::dtype::GgmlType;
use crate::error::Error;

/// What the rules ask about a model, as the metadata of its GGUF file says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// `general.architecture`, e.g. `llama` (also of Mixtral), `qwen3moe`.
    pub architecture: &'a str,
    /// `block_count`: layers, those of multi-token prediction included.
    pub layers: u32,
    /// `expert_count`; 0 where there are none.
    pub experts: u32,
    /// `attention.head_count`, of layer 0 where it differs between layers.
    pub heads: u64,
    /// `attention.head_count_kv`, of layer 0: 1 with MLA, 0 where layer 0 has no attention.
    pub kv_heads: u64,
    /// Whether the checkpoint itself holds experts in MXFP4, as gpt-oss does: converters keep them so.
    pub source_experts_mxfp4: bool,
}

/// How a file is made: what `llama-quantize` is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The mix.
    pub file_type: FileType,
    /// Whether an importance matrix is given; a few rules depend on it.
    pub imatrix: bool,
    /// When the file was made.
    pub era: Era,
    /// The type of matrices in the file that is quantized, which those that stay keep: F16 or BF16.
    pub source: GgmlType,
    /// `--leave-output-tensor`.
    pub leave_output: bool,
    /// `--output-tensor-type`.
    pub output_type: Option<GgmlType>,
    /// `--token-embedding-type`. Files called `_L` have `q8_0` here and in [`output_type`](Self::output_type).
    pub token_embedding_type: Option<GgmlType>,
    /// `--pure`: the default type for every matrix.
    pub pure: bool,
}

impl Recipe {
    /// What `llama-quantize` makes today without options; with an importance matrix where it refuses
    /// to work without one.
    pub fn new(file_type: FileType) -> Self {
        Self {
            file_type,
            imatrix: file_type.needs_imatrix(),
            era: Era::default(),
            source: GgmlType::F16,
            leave_output: false,
            output_type: None,
            token_embedding_type: None,
            pure: false,
        }
    }

    /// The type of each tensor, in the order given: the file's where the era goes by it, else any.
    ///
    /// Files of floats are as converters write them. Files of a quantized type are as
    /// `llama-quantize --allow-requantize` makes them from what converters write.
    ///
    /// Refused is what the quantizer refuses: an expert's or dense matrix of no layer or one that is not
    /// there in a model with experts, and rows that fill no block it knows.
    pub fn types(&self, facts: &Facts<'_>, tensors: &[Row<'_>]) -> Result<Vec<GgmlType>, Error> {
        chooser::types(self, facts, tensors)
    }
}
