//! The element types of safetensors files.

/// An element type of a safetensors file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each name says it")]
pub enum SafeType {
    Bool,
    F4,
    F6E2m3,
    F6E3m2,
    U8,
    I8,
    F8E5m2,
    F8E4m3,
    F8E8m0,
    F8E4m3fnuz,
    F8E5m2fnuz,
    I16,
    U16,
    F16,
    Bf16,
    I32,
    U32,
    F32,
    C64,
    F64,
    I64,
    U64,
}

/// Name in files, name in this program's output, bits of an element.
///
/// Source: the `Dtype` of the safetensors crate, 0.7.
const TABLE: [(SafeType, &str, &str, u64); 22] = [
    (SafeType::Bool, "BOOL", "bool", 8),
    (SafeType::F4, "F4", "f4", 4),
    (SafeType::F6E2m3, "F6_E2M3", "f6_e2m3", 6),
    (SafeType::F6E3m2, "F6_E3M2", "f6_e3m2", 6),
    (SafeType::U8, "U8", "u8", 8),
    (SafeType::I8, "I8", "i8", 8),
    (SafeType::F8E5m2, "F8_E5M2", "f8_e5m2", 8),
    (SafeType::F8E4m3, "F8_E4M3", "f8_e4m3", 8),
    (SafeType::F8E8m0, "F8_E8M0", "f8_e8m0", 8),
    (SafeType::F8E4m3fnuz, "F8_E4M3FNUZ", "f8_e4m3fnuz", 8),
    (SafeType::F8E5m2fnuz, "F8_E5M2FNUZ", "f8_e5m2fnuz", 8),
    (SafeType::I16, "I16", "i16", 16),
    (SafeType::U16, "U16", "u16", 16),
    (SafeType::F16, "F16", "f16", 16),
    (SafeType::Bf16, "BF16", "bf16", 16),
    (SafeType::I32, "I32", "i32", 32),
    (SafeType::U32, "U32", "u32", 32),
    (SafeType::F32, "F32", "f32", 32),
    (SafeType::C64, "C64", "c64", 64),
    (SafeType::F64, "F64", "f64", 64),
    (SafeType::I64, "I64", "i64", 64),
    (SafeType::U64, "U64", "u64", 64),
];

impl SafeType {
    /// The type that files call `name`, in upper case as they do.
    pub fn from_header(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The names files use.
    pub fn header_names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| row.1)
    }

    /// The names of all types, as [`Self::name`] gives them.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| row.2)
    }

    /// The name in lower case, e.g. `bf16`.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].2
    }

    /// Bits of one element.
    pub fn bits(self) -> u64 {
        TABLE[self as usize].3
    }

    /// Bytes of `elements`; `None` when they do not end on a byte or do not fit in 64 bits.
    pub fn bytes(self, elements: u64) -> Option<u64> {
        let bits = u128::from(elements) * u128::from(self.bits());
        (bits % 8 == 0).then(|| u64::try_from(bits / 8).ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_finds_its_own_row() {
        for (kind, header, name, bits) in TABLE {
            assert_eq!(SafeType::from_header(header), Some(kind));
            assert_eq!((kind.name(), kind.bits()), (name, bits));
        }
        assert_eq!(SafeType::from_header("f32"), None);
    }

    #[test]
    fn elements_of_half_bytes_must_end_on_one() {
        assert_eq!(SafeType::F4.bytes(6), Some(3));
        assert_eq!(SafeType::F4.bytes(3), None);
        assert_eq!(SafeType::F6E2m3.bytes(4), Some(3));
        assert_eq!(SafeType::U64.bytes(u64::MAX), None);
    }
}
