//! GPTQ checkpoints.
//!
//! Layout of AutoGPTQ 0.7 (`nn_modules/qlinear/qlinear_cuda.py`), which GPTQModel goes on writing:
//! `qweight` int32 `[in/32*bits, out]`, `qzeros` int32 `[ceil(in/g), out/32*bits]`, `scales` f16
//! `[ceil(in/g), out]`, `g_idx` int32 `[in]`. The order of activations changes what is in them, not how
//! large they are. The tool quantizes the linear layers its map of the model lists: attention and
//! feed-forward matrices; routers, the gates of shared experts, embeddings, head and norms are in none
//! and stay in 16 bit (`modeling/mixtral.py`, `modeling/qwen2_moe.py`). Rows and columns that are not
//! multiples of 32 cannot be packed and are refused, as GPTQModel does
//! (`SUPPORTS_IN_FEATURES_DIVISIBLE_BY`); a last group may be short.

use super::group::{Group, bits_and_rest};
use super::matrix::{Matrix, Quantizer, is_map_but_no_gate, whole};
use super::plain::Plain;
use crate::model::Tensor;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gptq {
    bits: u64,
    group: Group,
}

pub(super) const TYPES: [(u64, &str); 4] =
    [(2, "gptq-2bit"), (3, "gptq-3bit"), (4, "gptq-4bit"), (8, "gptq-8bit")];
const GROUPS: [u64; 7] = [16, 32, 64, 128, 256, 512, 1024];
const GROUP: Group = Group::Of(128);

impl Gptq {
    /// What AutoGPTQ and GPTQModel can make; `None` for other sizes.
    pub(super) fn new(bits: u64, group: Group) -> Option<Self> {
        let known = match group {
            Group::Of(size) => GROUPS.contains(&size),
            Group::Row => true,
        };
        (known && TYPES.iter().any(|row| row.0 == bits)).then_some(Self { bits, group })
    }

    /// The sizes that are published most.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let sizes = [(8, Group::Of(32)), (8, GROUP), (8, Group::Row), (4, Group::Of(32))];
        let small = [(4, Group::Of(64)), (4, GROUP), (4, Group::Row), (3, GROUP), (2, GROUP)];
        sizes.into_iter().chain(small).map(|(bits, group)| Self { bits, group })
    }

    /// Reads a name with `_`; `None` for the name of something else.
    pub(super) fn parse(base: &str) -> Option<Self> {
        if base == "gptq" {
            return Self::new(4, GROUP);
        }
        let (bits, rest) = bits_and_rest(base, "gptq")?;
        Self::new(bits, if rest.is_empty() { GROUP } else { Group::parse(rest)? })
    }
}

impl Quantizer for Gptq {
    fn name(&self) -> String {
        format!("{}-{}", self.type_name(), self.group.suffix())
    }

    fn description(&self) -> String {
        let sharing = match self.group {
            Group::Of(size) => format!("{size} weights"),
            Group::Row => "row".to_owned(),
        };
        format!("GPTQ {} bit, a scale per {sharing}", self.bits)
    }

    fn type_name(&self) -> &'static str {
        TYPES.iter().find(|row| row.0 == self.bits).map_or("", |row| row.1)
    }

    fn rest(&self) -> Plain {
        Plain::F16
    }

    fn covers(&self, tensor: &Tensor) -> bool {
        tensor.linear && is_map_but_no_gate(tensor)
    }

    fn bytes(&self, matrix: Matrix) -> Result<u64, String> {
        let Matrix { outputs, inputs } = matrix;
        whole("inputs", inputs, 32)?;
        whole("outputs", outputs, 32)?;
        let groups = inputs.div_ceil(self.group.size(inputs));
        let weights = 4 * (inputs / 32 * self.bits) * outputs;
        let zeros = 4 * groups * (outputs / 32 * self.bits);
        Ok(weights + zeros + 2 * groups * outputs + 4 * inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(name: &str, outputs: u64, inputs: u64) -> Result<u64, String> {
        Gptq::parse(name).unwrap().bytes(Matrix { outputs, inputs })
    }

    #[test]
    fn a_matrix_of_4096_by_4096() {
        // Shapes as AutoGPTQ registers them: [512, 4096], [32, 512], [32, 4096], [4096].
        let four = 4 * 512 * 4096 + 4 * 32 * 512 + 2 * 32 * 4096 + 4 * 4096;
        assert_eq!(bytes("gptq_4bit_g128", 4096, 4096), Ok(four));
        // Three bits: 32 weights in three words; [384, 4096], [32, 384].
        let three = 4 * 384 * 4096 + 4 * 32 * 384 + 2 * 32 * 4096 + 4 * 4096;
        assert_eq!(bytes("gptq_3bit", 4096, 4096), Ok(three));
        let row = 4 * 1024 * 4096 + 4 * 1024 + 2 * 4096 + 4 * 4096;
        assert_eq!(bytes("gptq_8bit_channel", 4096, 4096), Ok(row));
    }

    #[test]
    fn a_last_group_may_be_short_but_words_are_whole() {
        // 1408 is eleven groups of 128, 10944 eighty-five and a half.
        let groups = 86;
        let expected = 4 * 1368 * 64 + 4 * groups * 8 + 2 * groups * 64 + 4 * 10944;
        assert_eq!(bytes("gptq_4bit", 64, 10944), Ok(expected));
        assert!(bytes("gptq_4bit", 4096, 4112).unwrap_err().contains("4112 inputs"));
        assert!(bytes("gptq_4bit", 8, 4096).unwrap_err().contains("8 outputs"));
    }
}
