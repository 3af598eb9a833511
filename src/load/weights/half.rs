//! Activations times matrices of 16-bit floats, without a wide copy of the matrix.
//!
//! Every row is widened to f32 where it is used, in a buffer that stays in the cache. candle's own product
//! of bf16 widens both matrices as a whole on every call.

use std::cell::RefCell;

use candle_core::quantized::k_quants::GgmlType as Kernels;
use candle_core::{Device, Tensor};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use super::activations::with_floats;

/// Up to so many rows of activations dot products are cheaper than a matrix product on bands.
const DOTS_MAX: usize = 4;

/// Rows of the matrix that are one piece of work for dot products.
const DOT_ROWS: usize = 32;

/// Elements of the wide bands of matrix products: 4 MiB.
const BAND_ELEMENTS: usize = 1 << 20;

/// A 16-bit float.
pub(super) trait Half: bytemuck::Pod + Send + Sync {
    /// The bits, but for the sign, of infinity: above it is no number.
    const INFINITE_BITS: u16;

    /// The same values in f32.
    fn widen(halves: &[Self], wide: &mut [f32]);
}

impl Half for f16 {
    const INFINITE_BITS: u16 = 0x7c00;

    fn widen(halves: &[Self], wide: &mut [f32]) {
        halves.convert_to_f32_slice(wide);
    }
}

impl Half for bf16 {
    const INFINITE_BITS: u16 = 0x7f80;

    fn widen(halves: &[Self], wide: &mut [f32]) {
        // A loop over both at once is what compilers make vectors of.
        for (wide, half) in wide.iter_mut().zip(halves) {
            *wide = f32::from_bits(u32::from(half.to_bits()) << 16);
        }
    }
}

/// `[m, columns]` activations times the transposed matrix: `[m, rows]`.
///
/// The caller has checked that the lengths agree and that there is at least one element.
pub(super) fn multiply<H: Half>(
    x: &Tensor,
    matrix: &[H],
    columns: usize,
) -> candle_core::Result<Tensor> {
    let m = x.dim(0)?;
    let transposed = if m <= DOTS_MAX {
        let out = with_floats(x, |x| dots(x, matrix, columns))?;
        Tensor::from_vec(out, (matrix.len() / columns, m), &Device::Cpu)?
    } else {
        bands(x, matrix, columns)?
    };
    transposed.t()?.contiguous()
}

thread_local! {
    /// One row of a matrix, wide.
    static ROW: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// `[rows, m]`, row by row.
fn dots<H: Half>(x: &[f32], matrix: &[H], columns: usize) -> Vec<f32> {
    let m = x.len() / columns;
    let mut out = vec![0_f32; matrix.len() / columns * m];
    let work = out.par_chunks_mut(DOT_ROWS * m).zip(matrix.par_chunks(DOT_ROWS * columns));
    work.for_each(|(out, rows)| {
        ROW.with_borrow_mut(|wide| {
            wide.resize(columns, 0.0);
            for (out, row) in out.chunks_mut(m).zip(rows.chunks(columns)) {
                H::widen(row, wide);
                for (out, x) in out.iter_mut().zip(x.chunks(columns)) {
                    *out = <f32 as Kernels>::vec_dot(columns, wide, x);
                }
            }
        });
    });
    out
}

/// `[rows, m]`, by products of wide bands.
fn bands<H: Half>(x: &Tensor, matrix: &[H], columns: usize) -> candle_core::Result<Tensor> {
    let x = x.t()?;
    let band_rows = (BAND_ELEMENTS / columns).max(1);
    let products = matrix.chunks(band_rows * columns).map(|band| {
        let mut wide = vec![0_f32; band.len()];
        let rows = wide.par_chunks_mut(columns).zip(band.par_chunks(columns));
        rows.for_each(|(wide, row)| H::widen(row, wide));
        Tensor::from_vec(wide, (band.len() / columns, columns), &Device::Cpu)?.matmul(&x)
    });
    Tensor::cat(&products.collect::<candle_core::Result<Vec<_>>>()?, 0)
}
