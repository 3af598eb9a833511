//! Rows of keys or values in host memory, in the type the plan keeps them in.

use candle_core::quantized::k_quants::{BlockQ4_0, BlockQ8_0, GgmlType};
use candle_core::{DType, Device, Tensor};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::error::Error;
use crate::load::failed;
use crate::runtime::KvType;

/// Rows of equal width, written and read as f32.
#[derive(Debug)]
pub(super) enum Cells {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    Q8_0(Vec<BlockQ8_0>),
    Q4_0(Vec<BlockQ4_0>),
}

impl Cells {
    /// `elements` zeros; whole blocks, which the plan has checked.
    ///
    /// # Errors
    /// A type this runtime does not keep, and more memory than there is.
    pub(super) fn new(kv_type: KvType, elements: usize) -> Result<Self, Error> {
        Ok(match kv_type {
            KvType::F32 => Self::F32(zeros(elements, 0.0)?),
            KvType::F16 => Self::F16(zeros(elements, f16::ZERO)?),
            KvType::Bf16 => Self::Bf16(zeros(elements, bf16::ZERO)?),
            KvType::Q8_0 => Self::Q8_0(zeros(elements / BlockQ8_0::BLCK_SIZE, BlockQ8_0::zeros())?),
            KvType::Q4_0 => Self::Q4_0(zeros(elements / BlockQ4_0::BLCK_SIZE, BlockQ4_0::zeros())?),
            other => {
                return Err(Error::new("make the KV cache")
                    .expected("f32, f16, bf16, q8_0 or q4_0")
                    .found(format!("`{}`", other.name()))
                    .hint("solve again with another --kv-type"));
            }
        })
    }

    /// The same rows in memory of their own.
    ///
    /// # Errors
    /// More memory than there is.
    pub(super) fn again(&self) -> Result<Self, Error> {
        Ok(match self {
            Self::F32(rows) => Self::F32(copied(rows)?),
            Self::F16(rows) => Self::F16(copied(rows)?),
            Self::Bf16(rows) => Self::Bf16(copied(rows)?),
            Self::Q8_0(rows) => Self::Q8_0(copied(rows)?),
            Self::Q4_0(rows) => Self::Q4_0(copied(rows)?),
        })
    }

    /// What was in a tensor of the plan's type.
    ///
    /// # Errors
    /// Types that tensors of keys and values do not have.
    pub(super) fn of_tensor(tensor: &Tensor) -> Result<Self, Error> {
        let rows = || tensor.flatten_all();
        let cells = || match tensor.dtype() {
            DType::F32 => rows()?.to_vec1().map(Self::F32),
            DType::F16 => rows()?.to_vec1().map(Self::F16),
            DType::BF16 => rows()?.to_vec1().map(Self::Bf16),
            other => candle_core::bail!("keys and values are {other:?}"),
        };
        cells().map_err(failed("copy the KV cache"))
    }

    /// Them as a tensor on a GPU; `None` for blocks, which only the CPU reads.
    pub(super) fn to_tensor(
        &self,
        shape: (usize, usize, usize),
        device: &Device,
    ) -> Option<candle_core::Result<Tensor>> {
        Some(match self {
            Self::F32(rows) => Tensor::from_slice(rows, shape, device),
            Self::F16(rows) => Tensor::from_slice(rows, shape, device),
            Self::Bf16(rows) => Tensor::from_slice(rows, shape, device),
            Self::Q8_0(_) | Self::Q4_0(_) => return None,
        })
    }

    /// What they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::F32(rows) => size_of_val(rows.as_slice()),
            Self::F16(rows) => size_of_val(rows.as_slice()),
            Self::Bf16(rows) => size_of_val(rows.as_slice()),
            Self::Q8_0(rows) => size_of_val(rows.as_slice()),
            Self::Q4_0(rows) => size_of_val(rows.as_slice()),
        }
    }

    /// Writes elements from `at` on: whole rows.
    pub(super) fn write(&mut self, at: usize, from: &[f32]) {
        let end = at + from.len();
        match self {
            Self::F32(rows) => rows[at..end].copy_from_slice(from),
            Self::F16(rows) => rows[at..end].convert_from_f32_slice(from),
            Self::Bf16(rows) => rows[at..end].convert_from_f32_slice(from),
            Self::Q8_0(rows) => BlockQ8_0::from_float(from, blocks_mut(rows, at, end)),
            Self::Q4_0(rows) => BlockQ4_0::from_float(from, blocks_mut(rows, at, end)),
        }
    }

    /// Reads as many elements from `at` on as there is room for: whole rows.
    pub(super) fn read(&self, at: usize, into: &mut [f32]) {
        let end = at + into.len();
        match self {
            Self::F32(rows) => into.copy_from_slice(&rows[at..end]),
            Self::F16(rows) => rows[at..end].convert_to_f32_slice(into),
            Self::Bf16(rows) => rows[at..end].convert_to_f32_slice(into),
            Self::Q8_0(rows) => BlockQ8_0::to_float(blocks(rows, at, end), into),
            Self::Q4_0(rows) => BlockQ4_0::to_float(blocks(rows, at, end), into),
        }
    }

    /// The elements themselves where they are f32, otherwise read into the buffer.
    pub(super) fn view<'a>(&'a self, at: usize, count: usize, buffer: &'a mut [f32]) -> &'a [f32] {
        if let Self::F32(rows) = self {
            return &rows[at..at + count];
        }
        self.read(at, &mut buffer[..count]);
        &buffer[..count]
    }
}

fn blocks<T: GgmlType>(rows: &[T], at: usize, end: usize) -> &[T] {
    &rows[at / T::BLCK_SIZE..end / T::BLCK_SIZE]
}

fn blocks_mut<T: GgmlType>(rows: &mut [T], at: usize, end: usize) -> &mut [T] {
    &mut rows[at / T::BLCK_SIZE..end / T::BLCK_SIZE]
}

/// A vector of equal values, or an error where memory does not suffice.
fn zeros<T: Clone>(count: usize, zero: T) -> Result<Vec<T>, Error> {
    let mut cells = room(count)?;
    cells.resize(count, zero);
    Ok(cells)
}

fn copied<T: Clone>(rows: &[T]) -> Result<Vec<T>, Error> {
    let mut cells = room(rows.len())?;
    cells.extend_from_slice(rows);
    Ok(cells)
}

fn room<T>(count: usize) -> Result<Vec<T>, Error> {
    let mut cells = Vec::new();
    cells.try_reserve_exact(count).map_err(|_| {
        Error::new("make the KV cache").found(format!("no memory for {count} elements"))
    })?;
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_gives_back_what_it_can_hold() {
        // Exact in every type: multiples of the largest over 7 fit 4-bit blocks whose largest is negative.
        let row: Vec<f32> = (0..64_u8).map(|i| f32::from(i % 8) - 8.0).collect();
        for kv_type in [KvType::F32, KvType::F16, KvType::Bf16, KvType::Q8_0, KvType::Q4_0] {
            let mut cells = Cells::new(kv_type, 4 * 64).unwrap();
            cells.write(128, &row);
            let (elements, bytes) = kv_type.block();
            assert_eq!(cells.bytes() as u64, 256 / elements * bytes, "{kv_type:?}");
            let mut back = vec![1.0; 64];
            cells.read(128, &mut back);
            let tolerance = if matches!(kv_type, KvType::Q8_0) { 0.04 } else { 0.0 };
            for (a, b) in row.iter().zip(&back) {
                assert!((a - b).abs() <= tolerance, "{kv_type:?}: {a} {b}");
            }
            let mut buffer = vec![0.0; 64];
            assert_eq!(cells.view(128, 64, &mut buffer), &back);
            cells.read(0, &mut back);
            assert!(back.iter().all(|x| *x == 0.0));
        }
        assert!(Cells::new(KvType::Iq4Nl, 32).is_err());
    }
}
