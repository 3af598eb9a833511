//! What must not be in weights: elements that are no number, and blocks whose scale is none.
//!
//! One such element makes every activation behind it no number too, and text of nothing. It is looked for
//! right after bytes were read, while they are in the cache, in loops that compilers make vectors of.

use half::{bf16, f16};

use super::half::Half;
use crate::dtype::GgmlType;

/// Exponent and fraction of an infinite f32.
const INFINITE_F32_BITS: i32 = 0x7f80_0000;

/// The first element, counted from the beginning of these bytes, that is no number, or the first of the
/// first block whose scale or minimum is infinite or no number.
pub(super) fn first_flaw(kind: GgmlType, bytes: &[u8]) -> Option<usize> {
    match kind {
        GgmlType::F32 => first_nan(bytes),
        GgmlType::F16 => first_half(bytes, f16::INFINITE_BITS + 1),
        GgmlType::Bf16 => first_half(bytes, bf16::INFINITE_BITS + 1),
        _ => first_scale(kind, bytes),
    }
}

/// As [`first_flaw`] in what finite numbers were made into: what was too large is infinite now.
pub(super) fn first_overflow(kind: GgmlType, bytes: &[u8]) -> Option<usize> {
    match kind {
        GgmlType::F32 => None,
        GgmlType::F16 => first_half(bytes, f16::INFINITE_BITS),
        GgmlType::Bf16 => first_half(bytes, bf16::INFINITE_BITS),
        _ => first_scale(kind, bytes),
    }
}

fn first_nan(bytes: &[u8]) -> Option<usize> {
    // Negative, so with the highest bit, for what is above infinity.
    let room = |bytes: &[u8; 4]| INFINITE_F32_BITS - (i32::from_le_bytes(*bytes) & i32::MAX);
    let elements = bytes.as_chunks().0;
    let all = elements.iter().fold(0, |all, element| all | room(element));
    if all >= 0 {
        return None;
    }
    elements.iter().position(|element| room(element) < 0)
}

/// The first whose bits, but for the sign, are at least these.
fn first_half(bytes: &[u8], least: u16) -> Option<usize> {
    let least = i16::try_from(least).unwrap_or(i16::MAX);
    // Negative from `least` on: both are below 2^15.
    let room = |bytes: &[u8; 2]| (least - 1) - (i16::from_le_bytes(*bytes) & i16::MAX);
    let elements = bytes.as_chunks().0;
    let all = elements.iter().fold(0, |all, element| all | room(element));
    if all >= 0 {
        return None;
    }
    elements.iter().position(|element| room(element) < 0)
}

/// Where in a block its 16-bit scales are. Source: ggml-common.h, the same layouts as candle's.
fn scales(kind: GgmlType) -> &'static [usize] {
    match kind {
        GgmlType::Q4_0 | GgmlType::Q5_0 | GgmlType::Q8_0 => &[0],
        GgmlType::Q4_1 | GgmlType::Q5_1 | GgmlType::Q4K | GgmlType::Q5K => &[0, 2],
        GgmlType::Q2K => &[80, 82],
        GgmlType::Q3K => &[108],
        GgmlType::Q6K => &[208],
        _ => &[],
    }
}

fn first_scale(kind: GgmlType, bytes: &[u8]) -> Option<usize> {
    let block_bytes = usize::try_from(kind.block_bytes()).ok()?;
    let block_elements = usize::try_from(kind.block_elements()).ok()?;
    let infinite = |block: &[u8], at: usize| {
        let scale = u16::from_le_bytes([block[at], block[at + 1]]);
        scale & f16::INFINITE_BITS == f16::INFINITE_BITS
    };
    let scales = scales(kind);
    let mut blocks = bytes.chunks_exact(block_bytes);
    let block = blocks.position(|block| scales.iter().any(|at| infinite(block, *at)))?;
    Some(block * block_elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_float_that_is_no_number_is_found_and_no_other() {
        for bits in (0..=u16::MAX).step_by(1) {
            let bytes = [&[0; 6], bits.to_le_bytes().as_slice(), &[0; 2]].concat();
            let at = |flaw: bool| flaw.then_some(3);
            let (half, brain) = (f16::from_bits(bits), bf16::from_bits(bits));
            assert_eq!(first_flaw(GgmlType::F16, &bytes), at(half.is_nan()), "{bits:x}");
            assert_eq!(first_flaw(GgmlType::Bf16, &bytes), at(brain.is_nan()), "{bits:x}");
            assert_eq!(first_overflow(GgmlType::F16, &bytes), at(!half.is_finite()), "{bits:x}");
            assert_eq!(first_overflow(GgmlType::Bf16, &bytes), at(!brain.is_finite()), "{bits:x}");
            let wide = f32::from_bits(u32::from(bits) << 16 | 1);
            let bytes = [1.0, wide, 0.0].map(f32::to_le_bytes).concat();
            assert_eq!(first_flaw(GgmlType::F32, &bytes), wide.is_nan().then_some(1), "{bits:x}");
        }
    }

    #[test]
    fn every_scale_of_a_block_is_looked_at_and_nothing_else_is() {
        for (kind, flaws) in [
            (GgmlType::Q4_0, 1),
            (GgmlType::Q4_1, 2),
            (GgmlType::Q5_0, 1),
            (GgmlType::Q5_1, 2),
            (GgmlType::Q8_0, 1),
            (GgmlType::Q2K, 2),
            (GgmlType::Q3K, 1),
            (GgmlType::Q4K, 2),
            (GgmlType::Q5K, 2),
            (GgmlType::Q6K, 1),
        ] {
            let block = usize::try_from(kind.block_bytes()).unwrap();
            let elements = usize::try_from(kind.block_elements()).unwrap();
            let mut found = 0;
            for at in (0..block).step_by(2) {
                let mut bytes = vec![0; 3 * block];
                bytes[block + at + 1] = 0x7c;
                let flaw = first_flaw(kind, &bytes);
                assert!(flaw.is_none_or(|flaw| flaw == elements), "{flaw:?}");
                found += usize::from(flaw.is_some());
            }
            assert_eq!(found, flaws, "{}", kind.name());
        }
    }
}
