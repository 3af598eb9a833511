//! What a model is: its components and the tensors they are made of, derived from a config.
//!
//! Facts only: no bytes (those need a quantization, [`crate::quant`]), no devices.

mod catalogue;
mod component;
mod config;
mod derive;
mod expression;
mod family;
mod found;
mod from_checkpoint;
mod gguf_metadata;
mod grouping;
mod naming;
mod resolve;
mod template;
mod token;
mod unknown;

use std::sync::Arc;

use crate::checkpoint::Format;
use crate::error::Error;

pub use catalogue::{CatalogueEntry, catalogue};
pub use component::{ComponentId, ComponentKind, Matrix};
pub use family::{Family, families, family};
pub use found::{Found, LeftOut};
pub(crate) use naming::{unwrapped, weights_of};

/// One weight tensor of one component: a whole tensor of a file, or an expert's part of one that
/// holds all experts of its layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name in the layout, e.g. `model.layers.0.self_attn.q_proj.weight`. The parts of a merged
    /// tensor have the same one.
    pub name: String,
    /// Dimensions, outermost first: a linear layer is `[out, in]`. Of the part, if it is one.
    pub shape: Vec<u64>,
    /// What the tensor is for; quantization recipes go by it.
    pub role: TensorRole,
    /// The component it belongs to.
    pub component: ComponentId,
    /// How many equal parts, one per expert, the tensor of that name has, and how they lie; `None`
    /// when it is this component's alone.
    pub merged: Option<Merged>,
    /// Whether transformers makes it the weight of an `nn.Linear` in this layout, which is what
    /// quantizers that replace modules go by.
    pub linear: bool,
    /// Published in 32 bit whatever the rest is in.
    pub published_f32: bool,
}

/// How the parts of experts make one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Experts of the layer.
    pub parts: u32,
    /// Whether the parts lie below each other as rows; otherwise they have a dimension of their own.
    pub as_rows: bool,
}

/// Which names and shapes tensors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Published checkpoints, which transformers 4 loads as they are.
    Published,
    /// What transformers 5 holds while it runs: experts in merged tensors.
    Transformers5,
    /// GGUF files as converters wrote them on a day, as the number `yyyymmdd`.
    Gguf(u32),
}

impl Tensor {
    /// Number of elements; the reader of configs has checked that it cannot overflow.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Whether files list a tensor for it: if it is a part of a merged one, that is the first part's.
    pub fn is_first_part(&self) -> bool {
        self.merged.is_none() || self.component.expert().is_none_or(|expert| expert == 0)
    }

    /// The dimensions of the tensor of that name in a file: with all its parts, if it is merged.
    pub fn file_shape(&self) -> Vec<u64> {
        let mut shape = self.shape.clone();
        match self.merged {
            Some(Merged { parts, as_rows: false }) => shape.insert(0, u64::from(parts)),
            Some(Merged { parts, as_rows: true }) => {
                if let Some(rows) = shape.first_mut() {
                    *rows *= u64::from(parts);
                }
            }
            None => {}
        }
        shape
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
    /// Queries, keys and values in one matrix.
    AttnQkv,
    /// The matrices of latent attention, into and out of its low ranks.
    AttnLatent,
    AttnOutput,
    Router,
    /// The gate of a shared expert.
    SharedGate,
    FfnGate,
    FfnUp,
    /// Gate and up in one matrix.
    FfnGateUp,
    FfnDown,
    /// The linear maps of a recurrent layer.
    StateProjection,
    /// What is no matrix of a linear layer: attention sinks, convolutions, decay rates.
    Parameter,
    /// Rotary frequencies or factors that only GGUF files store; always f32.
    RopeFrequencies,
}

const ROLES: [(TensorRole, &str); 19] = [
    (TensorRole::TokenEmbedding, "token_embedding"),
    (TensorRole::Output, "output"),
    (TensorRole::Norm, "norm"),
    (TensorRole::Bias, "bias"),
    (TensorRole::AttnQ, "attn_q"),
    (TensorRole::AttnK, "attn_k"),
    (TensorRole::AttnV, "attn_v"),
    (TensorRole::AttnQkv, "attn_qkv"),
    (TensorRole::AttnLatent, "attn_latent"),
    (TensorRole::AttnOutput, "attn_output"),
    (TensorRole::Router, "router"),
    (TensorRole::SharedGate, "shared_gate"),
    (TensorRole::FfnGate, "ffn_gate"),
    (TensorRole::FfnUp, "ffn_up"),
    (TensorRole::FfnGateUp, "ffn_gate_up"),
    (TensorRole::FfnDown, "ffn_down"),
    (TensorRole::StateProjection, "state_projection"),
    (TensorRole::Parameter, "parameter"),
    (TensorRole::RopeFrequencies, "rope_frequencies"),
];

impl TensorRole {
    /// The name used in family templates and fingerprints.
    pub fn name(self) -> &'static str {
        ROLES.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// Whether it is the matrix of a linear map inside a layer; the output head is not in a layer.
    pub fn is_layer_matrix(self) -> bool {
        !matches!(
            self,
            Self::TokenEmbedding
                | Self::Output
                | Self::Norm
                | Self::Bias
                | Self::Parameter
                | Self::RopeFrequencies
        )
    }
}

/// What a layer keeps of the tokens it has seen, for one sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerCache {
    /// Keys and values as compact as the model allows; all zero in a layer that keeps none.
    pub kept: KeyValue,
    /// Keys and values as a runtime keeps them that does not use the compact form; the same where
    /// there is none.
    pub expanded: KeyValue,
    /// Tokens the layer looks back, itself included; `None` for all.
    pub window: Option<u64>,
    /// The same in llama.cpp, which does not use the windows of every architecture.
    pub gguf_window: Option<u64>,
    /// Elements of recurrent state, whatever the number of tokens.
    pub state_elements: u64,
}

/// Heads that are kept, and elements per token of each one's key and value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says it")]
pub struct KeyValue {
    pub heads: u64,
    pub key_width: u64,
    pub value_width: u64,
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

/// Counts as a GGUF file's metadata states them; llama.cpp's quantizer goes by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GgufCounts {
    /// `block_count`.
    pub layers: u32,
    /// `attention.head_count_kv`, of the first layer where layers differ; 0 if that has no attention.
    pub kv_heads: u64,
    /// The same in files converted before a day (`yyyymmdd`), where converters changed it.
    pub kv_heads_before: Option<(u32, u64)>,
}

impl GgufCounts {
    /// `attention.head_count_kv` in a file converted on a day, as the number `yyyymmdd`.
    pub fn kv_heads_on(&self, day: u32) -> u64 {
        self.kv_heads_before.filter(|(until, _)| day < *until).map_or(self.kv_heads, |row| row.1)
    }
}

/// A model: a family's template filled in with one config.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The catalogue name when the facts are those of a catalogue model, otherwise what the file says.
    pub name: String,
    /// The family's name, e.g. `mixtral`.
    pub family: String,
    /// The config values the family used, sorted by key: enough to derive the model again.
    pub config: std::collections::BTreeMap<String, serde_json::Value>,
    /// Sizes for formulas.
    pub geometry: Geometry,
    /// What each layer keeps of a sequence.
    pub cache: Vec<LayerCache>,
    /// How a GGUF file's metadata counts layers and key-value heads.
    pub gguf_counts: GgufCounts,
    /// All tensors of the published layout, in component order ([`ComponentId`]'s).
    pub tensors: Arc<[Tensor]>,
    /// SHA-256 over family, geometry and tensors, in hex: two models with the same are the same.
    pub fingerprint: String,
    /// What the headers of its checkpoint list, when it was read from one.
    pub found: Option<Arc<Found>>,
    /// What its config says about quantization: the keys `quantization_config` and `quantization`.
    pub published_quantization: serde_json::Map<String, serde_json::Value>,
    /// What a user should know about how it was read, as sentences.
    pub notices: Vec<String>,
}

impl Model {
    /// Number of parameters a published checkpoint holds.
    pub fn parameters(&self) -> u64 {
        self.tensors.iter().map(Tensor::elements).sum()
    }

    /// Routed experts of every decoder layer, front to back; 0 for a layer without.
    pub fn experts_by_layer(&self) -> Vec<u32> {
        let mut experts = vec![0; usize::try_from(self.geometry.layers).unwrap_or(0)];
        for tensor in self.tensors.iter() {
            let ComponentId::Expert(layer, expert) = tensor.component else { continue };
            let at = usize::try_from(layer).ok();
            if let Some(count) = at.and_then(|layer| experts.get_mut(layer)) {
                *count = expert.saturating_add(1).max(*count);
            }
        }
        experts
    }

    /// The tensors of a layout, in component order.
    ///
    /// # Errors
    /// A model of no known family, which has only the tensors it was read from.
    pub fn layout(&self, layout: Layout) -> Result<Arc<[Tensor]>, Error> {
        let found = self.found.as_ref().filter(|_| self.family == unknown::FAMILY);
        let has = match found.map(|found| found.format) {
            Some(Format::Gguf) => matches!(layout, Layout::Gguf(_)),
            _ => layout == Layout::Published,
        };
        if has {
            return Ok(Arc::clone(&self.tensors));
        }
        resolve::layout(self, layout)
    }
}
