//! Activations as plain numbers.

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};

/// The type of activations on a device: f32 on the CPU, bf16 on a GPU.
pub(in crate::load) fn activation_type(device: &Device) -> DType {
    if device.is_cpu() { DType::F32 } else { DType::BF16 }
}

/// Gives the elements of an f32 tensor on the CPU, in row order, to `work`.
pub(super) fn with_floats<T>(x: &Tensor, work: impl FnOnce(&[f32]) -> T) -> candle_core::Result<T> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(CpuStorage::F32(elements)) = &*storage else {
        candle_core::bail!("activations are {:?} on {:?}", x.dtype(), x.device().location())
    };
    let Some(elements) = layout.contiguous_offsets().and_then(|(a, b)| elements.get(a..b)) else {
        candle_core::bail!("activations are not contiguous: {layout:?}")
    };
    Ok(work(elements))
}
