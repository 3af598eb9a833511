//! bitsandbytes, which quantizes while a model is loaded.
//!
//! `replace_with_bnb_linear` of transformers quantizes every `nn.Linear` except the output head, the
//! router included; embeddings, norms, biases and the head stay in 16 bit. Under transformers 4 the
//! modules are those of published checkpoints. Transformers 5 (5.23, `integrations/bitsandbytes.py`)
//! replaces modules whose type is exactly `nn.Linear`, and holds experts and routers as bare parameters,
//! so that they stay in 16 bit (bitsandbytes issue 1849). Sizes are those of `quantize_4bit` and
//! `Int8Params` in bitsandbytes 0.50: packed weights, statistics, and the tables that each quantized
//! matrix keeps for itself on the device. Any shape is taken: what does not fill a block has a statistic
//! of its own.

use super::matrix::{Matrix, Quantizer};
use super::plain::Plain;
use crate::model::{Layout, Tensor};

/// A form of a linear layer's weight, and who loads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bitsandbytes {
    pub(super) form: Form,
    /// Weights that share one statistic; [`BLOCK`] unless asked otherwise.
    pub(super) block: u64,
    /// Loaded by transformers 5.
    pub(super) transformers5: bool,
}

/// The forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Int8,
    Nf4,
    Nf4Dq,
    Fp4,
    Fp4Dq,
}

const FORMS: [(Form, &str, &str); 5] = [
    (Form::Int8, "int8", "bitsandbytes 8 bit; embeddings, norms and head in 16 bit"),
    (Form::Nf4, "nf4", "bitsandbytes 4-bit NormalFloat; embeddings, norms and head in 16 bit"),
    (Form::Nf4Dq, "nf4-dq", "bitsandbytes 4-bit NormalFloat with double quantization"),
    (Form::Fp4, "fp4", "bitsandbytes 4-bit float; embeddings, norms and head in 16 bit"),
    (Form::Fp4Dq, "fp4-dq", "bitsandbytes 4-bit float with double quantization"),
];

/// What its matrices are called.
pub(super) fn type_names() -> impl Iterator<Item = &'static str> {
    FORMS.iter().map(|row| row.1)
}

const BLOCK: u64 = 64;
/// `quantize_4bit` asserts one of these.
pub(super) const BLOCKS: [u64; 8] = [32, 64, 128, 256, 512, 1024, 2048, 4096];
/// The 16 values of a 4-bit type in f32, a table per matrix.
pub(super) const CODE_BYTES: u64 = 16 * 4;
/// Double quantization: statistics that share one statistic of their own.
pub(super) const NESTED_BLOCK: u64 = 256;
/// The 256 values statistics are quantized to, in f32, a table per matrix.
pub(super) const NESTED_CODE_BYTES: u64 = 256 * 4;
/// The mean that was subtracted before, in f32.
pub(super) const OFFSET_BYTES: u64 = 4;

impl Bitsandbytes {
    pub(super) fn new(form: Form) -> Self {
        Self { form, block: BLOCK, transformers5: false }
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        FORMS.into_iter().map(|row| Self::new(row.0))
    }

    /// Reads a name with `_` and its options; `None` for the name of something else.
    pub(super) fn parse(base: &str, options: &[&str]) -> Option<Result<Self, String>> {
        let form = FORMS.iter().find(|row| row.1.replace('-', "_") == base)?.0;
        Some(Self::new(form).with(options))
    }

    fn with(mut self, options: &[&str]) -> Result<Self, String> {
        for option in options {
            let block = option.strip_prefix("block=").and_then(|size| size.parse().ok());
            match (*option, block) {
                ("v4", _) => self.transformers5 = false,
                ("v5", _) => self.transformers5 = true,
                (_, Some(block)) if BLOCKS.contains(&block) && self.form != Form::Int8 => {
                    self.block = block;
                }
                _ => {
                    return Err(
                        "v4, v5 or, in 4 bit, block=32 to block=4096 in powers of 2".to_owned()
                    );
                }
            }
        }
        Ok(self)
    }

    /// The forms with the same options.
    pub(super) fn alternatives(self) -> impl Iterator<Item = Self> {
        let block = move |form| if form == Form::Int8 { BLOCK } else { self.block };
        FORMS.into_iter().map(move |row| Self { form: row.0, block: block(row.0), ..self })
    }

    pub(super) fn layout(self) -> Layout {
        if self.transformers5 { Layout::Transformers5 } else { Layout::Published }
    }

    fn row(self) -> (Form, &'static str, &'static str) {
        FORMS[self.form as usize]
    }

    fn four_bit(self, elements: u64) -> u64 {
        elements.div_ceil(2) + 4 * elements.div_ceil(self.block) + CODE_BYTES
    }

    fn four_bit_double(self, elements: u64) -> u64 {
        let statistics = elements.div_ceil(self.block);
        let nested = 4 * statistics.div_ceil(NESTED_BLOCK) + NESTED_CODE_BYTES + OFFSET_BYTES;
        elements.div_ceil(2) + statistics + nested + CODE_BYTES
    }
}

impl Quantizer for Bitsandbytes {
    fn name(&self) -> String {
        let mut options = Vec::new();
        if self.block != BLOCK {
            options.push(format!("block={}", self.block));
        }
        if self.transformers5 {
            options.push("v5".to_owned());
        }
        let colon = if options.is_empty() { "" } else { ":" };
        format!("{}{colon}{}", self.row().1, options.join(","))
    }

    fn description(&self) -> String {
        let loader = if self.transformers5 { ", loaded by transformers 5" } else { "" };
        format!("{}{loader}", self.row().2)
    }

    fn type_name(&self) -> &'static str {
        self.row().1
    }

    fn rest(&self) -> Plain {
        Plain::F16
    }

    fn covers(&self, tensor: &Tensor) -> bool {
        tensor.linear
    }

    fn bytes(&self, matrix: Matrix) -> Result<u64, String> {
        let elements = matrix.elements();
        Ok(match self.form {
            Form::Int8 => elements + 4 * matrix.outputs,
            Form::Nf4 | Form::Fp4 => self.four_bit(elements),
            Form::Nf4Dq | Form::Fp4Dq => self.four_bit_double(elements),
        })
    }

    /// `w.contiguous().to(device)`: the 16-bit matrix is there until its quantized copy is complete.
    fn stages(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NF4: Bitsandbytes = Bitsandbytes { form: Form::Nf4, block: BLOCK, transformers5: false };

    #[test]
    fn every_form_finds_its_own_row() {
        for (form, name, _) in FORMS {
            assert_eq!(Bitsandbytes::new(form).name(), name);
        }
    }

    #[test]
    fn one_expert_matrix_of_mixtral() {
        // bitsandbytes 0.50.2, functional.py quantize_4bit: 29,360,128 packed, the rest statistics.
        assert_eq!(NF4.four_bit(14336 * 4096), 33_030_208);
        assert_eq!(NF4.four_bit_double(14336 * 4096), 30_293_060);
        let wide = Bitsandbytes { block: 128, ..NF4 };
        assert_eq!(wide.four_bit(14336 * 4096), 29_360_128 + 1_835_008 + 64);
    }

    #[test]
    fn what_does_not_fill_a_block_still_has_a_statistic() {
        assert_eq!(NF4.four_bit(1), 1 + 4 + 64);
        assert_eq!(NF4.four_bit_double(65), 33 + 2 + 4 + 1024 + 4 + 64);
    }

    #[test]
    fn options_are_read_and_said() {
        let name =
            |options: &[&str]| Bitsandbytes::parse("nf4", options).unwrap().map(|f| f.name());
        assert_eq!(name(&["v5", "block=128"]).unwrap(), "nf4:block=128,v5");
        assert_eq!(name(&["v4", "block=64"]).unwrap(), "nf4");
        assert!(name(&["block=63"]).is_err());
        assert!(name(&["v6"]).is_err());
        assert!(Bitsandbytes::parse("int8", &["block=128"]).unwrap().is_err());
    }
}
