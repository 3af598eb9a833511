//! What a GGUF file's metadata say of the decoder beside its sizes.
//!
//! Source: the converters of llama.cpp for what is written, its loader (`load_hparams`) and graphs
//! (`build_moe_ffn`) for what an absent key means.

use super::rope::{self, Scaling};
use super::{Family, Rope, Said, refuse};
use crate::checkpoint::{Checkpoint, MetaValue, Metadata};
use crate::error::Error;
use crate::model::Model;

/// The base of the frequencies where a file says none.
const THETA: f64 = 1e4;

/// The architectures whose graphs these are, by their names in files.
const ARCHITECTURES: [&str; 4] = ["llama", "qwen2", "qwen3", "qwen3moe"];

/// The values of one architecture.
struct Keys<'a> {
    source: &'a str,
    architecture: &'a str,
    metadata: &'a Metadata,
}

/// Reads the metadata of a file with a model of this family; `source` names it in messages.
pub(super) fn read(
    checkpoint: &Checkpoint,
    files: &Model,
    family: Family,
    source: &str,
) -> Result<Said, Error> {
    let metadata = &checkpoint.metadata;
    let architecture = metadata.text("general.architecture").unwrap_or("");
    if !ARCHITECTURES.contains(&architecture) {
        return Err(refuse(source)
            .place("key `general.architecture`")
            .expected(format!("one of {}", ARCHITECTURES.join(", ")))
            .found(format!("`{architecture}`")));
    }
    let keys = Keys { source, architecture, metadata };
    let epsilon = "attention.layer_norm_rms_epsilon";
    let norm_epsilon = keys.number(epsilon)?.ok_or_else(|| {
        refuse(source)
            .place(format!("key `{}`", keys.name(epsilon)))
            .expected("a number")
            .found("no such key")
    })?;
    let theta = keys.number("rope.freq_base")?.unwrap_or(THETA);
    keys.check_rotated(files.geometry.head_dim)?;
    let head_width = u32::try_from(files.geometry.head_dim).unwrap_or(0);
    Ok(Said {
        norm_epsilon,
        rope: Rope {
            theta,
            // Converters reorder the rows of queries and keys for this architecture only.
            interleaved: architecture == "llama",
            divisors: keys.scaling()?.divisors(theta, head_width),
        },
        normalize_chosen: metadata.bool(&keys.name("expert_weights_norm")).unwrap_or(true),
        // The graphs of the Qwen architectures have none, whatever is written.
        window: keys
            .whole("attention.sliding_window")?
            .filter(|&window| architecture == "llama" && window > 0),
        first_token: first_token(metadata, family),
        last_tokens: ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"]
            .into_iter()
            .filter_map(|key| metadata.u64(key))
            .collect(),
    })
}

fn first_token(metadata: &Metadata, family: Family) -> Option<u64> {
    let begins = metadata.bool("tokenizer.ggml.add_bos_token");
    let begins = begins.unwrap_or_else(|| family.begins_texts());
    metadata.u64("tokenizer.ggml.bos_token_id").filter(|_| begins)
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn refuse(&self, key: &str, expected: impl Into<String>, found: &MetaValue) -> Error {
        let found = match found {
            MetaValue::Unsigned(number) => number.to_string(),
            MetaValue::Negative(number) => number.to_string(),
            MetaValue::Float(number) => number.to_string(),
            MetaValue::Bool(flag) => flag.to_string(),
            MetaValue::Text(text) => format!("`{text}`"),
            MetaValue::LongText(_) => "a long text".to_owned(),
            MetaValue::Integers(_) | MetaValue::List(_) => "a list".to_owned(),
        };
        let place = format!("key `{}`", self.name(key));
        refuse(self.source).place(place).expected(expected).found(found)
    }

    fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        let name = self.name(key);
        let Some(value) = self.metadata.get(&name) else { return Ok(None) };
        let number = self.metadata.f64(&name).map(Some);
        number.ok_or_else(|| self.refuse(key, "a number", value))
    }

    fn whole(&self, key: &str) -> Result<Option<u64>, Error> {
        let name = self.name(key);
        let Some(value) = self.metadata.get(&name) else { return Ok(None) };
        let number = self.metadata.u64(&name).map(Some);
        number.ok_or_else(|| self.refuse(key, "a whole number", value))
    }

    fn check_rotated(&self, head_width: u64) -> Result<(), Error> {
        let key = "rope.dimension_count";
        match self.whole(key)? {
            Some(rotated) if rotated != head_width => {
                let expected = format!("{head_width}: all of a head is rotated");
                Err(self.refuse(key, expected, &MetaValue::Unsigned(rotated)))
            }
            _ => Ok(()),
        }
    }

    /// Frequencies scaled in other ways than by one factor are in a tensor.
    fn scaling(&self) -> Result<Scaling, Error> {
        let (kind, factor) = ("rope.scaling.type", "rope.scaling.factor");
        let name = self.name(kind);
        let old = "rope.scale_linear";
        let used = if self.metadata.get(&self.name(factor)).is_some() { factor } else { old };
        let scaled = self.number(used)?.filter(|&number| number != 0.0);
        let scaling = match (self.metadata.get(&name), self.metadata.text(&name)) {
            (_, Some("none")) => Scaling::None,
            (None, _) | (_, Some("linear")) => scaled.map_or(Scaling::None, Scaling::Linear),
            (Some(other), _) => {
                let expected = format!("a kind of scaling that runs here: {}", rope::KINDS);
                return Err(self.refuse(kind, expected, other));
            }
        };
        let found = MetaValue::Float(scaled.unwrap_or(0.0));
        let sane = scaling.check();
        sane.map_err(|expected| self.refuse(used, expected, &found)).map(|()| scaling)
    }
}
