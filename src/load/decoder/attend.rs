//! Softmax of queries times keys, times values.
//!
//! Two ways to the same sums: one token on the CPU walks the cache in tiles, in whatever type it is, and never
//! copies it; everything else gathers what the tokens look back on and multiplies matrices, a band of
//! queries at a time, so that scores never take more than [`SCORES_MAX`] elements.

use std::ops::Range;

use candle_core::{D, DType, Tensor};
use rayon::iter::{IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use super::cache::{Cache, CacheShape, HostCache, cells_of, read_gpu, write_gpu};

/// Elements of a band of scores: 16 MiB of f32.
const SCORES_MAX: usize = 4 << 20;

/// Cells that are widened to f32 at once.
const TILE: usize = 32;

/// New keys and values, and whose turn it is.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// `[tokens, heads, width]`, f32.
    pub(super) queries: &'a Tensor,
    /// `[tokens, kv heads, width]`, f32.
    pub(super) keys: &'a Tensor,
    /// `[tokens, kv heads, width]`, f32.
    pub(super) values: &'a Tensor,
    /// The position of the first of these tokens.
    pub(super) first: usize,
    /// Tokens a token looks back, itself included.
    pub(super) window: usize,
}

impl Turn<'_> {
    /// Positions before this turn that its first token still sees.
    fn past(&self) -> Range<usize> {
        (self.first + 1).saturating_sub(self.window)..self.first
    }
}

/// Attention of the new tokens, `[tokens, heads x width]` in f32; the cache has their keys and values then.
pub(super) fn attend(cache: &mut Cache, turn: &Turn<'_>) -> candle_core::Result<Tensor> {
    let (tokens, heads, width) = turn.queries.dims3()?;
    match cache {
        Cache::Host(host) if tokens == 1 => {
            let flat = |x: &Tensor| x.flatten_all()?.to_vec1::<f32>();
            let (keys, values) = (flat(turn.keys)?, flat(turn.values)?);
            for head in 0..host.shape.heads {
                let row = head * width..(head + 1) * width;
                host.write(head, turn.first, &keys[row.clone()], &values[row]);
            }
            let seen = turn.past().start..turn.first + 1;
            let mixed = walk(host, &flat(turn.queries)?, seen);
            Tensor::from_vec(mixed, (1, heads * width), turn.queries.device())
        }
        Cache::Host(host) => {
            let (keys, values) = gather(host, turn)?;
            multiply(turn, &keys, &values)
        }
        Cache::Gpu { keys, values } => {
            let past = turn.past();
            let both = |side: &Tensor, new: &Tensor| {
                // Rounded as the cache keeps them, so that a chunk sees what later tokens will see.
                let new = new.transpose(0, 1)?.contiguous()?.to_dtype(side.dtype())?;
                let whole = if past.is_empty() {
                    new.clone()
                } else {
                    Tensor::cat(&[&read_gpu(side, past.clone())?, &new], 1)?
                };
                write_gpu(side, &new, turn.first)?;
                whole.to_dtype(DType::F32)?.contiguous()
            };
            let (keys, values) = (both(keys, turn.keys)?, both(values, turn.values)?);
            multiply(turn, &keys, &values)
        }
    }
}

/// One token against the cells of these positions: `[heads x width]`.
fn walk(cache: &HostCache, queries: &[f32], seen: Range<usize>) -> Vec<f32> {
    let shape = cache.shape;
    let group = queries.len() / shape.heads;
    let mut mixed = vec![0.0; queries.len()];
    mixed.par_chunks_mut(group).enumerate().for_each(|(head, mixed)| {
        let queries = &queries[head * group..(head + 1) * group];
        walk_head(cache, head, queries, &seen, mixed);
    });
    mixed
}

/// The query heads that share one head of keys and values.
fn walk_head(
    cache: &HostCache,
    head: usize,
    queries: &[f32],
    seen: &Range<usize>,
    mixed: &mut [f32],
) {
    let CacheShape { cells, width, .. } = cache.shape;
    let count = seen.len();
    let scale = inverse_root(width);
    let mut scores = vec![0.0; queries.len() / width * count];
    let mut buffer = vec![0.0; TILE * width];
    let mut at = 0;
    for tile in cells_of(seen.clone(), cells).into_iter().flat_map(tiles) {
        let rows = cache.keys.view(cache.at(head, tile.start), tile.len() * width, &mut buffer);
        for (query, scores) in queries.chunks_exact(width).zip(scores.chunks_exact_mut(count)) {
            for (row, score) in rows.chunks_exact(width).zip(&mut scores[at..]) {
                *score = dot(query, row) * scale;
            }
        }
        at += tile.len();
    }
    scores.chunks_exact_mut(count).for_each(softmax);
    at = 0;
    for tile in cells_of(seen.clone(), cells).into_iter().flat_map(tiles) {
        let rows = cache.values.view(cache.at(head, tile.start), tile.len() * width, &mut buffer);
        for (mixed, scores) in mixed.chunks_exact_mut(width).zip(scores.chunks_exact(count)) {
            for (row, score) in rows.chunks_exact(width).zip(&scores[at..]) {
                for (sum, value) in mixed.iter_mut().zip(row) {
                    *sum += score * value;
                }
            }
        }
        at += tile.len();
    }
}

/// A run of cells in pieces that fit the buffer.
fn tiles(run: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    run.clone().step_by(TILE).map(move |start| start..run.end.min(start + TILE))
}

/// Eight sums side by side, so that the compiler can keep them in one register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (whole_a, whole_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = whole_a.remainder().iter().zip(whole_b.remainder()).map(|(a, b)| a * b);
    let rest: f32 = rest.sum();
    let mut sums = [0.0_f32; 8];
    for (a, b) in whole_a.zip(whole_b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

fn softmax(scores: &mut [f32]) {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - most).exp();
        sum += *score;
    }
    for score in scores {
        *score /= sum;
    }
}

#[expect(clippy::cast_precision_loss, reason = "head widths are far below 2^24")]
fn inverse_root(width: usize) -> f32 {
    1.0 / (width as f32).sqrt()
}

/// What the new tokens see, `[kv heads, past and new, width]` in f32, after the new ones were written.
///
/// The new ones are read back from their cells, so that a chunk sees what later tokens will see. In a window
/// they overwrite what the first of them still look back on; so the past is read before.
fn gather(cache: &mut HostCache, turn: &Turn<'_>) -> candle_core::Result<(Tensor, Tensor)> {
    let CacheShape { heads, width, .. } = cache.shape;
    let shape = cache.shape;
    let flat = |x: &Tensor| x.transpose(0, 1)?.flatten_all()?.to_vec1::<f32>();
    let (new_keys, new_values) = (flat(turn.keys)?, flat(turn.values)?);
    let (past, tokens) = (turn.past(), turn.queries.dim(0)?);
    let count = past.len() + tokens;
    let mut sides = [vec![0.0; heads * count * width], vec![0.0; heads * count * width]];
    let sources = [&cache.keys, &cache.values];
    for (side, source) in sides.iter_mut().zip(sources) {
        side.par_chunks_mut(count * width).enumerate().for_each(|(head, rows)| {
            HostCache::read(source, shape, head, past.clone(), &mut rows[..past.len() * width]);
        });
    }
    let sources = [&mut cache.keys, &mut cache.values];
    let sides_of = sides.iter_mut().zip(sources).zip([&new_keys, &new_values]);
    let mut jobs: Vec<_> = sides_of.collect();
    jobs.par_iter_mut().for_each(|((side, cells), new)| {
        for head in 0..heads {
            for token in 0..tokens {
                let from = (head * tokens + token) * width;
                let at = (head * shape.cells + (turn.first + token) % shape.cells) * width;
                cells.write(at, &new[from..from + width]);
                let into = (head * count + past.len() + token) * width;
                cells.read(at, &mut side[into..into + width]);
            }
        }
    });
    let [keys, values] =
        sides.map(|side| Tensor::from_vec(side, (heads, count, width), turn.queries.device()));
    Ok((keys?, values?))
}

/// All new tokens against what they see, a band of them at a time.
fn multiply(turn: &Turn<'_>, keys: &Tensor, values: &Tensor) -> candle_core::Result<Tensor> {
    let (tokens, heads, width) = turn.queries.dims3()?;
    let (kv_heads, count, _) = keys.dims3()?;
    let group = heads / kv_heads;
    let band = (SCORES_MAX / (heads * count)).clamp(1, tokens);
    let keys = keys.transpose(1, 2)?;
    let mut bands = Vec::new();
    for start in (0..tokens).step_by(band) {
        let size = band.min(tokens - start);
        // [tokens, heads, width] to [kv heads, group x tokens, width].
        let queries = turn.queries.narrow(0, start, size)?.transpose(0, 1)?.contiguous()?;
        let queries = queries.reshape((kv_heads, group * size, width))?;
        let scores = (queries.matmul(&keys)? * f64::from(inverse_root(width)))?;
        let scores = scores.reshape((heads, size, count))?;
        let scores = scores.broadcast_add(&mask(turn, start, size, count)?)?;
        let scores = candle_nn::ops::softmax_last_dim(&scores)?;
        let mixed = scores.reshape((kv_heads, group * size, count))?.matmul(values)?;
        let mixed = mixed.reshape((heads, size, width))?.transpose(0, 1)?.contiguous()?;
        bands.push(mixed.reshape((size, heads * width))?);
    }
    if let [only] = bands.as_slice() { Ok(only.clone()) } else { Tensor::cat(&bands, D::Minus2) }
}

/// 0 where a token sees a column, minus infinity elsewhere: `[tokens, columns]`.
fn mask(turn: &Turn<'_>, start: usize, size: usize, count: usize) -> candle_core::Result<Tensor> {
    let first_column = turn.past().start;
    let sees = |token: usize, column: usize| {
        let (now, then) = (turn.first + start + token, first_column + column);
        then <= now && now - then < turn.window
    };
    let row = |token: usize| {
        (0..count).map(move |column| if sees(token, column) { 0.0 } else { f32::NEG_INFINITY })
    };
    let all: Vec<f32> = (0..size).flat_map(row).collect();
    Tensor::from_vec(all, (size, count), turn.queries.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::decoder::cells::Cells;
    use crate::runtime::KvType;
    use candle_core::Device;

    const WIDTH: usize = 32;

    fn cache(cells: usize, kv_type: KvType) -> Cache {
        let shape = CacheShape { heads: 2, cells, width: WIDTH };
        let side = || Cells::new(kv_type, 2 * cells * WIDTH).unwrap();
        Cache::Host(HostCache { shape, keys: side(), values: side() })
    }

    fn noise(seed: usize, tokens: usize, heads: usize) -> Tensor {
        let value = |i: usize| u16::try_from((i * 7919 + seed * 104_729) % 1000).unwrap();
        let all: Vec<f32> =
            (0..tokens * heads * WIDTH).map(|i| f32::from(value(i)) / 500.0 - 1.0).collect();
        Tensor::from_vec(all, (tokens, heads, WIDTH), &Device::Cpu).unwrap()
    }

    /// Straight from the definition, for one query head.
    fn by_hand(
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        token: usize,
        head: usize,
        window: usize,
    ) -> Vec<f32> {
        let row = |x: &Tensor, t: usize, h: usize| -> Vec<f32> {
            x.get(t).unwrap().get(h).unwrap().to_vec1().unwrap()
        };
        let query = row(q, token, head);
        let seen = (token + 1).saturating_sub(window)..token + 1;
        let scores: Vec<f64> = seen
            .clone()
            .map(|t| {
                let key = row(k, t, head / 2);
                let sum: f64 =
                    query.iter().zip(key).map(|(a, b)| f64::from(*a) * f64::from(b)).sum();
                (sum / 32_f64.sqrt()).exp()
            })
            .collect();
        let total: f64 = scores.iter().sum();
        let mut mixed = vec![0.0_f64; WIDTH];
        for (t, score) in seen.zip(scores) {
            for (sum, value) in mixed.iter_mut().zip(row(v, t, head / 2)) {
                *sum += score / total * f64::from(value);
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "a comparison within 1e-5")]
        mixed.into_iter().map(|x| x as f32).collect()
    }

    #[test]
    fn chunks_of_any_size_see_what_the_definition_says_with_and_without_a_window() {
        let tokens = 41;
        let (q, k, v) = (noise(1, tokens, 4), noise(2, tokens, 2), noise(3, tokens, 2));
        for (window, cells) in [(tokens, tokens), (7, 7), (33, 33)] {
            for chunks in [vec![41], vec![1; 41], vec![5, 1, 1, 9, 25], vec![20, 1, 20]] {
                let mut cache = cache(cells, KvType::F32);
                let mut first = 0;
                for size in chunks {
                    let part = |x: &Tensor| x.narrow(0, first, size).unwrap();
                    let (queries, keys, values) = (&part(&q), &part(&k), &part(&v));
                    let turn = Turn { queries, keys, values, first, window };
                    let mixed = attend(&mut cache, &turn).unwrap().to_vec2::<f32>().unwrap();
                    for (token, mixed) in mixed.iter().enumerate() {
                        for head in 0..4 {
                            let right = by_hand(&q, &k, &v, first + token, head, window);
                            for (a, b) in mixed[head * WIDTH..].iter().zip(right) {
                                assert!((a - b).abs() < 1e-5, "window {window}: {a} {b}");
                            }
                        }
                    }
                    first += size;
                }
            }
        }
    }

    #[test]
    fn a_chunk_sees_rounded_keys_as_later_tokens_do() {
        let (q, k, v) = (noise(1, 9, 4), noise(2, 9, 2), noise(3, 9, 2));
        for kv_type in [KvType::F16, KvType::Bf16, KvType::Q8_0, KvType::Q4_0] {
            let mut at_once = cache(9, kv_type);
            let turn = Turn { queries: &q, keys: &k, values: &v, first: 0, window: 9 };
            let whole = attend(&mut at_once, &turn).unwrap().to_vec2::<f32>().unwrap();
            let mut stepwise = cache(9, kv_type);
            for (token, whole) in whole.iter().enumerate() {
                let part = |x: &Tensor| x.narrow(0, token, 1).unwrap();
                let (queries, keys, values) = (&part(&q), &part(&k), &part(&v));
                let turn = Turn { queries, keys, values, first: token, window: 9 };
                let one = attend(&mut stepwise, &turn).unwrap().to_vec2::<f32>().unwrap();
                for (a, b) in one[0].iter().zip(whole) {
                    assert!((a - b).abs() < 1e-5, "{kv_type:?}: {a} {b}");
                }
            }
        }
    }
}
