//! Schemes against published sizes and the types llama.cpp chooses.

use apportion::model::{ComponentId, Model, Tensor, TensorRole};
use apportion::quant::{Scheme, Staging, StoredTensor};
use serde_json::{Value, json};

use super::{data, model, numbers};

fn total(model: &Model, scheme: Scheme) -> u64 {
    scheme.store(model).unwrap().iter().map(|t| t.bytes).sum()
}

#[test]
fn totals_of_mixtral_8x7b() {
    // GGUF: tensor bytes of published files; bitsandbytes: its storage formulas, head in 16 bit.
    let model = model("mixtral-8x7b");
    for (scheme, bytes) in [
        (Scheme::F32, 186_811_170_816),
        (Scheme::F16, 93_405_585_408),
        (Scheme::Bf16, 93_405_585_408),
        (Scheme::Nf4, 26_647_595_008),
        (Scheme::Nf4Dq, 24_482_994_048),
        (Scheme::Int8, 47_000_069_120),
        (Scheme::Q8_0, 49_625_579_520),
        (Scheme::Q6K, 38_380_077_056),
        (Scheme::Q5KM, 33_228_840_960),
        (Scheme::Q4KM, 28_447_727_616),
        (Scheme::Q4_0, 26_442_850_304),
    ] {
        assert_eq!(total(&model, scheme), bytes, "{}", scheme.name());
    }
}

#[test]
fn published_gguf_files_minus_their_headers() {
    // File sizes as listed by their repositories; a header is the same for every file of one.
    for (name, header, files) in [
        // bartowski/Meta-Llama-3.1-8B-Instruct-GGUF
        (
            "llama-3.1-8b",
            7_840_928,
            [
                (Scheme::Q4KM, 4_920_739_232),
                (Scheme::Q5KM, 5_732_992_416),
                (Scheme::Q6K, 6_596_011_424),
                (Scheme::Q8_0, 8_540_775_840),
            ],
        ),
        // MaziyarPanahi/Mistral-7B-Instruct-v0.3-GGUF
        (
            "mistral-7b-v0.3",
            757_920,
            [
                (Scheme::Q4KM, 4_372_811_936),
                (Scheme::Q5KM, 5_136_175_264),
                (Scheme::Q6K, 5_947_248_800),
                (Scheme::Q8_0, 7_702_565_024),
            ],
        ),
        // unsloth/Qwen3-30B-A3B-GGUF
        (
            "qwen3-30b-a3b",
            5_970_496,
            [
                (Scheme::Q4KM, 18_556_686_912),
                (Scheme::Q5KM, 21_725_581_888),
                (Scheme::Q6K, 25_092_532_800),
                (Scheme::Q8_0, 32_483_932_736),
            ],
        ),
    ] {
        let model = model(name);
        for (scheme, file) in files {
            assert_eq!(total(&model, scheme), file - header, "{name} {}", scheme.name());
        }
    }
}

#[test]
fn published_mixtral_files_have_a_16_bit_router() {
    // MaziyarPanahi/Mixtral-8x7B-Instruct-v0.1-GGUF, made before routers were written in f32.
    let model = model("mixtral-8x7b");
    let router_difference = 2 * 32 * 8 * 4096;
    for (scheme, file) in [
        (Scheme::Q4KM, 28_446_410_624),
        (Scheme::Q5KM, 33_227_523_968),
        (Scheme::Q6K, 38_378_760_064),
        (Scheme::Q8_0, 49_624_262_528_u64),
    ] {
        assert_eq!(total(&model, scheme) - router_difference + 780_160, file, "{}", scheme.name());
    }
}

#[test]
fn experts_of_different_layers_differ() {
    let model = model("mixtral-8x7b");
    let stored = Scheme::Q4KM.store(&model).unwrap();
    let bytes = |belongs: &dyn Fn(ComponentId) -> bool| {
        let tensors = model.tensors.iter().zip(&stored);
        tensors.filter(|(t, _)| belongs(t.component)).map(|(_, s)| s.bytes).sum::<u64>()
    };
    assert_eq!(bytes(&|id| id.layer() == Some(0)), 943_882_240);
    assert_eq!(bytes(&|id| id.layer() == Some(4)), 822_771_712);
    assert_eq!(bytes(&|id| id == ComponentId::Expert(0, 3)), 114_229_248);
    assert_eq!(bytes(&|id| id == ComponentId::Expert(4, 3)), 99_090_432);
}

/// Whether a tensor of ours is (a slice of) the one a GGUF calls `name`.
fn is_called(tensor: &Tensor, name: &str) -> bool {
    let our_end = tensor.name.rsplit('.').nth(1).unwrap_or("");
    let known = match tensor.role {
        TensorRole::TokenEmbedding => "token_embd",
        TensorRole::Output => "output",
        TensorRole::Norm if tensor.component == ComponentId::FinalNorm => "output_norm",
        TensorRole::Norm if our_end == "input_layernorm" => "blk.{}.attn_norm",
        TensorRole::Norm if our_end == "post_attention_layernorm" => "blk.{}.ffn_norm",
        TensorRole::Norm if our_end == "q_norm" => "blk.{}.attn_q_norm",
        TensorRole::Norm => "blk.{}.attn_k_norm",
        TensorRole::AttnQ => "blk.{}.attn_q",
        TensorRole::AttnK => "blk.{}.attn_k",
        TensorRole::AttnV => "blk.{}.attn_v",
        TensorRole::AttnOutput => "blk.{}.attn_output",
        TensorRole::Router => "blk.{}.ffn_gate_inp",
        TensorRole::FfnGate => "blk.{}.ffn_gate",
        TensorRole::FfnUp => "blk.{}.ffn_up",
        TensorRole::FfnDown => "blk.{}.ffn_down",
        TensorRole::Bias | TensorRole::RopeFrequencies => return false,
    };
    name.trim_end_matches(".weight").trim_end_matches("_exps") == known
}

#[test]
fn types_are_those_llama_cpp_chooses() {
    let runs: Value = serde_json::from_str(&data("oracle/quantize-dry-run.json")).unwrap();
    let runs = runs.as_array().unwrap();
    assert_eq!(runs.len(), 15);
    for run in runs {
        let model = model(run["model"].as_str().unwrap());
        let stored = Scheme::parse(run["type"].as_str().unwrap()).unwrap().store(&model).unwrap();
        let mut compared = 0;
        for row in run["tensors"].as_array().unwrap() {
            let (name, ranges) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
            let layers = if ranges.is_empty() { None } else { Some(numbers(ranges)) };
            let here = |t: &Tensor| match (&layers, t.component.layer()) {
                (Some(layers), Some(layer)) => layers.contains(&layer),
                (None, None) => true,
                _ => false,
            };
            let ours = model.tensors.iter().zip(&stored);
            for (tensor, stored) in ours.filter(|(t, _)| is_called(t, name) && here(t)) {
                assert_eq!(
                    stored.type_name, row[2],
                    "{} {} {}",
                    run["model"], run["type"], tensor.name
                );
                compared += 1;
            }
        }
        let expected =
            model.tensors.iter().filter(|t| t.role != TensorRole::RopeFrequencies).count();
        assert_eq!(compared, expected, "{} {}", run["model"], run["type"]);
    }
}

fn type_of(model: &Model, scheme: Scheme, wanted: impl Fn(&Tensor) -> bool) -> StoredTensor {
    let stored = scheme.store(model).unwrap();
    let index = model.tensors.iter().position(wanted).unwrap();
    stored[index].clone()
}

#[test]
fn values_of_the_70b_get_more_bits() {
    // llama.cpp: eight query heads share one value head in the 70B models, so Q4_K becomes Q5_K.
    let value =
        |t: &Tensor| t.component == ComponentId::Attention(10) && t.role == TensorRole::AttnV;
    let more = |t: &Tensor| t.component == ComponentId::Attention(0) && t.role == TensorRole::AttnV;
    let model = model("llama-3.1-70b");
    assert_eq!(type_of(&model, Scheme::Q4KM, value).type_name, "q5_k");
    assert_eq!(type_of(&model, Scheme::Q4KM, more).type_name, "q6_k");
    assert_eq!(type_of(&model, Scheme::Q4_0, value).type_name, "q4_0");
}

#[test]
fn a_tied_embedding_takes_the_type_of_the_head() {
    let embedding = |t: &Tensor| t.role == TensorRole::TokenEmbedding;
    let model = model("llama-3.2-1b");
    assert_eq!(type_of(&model, Scheme::Q4KM, embedding).type_name, "q6_k");
    assert_eq!(type_of(&model, Scheme::Q8_0, embedding).type_name, "q8_0");
}

#[test]
fn rows_that_do_not_fill_blocks_fall_back() {
    let mut config: Value =
        serde_json::from_str(&data("configs/mixtral-8x7b/config.json")).unwrap();
    config["hidden_size"] = json!(2880);
    config["head_dim"] = json!(64);
    let model = Model::from_config_json(&config.to_string(), "test").unwrap();
    let role = |role: TensorRole| move |t: &Tensor| t.role == role;
    let type_of = |scheme, wanted| type_of(&model, scheme, role(wanted)).type_name;
    assert_eq!(type_of(Scheme::Q4KM, TensorRole::FfnGate), "q5_0");
    assert_eq!(type_of(Scheme::Q5KM, TensorRole::FfnGate), "q5_1");
    assert_eq!(type_of(Scheme::Q6K, TensorRole::FfnGate), "q8_0");
    assert_eq!(type_of(Scheme::Q4KM, TensorRole::Output), "q8_0");
    assert_eq!(type_of(Scheme::Q4_0, TensorRole::Output), "q8_0");
}

#[test]
fn rotary_frequencies_exist_only_in_gguf() {
    let frequencies = |t: &Tensor| t.role == TensorRole::RopeFrequencies;
    let model = model("llama-3.1-8b");
    assert_eq!(type_of(&model, Scheme::Q4KM, frequencies).bytes, 256);
    for scheme in [Scheme::F16, Scheme::Nf4] {
        assert_eq!(type_of(&model, scheme, frequencies).bytes, 0);
    }
}

#[test]
fn bitsandbytes_stages_112_mib_for_an_expert_matrix() {
    let expert = |t: &Tensor| t.component == ComponentId::Expert(0, 0);
    let stored = type_of(&model("mixtral-8x7b"), Scheme::Nf4, expert);
    assert_eq!((stored.bytes, stored.staged_bytes), (33_030_208, 112 << 20));
    assert_eq!(stored.type_name, "nf4");
    assert_eq!(type_of(&model("mixtral-8x7b"), Scheme::Q4KM, expert).staged_bytes, 0);
}

#[test]
fn scheme_names_read_back_and_know_their_peers() {
    for scheme in Scheme::ALL {
        assert_eq!(Scheme::parse(&scheme.name().to_uppercase()).unwrap(), scheme);
        assert!(scheme.alternatives().contains(&scheme));
        assert!(!scheme.description().is_empty());
    }
    assert_eq!(Scheme::parse("nf4_dq").unwrap(), Scheme::Nf4Dq);
    let error = Scheme::parse("q4_k_n").unwrap_err();
    assert!(error.hint_text().unwrap().contains("q4_k_m"));
    assert_eq!(Scheme::Nf4.default_staging(), Staging::Device);
    assert_eq!(Scheme::Q4KM.default_staging(), Staging::None);
}
