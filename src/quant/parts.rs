//! The allocations that a stored tensor is made of, in the order in which a loader asks for them.
//!
//! bitsandbytes 0.50 keeps a matrix in several tensors, each with an allocation of its own
//! (functional.py, `quantize_4bit` and `quantize_blockwise`; backends/cuda/ops.py): the statistics in f32, the packed
//! matrix, the table of its 16 values; with double quantization then the mean, the statistics without it, the
//! statistics of those, the 8-bit statistics and a table of their own, after which both in f32 go. In 8 bit
//! (`Int8Params`): a statistic per row and the matrix. Everything else is one allocation.

use super::StoredTensor;
use super::bitsandbytes::{BLOCKS, CODE_BYTES, NESTED_BLOCK, NESTED_CODE_BYTES, OFFSET_BYTES};
use crate::model::Tensor;

/// One allocation of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Bytes that are asked for.
    pub(crate) bytes: u64,
    /// Whether it stays; otherwise it is freed when the last part is there, the latest first.
    pub(crate) kept: bool,
}

const fn kept(bytes: u64) -> Part {
    Part { bytes, kept: true }
}

const fn passing(bytes: u64) -> Part {
    Part { bytes, kept: false }
}

/// The parts of a tensor, while it is quantized where it stays.
///
/// Those that are kept make up its bytes: whatever the type is called, parts that do not add up are not how it
/// is kept, and it is one.
pub(crate) fn parts(tensor: &Tensor, stored: &StoredTensor) -> Vec<Part> {
    let elements = tensor.elements();
    let whole = |parts: &Vec<Part>| {
        let kept = parts.iter().filter(|part| part.kept);
        kept.fold(0_u64, |sum, part| sum.saturating_add(part.bytes)) == stored.bytes
    };
    let found = match stored.type_name {
        "nf4" | "fp4" => BLOCKS.into_iter().map(|block| simple(elements, block)).find(whole),
        "nf4-dq" | "fp4-dq" => BLOCKS.into_iter().map(|block| double(elements, block)).find(whole),
        "int8" => {
            let rows = tensor.shape.first().copied().unwrap_or(0).saturating_mul(4);
            Some(vec![kept(rows), kept(elements)]).filter(whole)
        }
        _ => None,
    };
    found.unwrap_or_else(|| vec![kept(stored.bytes)])
}

fn simple(elements: u64, block: u64) -> Vec<Part> {
    let statistics = elements.div_ceil(block).saturating_mul(4);
    vec![kept(statistics), kept(elements.div_ceil(2)), kept(CODE_BYTES)]
}

fn double(elements: u64, block: u64) -> Vec<Part> {
    let count = elements.div_ceil(block);
    let statistics = count.saturating_mul(4);
    vec![
        passing(statistics),
        kept(elements.div_ceil(2)),
        kept(CODE_BYTES),
        kept(OFFSET_BYTES),
        passing(statistics),
        kept(count.div_ceil(NESTED_BLOCK).saturating_mul(4)),
        kept(count),
        kept(NESTED_CODE_BYTES),
    ]
}

/// What a product of many tokens with a 4-bit matrix puts beside it: the matrix in 16 bit, and what is needed to
/// make it (bitsandbytes 0.50, autograd/_functions.py, `MatMul4Bit.forward`: `F.dequantize_4bit(B, ...)`).
pub(crate) fn unpacked(tensor: &Tensor, stored: &StoredTensor) -> Option<[u64; 2]> {
    let matrix = tensor.elements().saturating_mul(2);
    match stored.type_name {
        "nf4" | "fp4" => Some([0, matrix]),
        "nf4-dq" | "fp4-dq" => {
            let passing = parts(tensor, stored).into_iter().find(|part| !part.kept);
            Some([passing.map_or(0, |part| part.bytes), matrix])
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ComponentId, TensorRole};

    fn tensor(shape: &[u64]) -> Tensor {
        Tensor {
            name: "t".to_owned(),
            shape: shape.to_vec(),
            role: TensorRole::FfnUp,
            component: ComponentId::Expert(0, 0),
            merged: None,
            linear: true,
            published_f32: false,
        }
    }

    fn stored(type_name: &'static str, bytes: u64) -> StoredTensor {
        StoredTensor { type_name, bytes, staged_bytes: 0 }
    }

    #[test]
    fn an_expert_matrix_of_mixtral_is_asked_for_in_this_order() {
        let expert = tensor(&[14336, 4096]);
        // 58,720,256 weights: 29,360,128 packed, 917,504 statistics, 3584 of those.
        let double = parts(&expert, &stored("nf4-dq", 30_293_060));
        let bytes: Vec<u64> = double.iter().map(|part| part.bytes).collect();
        assert_eq!(bytes, [3_670_016, 29_360_128, 64, 4, 3_670_016, 14_336, 917_504, 1024]);
        let passing: Vec<bool> = double.iter().map(|part| !part.kept).collect();
        assert_eq!(passing, [true, false, false, false, true, false, false, false]);
        let simple = parts(&expert, &stored("nf4", 33_030_208));
        assert_eq!(simple, [kept(3_670_016), kept(29_360_128), kept(64)]);
        // Blocks of 128: half the statistics.
        let wide = parts(&expert, &stored("nf4", 29_360_128 + 1_835_008 + 64));
        assert_eq!(wide[0], kept(1_835_008));
    }

    #[test]
    fn what_does_not_add_up_is_one_allocation() {
        let expert = tensor(&[14336, 4096]);
        assert_eq!(parts(&expert, &stored("nf4", 100)), [kept(100)]);
        assert_eq!(parts(&expert, &stored("q4_k", 7)), [kept(7)]);
        assert_eq!(unpacked(&expert, &stored("q4_k", 7)), None);
        let double = unpacked(&expert, &stored("nf4-dq", 30_293_060));
        assert_eq!(double, Some([3_670_016, 117_440_512]));
    }
}
