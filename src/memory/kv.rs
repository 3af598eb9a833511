//! The KV cache: what attention keeps of every token it has seen.

use super::Load;
use crate::error::Error;
use crate::model::{KeyValue, LayerCache};
use crate::quant::choose;

/// The type keys and values are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each name says it")]
pub enum KvType {
    F32,
    #[default]
    F16,
    Bf16,
    Q8_0,
    Q4_0,
}

impl KvType {
    /// Every type, widest first.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0, Self::Q4_0];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    /// Reads a name; case does not matter.
    ///
    /// # Errors
    /// Another name, with all names and the nearest.
    pub fn parse(text: &str) -> Result<Self, Error> {
        choose(text, "read the KV cache type", &Self::ALL, Self::name)
    }

    /// Elements and bytes of one block.
    fn block(self) -> (u64, u64) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q8_0 => (32, 34),
            Self::Q4_0 => (32, 18),
        }
    }
}

/// Bytes of one layer's recurrent state, for one sequence.
pub(super) fn state_bytes(cache: &LayerCache) -> u128 {
    u128::from(cache.state_elements) * 4
}

/// Bytes of one layer's cache, and the formula with its numbers.
///
/// Keys and values of every token of every sequence that the layer looks back on, without the padding
/// some runtimes add; recurrent state in f32. Block types need heads of whole blocks, as llama.cpp does.
pub(super) fn layer_bytes(cache: &LayerCache, load: &Load) -> Result<(u128, String), Error> {
    let KeyValue { heads, key_width, value_width } = cache.kept;
    let (elements, bytes) = load.kv_type.block();
    if let Some(odd) = [key_width, value_width].iter().find(|width| *width % elements != 0) {
        return Err(Error::new("size the KV cache")
            .place(format!("type `{}`", load.kv_type.name()))
            .expected(format!("heads of a multiple of {elements} elements"))
            .found(format!("{odd}")));
    }
    let tokens = cache.window.unwrap_or(load.context).min(load.context);
    let width = u128::from(key_width) + u128::from(value_width);
    let row = u128::from(heads) * (width / u128::from(elements)) * u128::from(bytes);
    let state = state_bytes(cache);
    let total = u128::from(load.batch) * (u128::from(tokens) * row + state);
    let block = if elements == 1 { bytes.to_string() } else { format!("{bytes}/{elements}") };
    let kept =
        format!("{tokens} tokens x {heads} heads x ({key_width} + {value_width}) x {block} B");
    let parts = match (row, state) {
        (0, _) => format!("{} of state x 4 B", cache.state_elements),
        (_, 0) => kept,
        _ => format!("({kept} + {} of state x 4 B)", cache.state_elements),
    };
    Ok((total, format!("batch {} x {parts}", load.batch)))
}
