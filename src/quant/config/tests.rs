//! Configs as publishers and tools write them, and what is refused.

use serde_json::{Value, json};

use super::from_config;
use crate::model::{Model, Tensor};
use crate::quant::{Scheme, StoredTensor};

fn scheme(stated: &Value) -> Scheme {
    read(stated).unwrap().unwrap()
}

fn read(stated: &Value) -> Result<Option<Scheme>, crate::error::Error> {
    let config = json!({ "num_hidden_layers": 32, "quantization_config": stated });
    from_config(config.as_object().unwrap())
}

fn refused(stated: &Value) -> String {
    let error = read(stated).unwrap_err();
    format!("{error} {}", error.hint_text().unwrap_or_default())
}

fn overrides(scheme: &Scheme) -> Vec<String> {
    scheme.overrides().iter().map(ToString::to_string).collect()
}

fn types(scheme: &Scheme, model: &str, name: &str) -> String {
    let storage = scheme.store(&Model::from_catalogue(model).unwrap()).unwrap();
    let mut rows = storage.tensors.iter().zip(&storage.stored);
    let row: Option<(&Tensor, &StoredTensor)> = rows.find(|(t, _)| t.name == name);
    row.unwrap().1.type_name.to_owned()
}

#[test]
fn a_config_without_a_word_states_nothing() {
    let config = json!({ "model_type": "mixtral", "quantization_config": null });
    assert!(from_config(config.as_object().unwrap()).unwrap().is_none());
}

#[test]
fn every_method_by_its_usual_config() {
    let mlx = json!({ "quantization": { "group_size": 64, "bits": 4 } });
    assert_eq!(from_config(mlx.as_object().unwrap()).unwrap().unwrap().name(), "mlx-4bit");
    let bnb = |kind: &str, double: bool| {
        json!({ "quant_method": "bitsandbytes", "load_in_4bit": true, "load_in_8bit": false,
            "bnb_4bit_quant_type": kind, "bnb_4bit_use_double_quant": double })
    };
    for (stated, name) in [
        (bnb("nf4", true), "nf4-dq"),
        (bnb("fp4", false), "fp4"),
        (json!({ "load_in_8bit": true }), "int8"),
        (json!({ "quant_method": "gptq", "bits": 3, "group_size": -1 }), "gptq-3bit-channel"),
        (
            json!({ "quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm" }),
            "awq-4bit-g128",
        ),
        (
            json!({ "quant_method": "awq", "w_bit": 4, "q_group_size": 64, "version": "GEMV" }),
            "awq-4bit-g64:gemv",
        ),
        (
            json!({ "quant_method": "hqq", "skip_modules": ["lm_head"], "quant_config": {
            "weight_quant_params": { "nbits": 2, "group_size": 16 },
            "scale_quant_params": null, "zero_quant_params": null } }),
            "hqq-2bit-g16",
        ),
        (
            json!({ "quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128],
            "activation_scheme": "dynamic" }),
            "fp8",
        ),
        (json!({ "quant_method": "fp8", "scale_fmt": "ue8m0" }), "fp8:ue8m0"),
        (
            json!({ "quant_method": "fp8", "weight_block_size": null, "activation_scheme": "static" }),
            "fp8:tensor,static",
        ),
        (json!({ "quant_method": "mxfp4" }), "mxfp4"),
        (
            json!({ "quant_method": "mlx", "bits": 4, "mode": "nvfp4", "group_size": 16 }),
            "mlx-nvfp4",
        ),
    ] {
        assert_eq!(scheme(&stated).name(), name, "{stated}");
    }
}

#[test]
fn every_packing_of_compressed_tensors() {
    let packed = |weights: Value, format: &str| {
        json!({ "quant_method": "compressed-tensors", "format": format, "ignore": ["lm_head"],
            "config_groups": { "group_0": { "targets": ["Linear"], "weights": weights } } })
    };
    for (stated, name) in [
        (
            packed(
                json!({ "num_bits": 4, "type": "int", "strategy": "group", "group_size": 128,
            "symmetric": true }),
                "pack-quantized",
            ),
            "w4a16",
        ),
        (
            packed(
                json!({ "num_bits": 4, "type": "int", "strategy": "group", "group_size": 32,
            "symmetric": false }),
                "pack-quantized",
            ),
            "w4a16-g32-asym",
        ),
        (
            packed(
                json!({ "num_bits": 8, "type": "int", "strategy": "channel" }),
                "pack-quantized",
            ),
            "w8a16-channel",
        ),
        (
            packed(json!({ "num_bits": 8, "type": "int", "strategy": "channel" }), "int-quantized"),
            "w8a8",
        ),
        (
            packed(
                json!({ "num_bits": 8, "type": "float", "strategy": "channel" }),
                "float-quantized",
            ),
            "fp8-dynamic",
        ),
        (
            packed(
                json!({ "num_bits": 8, "type": "float", "strategy": "block",
            "block_structure": [128, 128] }),
                "float-quantized",
            ),
            "fp8-block",
        ),
        (
            packed(
                json!({ "num_bits": 4, "type": "float", "strategy": "tensor_group",
            "group_size": 16 }),
                "nvfp4-pack-quantized",
            ),
            "nvfp4a16",
        ),
    ] {
        assert_eq!(scheme(&stated).name(), name, "{stated}");
    }
}

#[test]
fn modules_that_are_skipped_stay_in_16_bit() {
    let all: Vec<String> = (0..32).map(|l| format!("model.layers.{l}.self_attn")).collect();
    let gptq = json!({ "quant_method": "gptq", "bits": 4, "group_size": 128,
        "modules_to_not_convert": all });
    let scheme = scheme(&gptq);
    assert_eq!(
        overrides(&scheme),
        ["model.layers.*.self_attn.*=skip?", "*model.layers.*.self_attn.weight=skip?"]
    );
    let q = "model.layers.3.self_attn.q_proj.weight";
    let expert = "model.layers.3.block_sparse_moe.experts.1.w2.weight";
    assert_eq!(types(&scheme, "mixtral-8x7b", q), "f16");
    assert_eq!(types(&scheme, "mixtral-8x7b", expert), "gptq-4bit");
    let skip = |list: Value| {
        super::tests::scheme(&json!({ "quant_method": "bitsandbytes",
        "load_in_8bit": true, "llm_int8_skip_modules": list }))
    };
    // A beginning, a suffix, and layers that are not all.
    assert_eq!(types(&skip(json!(["model.layers.3.self_attn"])), "mixtral-8x7b", q), "f16");
    assert_eq!(types(&skip(json!(["model.layers.4.self_attn"])), "mixtral-8x7b", q), "int8");
    assert_eq!(types(&skip(json!(["q_proj"])), "mixtral-8x7b", q), "f16");
    assert_eq!(types(&skip(json!(["model.layers.3"])), "mixtral-8x7b", expert), "f16");
    assert_eq!(types(&skip(json!(["model.layers.*.experts"])), "mixtral-8x7b", expert), "f16");
    let gate = "model.layers.3.block_sparse_moe.gate.weight";
    assert_eq!(types(&skip(json!(["gate", "lm_head"])), "mixtral-8x7b", gate), "f16");
}

#[test]
fn expressions_of_compressed_tensors_are_understood_or_refused() {
    let ignoring = |list: Value| {
        json!({ "quant_method": "compressed-tensors", "format": "float-quantized", "ignore": list,
            "config_groups": { "group_0": { "targets": ["Linear"],
                "weights": { "num_bits": 8, "type": "float", "strategy": "channel" } } } })
    };
    let q = "model.layers.3.self_attn.q_proj.weight";
    let v = "model.layers.3.self_attn.v_proj.weight";
    let kinds = |list: Value| {
        let scheme = scheme(&ignoring(list));
        [q, v].map(|name| types(&scheme, "mixtral-8x7b", name))
    };
    assert_eq!(kinds(json!(["re:.*q_proj"])), ["bf16", "fp8"]);
    assert_eq!(kinds(json!([r"re:^model\.layers\.\d+\.self_attn\.(q|v)_proj$"])), ["bf16", "bf16"]);
    assert_eq!(kinds(json!(["re:.*gate$", "re:visual.*"])), ["fp8", "fp8"]);
    assert_eq!(kinds(json!(["model.layers.3.self_attn.v_proj"])), ["fp8", "bf16"]);
    // Whole names only.
    assert_eq!(kinds(json!(["model.layers.3.self_attn", "v_proj"])), ["fp8", "fp8"]);
    assert!(refused(&ignoring(json!(["re:(?!x).*"]))).contains("re:(?!x).*"));
    assert!(refused(&ignoring(json!(["re:a{3}"]))).contains("re:a{3}"));
}

#[test]
fn mlx_modules_have_modes_of_their_own() {
    let config = json!({ "num_hidden_layers": 32, "quantization": { "group_size": 64, "bits": 4,
        "model.embed_tokens": { "group_size": 32, "bits": 8 }, "lm_head": false,
        "model.layers.0.block_sparse_moe.switch_mlp.down_proj": { "group_size": 64, "bits": 6 } } });
    let scheme = from_config(config.as_object().unwrap()).unwrap().unwrap();
    let kind = |name: &str| types(&scheme, "mixtral-8x7b", name);
    assert_eq!(kind("model.embed_tokens.weight"), "mlx-8bit");
    assert_eq!(kind("lm_head.weight"), "bf16");
    assert_eq!(kind("model.layers.0.block_sparse_moe.experts.7.w2.weight"), "mlx-6bit");
    assert_eq!(kind("model.layers.0.block_sparse_moe.experts.7.w1.weight"), "mlx-4bit");
    assert_eq!(kind("model.layers.1.block_sparse_moe.experts.7.w2.weight"), "mlx-4bit");
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let near = refused(&json!({ "quant_method": "gptqq", "bits": 4 }));
    assert!(near.contains("`gptqq`") && near.contains("did you mean `gptq`"), "{near}");
    assert!(refused(&json!({ "quant_method": "quanto" })).contains("compressed-tensors"));
    for (stated, word) in [
        (json!(4), "an object"),
        (json!({}), "quant_method"),
        (json!({ "quant_method": "gptq" }), "bits"),
        (json!({ "quant_method": "gptq", "bits": "four" }), "four"),
        (json!({ "quant_method": "gptq", "bits": 5 }), "5"),
        (json!({ "quant_method": "gptq", "bits": 4, "group_size": 0 }), "group_size"),
        (json!({ "quant_method": "gptq", "bits": 4, "lm_head": true }), "lm_head"),
        (
            json!({ "quant_method": "gptq", "bits": 4, "dynamic": { "+:x": { "bits": 8 } } }),
            "dynamic",
        ),
        (json!({ "quant_method": "awq", "version": "marlin" }), "marlin"),
        (
            json!({ "quant_method": "bitsandbytes", "load_in_4bit": true, "load_in_8bit": true }),
            "8 bit",
        ),
        (json!({ "quant_method": "fp8", "weight_block_size": [0, 128] }), "weight_block_size"),
        (json!({ "quant_method": "fp8", "expert_dtype": "fp4" }), "expert_dtype"),
        (json!({ "quant_method": "fp8", "modules_to_not_convert": "gate" }), "a list of strings"),
        (
            json!({ "quant_method": "compressed-tensors", "config_groups": { "a": {}, "b": {} } }),
            "one group",
        ),
        (json!({ "quant_method": "mlx", "bits": 7 }), "7"),
        (
            json!({ "quant_method": "hqq", "quant_config": { "mlp.up_proj": {} } }),
            "weight_quant_params",
        ),
    ] {
        let error = refused(&stated);
        assert!(error.contains(word), "{stated}: {error}");
    }
    let many: Vec<String> = (0..2000).map(|n| format!("module{n}")).collect();
    let error = refused(&json!({ "quant_method": "mxfp4", "modules_to_not_convert": many }));
    assert!(error.contains("4000"), "{error}");
}
