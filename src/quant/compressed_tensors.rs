//! Checkpoints of compressed-tensors, which LLM Compressor writes and vLLM reads.
//!
//! Layouts of compressed-tensors 0.20 (`compressors/*/base.py`, `quantization/lifecycle/initialize.py`),
//! names of its presets (`quantization/quant_scheme.py`). Scales are in the model's 16-bit type unless
//! said. Recipes target `Linear` and ignore the head and what routes, so routers, gates of shared
//! experts, embeddings, head and norms stay in bf16. Merged experts are quantized as the separate gate,
//! up and down matrices that LLM Compressor makes of them. Rows that are not whole groups are refused
//! (`lifecycle/forward_helpers.py`); blocks at the edges may be short in rows only.

use super::group::{Group, number};
use super::matrix::{Matrix, Quantizer, is_map_but_no_gate, is_merged_map, whole};
use super::plain::Plain;
use crate::model::Tensor;

/// How weights are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompressedTensors {
    /// `pack-quantized`: integers of some bits in int32.
    Packed { bits: u64, group: Group, symmetric: bool },
    /// `int-quantized`: int8 and a scale per row.
    Int8,
    /// `float-quantized`: float8 and a scale per matrix, row or block.
    Float8(Float8),
    /// `nvfp4-pack-quantized`: 4-bit floats and a float8 scale per 16, one f32 above them.
    Nvfp4 { activations: bool },
    /// `mxfp4-pack-quantized`: 4-bit floats and an exponent per 32.
    Mxfp4,
    /// `mxfp8-quantized`: float8 and an exponent per 32.
    Mxfp8,
}

/// What one scale of 8-bit floats is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Float8 {
    /// A matrix, and another scale for its activations.
    Tensor,
    Channel,
    /// 128 rows and columns.
    Block,
}

use CompressedTensors::{Float8 as F8, Int8, Mxfp4, Mxfp8, Nvfp4, Packed};

/// Those with one name and no parameters, widest first.
const NAMED: [(CompressedTensors, &str, &str); 8] = [
    (Mxfp8, "mxfp8a16", "8-bit floats, an exponent per 32 weights"),
    (F8(Float8::Block), "fp8-block", "8-bit floats, a scale per 128x128 block"),
    (F8(Float8::Channel), "fp8-dynamic", "8-bit floats, a scale per row"),
    (F8(Float8::Tensor), "fp8-tensor", "8-bit floats, two scales per matrix"),
    (Int8, "w8a8", "8-bit integers, a scale per row"),
    (Nvfp4 { activations: true }, "nvfp4", "4-bit floats, an 8-bit scale per 16 weights"),
    (Nvfp4 { activations: false }, "nvfp4a16", "4-bit floats, an 8-bit scale per 16 weights"),
    (Mxfp4, "mxfp4a16", "4-bit floats, an exponent per 32 weights"),
];
/// Of [`NAMED`], those that take a byte per weight.
const BYTE_WIDE: usize = 5;

const GROUP: Group = Group::Of(128);
const GROUP_MAX: u64 = 1 << 16;
const BLOCK: u64 = 128;
/// Names of the packed types by bits, from 2.
pub(super) const PACKED_TYPES: [&str; 7] = ["int2", "int3", "int4", "int5", "int6", "int7", "int8"];
/// `weight_shape`: two int64.
const SHAPE_BYTES: u64 = 16;

impl CompressedTensors {
    /// Integers packed into int32; `None` for bits or groups there are none of.
    pub(super) fn packed(bits: u64, group: Group, symmetric: bool) -> Option<Self> {
        let fits = match group {
            Group::Of(size) => size <= GROUP_MAX,
            Group::Row => true,
        };
        ((2..=8).contains(&bits) && fits).then_some(Packed { bits, group, symmetric })
    }

    /// What is published most, widest first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let packed = |bits, group, symmetric| Packed { bits, group, symmetric };
        let eight = [packed(8, GROUP, true), packed(8, Group::Row, true)];
        let four = [
            packed(4, Group::Of(32), true),
            packed(4, Group::Of(64), true),
            packed(4, GROUP, false),
            packed(4, GROUP, true),
            packed(4, Group::Row, true),
            packed(3, GROUP, true),
            packed(2, GROUP, true),
        ];
        let named = |rows: &'static [(Self, &str, &str)]| rows.iter().map(|row| row.0);
        named(&NAMED[..1])
            .chain(eight)
            .chain(named(&NAMED[1..BYTE_WIDE]))
            .chain(named(&NAMED[BYTE_WIDE..]))
            .chain(four)
    }

    /// Reads a name with `_`: a preset's, or `w4a16`, `w4a16-g64`, `w8a16-channel`, `w4a16-asym`.
    pub(super) fn parse(base: &str) -> Option<Self> {
        let named = NAMED.iter().find(|row| row.1.replace('-', "_") == base);
        if let Some(row) = named {
            return Some(row.0);
        }
        let (bits, rest) = base.strip_prefix('w')?.split_once("a16")?;
        let mut words = rest.split('_');
        if words.next() != Some("") {
            return None;
        }
        let (mut group, mut symmetric) = (GROUP, true);
        for word in words {
            match word {
                "asym" => symmetric = false,
                _ => group = Group::parse(word)?,
            }
        }
        Self::packed(number(bits)?, group, symmetric)
    }

    fn named(&self) -> Option<&'static (Self, &'static str, &'static str)> {
        NAMED.iter().find(|row| row.0 == *self)
    }
}

impl Quantizer for CompressedTensors {
    fn name(&self) -> String {
        let Packed { bits, group, symmetric } = *self else {
            return self.named().map_or_else(String::new, |row| row.1.to_owned());
        };
        let group = if group == GROUP { String::new() } else { format!("-{}", group.suffix()) };
        let asym = if symmetric { "" } else { "-asym" };
        format!("w{bits}a16{group}{asym}")
    }

    fn description(&self) -> String {
        let what = match *self {
            Packed { bits, group, symmetric } => {
                let sharing = match group {
                    Group::Of(size) => format!("{size} weights"),
                    Group::Row => "row".to_owned(),
                };
                let zeros = if symmetric { "" } else { " and zero point" };
                format!("{bits}-bit integers, a scale{zeros} per {sharing}")
            }
            _ => self.named().map_or_else(String::new, |row| row.2.to_owned()),
        };
        format!("compressed-tensors: {what}")
    }

    fn type_name(&self) -> &'static str {
        match *self {
            Packed { bits, .. } => usize::try_from(bits)
                .ok()
                .and_then(|bits| PACKED_TYPES.get(bits.checked_sub(2)?))
                .copied()
                .unwrap_or(""),
            Int8 => "int8",
            F8(_) => "fp8",
            Nvfp4 { .. } => "nvfp4",
            Mxfp4 => "mxfp4",
            Mxfp8 => "mxfp8",
        }
    }

    fn rest(&self) -> Plain {
        Plain::Bf16
    }

    fn covers(&self, tensor: &Tensor) -> bool {
        (tensor.linear || is_merged_map(tensor)) && is_map_but_no_gate(tensor)
    }

    fn bytes(&self, matrix: Matrix) -> Result<u64, String> {
        let Matrix { outputs, inputs } = matrix;
        let elements = matrix.elements();
        match *self {
            Packed { bits, group, symmetric } => packed_bytes(matrix, bits, group, symmetric),
            Int8 | F8(Float8::Channel) => Ok(elements + 2 * outputs),
            F8(Float8::Tensor) => Ok(elements + 2 + 2),
            F8(Float8::Block) => {
                whole("inputs", inputs, BLOCK)?;
                Ok(elements + 2 * outputs.div_ceil(BLOCK) * (inputs / BLOCK))
            }
            Nvfp4 { activations } => {
                whole("inputs", inputs, 16)?;
                Ok(elements / 2 + elements / 16 + if activations { 4 + 4 } else { 4 })
            }
            Mxfp4 => {
                whole("inputs", inputs, 32)?;
                Ok(elements / 2 + elements / 32)
            }
            Mxfp8 => {
                whole("inputs", inputs, 32)?;
                Ok(elements + elements / 32)
            }
        }
    }

    fn separates_gate_and_up(&self) -> bool {
        true
    }
}

/// `weight_packed` `[out, ceil(in*bits/32)]`, `weight_scale` `[out, in/g]`, zero points packed along the
/// outputs, `weight_shape`.
fn packed_bytes(matrix: Matrix, bits: u64, group: Group, symmetric: bool) -> Result<u64, String> {
    let Matrix { outputs, inputs } = matrix;
    let size = group.size(inputs);
    whole("inputs", inputs, size)?;
    let groups = inputs / size;
    let weights = 4 * outputs * (inputs * bits).div_ceil(32);
    let zeros = if symmetric { 0 } else { 4 * (outputs * bits).div_ceil(32) * groups };
    Ok(weights + 2 * outputs * groups + zeros + SHAPE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::super::matrix::{store, tests::tensor};
    use super::*;
    use crate::model::TensorRole;

    fn bytes(name: &str, outputs: u64, inputs: u64) -> Result<u64, String> {
        CompressedTensors::parse(name).unwrap().bytes(Matrix { outputs, inputs })
    }

    #[test]
    fn a_matrix_of_1024_by_4096() {
        // Shapes of compressed-tensors 0.20: [1024, 512] int32, [1024, 32] bf16, two int64.
        let four = 4 * 1024 * 512 + 2 * 1024 * 32 + 16;
        assert_eq!(bytes("w4a16", 1024, 4096), Ok(four));
        // Zero points [128, 32] int32.
        assert_eq!(bytes("w4a16_asym", 1024, 4096), Ok(four + 4 * 128 * 32));
        assert_eq!(bytes("w3a16_channel", 1024, 4096), Ok(4 * 1024 * 384 + 2 * 1024 + 16));
        assert_eq!(bytes("w8a8", 1024, 4096), Ok(4_194_304 + 2048));
        assert_eq!(bytes("fp8_dynamic", 1024, 4096), Ok(4_194_304 + 2048));
        assert_eq!(bytes("fp8_tensor", 1024, 4096), Ok(4_194_304 + 4));
        assert_eq!(bytes("fp8_block", 1000, 4096), Ok(4_096_000 + 2 * 8 * 32));
        assert_eq!(bytes("nvfp4", 1024, 4096), Ok(2_097_152 + 262_144 + 8));
        assert_eq!(bytes("nvfp4a16", 1024, 4096), Ok(2_097_152 + 262_144 + 4));
        assert_eq!(bytes("mxfp4a16", 1024, 4096), Ok(2_097_152 + 131_072));
        assert_eq!(bytes("mxfp8a16", 1024, 4096), Ok(4_194_304 + 131_072));
        // Packed words are padded at the end of each row.
        assert_eq!(bytes("w4a16_channel", 1, 9), Ok(4 * 2 + 2 + 16));
    }

    #[test]
    fn groups_that_do_not_fill_rows_are_refused() {
        for name in ["w4a16", "fp8_block", "nvfp4", "mxfp4a16", "mxfp8a16"] {
            assert!(bytes(name, 64, 1000).unwrap_err().contains("1000 inputs"), "{name}");
        }
        assert!(CompressedTensors::parse("w9a16").is_none());
        assert!(CompressedTensors::parse("w4a16g64").is_none());
    }

    #[test]
    fn merged_gate_and_up_are_two_matrices() {
        let nvfp4 = CompressedTensors::parse("nvfp4").unwrap();
        let expert = tensor(TensorRole::FfnGateUp, &[64, 128], true);
        let stored = store(&nvfp4, &expert, 64).unwrap();
        assert_eq!(stored.bytes, 64 * 128 / 2 + 64 * 128 / 16 + 2 * 8);
        // Phi-3 has them in one linear layer, which is quantized as it is.
        let linear = tensor(TensorRole::FfnGateUp, &[128, 64], false);
        assert_eq!(store(&nvfp4, &linear, 64).unwrap().bytes, stored.bytes - 8);
    }
}
