//! What the decoder must know beside the weights.

mod config;
mod metadata;
mod rope;

use crate::checkpoint::{Checkpoint, Format};
use crate::error::Error;
use crate::model::{Geometry, Model};

/// The families the decoder runs, and what their configs mean where they say nothing: epsilon and theta.
///
/// Source: the defaults of transformers' `configuration_*.py` (4.57 and 5.2).
const FAMILIES: [Family; 6] = [
    Family { name: "llama", norm_epsilon: 1e-6, theta: 1e4 },
    Family { name: "mistral", norm_epsilon: 1e-6, theta: 1e4 },
    Family { name: "mixtral", norm_epsilon: 1e-5, theta: 1e6 },
    Family { name: "qwen2", norm_epsilon: 1e-6, theta: 1e4 },
    Family { name: "qwen3", norm_epsilon: 1e-6, theta: 1e4 },
    Family { name: "qwen3_moe", norm_epsilon: 1e-6, theta: 1e4 },
];

/// A family the decoder runs.
#[derive(Clone, Copy, Debug)]
struct Family {
    name: &'static str,
    norm_epsilon: f64,
    theta: f64,
}

impl Family {
    /// Whether texts begin with the model's first token although nothing says so: the tokenizers of the Qwen
    /// line add none, whatever their configs name.
    fn begins_texts(self) -> bool {
        !self.name.starts_with("qwen")
    }
}

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
    /// Whether the output head is the embedding: no item is a [`Head`](super::Slot::Head).
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
    /// Divisors of the frequencies, one per pair; empty where all are 1 or the files hold them as
    /// [`RopeFactors`](super::Slot::RopeFactors).
    pub divisors: Vec<f32>,
}

/// What only config or metadata say.
#[derive(Clone, Debug)]
struct Said {
    norm_epsilon: f64,
    rope: Rope,
    normalize_chosen: bool,
    window: Option<u64>,
    first_token: Option<u64>,
    last_tokens: Vec<u64>,
}

impl Architecture {
    /// Of a checkpoint; `files` is the model read from it.
    ///
    /// # Errors
    /// Families and kinds of scaling, activation or window that the decoder does not run, each by name, and
    /// numbers that are missing or absurd.
    pub(super) fn of(checkpoint: &Checkpoint, files: &Model) -> Result<Self, Error> {
        let path = checkpoint.files.first().map(|file| file.path.display().to_string());
        let source = match (&checkpoint.config_text, checkpoint.format) {
            (Some((config, _)), Format::Safetensors) => config.clone(),
            _ => path.unwrap_or_default(),
        };
        let family = family(files, &source)?;
        let said = match checkpoint.format {
            Format::Safetensors => config::read(checkpoint, files, family)?,
            Format::Gguf => metadata::read(checkpoint, files, family, &source)?,
        };
        check(&files.geometry, &said, &source)?;
        of_sizes(&files.geometry, said).ok_or_else(|| {
            refuse(&source).expected("sizes that fit in memory").found("larger ones")
        })
    }
}

fn refuse(source: &str) -> Error {
    Error::new("run the model").object(source)
}

fn family(files: &Model, source: &str) -> Result<Family, Error> {
    FAMILIES.into_iter().find(|family| family.name == files.family).ok_or_else(|| {
        let error = refuse(source)
            .expected(format!("one of the families {}", FAMILIES.map(|f| f.name).join(", ")))
            .found(format!("`{}`", files.family));
        if files.found.as_ref().is_some_and(|found| found.format == Format::Safetensors) {
            return error.hint("the family is that of the config.json beside the weights");
        }
        error
    })
}

/// What no model has that works.
fn check(geometry: &Geometry, said: &Said, source: &str) -> Result<(), Error> {
    let Geometry { heads, kv_heads, head_dim, experts, experts_per_token, vocab, .. } = *geometry;
    let refuse = |what: &str, expected: &str, found: String| {
        Err(refuse(source).place(what).expected(expected).found(found))
    };
    if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
        let found = format!("{kv_heads} for {heads} query heads");
        return refuse("key-value heads", "a divisor of the query heads", found);
    }
    if head_dim == 0 || !head_dim.is_multiple_of(2) {
        return refuse("the head width", "an even number, to rotate pairs", head_dim.to_string());
    }
    if experts > 0 && !(1..=experts).contains(&experts_per_token) {
        let found = format!("{experts_per_token} of {experts}");
        return refuse("experts per token", "at least one, and no more than there are", found);
    }
    let Said { norm_epsilon, rope, .. } = said;
    if !(norm_epsilon.is_finite() && *norm_epsilon > 0.0 && *norm_epsilon <= 1.0) {
        let expected = "a number above 0 and up to 1";
        return refuse("the epsilon of normalisations", expected, norm_epsilon.to_string());
    }
    if !(rope.theta.is_finite() && rope.theta > 0.0) {
        let expected = "a finite number above 0";
        return refuse("the base of rotary frequencies", expected, rope.theta.to_string());
    }
    let absent = |token: &&u64| **token >= vocab;
    if let Some(token) = said.first_token.iter().chain(&said.last_tokens).find(absent) {
        let expected = format!("numbers below the vocabulary of {vocab}");
        return refuse("the first and last tokens", &expected, token.to_string());
    }
    Ok(())
}

fn of_sizes(geometry: &Geometry, said: Said) -> Option<Architecture> {
    let size = |size: u64| usize::try_from(size).ok();
    let token = |token: u64| u32::try_from(token).ok();
    Some(Architecture {
        layers: geometry.layers,
        hidden: size(geometry.hidden)?,
        heads: size(geometry.heads)?,
        kv_heads: size(geometry.kv_heads)?,
        head_width: size(geometry.head_dim)?,
        vocabulary: size(geometry.vocab)?,
        experts: size(geometry.experts.into())?,
        experts_per_token: size(geometry.experts_per_token.into())?,
        normalize_chosen: said.normalize_chosen,
        norm_epsilon: said.norm_epsilon,
        rope: said.rope,
        window: said.window.map(size).map_or(Some(None), |size| size.map(Some))?,
        tied_head: geometry.tied_head,
        first_token: said.first_token.and_then(token),
        last_tokens: said.last_tokens.into_iter().filter_map(token).collect(),
    })
}
