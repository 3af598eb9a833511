//! The file types of llama.cpp: what its users ask the quantizer for, by name and number.

use crate::dtype::GgmlType;
use crate::error::Error;
use crate::nearest::did_you_mean;

/// What a whole file is quantized to: a mix of types, named after the most common one.
///
/// The ones `llama-quantize` offers; each name says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each name says it")]
pub enum FileType {
    F32,
    F16,
    Q4_0,
    Q4_1,
    Q8_0,
    Q5_0,
    Q5_1,
    Q2K,
    Q3KS,
    Q3KM,
    Q3KL,
    Q4KS,
    Q4KM,
    Q5KS,
    Q5KM,
    Q6K,
    Iq2Xxs,
    Iq2Xs,
    Q2KS,
    Iq3Xs,
    Iq3Xxs,
    Iq1S,
    Iq4Nl,
    Iq3S,
    Iq3M,
    Iq2S,
    Iq2M,
    Iq4Xs,
    Iq1M,
    Bf16,
    Tq1_0,
    Tq2_0,
    Mxfp4Moe,
    Q1_0,
    Q2_0,
}

/// Number in files (`llama_ftype` of llama.h), name, default type of its tensors
/// (`llama_ftype_get_default_type`) and what it is in a few words.
const TABLE: [(FileType, u32, &str, GgmlType, &str); 35] = [
    (FileType::F32, 0, "f32", GgmlType::F32, "32 bit floats"),
    (FileType::F16, 1, "f16", GgmlType::F16, "16 bit floats"),
    (FileType::Q4_0, 2, "q4_0", GgmlType::Q4_0, "4 bit, one scale per 32 values"),
    (FileType::Q4_1, 3, "q4_1", GgmlType::Q4_1, "4 bit, scale and offset per 32 values"),
    (FileType::Q8_0, 7, "q8_0", GgmlType::Q8_0, "8 bit, one scale per 32 values"),
    (FileType::Q5_0, 8, "q5_0", GgmlType::Q5_0, "5 bit, one scale per 32 values"),
    (FileType::Q5_1, 9, "q5_1", GgmlType::Q5_1, "5 bit, scale and offset per 32 values"),
    (
        FileType::Q2K,
        10,
        "q2_k",
        GgmlType::Q2K,
        "2 bit k-quants, attention and down projection in more",
    ),
    (FileType::Q3KS, 11, "q3_k_s", GgmlType::Q3K, "3 bit k-quants throughout"),
    (
        FileType::Q3KM,
        12,
        "q3_k_m",
        GgmlType::Q3K,
        "3 bit k-quants, 4 to 5 for values and down projection",
    ),
    (
        FileType::Q3KL,
        13,
        "q3_k_l",
        GgmlType::Q3K,
        "3 bit k-quants, 5 for values and down projection",
    ),
    (FileType::Q4KS, 14, "q4_k_s", GgmlType::Q4K, "4 bit k-quants, 5 in the first layers"),
    (
        FileType::Q4KM,
        15,
        "q4_k_m",
        GgmlType::Q4K,
        "4 bit k-quants, 6 for half the values and down projections",
    ),
    (FileType::Q5KS, 16, "q5_k_s", GgmlType::Q5K, "5 bit k-quants throughout"),
    (
        FileType::Q5KM,
        17,
        "q5_k_m",
        GgmlType::Q5K,
        "5 bit k-quants, 6 for half the values and down projections",
    ),
    (FileType::Q6K, 18, "q6_k", GgmlType::Q6K, "6 bit k-quants throughout"),
    (FileType::Iq2Xxs, 19, "iq2_xxs", GgmlType::Iq2Xxs, "2.06 bit codebook"),
    (FileType::Iq2Xs, 20, "iq2_xs", GgmlType::Iq2Xs, "2.31 bit codebook"),
    (FileType::Q2KS, 21, "q2_k_s", GgmlType::Q2K, "2 bit k-quants almost throughout"),
    (FileType::Iq3Xs, 22, "iq3_xs", GgmlType::Iq3S, "3.3 bit mix of codebooks"),
    (FileType::Iq3Xxs, 23, "iq3_xxs", GgmlType::Iq3Xxs, "3.06 bit codebook"),
    (FileType::Iq1S, 24, "iq1_s", GgmlType::Iq1S, "1.56 bit codebook"),
    (FileType::Iq4Nl, 25, "iq4_nl", GgmlType::Iq4Nl, "4.5 bit, non-linear values"),
    (FileType::Iq3S, 26, "iq3_s", GgmlType::Iq3S, "3.44 bit codebook"),
    (FileType::Iq3M, 27, "iq3_m", GgmlType::Iq3S, "3.66 bit mix of codebooks and k-quants"),
    (FileType::Iq2S, 28, "iq2_s", GgmlType::Iq2Xs, "2.5 bit mix of codebooks"),
    (FileType::Iq2M, 29, "iq2_m", GgmlType::Iq2S, "2.7 bit mix of codebooks"),
    (FileType::Iq4Xs, 30, "iq4_xs", GgmlType::Iq4Xs, "4.25 bit, non-linear values"),
    (FileType::Iq1M, 31, "iq1_m", GgmlType::Iq1M, "1.75 bit codebook"),
    (FileType::Bf16, 32, "bf16", GgmlType::Bf16, "16 bit brain floats"),
    (FileType::Tq1_0, 36, "tq1_0", GgmlType::Tq1_0, "1.69 bit, for ternary models"),
    (FileType::Tq2_0, 37, "tq2_0", GgmlType::Tq2_0, "2.06 bit, for ternary models"),
    (FileType::Mxfp4Moe, 38, "mxfp4_moe", GgmlType::Mxfp4, "experts in MXFP4, the rest in 8 bit"),
    (FileType::Q1_0, 40, "q1_0", GgmlType::Q1_0, "1.125 bit, one scale per 128 values"),
    (FileType::Q2_0, 41, "q2_0", GgmlType::Q2_0, "2.25 bit, one scale per 64 values"),
];

/// Short names of the quantizer for the middle one of a family.
const ALIASES: [(&str, FileType); 3] =
    [("q3_k", FileType::Q3KM), ("q4_k", FileType::Q4KM), ("q5_k", FileType::Q5KM)];

impl FileType {
    /// Every file type, by its number.
    pub const ALL: [Self; TABLE.len()] = {
        let mut all = [Self::F32; TABLE.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = TABLE[at].0;
            at += 1;
        }
        all
    };

    /// The file type of that name, e.g. `q4_k_m` or `Q4_K_M`; `q3_k`, `q4_k`, `q5_k` mean their `_m`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let named = TABLE.iter().map(|row| (row.2, row.0)).chain(ALIASES);
        for (name, file_type) in named {
            if name.eq_ignore_ascii_case(text) {
                return Ok(file_type);
            }
        }
        let error = Error::new("choose the file type")
            .object(text)
            .expected("a file type of llama.cpp, such as q4_k_m")
            .found("another name");
        Err(match did_you_mean(text, Self::ALL.map(Self::name)) {
            Some(hint) => error.hint(hint),
            None => error,
        })
    }

    /// The file type of that number in `general.file_type`; `None` for numbers that were withdrawn, are
    /// not the quantizer's (39, NVFP4, only converters write) or are unknown. Flag 1024, set when a
    /// loader guessed the type, is for the caller to remove.
    pub fn from_number(number: u32) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == number).map(|row| row.0)
    }

    /// Its number in `general.file_type`.
    pub fn number(self) -> u32 {
        self.row().1
    }

    /// The name in lower case, e.g. `q4_k_m`.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// What it is, in a few words.
    pub fn description(self) -> &'static str {
        self.row().4
    }

    /// The type of tensors that no rule names.
    pub fn default_type(self) -> GgmlType {
        self.row().3
    }

    /// Whether it has floats only, which converters write directly.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::Bf16)
    }

    /// Whether the quantizer refuses to make it without an importance matrix, because it gives some
    /// matrix one of the types that are useless without (`tensor_requires_imatrix`). Until March 2026
    /// `iq3_xxs` and `iq3_xs` could be made without.
    pub fn needs_imatrix(self) -> bool {
        matches!(
            self,
            Self::Iq1S
                | Self::Iq1M
                | Self::Iq2Xxs
                | Self::Iq2Xs
                | Self::Iq2S
                | Self::Iq2M
                | Self::Iq3Xxs
                | Self::Iq3Xs
                | Self::Q2KS
        )
    }

    fn row(self) -> &'static (Self, u32, &'static str, GgmlType, &'static str) {
        // The table is in the order of the variants; a test says so.
        &TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_type_finds_its_own_row() {
        for (row, file_type) in TABLE.iter().zip(FileType::ALL) {
            assert_eq!(file_type.row(), row);
            assert_eq!(FileType::from_number(file_type.number()), Some(file_type));
            assert_eq!(FileType::parse(&file_type.name().to_uppercase()).unwrap(), file_type);
        }
    }

    #[test]
    fn names_and_numbers_that_mean_nothing_are_refused() {
        // 4 to 6 and 33 to 35 were withdrawn; 39 is made by converters only.
        for number in [4, 5, 6, 33, 34, 35, 39, 42, 1024, u32::MAX] {
            assert_eq!(FileType::from_number(number), None);
        }
        let error = FileType::parse("q4_k_n").unwrap_err();
        assert!(error.hint_text().unwrap().contains("q4_k_m"), "{error}");
        assert_eq!(FileType::parse("q4_k").unwrap(), FileType::Q4KM);
    }
}
