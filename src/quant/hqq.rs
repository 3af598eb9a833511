//! HQQ, as transformers and the hqq package hold it.
//!
//! `Quantizer.quantize` of hqq 0.2 (`hqq/core/quantize.py`) cuts a matrix into groups (axis 1), packs them
//! along the groups, and keeps a scale and a zero per group in the compute type. 8, 4, 2 and 1 bits go
//! into bytes; of 3 bits ten groups go into one int32 each, the last ones padded. Every `nn.Linear` but
//! the head is quantized, the router included (`skip_modules` is `["lm_head"]`). Elements that are no
//! whole groups are refused (an assertion there), and so are groups that do not fill bytes, which its
//! packing cannot pair.

use super::group::{bits_and_rest, number};
use super::matrix::{Matrix, Quantizer, whole};
use super::plain::Plain;
use crate::model::Tensor;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hqq {
    bits: u64,
    group: u64,
}

pub(super) const TYPES: [(u64, &str); 5] =
    [(8, "hqq-8bit"), (4, "hqq-4bit"), (3, "hqq-3bit"), (2, "hqq-2bit"), (1, "hqq-1bit")];
const GROUP: u64 = 64;
const GROUPS: std::ops::RangeInclusive<u64> = 8..=65_536;

impl Hqq {
    /// `None` for bits there are none of and groups that are absurd.
    pub(super) fn new(bits: u64, group: u64) -> Option<Self> {
        let known = TYPES.iter().any(|row| row.0 == bits) && GROUPS.contains(&group);
        (known && group.is_multiple_of(8)).then_some(Self { bits, group })
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        [(8, GROUP), (4, GROUP), (4, 128), (3, GROUP), (2, GROUP), (2, 128), (1, GROUP)]
            .into_iter()
            .map(|(bits, group)| Self { bits, group })
    }

    /// Reads a name with `_`; `None` for the name of something else.
    pub(super) fn parse(base: &str) -> Option<Self> {
        if base == "hqq" {
            return Self::new(4, GROUP);
        }
        let (bits, rest) = bits_and_rest(base, "hqq")?;
        let group = if rest.is_empty() { GROUP } else { number(rest.strip_prefix('g')?)? };
        Self::new(bits, group)
    }
}

impl Quantizer for Hqq {
    fn name(&self) -> String {
        format!("{}-g{}", self.type_name(), self.group)
    }

    fn description(&self) -> String {
        format!("HQQ {} bit, scale and zero per {} weights", self.bits, self.group)
    }

    fn type_name(&self) -> &'static str {
        TYPES.iter().find(|row| row.0 == self.bits).map_or("", |row| row.1)
    }

    fn rest(&self) -> Plain {
        Plain::F16
    }

    fn covers(&self, tensor: &Tensor) -> bool {
        tensor.linear
    }

    fn bytes(&self, matrix: Matrix) -> Result<u64, String> {
        let elements = matrix.elements();
        whole("elements", elements, self.group)?;
        let groups = elements / self.group;
        let packed = if self.bits == 3 {
            4 * groups.div_ceil(10) * self.group
        } else {
            whole("groups", groups, 8 / self.bits)?;
            elements / 8 * self.bits
        };
        Ok(packed + 2 * 2 * groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(name: &str, outputs: u64, inputs: u64) -> Result<u64, String> {
        Hqq::parse(name).unwrap().bytes(Matrix { outputs, inputs })
    }

    #[test]
    fn a_matrix_of_1024_by_4096() {
        assert_eq!(bytes("hqq_4bit_g64", 1024, 4096), Ok(2_359_296));
        assert_eq!(bytes("hqq_8bit_g64", 1024, 4096), Ok(4_194_304 + 262_144));
        assert_eq!(bytes("hqq_2bit_g128", 1024, 4096), Ok(1_048_576 + 131_072));
        // 65,536 groups are 6554 words of ten.
        assert_eq!(bytes("hqq_3bit", 1024, 4096), Ok(4 * 6554 * 64 + 262_144));
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        assert!(bytes("hqq", 3, 100).unwrap_err().contains("300 elements"));
        assert!(bytes("hqq", 1, 64).unwrap_err().contains("1 groups"));
        assert!(Hqq::parse("hqq_4bit_g63").is_none());
        assert!(Hqq::parse("hqq_5bit").is_none());
    }
}
