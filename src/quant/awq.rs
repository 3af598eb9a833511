//! AWQ checkpoints.
//!
//! Layouts of AutoAWQ 0.2.9 (`awq/modules/linear/gemm.py` and `gemv.py`). GEMM: `qweight` int32
//! `[in, out/8]`, `qzeros` int32 `[in/g, out/8]`, `scales` f16 `[in/g, out]`. GEMV: `qweight` int32
//! `[out, in/8]`, `qzeros` int32 `[out, W]`, `scales` f16 `[out, 8W]`, where W is the number of groups in
//! eights, padded (`calculate_zeros_width`). Quantized are the linear layers of attention and
//! feed-forward parts; routers and the gates of shared experts are not (`modules_to_not_convert =
//! ["gate"]`), nor embeddings, head and norms. Both layouts assert whole groups in a row and outputs in
//! eights, so other matrices are refused.

use super::group::{Group, bits_and_rest};
use super::matrix::{Matrix, Quantizer, is_map_but_no_gate, whole};
use super::plain::Plain;
use crate::model::Tensor;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Awq {
    group: Group,
    gemv: bool,
}

/// Weights of 4 bits in an int32.
const PACKED: u64 = 8;
const GROUP: Group = Group::Of(128);

impl Awq {
    /// `None` for sizes that the layout has no code for.
    pub(super) fn new(bits: u64, group: Group, gemv: bool) -> Option<Self> {
        let known = matches!(group, Group::Of(32 | 64 | 128) | Group::Row);
        (bits == 4 && known).then_some(Self { group, gemv })
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        [Group::Of(32), Group::Of(64), GROUP].into_iter().map(|group| Self { group, gemv: false })
    }

    /// Reads a name with `_` and its options; `None` for the name of something else.
    pub(super) fn parse(base: &str, options: &[&str]) -> Option<Result<Self, String>> {
        let (bits, rest) = if base == "awq" { (4, "") } else { bits_and_rest(base, "awq")? };
        let group = if rest.is_empty() { GROUP } else { Group::parse(rest)? };
        let mut awq = Self::new(bits, group, false)?;
        for option in options {
            match *option {
                "gemm" => awq.gemv = false,
                "gemv" => awq.gemv = true,
                _ => return Some(Err("gemm or gemv".to_owned())),
            }
        }
        Some(Ok(awq))
    }

    pub(super) fn alternatives(self) -> impl Iterator<Item = Self> {
        Self::all().map(move |other| Self { gemv: self.gemv, ..other })
    }

    /// Int32 of packed zeros per row under GEMV.
    fn zeros_width(self, inputs: u64) -> u64 {
        let group = self.group.size(inputs);
        let padding = match group {
            0..64 => 4,
            64..128 => 2,
            _ => 1,
        };
        (inputs / group).div_ceil(PACKED).next_multiple_of(padding)
    }
}

impl Quantizer for Awq {
    fn name(&self) -> String {
        let gemv = if self.gemv { ":gemv" } else { "" };
        format!("awq-4bit-{}{gemv}", self.group.suffix())
    }

    fn description(&self) -> String {
        let sharing = match self.group {
            Group::Of(size) => format!("{size} weights"),
            Group::Row => "row".to_owned(),
        };
        let layout = if self.gemv { "GEMV" } else { "GEMM" };
        format!("AWQ 4 bit ({layout}), a scale per {sharing}")
    }

    fn type_name(&self) -> &'static str {
        "awq-4bit"
    }

    fn rest(&self) -> Plain {
        Plain::F16
    }

    fn covers(&self, tensor: &Tensor) -> bool {
        tensor.linear && is_map_but_no_gate(tensor)
    }

    fn bytes(&self, matrix: Matrix) -> Result<u64, String> {
        let Matrix { outputs, inputs } = matrix;
        let group = self.group.size(inputs);
        whole("inputs", inputs, group)?;
        whole("outputs", outputs, PACKED)?;
        if self.gemv {
            whole("inputs", inputs, PACKED)?;
            let width = self.zeros_width(inputs);
            return Ok(outputs * (4 * (inputs / PACKED) + 4 * width + 2 * PACKED * width));
        }
        let packed = outputs / PACKED;
        let groups = inputs / group;
        Ok(4 * inputs * packed + 4 * groups * packed + 2 * groups * outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(name: &str, options: &[&str], outputs: u64, inputs: u64) -> Result<u64, String> {
        Awq::parse(name, options).unwrap().unwrap().bytes(Matrix { outputs, inputs })
    }

    #[test]
    fn both_layouts_of_a_matrix() {
        let gemm = 4 * 4096 * 1792 + 4 * 32 * 1792 + 2 * 32 * 14336;
        assert_eq!(bytes("awq_4bit_g128", &[], 14336, 4096), Ok(gemm));
        // 32 groups are four words, as many as there is room for.
        let by_rows = 14336 * (4 * 512 + 4 * 4 + 2 * 32);
        assert_eq!(bytes("awq", &["gemv"], 14336, 4096), Ok(by_rows));
        // 11 groups of 128 are two words; 22 groups of 64 three, padded to four.
        assert_eq!(bytes("awq", &["gemv"], 8, 1408), Ok(8 * (4 * 176 + 4 * 2 + 2 * 16)));
        let padded = 8 * (4 * 176 + 4 * 4 + 2 * 32);
        assert_eq!(bytes("awq_4bit_g64", &["gemv"], 8, 1408), Ok(padded));
    }

    #[test]
    fn what_the_layouts_assert_is_refused() {
        assert!(bytes("awq", &[], 4096, 10944).unwrap_err().contains("10944 inputs"));
        assert!(bytes("awq", &[], 9, 4096).unwrap_err().contains("9 outputs"));
        assert!(Awq::parse("awq_3bit", &[]).is_none());
        assert!(Awq::parse("awq", &["marlin"]).unwrap().is_err());
    }
}
