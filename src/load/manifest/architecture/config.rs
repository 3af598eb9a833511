//! What a config.json says of the decoder beside its sizes.

use serde_json::{Map, Value};

use super::rope::{self, Scaling};
use super::{Family, Rope, Said, refuse};
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::model::Model;

/// The language model's own object of a config.json.
struct Config {
    source: String,
    object: Map<String, Value>,
}

/// Reads the config beside the weights of a model of this family.
pub(super) fn read(checkpoint: &Checkpoint, files: &Model, family: Family) -> Result<Said, Error> {
    let (source, text) = checkpoint.config_text.as_ref().ok_or_else(|| {
        Error::new("run the model")
            .object(&files.name)
            .expected("a config.json beside the weights")
            .found("none")
    })?;
    let config = Config::parse(source, text, family)?;
    config.check_activation()?;
    let theta = config.theta(family)?;
    let scaling = config.scaling()?;
    let head_width = u32::try_from(files.geometry.head_dim).unwrap_or(0);
    let rope = Rope { theta, interleaved: false, divisors: scaling.divisors(theta, head_width) };
    Ok(Said {
        norm_epsilon: config.number("rms_norm_eps")?.unwrap_or(family.norm_epsilon),
        rope,
        // Mixtral has no such key and always normalises.
        normalize_chosen: family.name == "mixtral" || config.flag("norm_topk_prob")?,
        window: config.window(files, family)?,
        first_token: config
            .tokens("bos_token_id")?
            .first()
            .copied()
            .filter(|_| family.begins_texts()),
        last_tokens: config.tokens("eos_token_id")?,
    })
}

impl Config {
    fn parse(source: &str, text: &str, family: Family) -> Result<Self, Error> {
        let whole: Value = serde_json::from_str(text)
            .map_err(|error| refuse(source).expected("a JSON object").found(error.to_string()))?;
        let is_own =
            |object: &&Value| object.get("model_type").and_then(Value::as_str) == Some(family.name);
        // A model of several kinds of input has the language model's config inside.
        let own = [Some(&whole), whole.get("text_config")].into_iter().flatten().find(is_own);
        let object = own.unwrap_or(&whole).as_object().cloned().unwrap_or_default();
        Ok(Self { source: source.to_owned(), object })
    }

    /// The value of a key; null counts as none.
    fn get(&self, key: &str) -> Option<&Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    fn refuse(&self, key: &str, expected: impl Into<String>, found: &Value) -> Error {
        let found = match found {
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
            Value::String(text) => format!("`{text}`"),
            other => other.to_string(),
        };
        refuse(&self.source).place(format!("key `{key}`")).expected(expected).found(found)
    }

    fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        let as_number =
            |value: &Value| value.as_f64().ok_or_else(|| self.refuse(key, "a number", value));
        self.get(key).map(as_number).transpose()
    }

    fn flag(&self, key: &str) -> Result<bool, Error> {
        let as_flag =
            |value: &Value| value.as_bool().ok_or_else(|| self.refuse(key, "true or false", value));
        self.get(key).map_or(Ok(false), as_flag)
    }

    /// A token or a list of them; none when the key is absent.
    fn tokens(&self, key: &str) -> Result<Vec<u64>, Error> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let listed = match value {
            Value::Array(items) => items.iter().map(Value::as_u64).collect(),
            one => one.as_u64().map(|token| vec![token]),
        };
        listed.ok_or_else(|| self.refuse(key, "a token's number, or a list of them", value))
    }

    fn check_activation(&self) -> Result<(), Error> {
        match self.get("hidden_act") {
            None => Ok(()),
            Some(name) if name.as_str() == Some("silu") => Ok(()),
            Some(other) => Err(self.refuse("hidden_act", "`silu`", other)),
        }
    }

    /// The object with rotary parameters, and its key: transformers 5 has them all in one.
    fn rope(&self) -> Option<(&'static str, &Value)> {
        ["rope_parameters", "rope_scaling"]
            .into_iter()
            .find_map(|key| self.get(key).map(|value| (key, value)))
    }

    fn theta(&self, family: Family) -> Result<f64, Error> {
        let inner = self.rope().and_then(|(_, rope)| rope.get("rope_theta"));
        if let Some(value) = inner.filter(|value| !value.is_null()) {
            let key = "rope_parameters.rope_theta";
            return value.as_f64().ok_or_else(|| self.refuse(key, "a number", value));
        }
        Ok(self.number("rope_theta")?.unwrap_or(family.theta))
    }

    fn scaling(&self) -> Result<Scaling, Error> {
        let part = self.rope().and_then(|(_, rope)| rope.get("partial_rotary_factor"));
        let part = part.or_else(|| self.get("partial_rotary_factor"));
        if let Some(part) = part.filter(|part| part.as_f64() != Some(1.0) && !part.is_null()) {
            return Err(self.refuse("partial_rotary_factor", "1: all of a head is rotated", part));
        }
        let Some((key, rope)) = self.rope() else { return Ok(Scaling::None) };
        let object = rope.as_object().ok_or_else(|| self.refuse(key, "an object", rope))?;
        if let Some((inner, value)) = object.iter().find(|(_, value)| value.is_object()) {
            let key = format!("{key}.{inner}");
            return Err(self.refuse(&key, "one set of rotary parameters for all layers", value));
        }
        let kind = object.get("rope_type").or_else(|| object.get("type"));
        let number = |name: &str| {
            let value = object.get(name).unwrap_or(&Value::Null);
            value.as_f64().ok_or_else(|| self.refuse(&format!("{key}.{name}"), "a number", value))
        };
        let scaling = match kind.filter(|kind| !kind.is_null()) {
            None => Scaling::None,
            Some(kind) => match kind.as_str() {
                Some("default") => Scaling::None,
                Some("linear") => Scaling::Linear(number("factor")?),
                Some("llama3") => Scaling::Llama3 {
                    factor: number("factor")?,
                    low: number("low_freq_factor")?,
                    high: number("high_freq_factor")?,
                    original_context: number("original_max_position_embeddings")?,
                },
                _ => {
                    let expected = format!("a kind of scaling that runs here: {}", rope::KINDS);
                    return Err(self.refuse(&format!("{key}.rope_type"), expected, kind));
                }
            },
        };
        let sane = scaling.check();
        sane.map_err(|expected| self.refuse(key, expected, rope)).map(|()| scaling)
    }

    /// Mixtral's own key, which its memory estimate does not read; the other families' caches have it.
    fn window(&self, files: &Model, family: Family) -> Result<Option<u64>, Error> {
        if family.name == "mixtral" {
            let Some(value) = self.get("sliding_window") else { return Ok(None) };
            let window = value.as_u64().filter(|&window| window > 0).map(Some);
            return window.ok_or_else(|| {
                self.refuse("sliding_window", "a number of tokens above 0, or null", value)
            });
        }
        let window = files.cache.first().and_then(|cache| cache.window);
        if let Some(layer) = files.cache.iter().position(|cache| cache.window != window) {
            return Err(refuse(&self.source)
                .place("key `sliding_window`")
                .expected("one window for all layers, or none")
                .found(format!("another in layer {layer} than in layer 0")));
        }
        Ok(window)
    }
}
