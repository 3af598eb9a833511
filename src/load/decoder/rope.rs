//! Rotary position embedding: the angles of a run of positions.

use candle_core::{DType, Device, Tensor};

use crate::load::manifest::Rope;

/// Cosines and sines of every position and pair of a run, `[tokens, head width / 2]` in f32.
///
/// Computed anew for every run: a table for all positions would be memory that no plan knows of, and the
/// angles of one run cost nothing beside its matrices. In f32 throughout, as the reference implementation
/// has it: the angle is the rounded frequency times the position, rounded again.
#[derive(Debug)]
pub(super) struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
    tokens: usize,
    interleaved: bool,
}

/// Positions and head widths are far below 2^24, where f32 stops counting exactly.
#[expect(clippy::cast_precision_loss, reason = "contexts are below 2^24 tokens")]
fn as_f32(count: usize) -> f32 {
    count as f32
}

/// The frequency of every pair: `theta^(-2i/width) / divisor`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the base is rounded to f32 as the reference does"
)]
pub(super) fn frequencies(rope: &Rope, head_width: usize) -> Vec<f32> {
    let theta = rope.theta as f32;
    (0..head_width / 2)
        .map(|pair| {
            let exponent = as_f32(2 * pair) / as_f32(head_width);
            1.0 / theta.powf(exponent) / rope.divisors.get(pair).copied().unwrap_or(1.0)
        })
        .collect()
}

impl Angles {
    /// Of the positions from `first` on.
    pub(super) fn new(frequencies: &[f32], interleaved: bool, first: usize, tokens: usize) -> Self {
        let angle = |token: usize| frequencies.iter().map(move |f| as_f32(first + token) * f);
        let all: Vec<f32> = (0..tokens).flat_map(angle).collect();
        Self {
            cos: all.iter().map(|angle| angle.cos()).collect(),
            sin: all.iter().map(|angle| angle.sin()).collect(),
            tokens,
            interleaved,
        }
    }

    /// Turns `[tokens, heads, head width]`; the answer is in f32.
    pub(super) fn turn(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (tokens, _, width) = x.dims3()?;
        let table = |values: &[f32], device: &Device| {
            Tensor::from_slice(values, (self.tokens, width / 2), device)
        };
        let (cos, sin) = (table(&self.cos, x.device())?, table(&self.sin, x.device())?);
        let x = x.to_dtype(DType::F32)?;
        if self.interleaved && tokens == 1 {
            // One token: the layouts [1, heads, 1, width] and [1, heads, width] are the same memory.
            let heads = x.dim(1)?;
            return candle_nn::rotary_emb::rope_i(&x.reshape((1, heads, 1, width))?, &cos, &sin)?
                .reshape((1, heads, width));
        }
        if self.interleaved {
            let x = x.transpose(0, 1)?.contiguous()?.unsqueeze(0)?;
            let turned = candle_nn::rotary_emb::rope_i(&x, &cos, &sin)?;
            return turned.squeeze(0)?.transpose(0, 1)?.contiguous();
        }
        candle_nn::rotary_emb::rope_thd(&x.contiguous()?.unsqueeze(0)?, &cos, &sin)?.squeeze(0)
    }
}
