//! What the quantizer reads from a tensor's name and shape.

use std::collections::BTreeMap;

use super::{Facts, kept};

/// A tensor as a GGUF file lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its name, e.g. `blk.3.ffn_down_exps.weight`.
    pub name: &'a str,
    /// Its dimensions, outermost first: the reverse of `ne` in the file.
    pub shape: &'a [u64],
}

impl Row<'_> {
    /// Elements of a row, which blocks run along: `ne[0]`.
    pub(super) fn row_elements(&self) -> u64 {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Whether it is at least a matrix, as `ggml_n_dims` counts: outer dimensions of 1 do not.
    pub(super) fn is_matrix(&self) -> bool {
        self.shape.split_last().is_some_and(|(_, outer)| outer.iter().any(|&n| n > 1))
    }

    /// Whether it is a stack of matrices: `ne[2] > 1`.
    pub(super) fn is_stack(&self) -> bool {
        self.shape.iter().rev().nth(2).is_some_and(|&n| n > 1)
    }

    /// N of `blk.N.`; like the quantizer's `sscanf`, without looking for the second dot.
    pub(super) fn layer(&self) -> Option<u32> {
        let rest = self.name.strip_prefix("blk.")?;
        rest[..rest.len() - after_digits(rest).len()].parse().ok()
    }
}

fn after_digits(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_ascii_digit())
}

/// What a name says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    pub category: Category,
    /// The quantizer leaves it as it was.
    pub is_kept: bool,
    /// Converters write it in 32 bit, whatever the file.
    pub is_float_32: bool,
}

/// The traits of each tensor.
///
/// Looking through a name takes microseconds, so names that differ by their layer only are looked
/// through once: no part that is looked for begins within the number of a layer or before it.
pub(super) fn traits(tensors: &[Row<'_>], facts: &Facts<'_>) -> Vec<Traits> {
    let mut known: BTreeMap<&str, Traits> = BTreeMap::new();
    let of = |row: &Row<'_>| Traits {
        category: Category::of(row.name),
        is_kept: kept::is_kept(row.name, facts),
        is_float_32: kept::is_float_32(row.name, facts),
    };
    tensors.iter().map(|row| *known.entry(template(row.name)).or_insert_with(|| of(row))).collect()
}

/// `.attn_q.weight` of `blk.3.attn_q.weight`, and whole names without a layer.
fn template(name: &str) -> &str {
    let rest = name.strip_prefix("blk.").map_or(name, after_digits);
    if rest.starts_with('.') { rest } else { name }
}

/// What a tensor does, as far as rules tell tensors apart (`tensor_get_category`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    Output,
    TokenEmbedding,
    /// Queries, keys and values in one.
    AttnQkv,
    /// Keys and values of a latent, in one: MLA in files of the older layout.
    AttnKvB,
    AttnV,
    AttnK,
    AttnQ,
    AttnOutput,
    FfnUp,
    FfnGate,
    FfnDown,
    Other,
}

/// Parts of names and what they tell, the first that matches.
const PARTS: [(&str, Category); 9] = [
    ("attn_qkv.weight", Category::AttnQkv),
    ("attn_kv_b.weight", Category::AttnKvB),
    ("attn_v.weight", Category::AttnV),
    ("attn_k.weight", Category::AttnK),
    ("attn_q.weight", Category::AttnQ),
    ("attn_output.weight", Category::AttnOutput),
    ("ffn_up", Category::FfnUp),
    ("ffn_gate", Category::FfnGate),
    ("ffn_down", Category::FfnDown),
];

impl Category {
    /// By parts of the name, so experts (merged, split or shared) are told like dense matrices.
    pub(super) fn of(name: &str) -> Self {
        match name {
            "output.weight" => return Self::Output,
            "token_embd.weight" | "per_layer_token_embd.weight" => return Self::TokenEmbedding,
            _ => {}
        }
        PARTS.iter().find(|(part, _)| name.contains(part)).map_or(Self::Other, |found| found.1)
    }

    /// Whether it holds values, alone or with keys and queries.
    pub(super) fn has_values(self) -> bool {
        matches!(self, Self::AttnV | Self::AttnQkv | Self::AttnKvB)
    }
}
