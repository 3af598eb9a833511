//! The KV cache: what attention keeps of every token it has seen.

use super::Load;
use crate::error::Error;
use crate::model::Geometry;
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

/// Bytes of one layer's cache, and the formula with its numbers.
///
/// Keys and values of every token of every sequence: as many tokens as the context says, without the
/// padding some runtimes add, and the whole context also where a model's window is shorter. Block types
/// need heads of whole blocks, as llama.cpp does.
pub(super) fn layer_bytes(geometry: &Geometry, load: &Load) -> Result<(u128, String), Error> {
    let (elements, bytes) = load.kv_type.block();
    let Geometry { kv_heads, head_dim, .. } = *geometry;
    if head_dim % elements != 0 {
        return Err(Error::new("size the KV cache")
            .place(format!("type `{}`", load.kv_type.name()))
            .expected(format!("heads of a multiple of {elements} elements"))
            .found(format!("{head_dim}")));
    }
    let row = u128::from(kv_heads) * u128::from(head_dim / elements) * u128::from(bytes);
    let total = u128::from(load.batch) * u128::from(load.context) * 2 * row;
    let width = if elements == 1 { bytes.to_string() } else { format!("{bytes}/{elements}") };
    let formula = format!(
        "batch {} x {} tokens x 2 (keys, values) x {kv_heads} heads x {head_dim} x {width} B",
        load.batch, load.context
    );
    Ok((total, formula))
}
