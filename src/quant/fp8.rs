//! FP8 as DeepSeek-V3 publishes it and transformers' `FineGrainedFP8Config` makes it.
//!
//! A float8 weight and `weight_scale_inv`, a scale per block: f32 `[ceil(out/128), ceil(in/128)]`, or one
//! byte each as UE8M0 (`scale_fmt`). Without a block size there is one f32 per matrix; with static
//! activations one more, `activation_scale` (transformers 5.23, `integrations/finegrained_fp8.py`,
//! `FP8Linear`). Blocks at the edges may be short. Experts in merged tensors have the scales of each
//! expert (`FP8Experts`). Routers, gates of shared experts, embeddings, head and norms stay in bf16, as in
//! the checkpoints of DeepSeek-V3 and Qwen3, whose `modules_to_not_convert` lists them.

use super::group::number;
use super::matrix::{Matrix, Quantizer, is_map_but_no_gate, is_merged_map};
use super::plain::Plain;
use crate::model::Tensor;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fp8 {
    pub(super) scaling: Scaling,
    pub(super) static_activations: bool,
}

/// What a scale is for and how it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scaling {
    /// A matrix; always f32.
    Tensor,
    /// A block of rows and columns.
    Block { rows: u64, columns: u64, ue8m0: bool },
}

const SIDE: u64 = 128;
/// No published block is larger; products of sizes stay far from 2^64.
const SIDE_MAX: u64 = 1 << 16;
const EXPECTED: &str = "ue8m0, tensor, static or a block such as 128x128";

impl Fp8 {
    /// The format of DeepSeek-V3.
    pub(super) fn new() -> Self {
        let scaling = Scaling::Block { rows: SIDE, columns: SIDE, ue8m0: false };
        Self { scaling, static_activations: false }
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        [Self::new()].into_iter()
    }

    /// Reads a name and its options; `None` for the name of something else.
    pub(super) fn parse(base: &str, options: &[&str]) -> Option<Result<Self, String>> {
        (base == "fp8").then(|| Self::new().with(options))
    }

    fn with(mut self, options: &[&str]) -> Result<Self, String> {
        let (mut sides, mut ue8m0, mut tensor) = (None, false, false);
        for option in options {
            match *option {
                "ue8m0" => ue8m0 = true,
                "tensor" => tensor = true,
                "static" => self.static_activations = true,
                _ => sides = Some(block(option).ok_or(EXPECTED)?),
            }
        }
        if tensor && (ue8m0 || sides.is_some()) {
            return Err("`tensor`, or blocks".to_owned());
        }
        let (rows, columns) = sides.unwrap_or((SIDE, SIDE));
        self.scaling =
            if tensor { Scaling::Tensor } else { Scaling::Block { rows, columns, ue8m0 } };
        Ok(self)
    }
}

/// `128x64`: rows, then columns.
fn block(text: &str) -> Option<(u64, u64)> {
    let (rows, columns) = text.split_once('x')?;
    let side = |text| number(text).filter(|&side| side <= SIDE_MAX);
    Some((side(rows)?, side(columns)?))
}

impl Quantizer for Fp8 {
    fn name(&self) -> String {
        let mut options = Vec::new();
        match self.scaling {
            Scaling::Tensor => options.push("tensor".to_owned()),
            Scaling::Block { rows, columns, ue8m0 } => {
                if (rows, columns) != (SIDE, SIDE) {
                    options.push(format!("{rows}x{columns}"));
                }
                if ue8m0 {
                    options.push("ue8m0".to_owned());
                }
            }
        }
        if self.static_activations {
            options.push("static".to_owned());
        }
        let colon = if options.is_empty() { "" } else { ":" };
        format!("fp8{colon}{}", options.join(","))
    }

    fn description(&self) -> String {
        match self.scaling {
            Scaling::Tensor => "8-bit floats, a scale per matrix".to_owned(),
            Scaling::Block { rows, columns, .. } => {
                format!("8-bit floats, a scale per {rows}x{columns} block (DeepSeek-V3)")
            }
        }
    }

    fn type_name(&self) -> &'static str {
        "fp8"
    }

    fn rest(&self) -> Plain {
        Plain::Bf16
    }

    fn covers(&self, tensor: &Tensor) -> bool {
        (tensor.linear || is_merged_map(tensor)) && is_map_but_no_gate(tensor)
    }

    fn bytes(&self, matrix: Matrix) -> Result<u64, String> {
        let scales = match self.scaling {
            Scaling::Tensor => 4,
            Scaling::Block { rows, columns, ue8m0 } => {
                let width = if ue8m0 { 1 } else { 4 };
                width * matrix.outputs.div_ceil(rows) * matrix.inputs.div_ceil(columns)
            }
        };
        let activations = if self.static_activations { 4 } else { 0 };
        Ok(matrix.elements() + scales + activations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(options: &[&str], outputs: u64, inputs: u64) -> u64 {
        let fp8 = Fp8::parse("fp8", options).unwrap().unwrap();
        fp8.bytes(Matrix { outputs, inputs }).unwrap()
    }

    #[test]
    fn matrices_of_deepseek_v3() {
        // An expert's: 16 x 56 scales.
        assert_eq!(bytes(&[], 2048, 7168), 14_680_064 + 3_584);
        assert_eq!(bytes(&["ue8m0"], 2048, 7168), 14_680_064 + 896);
        // kv_a_proj_with_mqa: 576 rows are four blocks and a half.
        assert_eq!(bytes(&[], 576, 7168), 576 * 7168 + 4 * 5 * 56);
        assert_eq!(bytes(&["tensor", "static"], 576, 7168), 576 * 7168 + 8);
        assert_eq!(bytes(&["1x32", "ue8m0"], 2, 64), 128 + 4);
    }

    #[test]
    fn options_are_read_and_said() {
        let name = |options: &[&str]| Fp8::parse("fp8", options).unwrap().map(|f| f.name());
        assert_eq!(name(&["128x128"]).unwrap(), "fp8");
        assert_eq!(name(&["static", "ue8m0", "64x32"]).unwrap(), "fp8:64x32,ue8m0,static");
        for wrong in [&["tensor", "ue8m0"][..], &["0x1"], &["128"], &["1x99999999"], &["e4m3"]] {
            assert!(name(wrong).is_err(), "{wrong:?}");
        }
    }
}
