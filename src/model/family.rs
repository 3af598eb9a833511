//! Family templates: the YAML that says which tensors make up which component.
//!
//! A family is data. Everything a new one needs is its file in `models/`; this module gives the file's
//! schema, checks it once, and knows nothing about any particular family.

use std::sync::OnceLock;

use serde::Deserialize;

use super::TensorRole;
use super::expression::Expression;
use crate::error::Error;
use crate::nearest::did_you_mean;
use crate::yaml::{self, StrictMap};

/// The embedded templates: file name and text, sorted by name.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/family_files.rs"));

const VERSION: u32 = 1;

/// Config integers are at most this unless their key says less: products of two stay below 2^63.
const INTEGER_MAX: i64 = 1 << 31;

/// One model family, as its file in `models/` describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    version: u32,
    /// The name, e.g. `mixtral`.
    pub family: String,
    /// One line for people.
    pub description: String,
    /// Where the tensor names and shapes can be looked up.
    pub source: String,
    /// Values of `model_type` in a config.json that this family serves.
    pub model_types: Vec<String>,
    /// The architecture's name in GGUF files; some quantization rules go by it.
    pub gguf_architecture: String,
    pub(super) config: StrictMap<Key>,
    pub(super) geometry: GeometryTemplate,
    /// Whether a layer is made of experts; the others have an mlp.
    #[serde(default = "no")]
    pub(super) moe_layer: Expression,
    pub(super) components: ComponentTemplates,
}

fn no() -> Expression {
    Expression::parse("false").expect("`false` is an expression")
}

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
    /// Other places of the value, as paths like `rope_scaling.type`, tried in order.
    #[serde(default)]
    pub(super) from: Vec<String>,
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

/// One tensor, or one per layer or expert.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TensorTemplate {
    /// With `{layer}` and `{expert}` where their numbers go.
    pub(super) name: String,
    pub(super) role: TensorRole,
    pub(super) shape: Vec<Expression>,
    /// The tensor exists only if this holds.
    pub(super) when: Option<Expression>,
}

impl Family {
    /// Reads and checks a template; `source` names the file in messages.
    ///
    /// # Errors
    /// Anything the schema does not know, expressions over unknown keys, names without their
    /// placeholders.
    pub fn parse(text: &str, source: &str) -> Result<Self, Error> {
        let family: Self = yaml::from_str(text, OPERATION, source)?;
        if family.version != VERSION {
            return Err(Error::new(OPERATION)
                .object(source)
                .place("version")
                .expected(VERSION.to_string())
                .found(family.version.to_string()));
        }
        family.check_expressions(source)?;
        family.check_names(source)?;
        Ok(family)
    }

    fn check_expressions(&self, source: &str) -> Result<(), Error> {
        for (place, expression, in_layer) in self.expressions() {
            for name in expression.names() {
                if self.config.contains_key(name) || in_layer && name == "layer" {
                    continue;
                }
                let error = Error::new(OPERATION)
                    .object(source)
                    .place(place)
                    .expected("config keys of this family")
                    .found(format!("`{name}`"));
                let hint = did_you_mean(name, self.config.keys().map(String::as_str));
                return Err(match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                });
            }
        }
        Ok(())
    }

    /// Every expression with its place in the file and whether it may use `layer`.
    fn expressions(&self) -> Vec<(String, &Expression, bool)> {
        let mut all = vec![("moe_layer".to_owned(), &self.moe_layer, true)];
        for (key, spec) in self.config.iter() {
            all.extend(spec.default.iter().map(|e| (format!("config.{key}.default"), e, false)));
        }
        for (name, expression) in self.geometry.all() {
            all.push((format!("geometry.{name}"), expression, false));
        }
        for (part, in_layer, _, tensors) in self.components.all() {
            for tensor in tensors {
                let place = || format!("components.{part}, tensor `{}`", tensor.name);
                all.extend(tensor.shape.iter().map(|e| (place(), e, in_layer)));
                all.extend(tensor.when.iter().map(|e| (place(), e, in_layer)));
            }
        }
        all
    }

    fn check_names(&self, source: &str) -> Result<(), Error> {
        for (part, in_layer, in_expert, tensors) in self.components.all() {
            for tensor in tensors {
                let bare = tensor.name.replacen("{layer}", "", usize::from(in_layer)).replacen(
                    "{expert}",
                    "",
                    usize::from(in_expert),
                );
                let removed = 7 * usize::from(in_layer) + 8 * usize::from(in_expert);
                let complete =
                    bare.len() + removed == tensor.name.len() && !bare.contains(['{', '}']);
                if !complete || bare.is_empty() || tensor.shape.is_empty() {
                    return Err(Error::new(OPERATION)
                        .object(source)
                        .place(format!("components.{part}"))
                        .expected("a name with one {layer} per layer and {expert} per expert, and a shape")
                        .found(format!("`{}`", tensor.name)));
                }
            }
        }
        Ok(())
    }
}

const OPERATION: &str = "read the family";

impl GeometryTemplate {
    fn all(&self) -> [(&'static str, &Expression); 11] {
        [
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
        ]
    }
}

impl ComponentTemplates {
    /// Key in the file, whether it is per layer, whether it is per expert, its tensors.
    fn all(&self) -> [(&'static str, bool, bool, &[TensorTemplate]); 8] {
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

/// All families this build knows, sorted by the name of their file.
///
/// # Panics
/// Never in a build whose tests pass: the templates are part of the binary and read by a test.
pub fn families() -> &'static [Family] {
    static FAMILIES: OnceLock<Vec<Family>> = OnceLock::new();
    FAMILIES.get_or_init(|| {
        let parse = |&(file, text)| {
            Family::parse(text, file).expect("embedded families are valid, which a test holds")
        };
        FILES.iter().map(parse).collect()
    })
}

/// The family of that name, if there is one.
pub fn family(name: &str) -> Option<&'static Family> {
    families().iter().find(|family| family.family == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = include_str!("../../models/llama.yaml");

    #[test]
    fn embedded_families_are_valid_and_distinct() {
        let mut types: Vec<&str> =
            families().iter().flat_map(|f| f.model_types.iter().map(String::as_str)).collect();
        let count = types.len();
        types.sort_unstable();
        types.dedup();
        assert_eq!(types.len(), count, "two families serve one model_type");
        for (file, text) in FILES {
            let family = Family::parse(text, file).unwrap();
            assert_eq!(format!("{}.yaml", family.family), *file);
        }
    }

    #[test]
    fn mistakes_in_a_template_are_named() {
        for (from, to, reason) in [
            ("version: 1", "version: 2", "at version: expected 1, found 2"),
            ("hidden: hidden_size", "hidden: hiden_size", "`hiden_size`"),
            ("hidden: hidden_size", "hidden: hidden_size +", "ends too early"),
            ("hidden: hidden_size", "hidden: layer", "at geometry.hidden"),
            ("description:", "describtion:", "unknown field"),
            ("layers.{layer}.input_layernorm", "layers.0.input_layernorm", "{layer}"),
            ("role: attn_q,", "role: attn_x,", "attn_x"),
            ("vocab_size: {", "hidden_size: {", "appears twice"),
        ] {
            assert!(SMALL.contains(from), "{from}");
            let message = Family::parse(&SMALL.replacen(from, to, 1), "x.yaml").unwrap_err();
            assert!(message.to_string().contains(reason), "{message}");
        }
    }
}
