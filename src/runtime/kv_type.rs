//! The types keys and values can be kept in, and the bytes of their blocks.

use crate::error::Error;
use crate::quant::choose;

/// The type keys and values are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each name says it")]
pub enum KvType {
    F32,
    #[default]
    F16,
    Bf16,
    /// One byte per element, without scales of its own.
    Fp8E4m3,
    Q8_0,
    Q5_1,
    Q5_0,
    Q4_1,
    Q4_0,
    Iq4Nl,
}

/// Name, elements of a block, bytes of a block (ggml-common.h; gguf-py's constants agree).
const ROWS: [(KvType, &str, u64, u64); 10] = [
    (KvType::F32, "f32", 1, 4),
    (KvType::F16, "f16", 1, 2),
    (KvType::Bf16, "bf16", 1, 2),
    (KvType::Fp8E4m3, "fp8_e4m3", 1, 1),
    (KvType::Q8_0, "q8_0", 32, 34),
    (KvType::Q5_1, "q5_1", 32, 24),
    (KvType::Q5_0, "q5_0", 32, 22),
    (KvType::Q4_1, "q4_1", 32, 20),
    (KvType::Q4_0, "q4_0", 32, 18),
    (KvType::Iq4Nl, "iq4_nl", 32, 18),
];

impl KvType {
    /// Every type, widest first.
    pub const ALL: [Self; 10] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q8_0,
        Self::Fp8E4m3,
        Self::Q5_1,
        Self::Q5_0,
        Self::Q4_1,
        Self::Q4_0,
        Self::Iq4Nl,
    ];

    fn row(self) -> (&'static str, u64, u64) {
        let row = ROWS.iter().find(|row| row.0 == self);
        row.map_or(("f16", 1, 2), |&(_, name, elements, bytes)| (name, elements, bytes))
    }

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Elements and bytes of one block.
    pub fn block(self) -> (u64, u64) {
        let (_, elements, bytes) = self.row();
        (elements, bytes)
    }

    /// Reads a name; case does not matter.
    ///
    /// # Errors
    /// Another name, with all names and the nearest.
    pub fn parse(text: &str) -> Result<Self, Error> {
        choose(text, "read the KV cache type", &Self::ALL, Self::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_row_of_its_own() {
        for kv_type in KvType::ALL {
            assert_eq!(KvType::parse(kv_type.name()).unwrap(), kv_type);
        }
        let names: std::collections::BTreeSet<_> = KvType::ALL.iter().map(|t| t.name()).collect();
        assert_eq!(names.len(), KvType::ALL.len());
        assert_eq!(KvType::Q4_1.block(), (32, 20));
        assert_eq!(KvType::Fp8E4m3.block(), (1, 1));
    }
}
