//! Weights as their devices hold them.

use candle_core::{DType, Tensor};

/// The type of activations on a device: f32 on the CPU, bf16 on a GPU.
pub(super) fn activation_type(device: &candle_core::Device) -> DType {
    if device.is_cpu() { DType::F32 } else { DType::BF16 }
}

/// One tensor on its device.
#[derive(Debug)]
pub struct Weight {
    pub(super) dense: Tensor,
}

impl Weight {
    /// `[m, columns]` activations times the transposed matrix: `[m, rows]`, on the same device.
    pub(super) fn apply(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.matmul(&self.dense.t()?)
    }

    /// The rows of these numbers, `[ids, columns]`, as activations.
    pub(super) fn rows(&self, ids: &[u32]) -> candle_core::Result<Tensor> {
        let ids = Tensor::new(ids, self.dense.device())?;
        self.dense.index_select(&ids, 0)
    }

    /// A vector's `[columns]` elements in f32.
    pub(super) fn vector(&self) -> candle_core::Result<Tensor> {
        self.dense.flatten_all()?.to_dtype(DType::F32)
    }
}
