//! The memory behind a weight, and what is computed with it there.

use candle_core::quantized::QTensor;
use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use half::{bf16, f16};

use super::activations::{activation_type, with_floats};
use super::blocks::{self, Block, Blocks};
use super::copy::blocks_uploaded;
use super::half::Half;
use super::{half as halves, kernel};

/// Where the elements are.
pub(super) enum Held {
    /// A tensor in the type it is held in: f32 on the CPU, any float on a GPU.
    Dense(Tensor),
    /// On the CPU.
    F16(Vec<f16>),
    /// On the CPU.
    Bf16(Vec<bf16>),
    /// On the CPU.
    Blocks(Blocks),
    /// Blocks in the hands of candle: on a GPU, or on the CPU to be repacked.
    Library(QTensor),
}

impl Held {
    /// `[m, columns]` times the transposed matrix; neither is empty.
    pub(super) fn apply(
        &self,
        x: &Tensor,
        rows: usize,
        columns: usize,
    ) -> candle_core::Result<Tensor> {
        match self {
            // On a GPU activations have another type than f32 and f16 matrices. They take the matrix's, for
            // the matrix is what must not be copied.
            Self::Dense(matrix) => {
                x.to_dtype(matrix.dtype())?.matmul(&matrix.t()?)?.to_dtype(x.dtype())
            }
            Self::F16(matrix) => halves::multiply(x, matrix, columns),
            Self::Bf16(matrix) => halves::multiply(x, matrix, columns),
            Self::Blocks(matrix) => {
                let product = |x: &[f32]| {
                    let multiply = Multiply { x, columns, matrix, rows };
                    blocks::visit(matrix.kind(), multiply).flatten()
                };
                let Some(product) = with_floats(x, product)? else {
                    candle_core::bail!("there are no kernels for {}", matrix.kind().name())
                };
                Tensor::from_vec(product, (x.dim(0)?, rows), &Device::Cpu)
            }
            Self::Library(matrix) => x.contiguous()?.apply_op1_no_bwd(matrix),
        }
    }

    /// These rows, all of which there are, as activations.
    pub(super) fn rows(&self, ids: &[u32], columns: usize) -> candle_core::Result<Tensor> {
        let kind = activation_type(&self.device());
        match self {
            Self::Dense(matrix) => {
                let ids = Tensor::new(ids, matrix.device())?;
                matrix.index_select(&ids, 0)?.to_dtype(kind)
            }
            Self::F16(matrix) => gather(ids, columns, |row, out| widen(matrix, row, out)),
            Self::Bf16(matrix) => gather(ids, columns, |row, out| widen(matrix, row, out)),
            Self::Blocks(matrix) => gather(ids, columns, |row, out| {
                blocks::visit(matrix.kind(), Dequantize { matrix, row, out }).flatten()
            }),
            Self::Library(matrix) => {
                let ids = Tensor::new(ids, &matrix.device())?;
                matrix.embedding(&ids)?.to_dtype(kind)
            }
        }
    }

    /// The bytes of the memory itself.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Dense(tensor) => dense_bytes(tensor),
            Self::F16(elements) => size_of_val(elements.as_slice()),
            Self::Bf16(elements) => size_of_val(elements.as_slice()),
            Self::Blocks(blocks) => blocks.bytes().len(),
            Self::Library(tensor) => tensor.storage_size_in_bytes(),
        };
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Where the memory is.
    pub(super) fn device(&self) -> Device {
        match self {
            Self::Dense(tensor) => tensor.device().clone(),
            Self::F16(_) | Self::Bf16(_) | Self::Blocks(_) => Device::Cpu,
            Self::Library(tensor) => tensor.device(),
        }
    }

    /// The same on a GPU; what was in host memory is dropped.
    pub(super) fn upload(
        self,
        rows: usize,
        columns: usize,
        device: &Device,
    ) -> candle_core::Result<Self> {
        if let Self::Library(_) = self { Ok(self) } else { self.uploaded(rows, columns, device) }
    }

    /// Blocks given to candle, which copies them; anything else stays as it is.
    pub(super) fn hand_over(
        self,
        rows: usize,
        columns: usize,
        device: &Device,
    ) -> candle_core::Result<Self> {
        let Self::Blocks(blocks) = self else { return Ok(self) };
        blocks_uploaded(&blocks, (rows, columns), device)
    }
}

struct Multiply<'a> {
    x: &'a [f32],
    columns: usize,
    matrix: &'a Blocks,
    rows: usize,
}

impl blocks::Visit for Multiply<'_> {
    type Output = Option<Vec<f32>>;

    fn visit<B: Block>(self) -> Self::Output {
        let matrix = self.matrix.view::<B>()?;
        Some(kernel::multiply(self.x, self.columns, matrix, self.rows))
    }
}

struct Dequantize<'a> {
    matrix: &'a Blocks,
    row: usize,
    out: &'a mut [f32],
}

impl blocks::Visit for Dequantize<'_> {
    type Output = Option<()>;

    fn visit<B: Block>(self) -> Self::Output {
        let row_blocks = self.out.len() / B::BLCK_SIZE;
        let first = self.row.checked_mul(row_blocks)?;
        let row = self.matrix.view::<B>()?.get(first..first.checked_add(row_blocks)?)?;
        B::to_float(row, self.out);
        Some(())
    }
}

fn widen<H: Half>(matrix: &[H], row: usize, out: &mut [f32]) -> Option<()> {
    let first = row.checked_mul(out.len())?;
    H::widen(matrix.get(first..first.checked_add(out.len())?)?, out);
    Some(())
}

/// Rows side by side in one tensor on the CPU.
fn gather(
    ids: &[u32],
    columns: usize,
    mut copy: impl FnMut(usize, &mut [f32]) -> Option<()>,
) -> candle_core::Result<Tensor> {
    let mut out = vec![0_f32; ids.len() * columns];
    for (id, out) in ids.iter().zip(out.chunks_mut(columns)) {
        if usize::try_from(*id).ok().and_then(|row| copy(row, out)).is_none() {
            candle_core::bail!("there is no row {id}")
        }
    }
    Tensor::from_vec(out, (ids.len(), columns), &Device::Cpu)
}

fn dense_bytes(tensor: &Tensor) -> usize {
    let (storage, _) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(CpuStorage::F32(elements)) => size_of_val(elements.as_slice()),
        // Made by one upload of exactly these elements.
        _ => tensor.elem_count() * tensor.dtype().size_in_bytes(),
    }
}

/// A tensor of f32 over a vector, which moves.
pub(super) fn dense(elements: Vec<f32>, rows: usize, columns: usize) -> candle_core::Result<Held> {
    let tensor = Tensor::from_vec(elements, (rows, columns), &Device::Cpu)?;
    debug_assert_eq!(tensor.dtype(), DType::F32);
    Ok(Held::Dense(tensor))
}
