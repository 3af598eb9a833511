//! The model of a placement file, derived again from the facts in it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::read::OPERATION;
use crate::error::Error;
use crate::model::{CatalogueEntry, Model, catalogue};
use crate::yaml::StrictMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a model")]
pub(super) struct ModelEntry {
    name: String,
    family: String,
    fingerprint: String,
    /// Of the headers, where the bytes are a checkpoint's.
    checkpoint: Option<String>,
    config: StrictMap<Value>,
}

/// The model that the file describes, or the one whose checkpoint it is about.
pub(super) fn rebuild(
    entry: &ModelEntry,
    source: &str,
    checkpoint: Option<&Model>,
) -> Result<Model, Error> {
    let mut model = if let Some(headers) = &entry.checkpoint {
        with_headers(headers, source, checkpoint)?
    } else {
        let config: BTreeMap<String, Value> =
            entry.config.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Model::from_facts(&entry.family, &config).map_err(|error| error.object(source))?
    };
    if model.fingerprint != entry.fingerprint {
        return Err(Error::new(OPERATION)
            .object(source)
            .place("model.fingerprint")
            .expected(model.fingerprint)
            .found(entry.fingerprint.clone())
            .hint("it was solved for another model, or its config was edited; solve again"));
    }
    let another = |known: &CatalogueEntry| known.name == entry.name && model.name != entry.name;
    if catalogue().iter().any(another) {
        return Err(Error::new(OPERATION)
            .object(source)
            .place("model.name")
            .expected("the name of the model it describes")
            .found(format!("`{}`, which is another model", entry.name)));
    }
    model.name.clone_from(&entry.name);
    Ok(model)
}

/// The model whose checkpoint has these headers.
fn with_headers(headers: &str, source: &str, given: Option<&Model>) -> Result<Model, Error> {
    let refuse = || Error::new(OPERATION).object(source).place("model.checkpoint");
    let found = given.and_then(|model| model.found.as_ref().map(|found| (model, found)));
    let Some((model, found)) = found else {
        return Err(refuse()
            .expected("the checkpoint the file was solved for")
            .found("none given")
            .hint(
                "`apportion check PLACEMENT --model FILES`: its bytes are those of the headers",
            ));
    };
    if found.fingerprint != *headers {
        return Err(refuse()
            .expected(headers)
            .found(format!("a checkpoint with the headers {}", found.fingerprint))
            .hint("the files are others than those it was solved for; solve again"));
    }
    Ok(model.clone())
}
