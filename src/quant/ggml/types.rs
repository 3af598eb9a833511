//! ggml's storage types: elements and bytes per block (ggml-common.h; gguf-py's constants agree).

/// A storage type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    F32,
    F16,
    Q4_0,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

impl Type {
    pub(super) fn name(self) -> &'static str {
        self.row().0
    }

    pub(super) fn block_elements(self) -> u64 {
        self.row().1
    }

    /// Bytes of `elements` whole blocks' worth of elements.
    pub(super) fn bytes(self, elements: u64) -> u64 {
        let (_, block, bytes) = self.row();
        elements / block * bytes
    }

    fn row(self) -> (&'static str, u64, u64) {
        match self {
            Self::F32 => ("f32", 1, 4),
            Self::F16 => ("f16", 1, 2),
            Self::Q4_0 => ("q4_0", 32, 18),
            Self::Q5_0 => ("q5_0", 32, 22),
            Self::Q5_1 => ("q5_1", 32, 24),
            Self::Q8_0 => ("q8_0", 32, 34),
            Self::Q4K => ("q4_k", 256, 144),
            Self::Q5K => ("q5_k", 256, 176),
            Self::Q6K => ("q6_k", 256, 210),
        }
    }

    /// The type for rows that do not fill this type's blocks (`tensor_type_fallback`): a 256-block type
    /// gives way to one of 32, and what does not fill that either stays in 16 bit.
    pub(super) fn fitting(self, row: u64) -> Self {
        let fits = |t: Self| row.is_multiple_of(t.block_elements());
        let smaller = match self {
            Self::Q4K => Self::Q5_0,
            Self::Q5K => Self::Q5_1,
            Self::Q6K => Self::Q8_0,
            _ => Self::F16,
        };
        [self, smaller].into_iter().find(|&t| fits(t)).unwrap_or(Self::F16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_do_not_fill_blocks_fall_back() {
        assert_eq!(Type::Q4K.fitting(2880), Type::Q5_0);
        assert_eq!(Type::Q5K.fitting(2880), Type::Q5_1);
        assert_eq!(Type::Q6K.fitting(2880), Type::Q8_0);
        assert_eq!(Type::Q6K.fitting(100), Type::F16);
        assert_eq!(Type::Q4_0.fitting(100), Type::F16);
        assert_eq!(Type::Q6K.fitting(4096), Type::Q6K);
    }
}
