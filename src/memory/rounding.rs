//! What an allocator adds to a tensor: exact per allocation.
//!
//! - PyTorch (c10/cuda/CUDACachingAllocator.cpp): a request is rounded up to 512 B; one of 10 MiB or
//!   more gets a segment of its own, rounded up to 2 MiB. Smaller ones share segments of 2 MiB (up to
//!   1 MiB) and 20 MiB; the tail of the last segment of each kind is not counted here. What a segment of
//!   its own has left over could serve a later request if more than 1 MiB; it is counted as lost.
//! - ggml on CUDA (ggml-cuda.cu): rows of quantized matrices are padded to 512 elements at the end of
//!   the tensor, and tensors begin at multiples of 128 B.
//!
//! bitsandbytes keeps a matrix in several tensors, each with an allocation of its own. An expert's part
//! of a merged tensor is taken for an allocation of its own, which bounds its share from above.

use crate::model::Tensor;
use crate::quant::StoredTensor;
use crate::runtime::Rounding;

const MIB: u64 = 1 << 20;

/// Bytes that the allocator adds to what the tensor takes.
pub(super) fn added(rounding: Rounding, tensor: &Tensor, stored: &StoredTensor) -> u64 {
    match rounding {
        Rounding::None => 0,
        Rounding::Torch => allocations(tensor, stored)
            .iter()
            .map(|&bytes| torch(bytes).saturating_sub(bytes))
            .sum(),
        Rounding::GgmlCuda => ggml_cuda(tensor, stored).saturating_sub(stored.bytes),
    }
}

fn torch(bytes: u64) -> u64 {
    let step = if bytes >= 10 * MIB { 2 * MIB } else { 512 };
    bytes.checked_next_multiple_of(step).unwrap_or(bytes)
}

/// The allocations that make up a tensor; one, unless it is known to be several.
fn allocations(tensor: &Tensor, stored: &StoredTensor) -> Vec<u64> {
    let elements = tensor.elements();
    let statistics = elements.div_ceil(64);
    let parts = match stored.type_name {
        "nf4" | "fp4" => vec![elements.div_ceil(2), statistics.saturating_mul(4), 64],
        "nf4-dq" | "fp4-dq" => {
            let nested = statistics.div_ceil(256).saturating_mul(4);
            vec![elements.div_ceil(2), statistics, nested, 1024, 4, 64]
        }
        "int8" => vec![elements, tensor.shape.first().copied().unwrap_or(0).saturating_mul(4)],
        _ => Vec::new(),
    };
    // Whatever the name, parts that do not add up are not how it is kept.
    let sum = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(*part));
    if sum == stored.bytes { parts } else { vec![stored.bytes] }
}

fn ggml_cuda(tensor: &Tensor, stored: &StoredTensor) -> u64 {
    const ROW: u64 = 512;
    let row = tensor.shape.last().copied().unwrap_or(0);
    let quantized = !["f64", "f32", "f16", "bf16"].contains(&stored.type_name);
    let missing = if quantized && row > 0 { (ROW - row % ROW) % ROW } else { 0 };
    // Rows are whole blocks, and so is what they lack: bytes per element are one fraction.
    let padding =
        u128::from(stored.bytes) * u128::from(missing) / u128::from(tensor.elements().max(1));
    let padded = stored.bytes.saturating_add(u64::try_from(padding).unwrap_or(u64::MAX));
    padded.checked_next_multiple_of(128).unwrap_or(padded)
}

#[cfg(test)]
#[path = "rounding_tests.rs"]
mod tests;
