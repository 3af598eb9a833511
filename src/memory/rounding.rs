//! What an allocator adds to a tensor: exact per allocation.
//!
//! - PyTorch (c10/cuda/CUDACachingAllocator.cpp): a request is rounded up to 512 B; one of 10 MiB or
//!   more gets a segment of its own, rounded up to 2 MiB. Smaller ones share segments of 2 MiB (up to
//!   1 MiB) and 20 MiB; the tail of the last segment of each kind is not counted here. What a segment of
//!   its own has left over could serve a later request if more than 1 MiB; it is counted as lost.
//! - ggml on CUDA (ggml-cuda.cu): rows of quantized matrices are padded to 512 elements at the end of
//!   the tensor, and tensors begin at multiples of 128 B.
//!
//! A matrix may be several allocations ([`parts`]). An expert's part of a merged tensor is taken for an
//! allocation of its own, which bounds its share from above.

use crate::model::Tensor;
use crate::quant::{StoredTensor, parts};
use crate::runtime::Rounding;

const MIB: u64 = 1 << 20;

/// Bytes that the allocator adds to what the tensor takes.
pub(crate) fn added(rounding: Rounding, tensor: &Tensor, stored: &StoredTensor) -> u64 {
    match rounding {
        Rounding::None => 0,
        Rounding::Torch => parts(tensor, stored)
            .iter()
            .filter(|part| part.kept)
            .map(|part| torch(part.bytes).saturating_sub(part.bytes))
            .sum(),
        Rounding::GgmlCuda => ggml_cuda(tensor, stored).saturating_sub(stored.bytes),
    }
}

fn torch(bytes: u64) -> u64 {
    let step = if bytes >= 10 * MIB { 2 * MIB } else { 512 };
    bytes.checked_next_multiple_of(step).unwrap_or(bytes)
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
