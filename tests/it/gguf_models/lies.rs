//! Metadata that lie are refused with the key, or ignored where nothing depends on them.

use apportion::model::Model;
use serde_json::{Value, json};

use super::checkpoint;
use super::converters::{Converted, converted, in_16_bit};

fn case() -> Converted {
    converted().remove("mixtral-8x7b").unwrap()
}

/// What is said of a file in which one value is another.
fn with(key: &str, value: Value) -> Result<Option<Model>, String> {
    let mut case = case();
    let tensors = in_16_bit(&case.model("mixtral-8x7b"), 20_260_601);
    case.metadata.insert(key.to_owned(), value);
    Model::from_gguf(&checkpoint(&case.metadata, &tensors), "made")
        .map_err(|error| error.to_string())
}

#[test]
fn values_out_of_bounds_are_refused() {
    for (key, value, place) in [
        ("llama.block_count", json!(0), "num_hidden_layers"),
        ("llama.block_count", json!(1_u64 << 62), "num_hidden_layers"),
        ("llama.block_count", json!(-1), "num_hidden_layers"),
        ("llama.block_count", json!("32"), "num_hidden_layers"),
        ("llama.embedding_length", json!(true), "hidden_size"),
        ("llama.feed_forward_length", json!([14336, 14336, 7168]), "intermediate_size"),
        ("llama.attention.head_count", json!(0), "num_attention_heads"),
        ("llama.attention.head_count_kv", json!(7), "7 key-value heads"),
    ] {
        let message = with(key, value).unwrap_err();
        assert!(message.contains(place) && message.contains("made.gguf"), "{key}: {message}");
    }
    let message = with("llama.embedding_length", json!(1_048_577)).unwrap_err();
    assert!(message.contains("from 1 to 1048576, found 1048577"), "{message}");
}

#[test]
fn lists_of_one_value_are_that_value() {
    let plain = with("general.name", json!("Mixtral")).unwrap().unwrap();
    assert_eq!(plain.name, "mixtral-8x7b", "the catalogue has it");
    let listed = with("llama.feed_forward_length", json!([14336; 32].to_vec())).unwrap();
    assert_eq!(listed, Some(plain.clone()));
    // 0 is a layer without any.
    let listed = with("llama.attention.head_count_kv", json!([8, 0, 8])).unwrap();
    assert_eq!(listed, Some(plain));
}

#[test]
fn what_no_family_serves_describes_no_model() {
    assert_eq!(with("general.architecture", json!("llama5")), Ok(None));
    assert_eq!(with("general.architecture", json!(7)), Ok(None));
}

#[test]
fn families_of_one_architecture_are_told_apart() {
    let mixtral = with("general.quantization_version", json!(2)).unwrap().unwrap();
    assert_eq!(mixtral.family, "mixtral");
    // A dense file that says it has experts is still dense.
    let mut dense = converted().remove("llama-3.1-8b").unwrap();
    let tensors = in_16_bit(&dense.model("llama"), 20_260_601);
    for (key, value) in [("llama.expert_count", 8), ("llama.expert_used_count", 2)] {
        dense.metadata.insert(key.to_owned(), json!(value));
    }
    let model = Model::from_gguf(&checkpoint(&dense.metadata, &tensors), "made").unwrap().unwrap();
    assert_eq!((model.family.as_str(), model.name.as_str()), ("llama", "llama-3.1-8b"));
}
