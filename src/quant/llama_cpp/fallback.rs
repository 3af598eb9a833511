//! What a matrix gets whose rows do not fill the blocks of the type chosen for it.

use super::Era;
use crate::dtype::GgmlType as T;

/// `wanted`, or the type that takes its place for rows of `row` elements (`tensor_type_fallback`).
///
/// `None` when the quantizer knows no substitute and refuses the file.
pub(super) fn fitting(wanted: T, row: u64, era: Era) -> Option<T> {
    exact(wanted, row).or_else(|| {
        let smaller = substitute(wanted, era)?;
        Some(exact(smaller, row).unwrap_or(T::F16))
    })
}

/// `wanted`, if rows of `row` elements fill its blocks.
pub(super) fn exact(wanted: T, row: u64) -> Option<T> {
    row.is_multiple_of(wanted.block_elements()).then_some(wanted)
}

/// A type with blocks of 32, of about as many bits.
fn substitute(wanted: T, era: Era) -> Option<T> {
    let before_iq4_nl = era < Era::IQ4_NL;
    let since_categories = era >= Era::TENSOR_CATEGORIES;
    match wanted {
        T::Q3K if before_iq4_nl => Some(T::Q4_1),
        T::Iq2Xxs | T::Iq2Xs if before_iq4_nl => Some(T::Q4_0),
        T::Q2K | T::Q3K if before_iq4_nl || since_categories => Some(T::Q4_0),
        T::Q2K
        | T::Q3K
        | T::Iq1S
        | T::Iq1M
        | T::Iq2Xxs
        | T::Iq2Xs
        | T::Iq2S
        | T::Iq3Xxs
        | T::Iq3S
        | T::Iq4Xs => Some(T::Iq4Nl),
        T::Tq1_0 | T::Tq2_0 | T::Q2_0 => Some(T::Q4_0),
        T::Q4K => Some(T::Q5_0),
        T::Q5K => Some(T::Q5_1),
        T::Q6K => Some(T::Q8_0),
        // Nothing is smaller than a block of 32: `fitting` makes it F16.
        other => (other.block_elements() <= 32).then_some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_do_not_fill_blocks_fall_back() {
        let now = |wanted, row| fitting(wanted, row, Era::default());
        // gpt-oss has rows of 2880, Qwen2.5-0.5B of 896.
        assert_eq!(now(T::Q4K, 2880), Some(T::Q5_0));
        assert_eq!(now(T::Q5K, 2880), Some(T::Q5_1));
        assert_eq!(now(T::Q6K, 896), Some(T::Q8_0));
        assert_eq!(now(T::Q3K, 896), Some(T::Q4_0));
        assert_eq!(fitting(T::Q3K, 896, Era::MERGED_EXPERTS), Some(T::Iq4Nl));
        assert_eq!(fitting(T::Q3K, 896, Era::MIXTRAL), Some(T::Q4_1));
        assert_eq!(now(T::Q6K, 100), Some(T::F16));
        assert_eq!(now(T::Q4_0, 100), Some(T::F16));
        assert_eq!(now(T::Q6K, 4096), Some(T::Q6K));
        assert_eq!(now(T::Q1_0, 896), Some(T::Q1_0));
        assert_eq!(now(T::Q1_0, 2880), None);
    }
}
