//! What a model is: its components and the tensors they are made of, derived from a config.
//!
//! Facts only: no bytes (those need a quantization, [`crate::quant`]), no devices.

mod catalogue;
mod component;
mod config;
mod derive;
mod expression;
mod family;
mod resolve;
mod token;

pub use catalogue::{CatalogueEntry, catalogue};
pub use component::{ComponentId, ComponentKind};
pub use family::{Family, families, family};

/// One weight tensor as a checkpoint would name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// The published name, e.g. `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Dimensions, outermost first: a linear layer is `[out, in]`.
    pub shape: Vec<u64>,
    /// What the tensor is for; quantization recipes go by it.
    pub role: TensorRole,
    /// The component it belongs to.
    pub component: ComponentId,
}

impl Tensor {
    /// Number of elements; the reader of configs has checked that it cannot overflow.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }
}

/// What a tensor does; the vocabulary of every quantization recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each name says it")]
pub enum TensorRole {
    TokenEmbedding,
    Output,
    Norm,
    Bias,
    AttnQ,
    AttnK,
    AttnV,
    AttnOutput,
    Router,
    FfnGate,
    FfnUp,
    FfnDown,
    /// Rotary frequencies that only GGUF files store; always f32.
    RopeFrequencies,
}

impl TensorRole {
    /// The name used in family templates and fingerprints.
    pub fn name(self) -> &'static str {
        match self {
            Self::TokenEmbedding => "token_embedding",
            Self::Output => "output",
            Self::Norm => "norm",
            Self::Bias => "bias",
            Self::AttnQ => "attn_q",
            Self::AttnK => "attn_k",
            Self::AttnV => "attn_v",
            Self::AttnOutput => "attn_output",
            Self::Router => "router",
            Self::FfnGate => "ffn_gate",
            Self::FfnUp => "ffn_up",
            Self::FfnDown => "ffn_down",
            Self::RopeFrequencies => "rope_frequencies",
        }
    }
}

/// The sizes that demand and cost formulas need beside the tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Number of decoder layers.
    pub layers: u32,
    /// Width of the residual stream, in elements.
    pub hidden: u64,
    /// Query heads per layer.
    pub heads: u64,
    /// Key and value heads per layer.
    pub kv_heads: u64,
    /// Elements per head.
    pub head_dim: u64,
    /// Vocabulary, in tokens.
    pub vocab: u64,
    /// Routed experts per MoE layer; 0 in a dense model.
    pub experts: u32,
    /// Experts chosen per token; 0 in a dense model.
    pub experts_per_token: u32,
    /// Inner width of one routed expert (of the dense mlp in a dense model), in elements.
    pub expert_width: u64,
    /// Inner width of the widest dense or shared mlp, in elements; 0 when there is none.
    pub dense_width: u64,
    /// Whether the output head is the embedding matrix.
    pub tied_head: bool,
}

/// A model: a family's template filled in with one config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The catalogue name when the facts are those of a catalogue model, otherwise what the file says.
    pub name: String,
    /// The family's name, e.g. `mixtral`.
    pub family: String,
    /// The config values the family used, sorted by key: enough to derive the model again.
    pub config: std::collections::BTreeMap<String, serde_json::Value>,
    /// Sizes for formulas.
    pub geometry: Geometry,
    /// All tensors, in component order ([`ComponentId`]'s).
    pub tensors: Vec<Tensor>,
    /// SHA-256 over family, geometry and tensors, in hex: two models with the same are the same.
    pub fingerprint: String,
}

impl Model {
    /// Number of parameters a published checkpoint holds (GGUF-only tensors do not count).
    pub fn parameters(&self) -> u64 {
        derive::parameters(&self.tensors)
    }
}
