//! Families against the tensors that published implementations create.

use std::collections::BTreeMap;

use apportion::model::{
    ComponentId, ComponentKind, Layout, Model, Tensor, TensorRole, catalogue, families,
};
use serde_json::{Value, json};

use super::{data, model, numbers};

/// Models whose every tensor is listed in tests/data/oracle.
const TENSOR_LISTS: [&str; 7] = [
    "llama-2-7b",
    "llama-3.1-70b",
    "llama-3.1-8b",
    "mistral-7b",
    "mixtral-8x22b",
    "mixtral-8x7b",
    "qwen3-30b-a3b",
];

/// Name and shape of every tensor in a list.
fn listed(list: &Value) -> BTreeMap<String, Vec<u64>> {
    let mut tensors = BTreeMap::new();
    for tensor in list["tensors"].as_array().unwrap() {
        let mut names = vec![tensor[0].as_str().unwrap().to_owned()];
        for ranges in tensor[1].as_array().unwrap() {
            let numbers = numbers(ranges.as_str().unwrap());
            let filled = |name: &String| {
                let fill = |n: &u32| name.replacen("{}", &n.to_string(), 1);
                numbers.iter().map(fill).collect::<Vec<_>>()
            };
            names = names.iter().flat_map(filled).collect();
        }
        let shape: Vec<u64> = serde_json::from_value(tensor[2].clone()).unwrap();
        tensors.extend(names.into_iter().map(|name| (name, shape.clone())));
    }
    tensors
}

#[test]
fn every_name_and_shape_is_that_of_transformers() {
    for name in TENSOR_LISTS {
        let list: Value = serde_json::from_str(&data(&format!("oracle/{name}.json"))).unwrap();
        let model = model(name);
        let ours: BTreeMap<String, Vec<u64>> = model
            .tensors
            .iter()
            .filter(|t| t.role != TensorRole::RopeFrequencies)
            .map(|t| (t.name.clone(), t.shape.clone()))
            .collect();
        assert_eq!(ours, listed(&list), "{name}");
        assert_eq!(model.parameters(), list["parameters"].as_u64().unwrap(), "{name}");
    }
}

#[test]
fn tensors_come_in_component_order() {
    for entry in catalogue() {
        let model = model(&entry.name);
        assert!(model.tensors.is_sorted_by_key(|t| t.component), "{}", entry.name);
    }
}

#[test]
fn published_configs_are_the_catalogue_models() {
    for (folder, name) in [
        ("mixtral-8x7b", "mixtral-8x7b"),
        ("mixtral-8x7b-transformers-5", "mixtral-8x7b"),
        ("llama-3.2-1b", "llama-3.2-1b"),
    ] {
        let text = data(&format!("configs/{folder}/config.json"));
        let read = Model::from_config_json(&text, "config.json").unwrap();
        assert_eq!(read, model(name), "{folder}");
        let folder = format!("{}/tests/data/configs/{folder}", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(Model::resolve(&folder).unwrap(), read);
        assert_eq!(Model::resolve(&format!("{folder}/config.json")).unwrap(), read);
    }
}

#[test]
fn facts_rebuild_every_catalogue_model() {
    for entry in catalogue() {
        let known = model(&entry.name);
        assert_eq!(Model::from_facts(&known.family, &known.config).unwrap(), known);
    }
}

#[test]
fn the_sizes_of_mixtral() {
    let model = model("mixtral-8x7b");
    assert_eq!(model.parameters(), 46_702_792_704);
    let geometry = &model.geometry;
    assert_eq!((geometry.layers, geometry.experts, geometry.experts_per_token), (32, 8, 2));
    assert_eq!((geometry.head_dim, geometry.expert_width, geometry.dense_width), (128, 14336, 0));
    assert_eq!(model.gguf_architecture(), "llama");
    assert_eq!(model.config["head_dim"], json!(128));
    assert_eq!(model.fingerprint.len(), 64);
}

#[test]
fn a_tied_head_is_no_component() {
    let model = model("llama-3.2-1b");
    assert!(model.geometry.tied_head);
    assert!(model.tensors.iter().all(|t| t.component != ComponentId::OutputHead));
    assert!(model.tensors.iter().any(|t| t.component == ComponentId::FinalNorm));
    // Published as 1.24 B parameters: 16 layers of 60,821,504, embedding and final norm.
    assert_eq!(model.parameters(), 1_235_814_400);
}

#[test]
fn only_scaled_rotary_frequencies_are_tensors() {
    let frequencies = |name: &str, day| {
        let model = model(name);
        let layout = model.layout(Layout::Gguf(day)).unwrap();
        let tensors = layout.iter().filter(|t| t.role == TensorRole::RopeFrequencies);
        tensors.map(Tensor::elements).collect::<Vec<_>>()
    };
    assert_eq!(frequencies("llama-3.1-8b", 20_260_101), [64]);
    assert!(frequencies("llama-3.1-8b", 20_240_726).is_empty());
    assert!(frequencies("llama-3-8b", 20_260_101).is_empty());
    let mut config: Value =
        serde_json::from_str(&data("configs/llama-3.2-1b/config.json")).unwrap();
    config["rope_parameters"] = json!({"rope_type": "llama3", "rope_theta": 5e5, "factor": 32.0});
    config.as_object_mut().unwrap().remove("rope_scaling");
    let read = Model::from_config_json(&config.to_string(), "v5").unwrap();
    assert_eq!(read, model("llama-3.2-1b"));
}

fn qwen(changes: &Value) -> Model {
    let mut config = json!(model("qwen3-30b-a3b").config);
    config["model_type"] = json!("qwen3_moe");
    config["num_hidden_layers"] = json!(8);
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    Model::from_config_json(&config.to_string(), "test").unwrap()
}

fn layers_of(model: &Model, kind: ComponentKind) -> Vec<u32> {
    let mut layers: Vec<u32> = model
        .tensors
        .iter()
        .filter(|t| t.component.kind() == kind)
        .filter_map(|t| t.component.layer())
        .collect();
    layers.dedup();
    layers
}

#[test]
fn qwen3_layers_are_dense_where_the_config_says() {
    // Qwen3MoeDecoderLayer: experts unless listed, and only every `decoder_sparse_step`th layer.
    let model = qwen(&json!({"decoder_sparse_step": 2, "mlp_only_layers": [3]}));
    assert_eq!(layers_of(&model, ComponentKind::Router), [1, 5, 7]);
    assert_eq!(layers_of(&model, ComponentKind::Mlp), [0, 2, 3, 4, 6]);
    assert_eq!(model.geometry.dense_width, 6144);
    let dense = qwen(&json!({"num_experts": 0}));
    assert_eq!(layers_of(&dense, ComponentKind::Mlp).len(), 8);
    assert_eq!((dense.geometry.experts, dense.geometry.expert_width), (0, 6144));
}

#[test]
fn biases_exist_where_the_config_says() {
    let biases =
        |model: &Model| model.tensors.iter().filter(|t| t.role == TensorRole::Bias).count();
    assert_eq!(biases(&qwen(&json!({}))), 0);
    assert_eq!(biases(&qwen(&json!({"attention_bias": true}))), 8 * 4);
    let mut config: Value =
        serde_json::from_str(&data("configs/llama-3.2-1b/config.json")).unwrap();
    config["mlp_bias"] = json!(true);
    let model = Model::from_config_json(&config.to_string(), "test").unwrap();
    assert_eq!(biases(&model), 16 * 3);
}

#[test]
fn unknown_models_are_named_after_folder_path_or_type() {
    let mut config: Value =
        serde_json::from_str(&data("configs/mixtral-8x7b/config.json")).unwrap();
    config["num_hidden_layers"] = json!(4);
    let name = |config: &Value| Model::from_config_json(&config.to_string(), "x").unwrap().name;
    assert_eq!(name(&config), "mixtral");
    config["_name_or_path"] = json!("someone/My Mixtral\u{202e}");
    assert_eq!(name(&config), "My-Mixtral");
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("small-mixtral");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(inside.join("config.json"), config.to_string()).unwrap();
    assert_eq!(Model::resolve(inside.to_str().unwrap()).unwrap().name, "small-mixtral");
}

#[test]
fn the_catalogue_says_where_its_configs_are_published() {
    assert!(families().len() >= 3);
    for entry in catalogue() {
        assert!(entry.source.starts_with("https://"), "{}", entry.name);
    }
}
