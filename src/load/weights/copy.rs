//! A weight once more, in memory of its own on another device.
//!
//! ```text
//!  host ──► host   new memory, filled by all threads of the device that gets it
//!  host ──► GPU    one upload from where it is
//!  GPU  ──► host   one download into what the type is held in there
//!  GPU  ──► GPU    down, then up: not every pair of GPUs reaches each other
//! ```

use std::borrow::Cow;

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{Device as Real, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;

use super::activations::with_floats;
use super::blocks::Blocks;
use super::held::{self, Held};
use super::{Weight, kinds};
use crate::dtype::GgmlType;
use crate::error::Error;
use crate::load::devices::{Backing, Device};

/// Bytes that one thread copies at once.
const CHUNK_BYTES: usize = 1 << 20;

impl Weight {
    /// The same weight in new memory on another device; this one stays as it is.
    ///
    /// What candle keeps a second time in CPU memory it keeps there too; what comes from a GPU it does not.
    ///
    /// # Errors
    /// No memory there, and what candle refuses.
    pub(in crate::load) fn copied(&self, from: &Device, to: &Device) -> Result<Self, Error> {
        let Self { rows, columns, kind, .. } = *self;
        let up = |held: &Held| {
            let there = held.uploaded(rows, columns, &to.real)?;
            // All of it is there before anybody drops where it came from.
            to.real.synchronize().map(|()| there)
        };
        let down = || self.held.downloaded(rows, columns, kind);
        let held = match (from.backing, to.backing) {
            (Backing::Cpu, Backing::Cpu) => to.run(|| self.held.again(rows, columns)),
            (Backing::Cpu, Backing::Cuda(_)) => to.run(|| up(&self.held)),
            (Backing::Cuda(_), Backing::Cpu) => from.run(down),
            (Backing::Cuda(_), Backing::Cuda(_)) => {
                from.run(down).and_then(|host| to.run(|| up(&host)))
            }
        };
        let held = held.map_err(|error| to.refused("a weight", self.bytes(), &error))?;
        Ok(Self { rows, columns, kind, held })
    }

    /// What [`copied`](Self::copied) would take on that device, in bytes, with what candle keeps beside it.
    pub(in crate::load) fn bytes_on(&self, device: &Device) -> u64 {
        let second = if device.backing == Backing::Cpu { self.second_copy_bytes() } else { 0 };
        self.bytes().saturating_add(second)
    }
}

impl Held {
    /// Host memory to other host memory, on the threads it is called on.
    fn again(&self, rows: usize, columns: usize) -> candle_core::Result<Self> {
        match self {
            Self::Dense(tensor) => held::dense(with_floats(tensor, fresh)??, rows, columns),
            Self::F16(elements) => Ok(Self::F16(fresh(elements)?)),
            Self::Bf16(elements) => Ok(Self::Bf16(fresh(elements)?)),
            Self::Blocks(blocks) => {
                let again = |bytes: &[u8]| fresh_blocks(blocks.kind(), bytes);
                Ok(Self::Blocks(again(blocks.bytes())?))
            }
            Self::Library(tensor) => {
                let storage = QStorage::from_data(tensor.data()?, &Real::Cpu, tensor.dtype())?;
                Ok(Self::Library(QTensor::new(storage, (rows, columns))?))
            }
        }
    }

    /// From a GPU into what the type is held in on the CPU.
    fn downloaded(&self, rows: usize, columns: usize, kind: GgmlType) -> candle_core::Result<Self> {
        let host = |tensor: &Tensor| tensor.to_device(&Real::Cpu)?.flatten_all();
        match (self, kind) {
            (Self::Library(tensor), _) => {
                let Some(kind) = kinds::of_candle(kind).map(|_| kind) else {
                    candle_core::bail!("blocks of {} are not known", kind.name())
                };
                fresh_blocks(kind, &tensor.data()?).map(Self::Blocks)
            }
            (Self::Dense(tensor), GgmlType::F16) => Ok(Self::F16(host(tensor)?.to_vec1::<f16>()?)),
            (Self::Dense(tensor), GgmlType::Bf16) => {
                Ok(Self::Bf16(host(tensor)?.to_vec1::<bf16>()?))
            }
            (Self::Dense(tensor), _) => held::dense(host(tensor)?.to_vec1::<f32>()?, rows, columns),
            (Self::F16(_) | Self::Bf16(_) | Self::Blocks(_), _) => self.again(rows, columns),
        }
    }

    /// The same on a GPU, from where it is.
    pub(super) fn uploaded(
        &self,
        rows: usize,
        columns: usize,
        device: &Real,
    ) -> candle_core::Result<Self> {
        let shape = (rows, columns);
        let dense = match self {
            Self::Dense(tensor) => tensor.to_device(device)?,
            Self::F16(elements) => Tensor::from_slice(elements, shape, device)?,
            Self::Bf16(elements) => Tensor::from_slice(elements, shape, device)?,
            Self::Blocks(blocks) => return blocks_uploaded(blocks, shape, device),
            Self::Library(tensor) => {
                let storage = QStorage::from_data(tensor.data()?, device, tensor.dtype())?;
                return Ok(Self::Library(QTensor::new(storage, shape)?));
            }
        };
        Ok(Self::Dense(dense))
    }
}

/// Blocks given to candle, which copies them to the device.
pub(super) fn blocks_uploaded(
    blocks: &Blocks,
    shape: (usize, usize),
    device: &Real,
) -> candle_core::Result<Held> {
    let Some(kind) = kinds::of_candle(blocks.kind()) else {
        candle_core::bail!("there are no kernels for {}", blocks.kind().name())
    };
    let storage = QStorage::from_data(Cow::Borrowed(blocks.bytes()), device, kind)?;
    Ok(Held::Library(QTensor::new(storage, shape)?))
}

fn fresh_blocks(kind: GgmlType, bytes: &[u8]) -> candle_core::Result<Blocks> {
    let Some(mut blocks) = Blocks::zeroed(kind, bytes.len()) else {
        return Err(no_memory(bytes.len()));
    };
    copy(bytemuck::cast_slice_mut(blocks.words_mut()), bytes);
    Ok(blocks)
}

/// The same elements in memory that nobody has had before.
fn fresh<T: bytemuck::Pod + Send + Sync>(elements: &[T]) -> candle_core::Result<Vec<T>> {
    // The system hands out zeros when they are written first, so nothing is written twice, and a refusal is an
    // error and not the end.
    let zeros = bytemuck::allocation::try_zeroed_vec::<T>(elements.len());
    let mut fresh = zeros.map_err(|()| no_memory(size_of_val(elements)))?;
    copy(bytemuck::cast_slice_mut(&mut fresh), bytemuck::cast_slice(elements));
    Ok(fresh)
}

/// Large pieces side by side: the threads share the first touch of the new memory too.
fn copy(into: &mut [u8], from: &[u8]) {
    let pieces = into.par_chunks_mut(CHUNK_BYTES).zip(from.par_chunks(CHUNK_BYTES));
    pieces.for_each(|(into, from)| into.copy_from_slice(from));
}

fn no_memory(bytes: usize) -> candle_core::Error {
    candle_core::Error::msg(format!("the system has no {bytes} bytes more"))
}
