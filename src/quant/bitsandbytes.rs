//! bitsandbytes under the transformers 4 layout of modules.
//!
//! `replace_with_bnb_linear` quantizes every `nn.Linear` except the output head, the router included;
//! embeddings, norms, biases and the head stay in 16 bit. Sizes are those of `quantize_4bit` (block 64)
//! and `Int8Params` in bitsandbytes 0.50: packed weights, statistics, and the tables that each quantized
//! matrix keeps for itself on the device.

use super::StoredTensor;
use super::plain::Plain;
use crate::model::Tensor;

/// The forms a linear layer's weight can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bitsandbytes {
    Int8,
    Nf4,
    Nf4Dq,
}

/// Weights that share one statistic.
const BLOCK: u64 = 64;
/// The 16 values of NormalFloat in f32, a table per matrix.
const CODE_BYTES: u64 = 16 * 4;
/// Double quantization: statistics that share one statistic of their own.
const NESTED_BLOCK: u64 = 256;
/// The 256 values statistics are quantized to, in f32, a table per matrix.
const NESTED_CODE_BYTES: u64 = 256 * 4;
/// The mean that was subtracted before, in f32.
const OFFSET_BYTES: u64 = 4;

impl Bitsandbytes {
    pub(super) const ALL: [Self; 3] = [Self::Int8, Self::Nf4, Self::Nf4Dq];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Nf4 => "nf4",
            Self::Nf4Dq => "nf4-dq",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Int8 => "bitsandbytes 8 bit; embeddings, norms and head in 16 bit",
            Self::Nf4 => "bitsandbytes 4-bit NormalFloat; embeddings, norms and head in 16 bit",
            Self::Nf4Dq => "bitsandbytes 4-bit NormalFloat with double quantization",
        }
    }

    /// The tensor as a loaded model holds it.
    pub(super) fn store(self, tensor: &Tensor) -> StoredTensor {
        if !tensor.linear {
            return Plain::F16.store(tensor);
        }
        let elements = tensor.elements();
        let bytes = match self {
            Self::Int8 => elements + 4 * tensor.shape.first().copied().unwrap_or(0),
            Self::Nf4 => nf4(elements),
            Self::Nf4Dq => nf4_double(elements),
        };
        // `w.contiguous().to(device)`: the 16-bit matrix is there until its quantized copy is complete.
        StoredTensor { type_name: self.name(), bytes, staged_bytes: 2 * elements }
    }
}

fn nf4(elements: u64) -> u64 {
    elements.div_ceil(2) + 4 * elements.div_ceil(BLOCK) + CODE_BYTES
}

fn nf4_double(elements: u64) -> u64 {
    let statistics = elements.div_ceil(BLOCK);
    let nested = 4 * statistics.div_ceil(NESTED_BLOCK) + NESTED_CODE_BYTES + OFFSET_BYTES;
    elements.div_ceil(2) + statistics + nested + CODE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_expert_matrix_of_mixtral() {
        // bitsandbytes 0.50.2, functional.py quantize_4bit: 29,360,128 packed, the rest statistics.
        assert_eq!(nf4(14336 * 4096), 33_030_208);
        assert_eq!(nf4_double(14336 * 4096), 30_293_060);
    }

    #[test]
    fn what_does_not_fill_a_block_still_has_a_statistic() {
        assert_eq!(nf4(1), 1 + 4 + 64);
        assert_eq!(nf4_double(65), 33 + 2 + 4 + 1024 + 4 + 64);
    }
}
