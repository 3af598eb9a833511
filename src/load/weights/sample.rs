//! A matrix of no model, to measure products with.

use half::{bf16, f16};

use super::blocks::{self, Block, Blocks};
use super::held::{self, Held};
use super::{Weight, kinds};
use crate::dtype::GgmlType;
use crate::error::Error;
use crate::load::devices::{Backing, Device};
use crate::load::failed;

/// Every byte of it. As f32, f16, bf16 and as the scale of a block that is a small ordinary number, so that
/// nothing is slower or faster than with weights of a model; and no page is the system's one page of zeros. Its
/// two halves are not opposite numbers of 4 bits.
const BYTE: u8 = 0x2d;

impl Weight {
    /// A matrix on the device, in memory of its own, as a load would leave it there.
    ///
    /// # Errors
    /// Types that weights are not held in, rows that are not whole blocks, no memory.
    pub(in crate::load) fn sample(
        kind: GgmlType,
        rows: usize,
        columns: usize,
        device: &Device,
    ) -> Result<Self, Error> {
        let refuse = || Error::new("make a matrix").object(kind.name()).place(&device.id);
        let bytes = kinds::bytes(kind, rows, columns).ok_or_else(|| {
            refuse().expected("whole blocks in every row").found(format!("{columns} columns"))
        })?;
        let held = in_host_memory(kind, rows, columns, bytes).ok_or_else(|| {
            refuse().expected(format!("{bytes} bytes")).found("the system has not so much")
        })?;
        let held = held.map_err(failed("make a matrix"))?;
        let held = match device.backing {
            Backing::Cpu => held,
            Backing::Cuda(_) => device
                .run(|| held.upload(rows, columns, &device.real))
                .map_err(|error| device.refused("a matrix", bytes, &error))?,
        };
        Ok(Self { rows, columns, kind, held })
    }
}

/// `None` when the system has not so much memory or the type has no kernels.
fn in_host_memory(
    kind: GgmlType,
    rows: usize,
    columns: usize,
    bytes: u64,
) -> Option<candle_core::Result<Held>> {
    Some(match kind {
        GgmlType::F32 => held::dense(filled::<f32>(rows * columns)?, rows, columns),
        GgmlType::F16 => Ok(Held::F16(filled::<f16>(rows * columns)?)),
        GgmlType::Bf16 => Ok(Held::Bf16(filled::<bf16>(rows * columns)?)),
        _ => {
            let mut blocks = Blocks::zeroed(kind, usize::try_from(bytes).ok()?)?;
            blocks::visit(kind, Fill(&mut blocks)).flatten()?;
            Ok(Held::Blocks(blocks))
        }
    })
}

fn filled<T: bytemuck::Pod>(elements: usize) -> Option<Vec<T>> {
    let mut floats: Vec<T> = bytemuck::allocation::try_zeroed_vec(elements).ok()?;
    bytemuck::cast_slice_mut::<T, u8>(&mut floats).fill(BYTE);
    Some(floats)
}

struct Fill<'a>(&'a mut Blocks);

impl blocks::Visit for Fill<'_> {
    type Output = Option<()>;

    fn visit<B: Block>(self) -> Self::Output {
        blocks::bytes_of_mut(self.0.view_mut::<B>()?).fill(BYTE);
        Some(())
    }
}
