//! The blocks of ggml's quantized types in host memory: read from files as bytes, multiplied as candle's
//! block types, with no copy between.
//!
//! This is the one place with unsafe code. It must be: candle's kernels are public, but they take slices of
//! its own block types, whose fields are private and which no safe conversion from bytes accepts, so the
//! only safe way in would keep every quantized weight twice while loading.
//!
//! What makes it sound:
//! - The buffer is a `Vec<u16>`, so it is aligned to 2 bytes, and no block type needs more (asserted below
//!   when this is compiled, for each type, as is its size).
//! - A view covers whole blocks of that buffer only, borrows it as the buffer itself would be borrowed, and
//!   is only given out for the type the buffer was made for.
//! - The block types are `repr(C)` structs of 16-bit floats and arrays of bytes. Their sizes are the sums
//!   of their fields (asserted by their crate), so there is no padding, and every bit pattern is a value of
//!   each field: whatever was in a file is a block, and whatever is in a block is bytes.
//! - The trait is sealed: it has the types listed here and no others.

#![allow(unsafe_code, reason = "see the head of this file")]

use candle_core::quantized::k_quants::{
    BlockQ2K, BlockQ3K, BlockQ4_0, BlockQ4_1, BlockQ4K, BlockQ5_0, BlockQ5_1, BlockQ5K, BlockQ6K,
    BlockQ8_0, GgmlType as Kernels,
};

use crate::dtype::GgmlType;

mod sealed {
    pub trait Sealed {}
}

/// A block type of candle that a buffer can be seen as.
pub(super) trait Block: Kernels + sealed::Sealed + 'static {
    /// Our name of it.
    const KIND: GgmlType;
}

macro_rules! blocks {
    ($($kind:ident $block:ident $bytes:literal,)*) => {
        $(
            const _: () = assert!(size_of::<$block>() == $bytes);
            const _: () = assert!(align_of::<$block>() <= align_of::<u16>());
            impl sealed::Sealed for $block {}
            impl Block for $block {
                const KIND: GgmlType = GgmlType::$kind;
            }
        )*

        /// Whether there are kernels for that quantized type.
        pub(super) fn has_kernels(kind: GgmlType) -> bool {
            matches!(kind, $(GgmlType::$kind)|*)
        }

        /// Something to be done with blocks whose type is known when it runs.
        pub(super) trait Visit {
            /// What it gives.
            type Output;
            /// The deed.
            fn visit<B: Block>(self) -> Self::Output;
        }

        /// Does it for the block type of `kind`; `None` when there are no kernels for it.
        pub(super) fn visit<V: Visit>(kind: GgmlType, visitor: V) -> Option<V::Output> {
            match kind {
                $(GgmlType::$kind => Some(visitor.visit::<$block>()),)*
                _ => None,
            }
        }
    };
}

blocks! {
    Q4_0 BlockQ4_0 18,
    Q4_1 BlockQ4_1 20,
    Q5_0 BlockQ5_0 22,
    Q5_1 BlockQ5_1 24,
    Q8_0 BlockQ8_0 34,
    Q2K BlockQ2K 84,
    Q3K BlockQ3K 110,
    Q4K BlockQ4K 144,
    Q5K BlockQ5K 176,
    Q6K BlockQ6K 210,
}

/// Whole blocks of one type.
#[derive(Debug)]
pub(super) struct Blocks {
    kind: GgmlType,
    words: Vec<u16>,
}

impl Blocks {
    /// `bytes` of zeros, which the system hands out when they are written first; `None` when it has not so
    /// much or they are not whole blocks of a type that has kernels.
    pub(super) fn zeroed(kind: GgmlType, bytes: usize) -> Option<Self> {
        let block = usize::try_from(kind.block_bytes()).ok()?;
        if !has_kernels(kind) || !bytes.is_multiple_of(block) {
            return None;
        }
        let words = bytemuck::allocation::try_zeroed_vec(bytes / size_of::<u16>()).ok()?;
        Some(Self { kind, words })
    }

    /// Their type.
    pub(super) fn kind(&self) -> GgmlType {
        self.kind
    }

    /// Them as in a file.
    pub(super) fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    /// Them as words, to be filled with whole blocks from elsewhere.
    pub(super) fn words_mut(&mut self) -> &mut [u16] {
        &mut self.words
    }

    /// Them as candle knows them; `None` when they are of another type.
    pub(super) fn view<B: Block>(&self) -> Option<&[B]> {
        let bytes = size_of_val(self.words.as_slice());
        let start = self.words.as_ptr().cast::<B>();
        // SAFETY: the pointer is non-null, aligned and valid for `bytes`, as that of a vector of words with
        // no weaker alignment; the count is of whole blocks within them; the vector is borrowed as long as
        // the answer; every bit pattern is a block (head of this file).
        (B::KIND == self.kind)
            .then(|| unsafe { std::slice::from_raw_parts(start, bytes / size_of::<B>()) })
    }

    /// Them as candle knows them, to be written; `None` when they are of another type.
    pub(super) fn view_mut<B: Block>(&mut self) -> Option<&mut [B]> {
        let bytes = size_of_val(self.words.as_slice());
        let start = self.words.as_mut_ptr().cast::<B>();
        // SAFETY: as in `view`, and the vector is borrowed for this answer alone; a block has no padding, so
        // whatever is written leaves the words initialized.
        (B::KIND == self.kind)
            .then(|| unsafe { std::slice::from_raw_parts_mut(start, bytes / size_of::<B>()) })
    }
}

/// The bytes of blocks, as in a file.
pub(super) fn bytes_of<B: Block>(blocks: &[B]) -> &[u8] {
    // SAFETY: blocks have no padding (head of this file), and bytes need no alignment.
    unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast(), size_of_val(blocks)) }
}

/// The bytes of blocks, to be filled as from a file.
pub(super) fn bytes_of_mut<B: Block>(blocks: &mut [B]) -> &mut [u8] {
    let bytes = size_of_val(blocks);
    // SAFETY: as in `bytes_of`, and whatever is written is a block again (head of this file).
    unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_of_the_type_it_was_made_for_and_of_every_block() {
        for kind in GgmlType::ALL.into_iter().filter(|kind| has_kernels(*kind)) {
            struct Count<'a>(&'a mut Blocks);
            impl Visit for Count<'_> {
                type Output = (usize, usize, GgmlType);
                fn visit<B: Block>(self) -> Self::Output {
                    let last = self.0.view_mut::<B>().unwrap().last_mut().unwrap();
                    *last = B::zeros();
                    assert_eq!(self.0.view::<B>().map(bytes_of), Some(self.0.bytes()));
                    let wide = self.0.view::<B>().unwrap();
                    (wide.len(), size_of_val(wide), B::KIND)
                }
            }
            let bytes = usize::try_from(kind.block_bytes() * 3).unwrap();
            let mut blocks = Blocks::zeroed(kind, bytes).unwrap();
            visit(kind, Ones(&mut blocks)).unwrap();
            assert_eq!(visit(kind, Count(&mut blocks)), Some((3, bytes, kind)));
            let block = bytes / 3;
            assert!(blocks.bytes()[..2 * block].iter().all(|byte| *byte == 0xff));
            assert!(blocks.bytes()[2 * block..].iter().all(|byte| *byte == 0));
            let other = if kind == GgmlType::Q4K { GgmlType::Q6K } else { GgmlType::Q4K };
            assert!(visit(other, IsThere(&blocks)) == Some(false), "{}", kind.name());
            assert!(Blocks::zeroed(kind, bytes - 2).is_none());
        }
        assert!(Blocks::zeroed(GgmlType::Iq4Nl, 36).is_none());
        assert!(Blocks::zeroed(GgmlType::Q8_0, 34 << 54).is_none(), "more than any machine has");
    }

    struct Ones<'a>(&'a mut Blocks);

    impl Visit for Ones<'_> {
        type Output = ();
        fn visit<B: Block>(self) {
            bytes_of_mut(self.0.view_mut::<B>().unwrap()).fill(0xff);
        }
    }

    struct IsThere<'a>(&'a Blocks);

    impl Visit for IsThere<'_> {
        type Output = bool;
        fn visit<B: Block>(self) -> bool {
            self.0.view::<B>().is_some()
        }
    }
}
