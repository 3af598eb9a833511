//! MLX checkpoints.
//!
//! `quantize_model` of mlx-lm 0.32 quantizes every module that can be: linear layers, merged experts
//! (`SwitchLinear`), embeddings and the head, if rows are whole groups; others it leaves alone. Affine
//! weights are packed into uint32 with a scale and a bias per group in the weights' 16-bit type; the
//! modes mxfp4, nvfp4 and mxfp8 have a byte per group. A router that is a linear layer is quantized like
//! the rest, or to 8 bits in groups of 64 in the models whose `quant_predicate` says so.

use super::group::{bits_and_rest, number};
use super::matrix::{Matrix, Quantizer, is_merged_map, whole};
use super::plain::Plain;
use crate::model::{Model, Tensor, TensorRole};

/// A mode and its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mlx {
    Affine { bits: u64, group: u64 },
    Mxfp4,
    Nvfp4,
    Mxfp8,
}

const GROUP: u64 = 64;
/// Bits of the affine mode, and what packed matrices are called.
pub(super) const TYPES: [(u64, &str); 6] = [
    (8, "mlx-8bit"),
    (6, "mlx-6bit"),
    (5, "mlx-5bit"),
    (4, "mlx-4bit"),
    (3, "mlx-3bit"),
    (2, "mlx-2bit"),
];
const GROUPS: [u64; 3] = [32, 64, 128];
/// What the models that say so do with what routes.
const ROUTER: Mlx = Mlx::Affine { bits: 8, group: GROUP };

/// Families whose module in mlx-lm 0.32 (`mlx_lm/models`) has a `quant_predicate`, with the roles that it
/// gives 8 bits in groups of 64.
const PREDICATES: [(&str, &[TensorRole]); 4] = [
    ("qwen3_moe", &[TensorRole::Router]),
    ("gpt_oss", &[TensorRole::Router]),
    ("jamba", &[TensorRole::Router]),
    ("granitemoe", &[TensorRole::Router, TensorRole::AttnOutput, TensorRole::Output]),
];

impl Mlx {
    /// The affine mode; `None` for sizes that MLX has no kernels for.
    pub(super) fn affine(bits: u64, group: u64) -> Option<Self> {
        let known = TYPES.iter().any(|row| row.0 == bits) && GROUPS.contains(&group);
        known.then_some(Self::Affine { bits, group })
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        let affine = |bits| Self::Affine { bits, group: GROUP };
        let [eight, six, five, four, three, two] = TYPES.map(|row| affine(row.0));
        let four_in_32 = Self::Affine { bits: 4, group: 32 };
        [eight, Self::Mxfp8, six, five, four_in_32, four, Self::Nvfp4, Self::Mxfp4, three, two]
            .into_iter()
    }

    /// Reads a name with `_`; `None` for the name of something else.
    pub(super) fn parse(base: &str) -> Option<Self> {
        match base {
            "mlx_mxfp4" => Some(Self::Mxfp4),
            "mlx_nvfp4" => Some(Self::Nvfp4),
            "mlx_mxfp8" => Some(Self::Mxfp8),
            _ => {
                let (bits, rest) = bits_and_rest(base, "mlx")?;
                let group = if rest.is_empty() { GROUP } else { number(rest.strip_prefix('g')?)? };
                Self::affine(bits, group)
            }
        }
    }

    /// What this becomes for a tensor of a model; what it leaves alone is not asked about there either.
    pub(super) fn of(self, tensor: &Tensor, model: &Model) -> Self {
        let predicate = PREDICATES.iter().find(|row| row.0 == model.family);
        let said = predicate.is_some_and(|(_, roles)| roles.contains(&tensor.role));
        if said && !self.leaves(Matrix::of(tensor, model.geometry.hidden)) { ROUTER } else { self }
    }

    fn group(self) -> u64 {
        match self {
            Self::Affine { group, .. } => group,
            Self::Mxfp4 | Self::Mxfp8 => 32,
            Self::Nvfp4 => 16,
        }
    }
}

impl Quantizer for Mlx {
    fn name(&self) -> String {
        match *self {
            Self::Affine { group, .. } if group != GROUP => {
                format!("{}-g{group}", self.type_name())
            }
            _ => self.type_name().to_owned(),
        }
    }

    fn description(&self) -> String {
        let what = match *self {
            Self::Affine { bits, group } => {
                format!("{bits} bit, scale and bias per {group} weights")
            }
            Self::Mxfp4 => "4-bit floats, an exponent per 32 weights".to_owned(),
            Self::Nvfp4 => "4-bit floats, an 8-bit scale per 16 weights".to_owned(),
            Self::Mxfp8 => "8-bit floats, an exponent per 32 weights".to_owned(),
        };
        format!("MLX: {what}")
    }

    fn type_name(&self) -> &'static str {
        match *self {
            Self::Affine { bits, .. } => {
                TYPES.iter().find(|row| row.0 == bits).map_or("", |row| row.1)
            }
            Self::Mxfp4 => "mlx-mxfp4",
            Self::Nvfp4 => "mlx-nvfp4",
            Self::Mxfp8 => "mlx-mxfp8",
        }
    }

    fn rest(&self) -> Plain {
        Plain::Bf16
    }

    fn covers(&self, tensor: &Tensor) -> bool {
        let table = matches!(tensor.role, TensorRole::TokenEmbedding | TensorRole::Output);
        let matrix = tensor.shape.len() == 2;
        tensor.linear || is_merged_map(tensor) || (table && matrix)
    }

    fn leaves(&self, matrix: Matrix) -> bool {
        !matrix.inputs.is_multiple_of(self.group())
    }

    fn bytes(&self, matrix: Matrix) -> Result<u64, String> {
        whole("inputs", matrix.inputs, self.group())?;
        let elements = matrix.elements();
        let groups = elements / self.group();
        Ok(match *self {
            // Groups have 32 weights or more, so words are whole.
            Self::Affine { bits, .. } => elements / 8 * bits + 4 * groups,
            Self::Mxfp4 | Self::Nvfp4 => elements / 2 + groups,
            Self::Mxfp8 => elements + groups,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::matrix::{store, tests::tensor};
    use super::*;

    fn bytes(name: &str) -> u64 {
        let matrix = Matrix { outputs: 1024, inputs: 4096 };
        Mlx::parse(name).unwrap().bytes(matrix).unwrap()
    }

    #[test]
    fn a_matrix_of_1024_by_4096() {
        // mlx-lm 0.32: 4.5, 5 and 4.25 bits per weight in groups of 64, 32 and 128.
        assert_eq!(bytes("mlx_4bit"), 2_359_296);
        assert_eq!(bytes("mlx_4bit_g32"), 2_621_440);
        assert_eq!(bytes("mlx_4bit_g128"), 2_228_224);
        assert_eq!(bytes("mlx_3bit"), 1_572_864 + 262_144);
        assert_eq!(bytes("mlx_mxfp4"), 2_228_224);
        assert_eq!(bytes("mlx_nvfp4"), 2_359_296);
        assert_eq!(bytes("mlx_mxfp8"), 4_325_376);
        assert!(Mlx::parse("mlx_7bit").is_none());
        assert!(Mlx::parse("mlx_4bit_g16").is_none());
    }

    #[test]
    fn rows_that_are_not_whole_groups_are_left_alone() {
        let mlx = Mlx::parse("mlx_4bit").unwrap();
        let odd = tensor(TensorRole::AttnOutput, &[4096, 4000], false);
        assert_eq!(store(&mlx, &odd, 4096).unwrap().type_name, "bf16");
        let table = tensor(TensorRole::TokenEmbedding, &[32000, 4096], false);
        assert_eq!(store(&mlx, &table, 4096).unwrap().type_name, "mlx-4bit");
    }

    #[test]
    fn routers_keep_eight_bits_where_the_model_says_so() {
        let mlx = Mlx::parse("mlx_4bit").unwrap();
        let router = tensor(TensorRole::Router, &[128, 2048], false);
        let of = |name| mlx.of(&router, &Model::from_catalogue(name).unwrap()).type_name();
        assert_eq!(of("qwen3-30b-a3b"), "mlx-8bit");
        assert_eq!(of("mixtral-8x7b"), "mlx-4bit");
    }
}
