//! ggml's storage types: their numbers in GGUF files, and elements and bytes per block.

/// A storage type of ggml: values are kept in blocks of equal size that run along rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each name says it")]
pub enum GgmlType {
    F32,
    F16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q8_1,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    Q8K,
    Iq2Xxs,
    Iq2Xs,
    Iq3Xxs,
    Iq1S,
    Iq4Nl,
    Iq3S,
    Iq2S,
    Iq4Xs,
    I8,
    I16,
    I32,
    I64,
    F64,
    Iq1M,
    Bf16,
    Tq1_0,
    Tq2_0,
    Mxfp4,
    Nvfp4,
    Q1_0,
    Q2_0,
}

/// Number in files, name, elements and bytes of a block.
///
/// Source: ggml-common.h (2026) and gguf-py 0.19 (`constants.py`), which agree but for `q8_1`, where the
/// C header's 36 bytes count, and `q2_0`, which only the former has; neither `q8_1` nor `q8_k` is ever
/// stored.
const TABLE: [(GgmlType, u32, &str, u64, u64); 35] = [
    (GgmlType::F32, 0, "f32", 1, 4),
    (GgmlType::F16, 1, "f16", 1, 2),
    (GgmlType::Q4_0, 2, "q4_0", 32, 18),
    (GgmlType::Q4_1, 3, "q4_1", 32, 20),
    (GgmlType::Q5_0, 6, "q5_0", 32, 22),
    (GgmlType::Q5_1, 7, "q5_1", 32, 24),
    (GgmlType::Q8_0, 8, "q8_0", 32, 34),
    (GgmlType::Q8_1, 9, "q8_1", 32, 36),
    (GgmlType::Q2K, 10, "q2_k", 256, 84),
    (GgmlType::Q3K, 11, "q3_k", 256, 110),
    (GgmlType::Q4K, 12, "q4_k", 256, 144),
    (GgmlType::Q5K, 13, "q5_k", 256, 176),
    (GgmlType::Q6K, 14, "q6_k", 256, 210),
    (GgmlType::Q8K, 15, "q8_k", 256, 292),
    (GgmlType::Iq2Xxs, 16, "iq2_xxs", 256, 66),
    (GgmlType::Iq2Xs, 17, "iq2_xs", 256, 74),
    (GgmlType::Iq3Xxs, 18, "iq3_xxs", 256, 98),
    (GgmlType::Iq1S, 19, "iq1_s", 256, 50),
    (GgmlType::Iq4Nl, 20, "iq4_nl", 32, 18),
    (GgmlType::Iq3S, 21, "iq3_s", 256, 110),
    (GgmlType::Iq2S, 22, "iq2_s", 256, 82),
    (GgmlType::Iq4Xs, 23, "iq4_xs", 256, 136),
    (GgmlType::I8, 24, "i8", 1, 1),
    (GgmlType::I16, 25, "i16", 1, 2),
    (GgmlType::I32, 26, "i32", 1, 4),
    (GgmlType::I64, 27, "i64", 1, 8),
    (GgmlType::F64, 28, "f64", 1, 8),
    (GgmlType::Iq1M, 29, "iq1_m", 256, 56),
    (GgmlType::Bf16, 30, "bf16", 1, 2),
    (GgmlType::Tq1_0, 34, "tq1_0", 256, 54),
    (GgmlType::Tq2_0, 35, "tq2_0", 256, 66),
    (GgmlType::Mxfp4, 39, "mxfp4", 32, 17),
    (GgmlType::Nvfp4, 40, "nvfp4", 64, 36),
    (GgmlType::Q1_0, 41, "q1_0", 128, 18),
    (GgmlType::Q2_0, 42, "q2_0", 64, 18),
];

impl GgmlType {
    /// Every type, by its number.
    pub const ALL: [Self; TABLE.len()] = {
        let mut all = [Self::F32; TABLE.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = TABLE[at].0;
            at += 1;
        }
        all
    };

    /// The type of that number in GGUF files.
    pub fn from_id(id: u32) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == id).map(|row| row.0)
    }

    /// The type of that name, e.g. `q4_k`; case does not matter.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.2.eq_ignore_ascii_case(name)).map(|row| row.0)
    }

    /// Its number in GGUF files.
    pub fn id(self) -> u32 {
        self.row().1
    }

    /// The name in lower case, e.g. `q4_k`.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Elements of one block.
    pub fn block_elements(self) -> u64 {
        self.row().3
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> u64 {
        self.row().4
    }

    /// Bytes of `elements` in rows of whole blocks; rows of files have no padding.
    /// `None` when they do not fill whole blocks or the bytes do not fit in 64 bits.
    pub fn bytes(self, elements: u64) -> Option<u64> {
        let blocks = elements / self.block_elements();
        elements
            .is_multiple_of(self.block_elements())
            .then(|| blocks.checked_mul(self.block_bytes()))?
    }

    fn row(self) -> &'static (Self, u32, &'static str, u64, u64) {
        &TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_finds_its_own_row() {
        for (row, kind) in TABLE.iter().zip(GgmlType::ALL) {
            assert_eq!(kind.row(), row);
            assert_eq!(GgmlType::from_id(kind.id()), Some(kind));
            assert_eq!(GgmlType::from_name(kind.name()), Some(kind));
        }
        assert_eq!(GgmlType::from_id(4), None, "a type that was withdrawn");
        assert_eq!(GgmlType::from_name("Q4_K"), Some(GgmlType::Q4K));
    }

    #[test]
    fn bytes_are_of_whole_blocks() {
        assert_eq!(GgmlType::Q4K.bytes(4096), Some(2304));
        assert_eq!(GgmlType::Q4K.bytes(100), None);
        assert_eq!(GgmlType::F64.bytes(u64::MAX), None);
        assert_eq!(GgmlType::Q4_0.bytes(0), Some(0));
    }
}
