//! Metadata as llama.cpp's converters write them describe the model of the config they were written from.
//!
//! The tensors are those that the config leads to, which other tests hold against published lists; what
//! is tested is that the converter's words and the presence of tensors lead to them as well.

use std::collections::BTreeMap;

use apportion::dtype::GgmlType;
use apportion::model::{Geometry, Layout, Model, families};
use serde_json::{Map, Value};

use super::{Wanted, checkpoint, model_of};

/// Config and metadata of a model.
#[derive(serde::Deserialize)]
pub struct Converted {
    pub config: Value,
    pub metadata: Map<String, Value>,
}

impl Converted {
    pub fn model(&self, name: &str) -> Model {
        Model::from_config_json(&self.config.to_string(), name).unwrap()
    }
}

/// Those of the families there are.
pub fn converted() -> BTreeMap<String, Converted> {
    let text = include_str!("../../data/oracle/gguf-metadata.json");
    let mut all: BTreeMap<String, Converted> = serde_json::from_str(text).unwrap();
    let known: Vec<&String> = families().iter().flat_map(|family| &family.model_types).collect();
    all.retain(|_, model| known.iter().any(|name| model.config["model_type"] == name.as_str()));
    assert!(all.len() >= 88, "only {} models", all.len());
    all
}

/// A model's tensors on a day, all in 16 bit.
pub fn in_16_bit(model: &Model, day: u32) -> Vec<Wanted> {
    let tensors = model.layout(Layout::Gguf(day)).unwrap();
    let listed = tensors.iter().filter(|tensor| tensor.is_first_part());
    listed.map(|tensor| (tensor.name.clone(), tensor.file_shape(), GgmlType::F16)).collect()
}

#[test]
fn what_converters_write_describes_the_model_they_read() {
    for (name, case) in converted() {
        let model = case.model(&name);
        let tensors = in_16_bit(&model, 20_260_601);
        let found = model_of(&checkpoint(&case.metadata, &tensors));
        assert_eq!(in_16_bit(&found, 20_260_601), tensors, "{name}, read as {}", found.family);
        assert_eq!(found.gguf_counts, model.gguf_counts, "{name}");
        // Converters of Gemma 3 cut the embedding to the tokenizer's size.
        let embedding = tensors.iter().find(|tensor| tensor.0 == "token_embd.weight").unwrap();
        let expected = Geometry { vocab: embedding.1[0], ..model.geometry };
        assert_eq!(found.geometry, expected, "{name}");
    }
}
