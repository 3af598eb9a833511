//! Family templates: the YAML that says which tensors make up which component.
//!
//! A family is data. Everything a new one needs is its file in `models/`; this module gives the file's
//! schema, checks it once, and knows nothing about any particular family.

use std::sync::OnceLock;

use serde::Deserialize;

use super::expression::Expression;
use super::template::{
    CacheTemplate, ComponentTemplates, Day, ELSEWHERE, GeometryTemplate, Key, TensorTemplate,
};
use crate::error::Error;
use crate::nearest::did_you_mean;
use crate::yaml::{self, StrictMap};

/// The embedded templates: file name and text, sorted by name.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/family_files.rs"));

const VERSION: u32 = 1;

const OPERATION: &str = "read the family";

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
    /// The experts of its published checkpoints are in MXFP4, and converters to GGUF keep them so.
    #[serde(default)]
    pub mxfp4_experts: bool,
    pub(super) config: StrictMap<Key>,
    pub(super) geometry: GeometryTemplate,
    /// Whether a layer is made of experts; the others have an mlp.
    #[serde(default = "no")]
    pub(super) moe_layer: Expression,
    /// What layers keep; without entries, keys and values of every head and token.
    #[serde(default)]
    pub(super) cache: Vec<CacheTemplate>,
    pub(super) components: ComponentTemplates,
}

fn no() -> Expression {
    Expression::parse("false").expect("`false` is an expression")
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
            all.extend(spec.if_null.iter().map(|e| (format!("config.{key}.if_null"), e, false)));
        }
        for (name, expression) in self.geometry.all() {
            all.push((format!("geometry.{name}"), expression, false));
        }
        for (at, cache) in self.cache.iter().enumerate() {
            all.extend(cache.all().map(|e| (format!("cache.{at}"), e, true)));
        }
        for (part, in_layer, _, tensors) in self.components.all() {
            for tensor in tensors {
                let place = || format!("components.{part}, tensor `{}`", tensor.any_name());
                all.extend(tensor.shape.iter().map(|e| (place(), e, in_layer)));
                all.extend(tensor.when.iter().map(|e| (place(), e, in_layer)));
            }
        }
        all
    }

    /// The days on which its tensors in GGUF files changed, in no order.
    pub(super) fn gguf_days(&self) -> Vec<u32> {
        let tensors = self.components.all().into_iter().flat_map(|part| part.3);
        let days = tensors.flat_map(|tensor| [tensor.gguf_since, tensor.gguf_until]);
        days.flatten().map(|Day(day)| day).collect()
    }

    fn check_names(&self, source: &str) -> Result<(), Error> {
        for (part, in_layer, in_expert, tensors) in self.components.all() {
            for tensor in tensors {
                let complete = |name: &&str| is_complete(name, in_layer, in_expert);
                let wrong = tensor.names().find(|name| !complete(name));
                let nameless = (tensor.names().next().is_none() || tensor.shape.is_empty())
                    .then_some("a tensor without a name or a shape");
                if let Some(found) = wrong.or(nameless) {
                    return Err(Error::new(OPERATION)
                        .object(source)
                        .place(format!("components.{part}"))
                        .expected("a name with one {layer} in a layer, {expert} only in an expert, and a shape")
                        .found(format!("`{found}`")));
                }
            }
        }
        Ok(())
    }
}

/// Whether a name has the placeholders it needs and no others.
fn is_complete(name: &str, in_layer: bool, in_expert: bool) -> bool {
    let layers = name.matches("{layer}").count();
    let experts = name.matches("{expert}").count();
    let bare = name.replace("{layer}", "").replace("{expert}", "");
    layers == usize::from(in_layer)
        && experts <= usize::from(in_expert)
        && !bare.is_empty()
        && !bare.contains(['{', '}'])
}

impl TensorTemplate {
    /// Every name it has anywhere.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let new = self.transformers5.as_deref().filter(|name| *name != ELSEWHERE);
        [self.name.as_deref(), new, self.gguf.as_deref()].into_iter().flatten()
    }

    /// A name for messages.
    pub(super) fn any_name(&self) -> &str {
        self.names().next().unwrap_or("without a name")
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
