//! The parts of a family template: config keys, sizes, caches, and the tensors of each component.

use serde::Deserialize;

use super::TensorRole;
use super::expression::Expression;

/// Config integers are at most this unless their key says less: products of two stay below 2^63.
const INTEGER_MAX: i64 = 1 << 31;

/// A config key the family reads.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    #[serde(rename = "type", default)]
    pub(super) kind: KeyKind,
    /// Bounds of an integer, and of every integer in a list.
    #[serde(default = "one")]
    pub(super) min: i64,
    #[serde(default = "integer_max")]
    pub(super) max: i64,
    /// What an absent or null key means; a key without one is required.
    pub(super) default: Option<Expression>,
    /// What a null key means, where that is not the same as leaving it out.
    pub(super) if_null: Option<Expression>,
    /// Other places of the value, as paths like `rope_scaling.type`, tried in order.
    #[serde(default)]
    pub(super) from: Vec<String>,
    /// Words that mean the same as leaving the key out, like `auto`.
    #[serde(default)]
    pub(super) absent: Vec<String>,
    /// Where GGUF files say it, as expressions over their metadata and tensors, tried in order; the
    /// names known for all families ([`super::gguf_metadata`]) when there are none here.
    #[serde(default)]
    pub(super) gguf: Vec<Expression>,
}

fn one() -> i64 {
    1
}

fn integer_max() -> i64 {
    INTEGER_MAX
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyKind {
    #[default]
    Integer,
    Boolean,
    Text,
    Integers,
    Texts,
    /// A list of whatever, of which only the number of items matters; or that number.
    Length,
}

/// [`super::Geometry`], each size as an expression over config keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GeometryTemplate {
    pub(super) layers: Expression,
    pub(super) hidden: Expression,
    pub(super) heads: Expression,
    pub(super) kv_heads: Expression,
    pub(super) head_dim: Expression,
    pub(super) vocab: Expression,
    pub(super) experts: Expression,
    pub(super) experts_per_token: Expression,
    pub(super) expert_width: Expression,
    pub(super) dense_width: Expression,
    pub(super) tied_head: Expression,
    /// Key-value heads as a GGUF file's metadata counts them, where that differs: of the first layer,
    /// if layers do. With a day, only files converted since then; those before have `kv_heads`.
    pub(super) gguf_kv_heads: Option<Expression>,
    pub(super) gguf_kv_heads_since: Option<Day>,
    /// Layers as a GGUF file's metadata counts them, where that differs.
    pub(super) gguf_layers: Option<Expression>,
}

impl GeometryTemplate {
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &Expression)> {
        let required = [
            ("layers", &self.layers),
            ("hidden", &self.hidden),
            ("heads", &self.heads),
            ("kv_heads", &self.kv_heads),
            ("head_dim", &self.head_dim),
            ("vocab", &self.vocab),
            ("experts", &self.experts),
            ("experts_per_token", &self.experts_per_token),
            ("expert_width", &self.expert_width),
            ("dense_width", &self.dense_width),
            ("tied_head", &self.tied_head),
        ];
        let kv_heads = self.gguf_kv_heads.iter().map(|e| ("gguf_kv_heads", e));
        let layers = self.gguf_layers.iter().map(|e| ("gguf_layers", e));
        required.into_iter().chain(kv_heads).chain(layers)
    }
}

/// What a layer keeps of the tokens it has seen; the first entry whose `when` holds is a layer's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheTemplate {
    pub(super) when: Option<Expression>,
    /// Heads that are kept, and the elements per token of a kept head's key and value.
    #[serde(default = "zero")]
    pub(super) heads: Expression,
    #[serde(default = "zero")]
    pub(super) key_width: Expression,
    #[serde(default = "zero")]
    pub(super) value_width: Expression,
    /// Tokens the layer looks back, where that is less than the context; 0 for all.
    #[serde(default = "zero")]
    pub(super) window: Expression,
    /// The same in runtimes of GGUF files, where they do not use the window that the config states.
    pub(super) gguf_window: Option<Expression>,
    /// The same cache in a runtime that does not keep the compressed form.
    pub(super) expanded: Option<ExpandedTemplate>,
    /// Elements of recurrent state per sequence, whatever its length.
    #[serde(default = "zero")]
    pub(super) state: Expression,
}

fn zero() -> Expression {
    Expression::parse("0").expect("`0` is an expression")
}

/// Keys and values in full, of a cache that can be kept compressed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpandedTemplate {
    pub(super) heads: Expression,
    pub(super) key_width: Expression,
    pub(super) value_width: Expression,
}

impl CacheTemplate {
    pub(super) fn all(&self) -> impl Iterator<Item = &Expression> {
        let own = [&self.heads, &self.key_width, &self.value_width, &self.window, &self.state];
        let expanded = self.expanded.iter().flat_map(|e| [&e.heads, &e.key_width, &e.value_width]);
        self.when.iter().chain(own).chain(&self.gguf_window).chain(expanded)
    }
}

/// The tensors of every kind of component.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ComponentTemplates {
    pub(super) embedding: Vec<TensorTemplate>,
    pub(super) attention: Vec<TensorTemplate>,
    #[serde(default)]
    pub(super) router: Vec<TensorTemplate>,
    #[serde(default)]
    pub(super) mlp: Vec<TensorTemplate>,
    #[serde(default)]
    pub(super) shared_expert: Vec<TensorTemplate>,
    #[serde(default)]
    pub(super) expert: Vec<TensorTemplate>,
    pub(super) final_norm: Vec<TensorTemplate>,
    #[serde(default)]
    pub(super) output_head: Vec<TensorTemplate>,
}

impl ComponentTemplates {
    /// Key in the file, whether it is per layer, whether it is per expert, its tensors.
    pub(super) fn all(&self) -> [(&'static str, bool, bool, &[TensorTemplate]); 8] {
        [
            ("embedding", false, false, &self.embedding),
            ("attention", true, false, &self.attention),
            ("router", true, false, &self.router),
            ("mlp", true, false, &self.mlp),
            ("shared_expert", true, false, &self.shared_expert),
            ("expert", true, true, &self.expert),
            ("final_norm", false, false, &self.final_norm),
            ("output_head", false, false, &self.output_head),
        ]
    }
}

/// One tensor, or one per layer or expert, and what it is called where.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TensorTemplate {
    /// In published checkpoints, which transformers 4 loads as they are. With `{layer}` where its
    /// number goes, and in an expert `{expert}`, unless one tensor holds all experts of the layer.
    pub(super) name: Option<String>,
    /// In transformers 5: the same as `name` unless said, or [`ELSEWHERE`].
    pub(super) transformers5: Option<String>,
    /// In GGUF files; absent there when not said.
    pub(super) gguf: Option<String>,
    /// GGUF files have it since this day, or until the day before this one (`2024-07-27`).
    pub(super) gguf_since: Option<Day>,
    pub(super) gguf_until: Option<Day>,
    pub(super) role: TensorRole,
    /// Dimensions, outermost first; of one expert in an expert.
    pub(super) shape: Vec<Expression>,
    /// How one tensor holds all experts, where it does.
    #[serde(default)]
    pub(super) merged: Merge,
    /// The tensor exists only if this holds.
    pub(super) when: Option<Expression>,
    /// Whether transformers makes it the weight of an `nn.Linear`, where its role does not say so.
    pub(super) linear: Option<bool>,
    /// Published in 32 bit whatever the rest is in.
    #[serde(default)]
    pub(super) published_f32: bool,
}

/// What `transformers5` says of a tensor that is part of another one there.
pub(super) const ELSEWHERE: &str = "elsewhere";

/// How a tensor of all experts of a layer is made of theirs.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Merge {
    /// A dimension more in front.
    #[default]
    Stacked,
    /// One below the other: the first dimension is that of one times the experts.
    Rows,
}

/// A day as the number `yyyymmdd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Day(pub(super) u32);

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.replace('-', "");
        let shaped =
            text.len() == 10 && digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit());
        let day = shaped.then(|| digits.parse().ok()).flatten();
        day.map(Self).ok_or_else(|| format!("`{text}` is no day such as 2024-07-27"))
    }
}
