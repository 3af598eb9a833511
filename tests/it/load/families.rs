//! Families other than Mixtral against candle's models of the same, on random weights.

use std::path::Path;

use apportion::load::decoder::{Mode, Wanted as Logits};
use apportion::model::Model;
use apportion::runtime::KvType;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{llama, mistral, qwen3_moe};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::files::{llama as llama_config, qwen3_moe as qwen3_moe_config, with};
use super::placed::{Wanted, scattered};

const CLOSE: f32 = 2e-5;

const PROMPT: [u32; 19] = [1, 5, 17, 31, 0, 9, 4, 15, 22, 8, 3, 28, 11, 30, 2, 7, 19, 25, 13];

/// Noise between -1 and 1, the same everywhere.
fn noise(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(state >> 16).unwrap()) / 32768.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A checkpoint of the config with weights that keep activations of an ordinary size.
#[allow(clippy::disallowed_types, reason = "candle's writer takes this map")]
fn written(config: &Value) -> TempDir {
    let model = Model::from_config_json(&config.to_string(), "config.json").unwrap();
    let mut tensors: std::collections::HashMap<String, Tensor> = std::collections::HashMap::new();
    for (seed, tensor) in (1..).zip(model.tensors.iter()) {
        let shape: Vec<usize> = tensor.shape.iter().map(|&n| usize::try_from(n).unwrap()).collect();
        let values = noise(seed, shape.iter().product());
        let values: Vec<f32> = match shape[..] {
            [_] => values.iter().map(|x| 1.0 + 0.2 * x).collect(),
            _ => values.iter().map(|x| 0.25 * x).collect(),
        };
        tensors.insert(tensor.name.clone(), Tensor::from_vec(values, shape, &Device::Cpu).unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

fn weights(folder: &Path) -> VarBuilder<'static> {
    let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu);
    VarBuilder::from_tensors(tensors.unwrap(), DType::F32, &Device::Cpu)
}

fn config<T: serde::de::DeserializeOwned>(config: &Value, more: &Value) -> T {
    serde_json::from_value(with(config.clone(), more)).unwrap()
}

/// Ours at once and token by token, on three devices, against logits of the last token of every beginning.
fn agrees(folder: &Path, theirs: &mut dyn FnMut(&Tensor) -> candle_core::Result<Tensor>) {
    let wanted = Wanted {
        weights: folder.to_owned(),
        quant: Some("f32"),
        devices: 3,
        context: 64,
        kv_type: KvType::F32,
        cpu_repack: false,
        sizes: vec![1 << 30; 3],
    };
    let record = wanted.record(&scattered(2, 3));
    let (mut decoder, _) = wanted.decoder(&record, Mode::Concurrent);
    let at_once = decoder.forward(0, &PROMPT, Logits::All).unwrap();
    decoder.reset(0);
    for length in 1..=PROMPT.len() {
        let tokens = Tensor::new(&PROMPT[..length], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let right: Vec<f32> = theirs(&tokens).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let one = decoder.forward(0, &PROMPT[length - 1..length], Logits::Last).unwrap();
        for found in [&one[0], &at_once[length - 1]] {
            assert_eq!(found.len(), right.len());
            for (found, right) in found.iter().zip(&right) {
                assert!((found - right).abs() < CLOSE, "after {length}: {found}, not {right}");
            }
        }
    }
}

#[test]
fn llama_with_and_without_scaled_frequencies() {
    let scaled = json!({"rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    }});
    for more in [json!({}), scaled, json!({"tie_word_embeddings": true})] {
        let own = with(llama_config(), &more);
        let folder = written(&own);
        let theirs: llama::LlamaConfig = config(&own, &json!({"max_position_embeddings": 64}));
        let theirs = theirs.into_config(false);
        let model = llama::Llama::load(weights(folder.path()), &theirs).unwrap();
        agrees(folder.path(), &mut |tokens| {
            let mut cache = llama::Cache::new(true, DType::F32, &theirs, &Device::Cpu)?;
            model.forward(tokens, 0, &mut cache)
        });
    }
}

#[test]
fn mistral_looks_back_as_far_as_its_window() {
    let own = with(llama_config(), &json!({"model_type": "mistral", "sliding_window": 6}));
    let folder = written(&own);
    // A window of theirs leaves out the token itself.
    let more = json!({"sliding_window": 5, "max_position_embeddings": 64});
    let theirs: mistral::Config = config(&own, &more);
    agrees(folder.path(), &mut |tokens| {
        mistral::Model::new(&theirs, weights(folder.path()))?.forward(tokens, 0)
    });
}

#[test]
fn qwen3_with_experts_in_every_second_layer() {
    for normalized in [true, false] {
        let keys = json!({
            "mlp_only_layers": [], "decoder_sparse_step": 2, "norm_topk_prob": normalized,
            "num_hidden_layers": 4, "tie_word_embeddings": false,
        });
        let own = with(qwen3_moe_config(), &keys);
        let folder = written(&own);
        let more = json!({
            "attention_bias": false, "max_position_embeddings": 64, "sliding_window": null,
            "max_window_layers": 0, "use_sliding_window": false,
        });
        let theirs: qwen3_moe::Config = config(&own, &more);
        agrees(folder.path(), &mut |tokens| {
            qwen3_moe::ModelForCausalLM::new(&theirs, weights(folder.path()))?.forward(tokens, 0)
        });
    }
}
