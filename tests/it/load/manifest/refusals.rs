//! Files that do not fit a plan, each refused in one sentence before a weight is read.

use apportion::error::Error;
use apportion::load::manifest::Manifest;
use apportion::model::Model;
use apportion::placement::Record;
use apportion::scenario::Granularity;
use serde_json::{Value, json};

use super::super::files::{
    Files, llama, manifest, mixtral, open, oracle, qwen3_moe, record, scenario, with,
};

/// A plan for the model of a config.
fn plan(config: &Value, quant: &str) -> Record {
    let model = Model::from_config_json(&config.to_string(), "config.json").unwrap();
    record(&scenario(&model, quant))
}

/// Why the files are refused under a plan.
fn refusal(record: &Record, files: &Files) -> Error {
    let folder = files.write();
    let (checkpoint, model) = open(folder.path());
    Manifest::new(record, &checkpoint, &model).unwrap_err()
}

fn says(error: &Error, words: &[&str]) {
    let message = format!("{error}\n{}", error.hint_text().unwrap_or(""));
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

#[test]
fn planned_types_that_cannot_be_held_are_named_with_those_that_can() {
    let files = Files::of(mixtral());
    for (quant, words) in [
        (
            "nf4",
            &["as planned `nf4`", "`nf4` for 22 tensors, `model.layers.0.self_attn.q_proj.weight`"]
                [..],
        ),
        ("int8", &["`int8` for 22 tensors"]),
        ("iq4_nl", &["`iq4_nl` for "]),
        ("gptq-4bit-g32", &["gptq-4bit"]),
    ] {
        let error = refusal(&plan(&mixtral(), quant), &files);
        says(&error, words);
        let can = "f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k";
        says(&error, &["cannot load weights as planned", can, "--quant"]);
    }
}

#[test]
fn matrices_of_all_experts_are_nothing_that_the_decoder_works_with() {
    let model = Model::from_config_json(&mixtral().to_string(), "config.json").unwrap();
    let mut asked = scenario(&model, "f16");
    asked.limits.granularity = Granularity::FusedMatrix;
    let error = refusal(&record(&asked), &Files::of(mixtral()));
    says(&error, &["granularity fused-matrix", "expected whole experts", "--granularity expert"]);
}

#[test]
fn missing_tensors_are_named_and_counted() {
    let without = |files: Files, end: &str| files.without(end);
    let files = ["1.w1.weight", "0.self_attn.k_proj.weight", "model.norm.weight"]
        .into_iter()
        .fold(Files::of(mixtral()), without);
    let error = refusal(&plan(&mixtral(), "f16"), &files);
    says(
        &error,
        &[
            "`model.layers.0.self_attn.k_proj.weight`",
            "`model.layers.0.block_sparse_moe.experts.1.w1.weight`",
            "`model.layers.1.block_sparse_moe.experts.1.w1.weight` and 1 more",
            "4 of them missing",
            "the files are incomplete",
        ],
    );
    // A plan of the files themselves does not know what they lack.
    let files = Files::of(mixtral()).without("1.self_attn.o_proj.weight");
    let folder = files.write();
    let error = manifest(folder.path(), "stored").unwrap_err();
    says(&error, &["`model.layers.1.self_attn.o_proj.weight`", "1 of them missing"]);
}

#[test]
fn a_misnamed_tensor_is_pointed_out() {
    let files = Files::of(llama()).change("layers.1.self_attn.q_proj.weight", |tensor| {
        tensor.0 = tensor.0.replace("q_proj", "q_prj");
    });
    for quant in ["f16", "q8_0"] {
        let error = refusal(&plan(&llama(), quant), &files);
        says(
            &error,
            &[
                "with `model.layers.1.self_attn.q_proj.weight`",
                "did you mean `model.layers.1.self_attn.q_prj.weight`?",
            ],
        );
    }
}

#[test]
fn tensors_that_no_plan_has_are_refused_and_those_left_out_are_said() {
    let plan = plan(&mixtral(), "f16");
    for name in ["model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.strange"] {
        let error = refusal(&plan, &Files::of(mixtral()).and(name, &[64]));
        says(&error, &["only tensors that the placement has, found 1 more", name]);
    }
    let both = "model.layers.0.block_sparse_moe.experts.0.gate_proj.weight";
    let folder = Files::of(mixtral()).and(both, &[96, 64]).write();
    let error = manifest(folder.path(), "stored").unwrap_err();
    says(&error, &["found 1 more", both]);
    let folder = Files::of(mixtral()).and("model.layers.2.input_layernorm.weight", &[64]).write();
    let (checkpoint, model) = open(folder.path());
    let loaded = Manifest::new(&plan, &checkpoint, &model).unwrap();
    let [notice] = &loaded.notices[..] else { panic!("{:?}", loaded.notices) };
    let said =
        "1 tensors of the files are not loaded (128 B): `model.layers.2.input_layernorm.weight`";
    assert!(notice.starts_with(said), "{notice}");
}

#[test]
fn a_planned_tensor_that_the_decoder_does_not_use_is_refused() {
    let config = with(llama(), &json!({"mlp_bias": true}));
    let error = refusal(&plan(&config, "f16"), &Files::of(config.clone()));
    says(&error, &["a use for", "`model.layers.0.mlp.gate_proj.bias`", "and 3 more"]);
}

#[test]
fn shapes_other_than_planned_are_refused() {
    let files = Files::of(mixtral()).change("1.self_attn.k_proj.weight", |tensor| {
        tensor.2 = vec![48, 64];
    });
    says(
        &refusal(&plan(&mixtral(), "f16"), &files),
        &["tensor `model.layers.1.self_attn.k_proj.weight`", "32 rows of 64", "found 48 of 64"],
    );
}

#[test]
fn types_that_do_not_become_the_planned_one_are_refused() {
    for (kind, shown) in [("I64", "i64"), ("F8_E4M3", "f8_e4m3"), ("F64", "f64")] {
        let files = Files::of(mixtral()).change("0.self_attn.v_proj.weight", |t| t.1 = kind);
        let error = refusal(&plan(&mixtral(), "f16"), &files);
        let found = format!("f16, as planned, or f32, f16 or bf16 to make it from, found {shown}");
        says(&error, &["tensor `model.layers.0.self_attn.v_proj.weight`", &found]);
    }
    let error = manifest(&oracle("tiny-mixtral-gguf").join("tk-Q8_0.gguf"), "q4_0").unwrap_err();
    says(&error, &["q4_0, as planned", "found q8_0", "solve for the files themselves"]);
}

#[test]
fn files_of_other_sizes_are_refused_by_every_size_that_differs() {
    let other = with(mixtral(), &json!({"num_hidden_layers": 3, "num_local_experts": 4}));
    says(
        &refusal(&plan(&other, "f16"), &Files::of(mixtral())),
        &["layers 3, experts 4, found layers 2, experts 2", "solve again for these files"],
    );
    let wide = with(mixtral(), &json!({"hidden_size": 128}));
    let error = refusal(&plan(&wide, "q8_0"), &Files::of(mixtral()));
    says(&error, &["hidden size 128, head width 32, found hidden size 64, head width 16"]);
}

#[test]
fn weights_that_changed_since_solving_are_refused() {
    let folder = Files::of(mixtral()).write();
    let (_, model) = open(folder.path());
    let record = record(&scenario(&model, "stored"));
    let changed = Files::of(mixtral()).change("model.norm.weight", |tensor| tensor.1 = "F32");
    says(&refusal(&record, &changed), &["have changed since", "solve again for these files"]);
}

#[test]
fn components_outside_the_devices_are_refused() {
    let folder = Files::of(llama()).write();
    let (checkpoint, model) = open(folder.path());
    let mut record = record(&scenario(&model, "f16"));
    record.homes.retain(|home| home.0.to_string() != "embedding");
    let error = Manifest::new(&record, &checkpoint, &model).unwrap_err();
    says(&error, &["at embedding", "a device of the placement that holds it, found none"]);
}

/// Configs that the planner reads and the decoder does not run.
#[test]
fn models_the_decoder_does_not_run_are_refused_by_what_is_different() {
    let rope = |kind: &str| json!({"rope_scaling": {"rope_type": kind, "factor": 2.0}});
    for (config, keys, words) in [
        (
            llama(),
            rope("yarn"),
            &["rope_scaling.rope_type", "default, linear or llama3", "`yarn`"][..],
        ),
        (llama(), rope("dynamic"), &["`dynamic`"]),
        (
            qwen3_moe(),
            json!({"rope_parameters": {"type": "longrope"}}),
            &["rope_parameters", "`longrope`"],
        ),
        (llama(), rope("llama3"), &["rope_scaling.low_freq_factor", "a number, found null"]),
        (
            llama(),
            json!({"rope_scaling": {"type": "linear", "factor": 0.0}}),
            &["a finite factor above 0"],
        ),
        (
            llama(),
            json!({"rope_parameters": {"full_attention": {}}}),
            &["one set of rotary parameters"],
        ),
        (qwen3_moe(), json!({"partial_rotary_factor": 0.5}), &["all of a head is rotated", "0.5"]),
        (mixtral(), json!({"hidden_act": "gelu"}), &["key `hidden_act`", "`silu`, found `gelu`"]),
        (mixtral(), json!({"rms_norm_eps": 0}), &["epsilon of normalisations", "found 0"]),
        (mixtral(), json!({"rms_norm_eps": "small"}), &["key `rms_norm_eps`", "a number"]),
        (mixtral(), json!({"rope_theta": -1.0}), &["the base of rotary frequencies", "found -1"]),
        (mixtral(), json!({"eos_token_id": 32}), &["numbers below the vocabulary of 32, found 32"]),
        (mixtral(), json!({"eos_token_id": "end"}), &["key `eos_token_id`", "found `end`"]),
        (mixtral(), json!({"sliding_window": 0}), &["key `sliding_window`", "found 0"]),
        (qwen3_moe(), json!({"head_dim": 15}), &["the head width", "an even number", "found 15"]),
        (qwen3_moe(), json!({"norm_topk_prob": 1}), &["key `norm_topk_prob`", "true or false"]),
        (
            with(llama(), &json!({"model_type": "qwen2", "use_sliding_window": true})),
            json!({"sliding_window": 16, "max_window_layers": 1}),
            &["one window for all layers", "layer 1"],
        ),
    ] {
        let config = with(config, &keys);
        let error = refusal(&plan(&config, "f16"), &Files::of(config.clone()));
        says(&error, &["cannot run the model"]);
        says(&error, words);
    }
}

#[test]
fn other_families_are_refused_with_the_list_that_works() {
    let config = with(llama(), &json!({"model_type": "gemma2", "head_dim": 16}));
    let error = refusal(&plan(&config, "f16"), &Files::of(config.clone()));
    let list = "llama, mistral, mixtral, qwen2, qwen3, qwen3_moe";
    says(&error, &[list, "found `gemma2`", "the config.json beside the weights"]);
}
