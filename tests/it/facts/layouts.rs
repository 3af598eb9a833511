//! Families in every layout against published implementations and files, tensor by tensor.

use std::collections::{BTreeMap, BTreeSet};

use apportion::model::{Layout, Model, Tensor, TensorRole};
use serde_json::{Value, json};

use super::{data, model, numbers};

/// Models with a list per layout in tests/data/oracle: of transformers 4, transformers 5 and GGUF files.
const MODELS: [&str; 42] = [
    "dbrx-base",
    "deepseek-v2",
    "deepseek-v2-lite",
    "deepseek-v3",
    "ernie-4.5-21b-a3b",
    "ernie-4.5-300b-a47b",
    "gemma-2-27b",
    "gemma-2-9b",
    "gemma-3-1b",
    "gemma-3-27b",
    "gemma-3-4b",
    "glm-4.5",
    "glm-4.5-air",
    "gpt-oss-120b",
    "gpt-oss-20b",
    "granite-3.0-1b-a400m",
    "jamba-1.5-large",
    "jamba-v0.1",
    "kimi-k2",
    "llama-2-7b",
    "llama-3.1-70b",
    "llama-3.1-8b",
    "llama-3.2-1b",
    "llama-4-maverick",
    "llama-4-scout",
    "mistral-7b",
    "mistral-nemo-12b",
    "mixtral-8x22b",
    "mixtral-8x7b",
    "olmoe-1b-7b-0924",
    "phi-3-mini-128k",
    "phi-3-mini-4k",
    "phi-3.5-moe",
    "phi-4-mini",
    "qwen1.5-moe-a2.7b",
    "qwen2-57b-a14b",
    "qwen2.5-0.5b",
    "qwen2.5-7b",
    "qwen3-0.6b",
    "qwen3-30b-a3b",
    "qwen3-8b",
    "smollm2-135m",
];

/// Late enough for everything converters have changed.
const NOW: Layout = Layout::Gguf(20_260_101);

fn list(file: &str) -> Value {
    serde_json::from_str(&data(&format!("oracle/{file}.json"))).unwrap()
}

/// `model.layers.{}.x` with every number of every range in place of the braces.
fn filled(template: &str, ranges: &Value) -> Vec<String> {
    let mut names = vec![template.to_owned()];
    for range in ranges.as_array().unwrap() {
        let numbers = numbers(range.as_str().unwrap());
        let fill = |name: &String| {
            numbers.iter().map(|n| name.replacen("{}", &n.to_string(), 1)).collect::<Vec<_>>()
        };
        names = names.iter().flat_map(fill).collect();
    }
    names
}

/// Shape by name, of every tensor in a list.
fn listed(list: &Value) -> BTreeMap<String, Vec<u64>> {
    let mut tensors = BTreeMap::new();
    for tensor in list["tensors"].as_array().unwrap() {
        let shape: Vec<u64> = serde_json::from_value(tensor[2].clone()).unwrap();
        let names = filled(tensor[0].as_str().unwrap(), &tensor[1]);
        tensors.extend(names.into_iter().map(|name| (name, shape.clone())));
    }
    tensors
}

/// Shape by name, of every tensor in a file of that layout.
fn in_files(tensors: &[Tensor]) -> BTreeMap<String, Vec<u64>> {
    tensors.iter().map(|tensor| (tensor.name.clone(), tensor.file_shape())).collect()
}

fn elements(tensors: &BTreeMap<String, Vec<u64>>) -> u64 {
    tensors.values().map(|shape| shape.iter().product::<u64>()).sum()
}

#[test]
fn checkpoints_have_the_tensors_that_transformers_creates() {
    for name in MODELS {
        let model = model(name);
        for (layout, ending) in [(Layout::Published, ""), (Layout::Transformers5, ".v5")] {
            let list = list(&format!("{name}{ending}"));
            let tensors = model.layout(layout).unwrap();
            let ours = in_files(&tensors);
            assert_eq!(ours, listed(&list), "{name}{ending}");
            // Parts of merged tensors must add up to the whole, so bytes do too.
            let parameters = list["parameters"].as_u64().unwrap();
            let parts: u64 = tensors.iter().map(Tensor::elements).sum();
            assert_eq!((parts, elements(&ours)), (parameters, parameters), "{name}{ending}");
        }
    }
}

#[test]
fn what_is_an_nn_linear_is_that_of_transformers() {
    for name in MODELS {
        let model = model(name);
        for (layout, ending) in [(Layout::Published, ""), (Layout::Transformers5, ".v5")] {
            let list = list(&format!("{name}{ending}"));
            let modules: BTreeSet<&str> =
                list["linear"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
            let is_linear = |tensor: &&Value| {
                let module = tensor[0].as_str().unwrap().strip_suffix(".weight");
                module.is_some_and(|module| modules.contains(module))
            };
            let theirs: BTreeSet<String> = list["tensors"]
                .as_array()
                .unwrap()
                .iter()
                .filter(is_linear)
                .flat_map(|tensor| filled(tensor[0].as_str().unwrap(), &tensor[1]))
                .collect();
            let tensors = model.layout(layout).unwrap();
            let ours: BTreeSet<String> =
                tensors.iter().filter(|t| t.linear).map(|t| t.name.clone()).collect();
            assert_eq!(ours, theirs, "{name}{ending}");
        }
    }
}

#[test]
fn what_stays_in_32_bit_is_what_transformers_creates_so() {
    for name in MODELS {
        let list = list(name);
        let theirs: BTreeSet<String> = list["tensors"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|tensor| tensor[3] == json!("f32"))
            .flat_map(|tensor| filled(tensor[0].as_str().unwrap(), &tensor[1]))
            .collect();
        let model = model(name);
        let ours: BTreeSet<String> =
            model.tensors.iter().filter(|t| t.published_f32).map(|t| t.name.clone()).collect();
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn gguf_files_have_the_tensors_that_converters_write() {
    for name in MODELS {
        let list = list(&format!("{name}.gguf"));
        let ours = in_files(&model(name).layout(NOW).unwrap());
        assert_eq!(ours, listed(&list), "{name}");
        assert_eq!(ours.len() as u64, list["count"].as_u64().unwrap(), "{name}");
    }
}

#[test]
fn parameters_are_those_of_every_model_that_was_counted() {
    let counted = list("parameters");
    let counted = counted.as_object().unwrap();
    assert!(counted.len() >= 60);
    for (name, parameters) in counted {
        assert_eq!(model(name).parameters(), parameters.as_u64().unwrap(), "{name}");
    }
}

/// The windows of the first layers, as transformers and as llama.cpp use them.
fn windows(model: &Model, layers: usize) -> (Vec<u64>, Vec<u64>) {
    let first = || model.cache.iter().take(layers);
    let tokens = |window: Option<u64>| window.unwrap_or(0);
    (first().map(|c| tokens(c.window)).collect(), first().map(|c| tokens(c.gguf_window)).collect())
}

#[test]
fn layers_look_back_as_far_as_the_family_says() {
    let same = |windows: &[u64]| (windows.to_vec(), windows.to_vec());
    assert_eq!(windows(&model("gemma-2-9b"), 4), same(&[4096, 0, 4096, 0]));
    assert_eq!(windows(&model("gemma-3-1b"), 7), same(&[512, 512, 512, 512, 512, 0, 512]));
    assert_eq!(windows(&model("mistral-7b"), 2), (vec![4096; 2], vec![0; 2]));
    assert_eq!(windows(&model("mistral-7b-v0.3"), 2), same(&[0, 0]));
    assert_eq!(windows(&model("phi-3-mini-4k"), 2), (vec![2047; 2], vec![0; 2]));
    assert_eq!(windows(&model("phi-4"), 2), same(&[0, 0]));
    assert_eq!(windows(&model("phi-3.5-moe"), 2), (vec![131_072; 2], vec![0; 2]));
    assert_eq!(windows(&model("qwen2.5-7b"), 2), same(&[0, 0]));
}

/// The config of a catalogue model with some keys changed; null removes nothing, it is written as null.
fn changed(name: &str, model_type: &str, changes: &Value) -> Model {
    let mut config = json!(model(name).config);
    config["model_type"] = json!(model_type);
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    Model::from_config_json(&config.to_string(), "test").unwrap()
}

fn without(name: &str, model_type: &str, key: &str) -> Model {
    let mut config = json!(model(name).config);
    config["model_type"] = json!(model_type);
    config.as_object_mut().unwrap().remove(key).unwrap();
    Model::from_config_json(&config.to_string(), "test").unwrap()
}

#[test]
fn a_null_window_is_none_and_an_absent_one_that_of_the_class() {
    let null = changed("mistral-7b", "mistral", &json!({"sliding_window": null}));
    assert_eq!(windows(&null, 1).0, [0]);
    assert_eq!(null.config["sliding_window"], json!(0));
    let absent = without("mistral-7b", "mistral", "sliding_window");
    assert_eq!(absent, model("mistral-7b"));
    let heads = changed("mistral-7b", "mistral", &json!({"num_key_value_heads": null}));
    assert_eq!(heads.geometry.kv_heads, 32);
}

#[test]
fn lists_of_layer_types_and_switches_decide_about_windows() {
    let on = json!({"use_sliding_window": true, "sliding_window": 1000, "max_window_layers": 2,
        "num_hidden_layers": 4});
    assert_eq!(windows(&changed("qwen2.5-7b", "qwen2", &on), 4).0, [0, 0, 1000, 1000]);
    assert_eq!(windows(&changed("qwen3-8b", "qwen3", &on), 4).0, [0, 0, 1000, 1000]);
    let mut listed = on.clone();
    let kinds = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"];
    listed["layer_types"] = json!(kinds);
    assert_eq!(windows(&changed("qwen3-8b", "qwen3", &listed), 4).0, [1000, 0, 0, 1000]);
    assert_eq!(windows(&changed("qwen3-30b-a3b", "qwen3_moe", &listed), 4).0, [1000, 0, 0, 1000]);
    listed["use_sliding_window"] = json!(false);
    assert_eq!(windows(&changed("qwen3-8b", "qwen3", &listed), 4).0, [0; 4]);
    let pattern = changed("gemma-3-1b", "gemma3_text", &json!({"_sliding_window_pattern": 2}));
    assert_eq!(windows(&pattern, 3).0, [512, 512, 512], "the key itself goes first");
    let pattern = without("gemma-3-1b", "gemma3_text", "sliding_window_pattern");
    assert_eq!(pattern, model("gemma-3-1b"));
}

/// The published config of google/gemma-3-4b-pt says of the language model only what is not so by
/// default.
#[test]
fn the_language_model_of_several_models_in_one_is_read() {
    let inner = json!({"model_type": "gemma3_text", "hidden_size": 2560,
        "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}});
    let config = json!({"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
        "vision_config": {"model_type": "siglip_vision_model"}, "text_config": inner});
    let read = Model::from_config_json(&config.to_string(), "config.json").unwrap();
    assert_eq!(read, model("gemma-3-4b"));
    // A config that is served itself is not looked into.
    let mut outer = json!(model("mistral-7b").config);
    outer["model_type"] = json!("mistral");
    outer["text_config"] = config["text_config"].clone();
    let read = Model::from_config_json(&outer.to_string(), "config.json").unwrap();
    assert_eq!(read, model("mistral-7b"));
}

#[test]
fn rotary_factors_are_as_many_as_the_config_lists() {
    let factors = |model: &Model| {
        let layout = model.layout(NOW).unwrap();
        let tensors = layout.iter().filter(|t| t.role == TensorRole::RopeFrequencies);
        tensors.map(Tensor::elements).collect::<Vec<_>>()
    };
    let mut config = json!(model("phi-3-mini-4k").config);
    config["model_type"] = json!("phi3");
    config.as_object_mut().unwrap().remove("rope_factors");
    config["rope_scaling"] = json!({"type": "longrope", "short_factor": vec![1.5; 48],
        "long_factor": vec![2.5; 48]});
    let read = |config: &Value| Model::from_config_json(&config.to_string(), "test");
    assert_eq!(factors(&read(&config).unwrap()), [48, 48]);
    config["rope_scaling"] = Value::Null;
    assert_eq!(factors(&read(&config).unwrap()), [0; 0]);
    config["rope_factors"] = json!(vec![1.0; 70_000]);
    let message = read(&config).unwrap_err().to_string();
    assert!(message.contains("a list of 0 to 65536 items"), "{message}");
}
