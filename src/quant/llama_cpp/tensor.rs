//! What the quantizer reads from a tensor's name and shape.

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
        let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
        digits.parse().ok()
    }
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
