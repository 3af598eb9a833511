//! From what a user names (a catalogue entry, a config file, embedded facts) to a model.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::catalogue::{CatalogueEntry, catalogue};
use super::config::{self, Values};
use super::family::{Family, families, family};
use super::{Layout, Model, Tensor, derive};
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::files::read_text;
use crate::nearest::{did_you_mean, nearest};

const NAME_CHARS_MAX: usize = 64;

impl Model {
    /// The model of that name in the catalogue; case does not matter.
    ///
    /// # Errors
    /// An unknown name, with the nearest ones as a hint.
    ///
    /// ```
    /// let model = apportion::model::Model::from_catalogue("mixtral-8x7b").unwrap();
    /// assert_eq!(model.parameters(), 46_702_792_704);
    /// ```
    pub fn from_catalogue(name: &str) -> Result<Self, Error> {
        let entry = entry(name).ok_or_else(|| {
            let error = Error::new("find the model")
                .object(name)
                .expected("a name from the catalogue")
                .found("another name");
            match did_you_mean(name, catalogue().iter().map(|e| e.name.as_str())) {
                Some(hint) => error.hint(hint),
                None => error.hint("`apportion models` lists the catalogue"),
            }
        })?;
        let (family, values) = read_entry(entry)?;
        derive::model(family, &values, entry.name.clone(), &entry.name)
    }

    /// The model that the text of a `config.json` describes; `source` names the text in messages.
    ///
    /// # Errors
    /// A `model_type` no family serves, and any value that is missing, of the wrong type or absurd.
    pub fn from_config_json(text: &str, source: &str) -> Result<Self, Error> {
        from_config(text, source, None)
    }

    /// The days, as numbers `yyyymmdd`, on which the names or shapes in GGUF files of its family changed,
    /// sorted.
    pub fn gguf_layout_days(&self) -> Vec<u32> {
        let mut days = family(&self.family).map_or_else(Vec::new, Family::gguf_days);
        days.sort_unstable();
        days.dedup();
        days
    }

    /// The model a user names: a catalogue name, else the path of a checkpoint, of a config.json, or of a
    /// folder with either.
    ///
    /// # Errors
    /// What is neither, what cannot be read safely, and what [`Model::from_config_json`] refuses.
    pub fn resolve(argument: &str) -> Result<Self, Error> {
        if entry(argument).is_some() {
            return Self::from_catalogue(argument);
        }
        let path = Path::new(argument);
        if !path.exists() && !looks_like_path(argument) {
            return Err(not_found(argument));
        }
        if Checkpoint::is_checkpoint_path(path) {
            return Self::from_files(path);
        }
        let file = if path.is_dir() { path.join("config.json") } else { path.to_owned() };
        if path.is_dir() && !file.exists() {
            return Err(Error::new("read the model")
                .object(argument)
                .expected("a folder with a config.json or a checkpoint")
                .found("a folder without either"));
        }
        let text = read_text(&file, "read the config")?;
        from_config(&text, &file.display().to_string(), Some(&name_of(&file)))
    }

    /// The model that [`Model::family`] and [`Model::config`] of another describe.
    ///
    /// # Errors
    /// An unknown family, keys the family does not read, and what [`Model::from_config_json`] refuses.
    pub fn from_facts(family: &str, config: &BTreeMap<String, Value>) -> Result<Self, Error> {
        let source = format!("facts of a `{family}` model");
        let family = known_family(family)?;
        let values = config::read_exact(family, &object(config), &source)?;
        named(family, &values, family.family.clone(), &source)
    }

    /// Whether its published checkpoints hold experts in MXFP4.
    pub fn publishes_mxfp4_experts(&self) -> bool {
        family(&self.family).is_some_and(|family| family.mxfp4_experts)
    }

    /// The architecture's name in GGUF files, e.g. `llama`; empty when the family is not known.
    pub fn gguf_architecture(&self) -> &'static str {
        family(&self.family).map_or("", |family| &family.gguf_architecture)
    }
}

/// The tensors a layout gives a model of a known family.
pub(super) fn layout(model: &Model, layout: Layout) -> Result<Arc<[Tensor]>, Error> {
    let family = known_family(&model.family)?;
    let values = config::read_exact(family, &object(&model.config), &model.name)?;
    Ok(derive::layout(family, &values, layout, &model.name)?.into())
}

fn entry(name: &str) -> Option<&'static CatalogueEntry> {
    catalogue().iter().find(|entry| entry.name.eq_ignore_ascii_case(name))
}

fn object(config: &BTreeMap<String, Value>) -> Map<String, Value> {
    config.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn read_entry(entry: &CatalogueEntry) -> Result<(&'static Family, Values), Error> {
    let family = known_family(&entry.family)?;
    let values = config::read_exact(family, &object(&entry.config), &entry.name)?;
    Ok((family, values))
}

fn known_family(name: &str) -> Result<&'static Family, Error> {
    family(name).ok_or_else(|| {
        let known: Vec<&str> = families().iter().map(|f| f.family.as_str()).collect();
        Error::new("find the model family")
            .object(name)
            .expected(format!("one of {}", known.join(", ")))
            .found("another name")
    })
}

/// Whether a name that no file has was meant for one: reading it then says why it cannot be read.
fn looks_like_path(argument: &str) -> bool {
    argument.contains(['/', '\\'])
        || Path::new(argument)
            .extension()
            .is_some_and(|e| ["json", "gguf", "safetensors"].iter().any(|end| e == *end))
}

fn not_found(argument: &str) -> Error {
    let error = Error::new("find the model")
        .object(argument)
        .expected("a name from the catalogue, or the path of a config.json, a checkpoint or a folder with either")
        .found("neither");
    match nearest(argument, catalogue().iter().map(|e| e.name.as_str())).first() {
        Some(name) => error.hint(format!("did you mean `{name}`?")),
        None => error.hint("`apportion models` lists the catalogue"),
    }
}

fn from_config(text: &str, source: &str, folder: Option<&str>) -> Result<Model, Error> {
    let object = config::parse(text, source)?;
    let own = config::language_model(&object);
    let family = config::family_of(own, source)?;
    let values = config::read(family, own, source)?;
    let said = |key: &str| object.get(key).and_then(Value::as_str);
    let name = [folder, said("_name_or_path"), said("model_type")]
        .into_iter()
        .flatten()
        .map(sanitised)
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| family.family.clone());
    let mut model = named(family, &values, name, source)?;
    model.published_quantization = config::quantization_of(&object);
    Ok(model)
}

/// Derives the model and, when the catalogue has the same one, gives it the catalogue's name.
pub(super) fn named(
    family: &Family,
    values: &Values,
    name: String,
    source: &str,
) -> Result<Model, Error> {
    let mut model = derive::model(family, values, name, source)?;
    let geometry = derive::geometry(family, values, source)?;
    for entry in catalogue().iter().filter(|entry| entry.family == family.family) {
        let (family, values) = read_entry(entry)?;
        // Equal sizes are cheap to compare; only then are a catalogue model's tensors worth deriving.
        if derive::geometry(family, &values, &entry.name)? != geometry {
            continue;
        }
        let known = derive::model(family, &values, entry.name.clone(), &entry.name)?;
        if known.fingerprint == model.fingerprint {
            model.name = known.name;
            break;
        }
    }
    Ok(model)
}

/// What the model at a path is called: its folder, or a GGUF file without its ending.
pub(super) fn name_of(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let is_gguf = whole.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"));
    let part = if is_gguf {
        whole.file_stem()
    } else if whole.is_dir() {
        whole.file_name()
    } else {
        whole.parent().and_then(Path::file_name)
    };
    let name = sanitised(part.and_then(|part| part.to_str()).unwrap_or(""));
    if name.is_empty() { "model".to_owned() } else { name }
}

/// The last part of a path or repository name, with characters that are safe in files and terminals.
fn sanitised(name: &str) -> String {
    let last = name.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or("");
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = last.chars().take(NAME_CHARS_MAX).map(safe).collect();
    name.trim_matches(['.', '-']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_harmless() {
        assert_eq!(sanitised("mistralai/Mixtral-8x7B-v0.1"), "Mixtral-8x7B-v0.1");
        assert_eq!(sanitised("../a b\u{1b}[2J/"), "a-b--2J");
        assert_eq!(sanitised("../.."), "");
    }
}
