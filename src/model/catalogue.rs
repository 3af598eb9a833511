//! Models known by name: their configs, embedded.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::yaml::{self, StrictMap};

const TEXT: &str = include_str!("../../models/catalogue.yaml");
const VERSION: u32 = 1;

/// One known model.
#[derive(Clone, Debug)]
pub struct CatalogueEntry {
    /// The name to write on the command line.
    pub name: String,
    /// The family that reads its config.
    pub family: String,
    /// Where the config is published.
    pub source: String,
    /// The keys of that config which matter.
    pub config: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    models: StrictMap<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    family: String,
    source: String,
    config: StrictMap<Value>,
}

/// The known models, sorted by name.
///
/// # Panics
/// Never in a build whose tests pass: the catalogue is part of the binary and read by a test.
pub fn catalogue() -> &'static [CatalogueEntry] {
    static CATALOGUE: OnceLock<Vec<CatalogueEntry>> = OnceLock::new();
    CATALOGUE
        .get_or_init(|| parse(TEXT).expect("the embedded catalogue is valid, which a test holds"))
}

fn parse(text: &str) -> Result<Vec<CatalogueEntry>, Error> {
    let file: File = yaml::from_str(text, "read the catalogue", "catalogue.yaml")?;
    if file.version != VERSION {
        return Err(Error::new("read the catalogue")
            .place("version")
            .expected(VERSION.to_string())
            .found(file.version.to_string()));
    }
    let entry = |(name, Entry { family, source, config })| CatalogueEntry {
        name,
        family,
        source,
        config: config.0,
    };
    Ok(file.models.0.into_iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    #[test]
    fn every_entry_is_a_model_of_its_own() {
        let mut seen = BTreeMap::new();
        for entry in parse(TEXT).unwrap() {
            let model = Model::from_catalogue(&entry.name).unwrap();
            assert_eq!(model.name, entry.name);
            let twin = seen.insert(model.fingerprint, entry.name.clone());
            assert_eq!(twin, None, "{} is the same model", entry.name);
        }
    }

    #[test]
    fn another_version_is_refused() {
        assert!(parse("version: 2\nmodels: {}").is_err());
    }
}
