//! Weights as their devices hold them: in the bytes that were planned, and multiplied without copies.
//!
//! ```text
//!  item ──► fill ──► f32, f16, bf16, blocks ──► upload ──► Weight
//!           reads,   in host memory              to a GPU,  apply, rows, vector
//!           checks,                              or repack
//!           converts
//! ```

mod activations;
mod blocks;
mod copy;
mod fill;
mod flaws;
mod half;
mod held;
mod kernel;
mod kinds;
mod progress;
mod sample;

use std::fmt;

use candle_core::{DType, Device, Tensor};

use crate::dtype::GgmlType;
pub(super) use activations::activation_type;
pub(super) use fill::{Task, load, second_copy};
use held::Held;
pub(super) use kinds::check_item;
pub use kinds::holdable;
#[cfg(test)]
pub(super) use kinds::of_candle;
pub use progress::Watch;
pub(super) use progress::{Halt, Trouble};

/// One tensor on its device.
pub struct Weight {
    rows: usize,
    columns: usize,
    kind: GgmlType,
    held: Held,
}

impl Weight {
    /// `[m, columns]` activations times the transposed matrix: `[m, rows]`, on the same device.
    ///
    /// On the CPU it computes on the threads it is called on; whoever wants the device's own calls it there.
    ///
    /// # Errors
    /// Activations of another width, type or device.
    pub(super) fn apply(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (m, width) = x.dims2()?;
        if width != self.columns {
            candle_core::bail!("activations are {width} wide, the matrix is {}", self.columns)
        }
        if x.device().is_cpu() && x.dtype() != activation_type(x.device()) {
            candle_core::bail!("activations are {:?}", x.dtype())
        }
        if m == 0 {
            return Tensor::zeros((0, self.rows), x.dtype(), x.device());
        }
        self.held.apply(x, self.rows, self.columns)
    }

    /// The rows of these numbers, `[ids, columns]`, as activations.
    ///
    /// # Errors
    /// A number that no row has.
    pub(super) fn rows(&self, ids: &[u32]) -> candle_core::Result<Tensor> {
        let beyond = |id: &&u32| usize::try_from(**id).map_or(true, |id| id >= self.rows);
        if let Some(id) = ids.iter().find(beyond) {
            candle_core::bail!("row {id} of {} is asked for", self.rows)
        }
        self.held.rows(ids, self.columns)
    }

    /// A vector's `[columns]` elements in f32.
    pub(super) fn vector(&self) -> candle_core::Result<Tensor> {
        match &self.held {
            Held::Dense(tensor) => tensor.flatten_all()?.to_dtype(DType::F32),
            _ => self.held.rows(&[0], self.columns)?.flatten_all()?.to_dtype(DType::F32),
        }
    }

    /// Its bytes, counted in the memory that holds it.
    ///
    /// Where blocks were repacked that is without candle's second copy, which it shows to nobody; see
    /// [`second_copy_bytes`](Self::second_copy_bytes).
    pub fn bytes(&self) -> u64 {
        self.held.bytes()
    }

    /// The most that candle's repacked copy takes beside [`bytes`](Self::bytes); 0 where there is none.
    pub fn second_copy_bytes(&self) -> u64 {
        let repacked = matches!(self.held, Held::Library(..)) && self.device().is_cpu();
        if repacked { kinds::repacked_bytes(self.kind, self.rows, self.columns) } else { 0 }
    }

    /// The type it is held in.
    pub fn kind(&self) -> GgmlType {
        self.kind
    }

    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Its bytes themselves, as a file of its type has them.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> Vec<u8> {
        match &self.held {
            Held::Dense(tensor) => {
                let floats = |floats: &[f32]| bytemuck::cast_slice(floats).to_vec();
                activations::with_floats(tensor, floats).unwrap()
            }
            Held::F16(halves) => bytemuck::cast_slice(halves).to_vec(),
            Held::Bf16(halves) => bytemuck::cast_slice(halves).to_vec(),
            Held::Blocks(blocks) => blocks.bytes().to_vec(),
            Held::Library(tensor) => tensor.data().unwrap().into_owned(),
        }
    }

    fn device(&self) -> Device {
        self.held.device()
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Weight({} x {} {})", self.rows, self.columns, self.kind.name())
    }
}
