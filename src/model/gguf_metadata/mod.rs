//! A GGUF file's metadata and tensor names in, a family and its config out.
//!
//! Converters write most of a config under names of their own; what they leave out shows in which tensors
//! there are. The values are as hostile as those of a config.json and go through the same typed reader.

mod facts;
mod keys;

use serde_json::{Map, Value as Json};

use super::expression::{Expression, Scope, Value};
use super::family::{Family, families};
use super::template::KeyKind;
use super::{Layout, Model, config, derive, resolve};
use crate::checkpoint::{Checkpoint, Format};
use crate::error::Error;
use facts::Facts;

/// A family, and a config with its keys.
type Described = (&'static Family, Map<String, Json>);

/// The model that the file describes, and its family; see [`config_of`].
pub(super) fn model(
    checkpoint: &Checkpoint,
    name: &str,
) -> Result<Option<(Model, &'static Family)>, Error> {
    let path = checkpoint.files.first().map(|file| file.path.display().to_string());
    let source = path.unwrap_or_else(|| name.to_owned());
    let Some((family, config)) = config_of(checkpoint, &source)? else { return Ok(None) };
    let values = config::read(family, &config, &source)?;
    Ok(Some((resolve::named(family, &values, name.to_owned(), &source)?, family)))
}

/// The family of a GGUF file's model and the config that its metadata and tensors imply, with the keys of
/// the family; `source` names the file in messages.
///
/// Several families have the same architecture in GGUF files. Of those that can read the file, the one
/// whose tensors differ least from the file's is chosen, the first by name if that leaves several.
///
/// `None` for other files, and for architectures that no family has.
///
/// # Errors
/// A key the family needs and the file does not answer, or answers out of bounds.
fn config_of(checkpoint: &Checkpoint, source: &str) -> Result<Option<Described>, Error> {
    let architecture = checkpoint.metadata.text("general.architecture");
    let Some(architecture) = architecture.filter(|_| checkpoint.format == Format::Gguf) else {
        return Ok(None);
    };
    let facts = Facts::new(checkpoint, architecture);
    let mut first_error = None;
    let mut best: Option<(usize, &'static Family, Map<String, Json>)> = None;
    for family in families().iter().filter(|family| family.gguf_architecture == architecture) {
        let config = config(family, &facts);
        match differences(family, &config, checkpoint, source) {
            Ok(count) if best.as_ref().is_some_and(|(least, ..)| *least <= count) => {}
            Ok(count) => best = Some((count, family, config)),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match (best, first_error) {
        (Some((_, family, config)), _) => Ok(Some((family, config))),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
    }
}

/// Every key that the file answers; the others are left to their defaults.
fn config(family: &Family, facts: &Facts<'_>) -> Map<String, Json> {
    let mut config = Map::new();
    for (name, key) in family.config.iter() {
        let sources = if key.gguf.is_empty() { keys::sources(name) } else { &key.gguf };
        if let Some(value) = sources.iter().find_map(|source| evaluate(source, facts)) {
            config.insert(name.clone(), json(value, key.kind));
        }
    }
    config
}

/// The value of an expression over the file; `None` when the file does not say all that it needs.
fn evaluate(source: &Expression, facts: &Facts<'_>) -> Option<Value> {
    let names = source.names();
    let known = names.iter().filter_map(|name| Some(((*name).to_owned(), facts.value(name)?)));
    source.evaluate(Scope { keys: &known.collect(), layer: None }).ok()
}

/// As a config.json has it; the empty list is null where no list is wanted.
fn json(value: Value, kind: KeyKind) -> Json {
    let is_list = matches!(kind, KeyKind::Integers | KeyKind::Texts);
    match value {
        Value::Integers(items) if items.is_empty() && !is_list => Json::Null,
        Value::Integer(value) => Json::from(value),
        Value::Boolean(value) => Json::from(value),
        Value::Text(value) => Json::from(value),
        Value::Integers(items) => Json::from(items),
        Value::Texts(items) => Json::from(items),
    }
}

/// How many tensors, by name and shape, only the file or only the family's model has.
fn differences(
    family: &Family,
    config: &Map<String, Json>,
    checkpoint: &Checkpoint,
    source: &str,
) -> Result<usize, Error> {
    let values = config::read(family, config, source)?;
    let tensors = derive::layout(family, &values, Layout::Gguf(u32::MAX), source)?;
    let parts = tensors.iter().filter(|tensor| tensor.is_first_part());
    let mut expected: Vec<_> =
        parts.map(|tensor| (tensor.name.as_str(), tensor.file_shape())).collect();
    expected.sort_unstable();
    let is_expected = |name: &str, shape: &[u64]| {
        expected.binary_search_by(|(n, s)| (*n, s.as_slice()).cmp(&(name, shape))).is_ok()
    };
    let common = checkpoint.tensors.iter().filter(|t| is_expected(&t.name, &t.shape)).count();
    Ok((expected.len() - common.min(expected.len())) + (checkpoint.tensors.len() - common))
}
