//! What the decoder must know beside the weights.

/// The numbers of a decoder, from the checkpoint's own config or metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Decoder layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads, a divisor of `heads`.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_width: usize,
    /// Tokens the model knows.
    pub vocabulary: usize,
    /// Routed experts of a layer that has any; 0 in a dense model.
    pub experts: usize,
    /// Experts chosen for a token.
    pub experts_per_token: usize,
    /// Whether the weights of the chosen experts are made to sum to one.
    pub normalize_chosen: bool,
    /// What keeps normalisations from dividing by zero.
    pub norm_epsilon: f64,
    /// How positions enter.
    pub rope: Rope,
    /// Tokens a layer looks back, itself included; `None` for all.
    pub window: Option<usize>,
    /// Whether the output head is the embedding.
    pub tied_head: bool,
    /// The token every text begins with, when the model says one.
    pub first_token: Option<u32>,
    /// Tokens that end a text.
    pub last_tokens: Vec<u32>,
}

/// Rotary position embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// The base of the frequencies.
    pub theta: f64,
    /// Whether rotated pairs lie side by side, as in GGUF files of the llama architecture, instead of half a
    /// head apart.
    pub interleaved: bool,
    /// Divisors of the frequencies, one per pair; empty where all are 1.
    pub divisors: Vec<f32>,
}
