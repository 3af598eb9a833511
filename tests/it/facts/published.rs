//! Families against what is published of models: parameters, files of several years, logged caches.

use std::collections::BTreeMap;

use apportion::memory::{Demand, KvType, Load};
use apportion::model::{KeyValue, Layout, Model, Tensor, TensorRole};
use apportion::quant::Scheme;
use serde_json::{Value, json};

use super::model;

/// Name and shape of every tensor of a layout, merged ones whole; parts of one must agree.
fn whole(tensors: &[Tensor]) -> BTreeMap<String, Vec<u64>> {
    let mut found = BTreeMap::new();
    for tensor in tensors {
        let shape = tensor.file_shape();
        let twin = found.insert(tensor.name.clone(), shape.clone());
        assert!(
            twin.is_none_or(|twin| tensor.merged.is_some() && twin == shape),
            "{}",
            tensor.name
        );
    }
    found
}

fn elements(tensors: &BTreeMap<String, Vec<u64>>) -> u64 {
    tensors.values().map(|shape| shape.iter().product::<u64>()).sum()
}

#[test]
fn sixteen_bit_checkpoints_take_two_bytes_an_element() {
    // The hub's metadata counts the bias of the routers of DeepSeek-V3 among its parameters.
    for (name, parameters) in [
        ("deepseek-v2-lite", 15_706_484_224_u64),
        ("deepseek-v2", 235_741_434_880),
        ("deepseek-v3", 671_026_419_200),
        ("gpt-oss-20b", 20_914_757_184),
        ("gpt-oss-120b", 116_829_156_672),
        ("dbrx-base", 131_596_523_520),
        ("jamba-v0.1", 51_570_323_328),
    ] {
        let model = model(name);
        assert_eq!(model.parameters(), parameters, "{name}");
        let demand = Demand::of(&model, &Scheme::parse("f16").unwrap(), &Load::default()).unwrap();
        assert_eq!(demand.weights_bytes(), 2 * parameters, "{name}");
    }
}

#[test]
fn files_have_as_many_tensors_as_llama_cpp_logs() {
    // Logs of the loader: DeepSeek-V2-Lite and V3 of 2024 and early 2025, Mixtral before experts
    // were merged (995) and after (323), gpt-oss.
    for (name, day, tensors) in [
        ("deepseek-v2-lite", 20_240_601, 377),
        ("deepseek-v2-lite", 20_250_415, 404),
        ("deepseek-v3", 20_250_201, 1025),
        ("deepseek-v3", 20_260_101, 1086),
        ("mixtral-8x7b", 20_231_215, 995),
        ("mixtral-8x7b", 20_240_403, 323),
        ("gpt-oss-20b", 20_260_101, 459),
        ("gpt-oss-120b", 20_260_101, 687),
    ] {
        let ours = whole(&model(name).layout(Layout::Gguf(day)).unwrap());
        assert_eq!(ours.len(), tensors, "{name} {day}");
    }
}

#[test]
fn the_layout_of_a_day_holds_the_same_numbers() {
    for (name, before, since) in [
        ("deepseek-v3", 20_250_414, 20_250_415),
        ("deepseek-v2-lite", 20_250_414, 20_250_415),
        ("mixtral-8x7b", 20_240_402, 20_240_403),
    ] {
        let model = model(name);
        let on = |day| whole(&model.layout(Layout::Gguf(day)).unwrap());
        assert_ne!(on(before), on(since), "{name}");
        assert_eq!(elements(&on(before)), elements(&on(since)), "{name}");
    }
}

#[test]
fn metadata_of_gguf_files_counts_in_its_own_way() {
    let counts = |name: &str, day| {
        let counts = model(name).gguf_counts;
        (counts.layers, counts.kv_heads_on(day))
    };
    // Latent attention is described with one head since its matrices are split.
    assert_eq!(counts("deepseek-v3", 20_250_414), (61, 128));
    assert_eq!(counts("deepseek-v3", 20_250_415), (61, 1));
    assert_eq!(counts("deepseek-v2-lite", 20_260_101), (27, 1));
    // Jamba's first layer has no attention.
    assert_eq!(counts("jamba-v0.1", 20_260_101), (32, 0));
    assert_eq!(counts("mixtral-8x7b", 20_260_101), (32, 8));
}

fn cache_bytes(name: &str, load: &Load) -> u64 {
    Demand::of(&model(name), &Scheme::parse("f16").unwrap(), load).unwrap().kv_cache_bytes()
}

#[test]
fn latent_attention_keeps_the_latent() {
    let model = model("deepseek-v3");
    for cache in &model.cache {
        assert_eq!(cache.kept, KeyValue { heads: 1, key_width: 576, value_width: 0 });
        // n_embd_k_gqa and n_embd_v_gqa in llama.cpp's log for files of the older layout.
        let KeyValue { heads, key_width, value_width } = cache.expanded;
        assert_eq!((heads * key_width, heads * value_width), (24576, 16384));
    }
    let token = Load { context: 1, ..Load::default() };
    assert_eq!(cache_bytes("deepseek-v3", &token), 70_272);
    // ik_llama.cpp logs 1166.62 MiB.
    let load = Load { context: 32768, kv_type: KvType::Q8_0, ..Load::default() };
    assert_eq!(cache_bytes("deepseek-v3", &load), 1_166_625 * 1_048_576 / 1000);
}

#[test]
fn windows_lie_where_the_config_says() {
    // Layers 0, 2, 4 and so on look back 128 tokens, in llama.cpp as in transformers.
    let full = 12 * 2048 * 131_072;
    let load = Load { context: 131_072, ..Load::default() };
    assert_eq!(full, 3072 << 20);
    assert_eq!(cache_bytes("gpt-oss-20b", &load), full + 12 * 2048 * 128);
    let windows = |model: &Model| model.cache.iter().map(|c| c.window).collect::<Vec<_>>();
    let gpt_oss = windows(&model("gpt-oss-20b"));
    assert_eq!(gpt_oss, [Some(128), None].repeat(12));
    let llama4 = windows(&model("llama-4-scout"));
    assert_eq!(llama4, [Some(8192), Some(8192), Some(8192), None].repeat(12));

    let changed = |name: &str, kind: &str, changes: &Value| {
        let mut config = json!(model(name).config);
        config["model_type"] = json!(kind);
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        Model::from_config_json(&config.to_string(), "test").unwrap()
    };
    let types: Vec<&str> = ["full_attention", "sliding_attention"].repeat(12);
    let swapped = changed("gpt-oss-20b", "gpt_oss", &json!({"layer_types": types}));
    assert_eq!(windows(&swapped), [None, Some(128)].repeat(12));
    let none = changed("gpt-oss-20b", "gpt_oss", &json!({"sliding_window": null}));
    assert_eq!(windows(&none), vec![None; 24]);
    let listed = changed("llama-4-scout", "llama4_text", &json!({"no_rope_layers": vec![1; 48]}));
    assert_eq!(windows(&listed), vec![Some(8192); 48]);
}

#[test]
fn state_space_layers_keep_a_state() {
    let model = model("jamba-v0.1");
    for (layer, cache) in model.cache.iter().enumerate() {
        if layer % 8 == 4 {
            assert_eq!(cache.kept, KeyValue { heads: 8, key_width: 128, value_width: 128 });
            assert_eq!(cache.state_elements, 0);
        } else {
            assert_eq!(cache.kept, KeyValue::default());
            assert_eq!(cache.state_elements, 3 * 8192 + 16 * 8192);
        }
    }
    let states = 28 * (3 + 16) * 8192 * 4;
    let load = Load { context: 4096, ..Load::default() };
    assert_eq!(cache_bytes("jamba-v0.1", &load), states + 4 * 4096 * 4096);
    let four = Load { context: 4096, batch: 4, ..Load::default() };
    assert_eq!(cache_bytes("jamba-v0.1", &four), 4 * (states + 4 * 4096 * 4096));
}

#[test]
fn null_is_not_the_same_as_a_missing_key() {
    let mut config = json!(model("deepseek-v2-lite").config);
    config["model_type"] = json!("deepseek_v2");
    let read = |config: &Value| Model::from_config_json(&config.to_string(), "test").unwrap();
    config["q_lora_rank"] = Value::Null;
    assert_eq!(read(&config), model("deepseek-v2-lite"));
    // The class of transformers compresses queries to 1536 unless the config says otherwise.
    config.as_object_mut().unwrap().remove("q_lora_rank");
    let compressed = read(&config);
    let roles = |role| compressed.tensors.iter().filter(|t| t.role == role).count();
    assert_eq!((roles(TensorRole::AttnQ), roles(TensorRole::AttnLatent)), (0, 27 * 4));
    assert_eq!(compressed.config["q_lora_rank"], json!(1536));
}

#[test]
fn other_names_of_a_family_read_the_same() {
    let mut config = json!(model("kimi-k2").config);
    config["model_type"] = json!("kimi_k2");
    let read = Model::from_config_json(&config.to_string(), "test").unwrap();
    assert_eq!(read, model("kimi-k2"));
    // Without experts Llama 4 is dense, as Llama Guard 4 is.
    let mut config = json!(model("llama-4-scout").config);
    for (key, value) in [
        ("model_type", json!("llama4_text")),
        ("num_local_experts", json!(0)),
        ("num_experts_per_tok", json!(0)),
        ("interleave_moe_layer_step", json!(0)),
    ] {
        config[key] = value;
    }
    let dense = Model::from_config_json(&config.to_string(), "test").unwrap().geometry;
    assert_eq!((dense.experts, dense.dense_width, dense.expert_width), (0, 16384, 16384));
}
