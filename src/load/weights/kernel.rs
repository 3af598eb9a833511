//! Activations times quantized matrices, on the threads it is called on.
//!
//! The dot products are candle's; how they are shared out is ours. Its own matrix product goes through one
//! pool of threads for the whole process, behind a lock, so two devices could never compute side by side and
//! none could be held to its number of threads. And its repacked product keeps a second copy of the weights
//! that no plan knows of.

use candle_core::quantized::k_quants::GgmlType as Kernels;
use rayon::prelude::*;

use super::blocks::Block;

/// Rows of activations that stay in the cache while a matrix passes by.
const TILE_ROWS: usize = 16;

/// Rows of the matrix that stay in the cache while the tiles pass by.
const BAND_ROWS_MAX: usize = 64;

/// `[m, columns]` activations times the transposed matrix of `rows` rows: `[m, rows]`.
///
/// Dot products are grouped as candle's own product groups them, so that both agree in every bit.
///
/// The caller has checked that the lengths agree and that columns fill whole blocks.
pub(super) fn multiply<B: Block>(x: &[f32], columns: usize, matrix: &[B], rows: usize) -> Vec<f32> {
    let m = x.len() / columns.max(1);
    let mut out = vec![0_f32; m * rows];
    if out.is_empty() {
        return out;
    }
    let row_blocks = columns / B::BLCK_SIZE;
    let x = quantized::<B>(x, columns, row_blocks);
    let band_rows = band_rows(rows, rayon::current_num_threads());
    bands(&mut out, rows, band_rows).into_par_iter().enumerate().for_each(|(index, mut band)| {
        let first = index * band_rows * row_blocks;
        let matrix = &matrix[first..];
        for (tile, out) in x.chunks(TILE_ROWS * row_blocks).zip(band.chunks_mut(TILE_ROWS)) {
            multiply_tile(columns, tile, matrix, row_blocks, out);
        }
    });
    out
}

/// The activations in the type that the matrix's dot products want.
fn quantized<B: Block>(x: &[f32], columns: usize, row_blocks: usize) -> Vec<B::VecDotType> {
    let m = x.len() / columns;
    let mut blocks = vec![<B::VecDotType as Kernels>::zeros(); m * row_blocks];
    let rows = blocks.par_chunks_mut(row_blocks).zip(x.par_chunks(columns));
    rows.for_each(|(blocks, row)| <B::VecDotType as Kernels>::from_float(row, blocks));
    blocks
}

/// How many rows of the matrix are one piece of work: several pieces for every thread, in whole quads.
fn band_rows(rows: usize, threads: usize) -> usize {
    let share = rows.div_ceil(threads.saturating_mul(4).max(1));
    share.next_multiple_of(4).clamp(4, BAND_ROWS_MAX)
}

/// The rows of `out` cut into bands of columns: for each band its part of every row.
fn bands(out: &mut [f32], columns: usize, band_columns: usize) -> Vec<Vec<&mut [f32]>> {
    let mut bands: Vec<Vec<&mut [f32]>> = Vec::new();
    bands.resize_with(columns.div_ceil(band_columns), Vec::new);
    for row in out.chunks_mut(columns) {
        for (band, part) in bands.iter_mut().zip(row.chunks_mut(band_columns)) {
            band.push(part);
        }
    }
    bands
}

/// Some rows of activations times the rows of one band.
fn multiply_tile<B: Block>(
    columns: usize,
    tile: &[B::VecDotType],
    matrix: &[B],
    row_blocks: usize,
    out: &mut [&mut [f32]],
) {
    let rows = out.first().map_or(0, |part| part.len());
    let weight = |row: usize| &matrix[row * row_blocks..(row + 1) * row_blocks];
    for quad in (0..rows / 4 * 4).step_by(4) {
        let [w0, w1, w2, w3] = [0, 1, 2, 3].map(|next| weight(quad + next));
        for (x, out) in tile.chunks(row_blocks).zip(out.iter_mut()) {
            let (y0, y1, y2, y3) = B::vec_dot_4(columns, w0, w1, w2, w3, x);
            out[quad..quad + 4].copy_from_slice(&[y0, y1, y2, y3]);
        }
    }
    for (x, out) in tile.chunks(row_blocks).zip(out.iter_mut()) {
        let mut next = rows / 4 * 4;
        if rows - next >= 2 {
            (out[next], out[next + 1]) = B::vec_dot_2(columns, weight(next), weight(next + 1), x);
            next += 2;
        }
        if next < rows {
            out[next] = B::vec_dot(columns, weight(next), x);
        }
    }
}
