//! Schemes against published sizes and the types llama.cpp chooses.

use std::collections::BTreeMap;

use apportion::model::{ComponentId, Model, Tensor, TensorRole};
use apportion::quant::{Scheme, Staging, Storage, StoredTensor};
use serde_json::{Value, json};

use super::{data, model, numbers};

fn store(model: &Model, scheme: &str) -> Storage {
    Scheme::parse(scheme).unwrap().store(model).unwrap()
}

fn total(model: &Model, scheme: &str) -> u64 {
    store(model, scheme).bytes()
}

#[test]
fn totals_of_mixtral_8x7b() {
    // GGUF: tensor bytes of published files; bitsandbytes: its storage formulas, head in 16 bit.
    let model = model("mixtral-8x7b");
    for (scheme, bytes) in [
        ("f32", 186_811_170_816),
        ("f16", 93_405_585_408),
        ("bf16", 93_405_585_408),
        ("nf4", 26_647_595_008),
        ("nf4-dq", 24_482_994_048),
        ("int8", 47_000_069_120),
        ("q8_0", 49_625_579_520),
        ("q6_k", 38_380_077_056),
        ("q5_k_m", 33_228_840_960),
        ("q4_k_m", 28_447_727_616),
        ("q4_0", 26_442_850_304),
    ] {
        assert_eq!(total(&model, scheme), bytes, "{scheme}");
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
                ("q4_k_m", 4_920_739_232),
                ("q5_k_m", 5_732_992_416),
                ("q6_k", 6_596_011_424),
                ("q8_0", 8_540_775_840),
            ],
        ),
        // MaziyarPanahi/Mistral-7B-Instruct-v0.3-GGUF
        (
            "mistral-7b-v0.3",
            757_920,
            [
                ("q4_k_m", 4_372_811_936),
                ("q5_k_m", 5_136_175_264),
                ("q6_k", 5_947_248_800),
                ("q8_0", 7_702_565_024),
            ],
        ),
        // unsloth/Qwen3-30B-A3B-GGUF
        (
            "qwen3-30b-a3b",
            5_970_496,
            [
                ("q4_k_m", 18_556_686_912),
                ("q5_k_m", 21_725_581_888),
                ("q6_k", 25_092_532_800),
                ("q8_0", 32_483_932_736),
            ],
        ),
    ] {
        let model = model(name);
        for (scheme, file) in files {
            assert_eq!(total(&model, scheme), file - header, "{name} {scheme}");
        }
    }
}

#[test]
fn published_mixtral_files_have_a_16_bit_router() {
    // MaziyarPanahi/Mixtral-8x7B-Instruct-v0.1-GGUF, made before routers were written in f32.
    let model = model("mixtral-8x7b");
    let router_difference = 2 * 32 * 8 * 4096;
    for (scheme, file) in [
        ("q4_k_m", 28_446_410_624),
        ("q5_k_m", 33_227_523_968),
        ("q6_k", 38_378_760_064),
        ("q8_0", 49_624_262_528_u64),
    ] {
        assert_eq!(total(&model, scheme) - router_difference + 780_160, file, "{scheme}");
    }
}

#[test]
fn experts_of_different_layers_differ() {
    let model = model("mixtral-8x7b");
    let storage = store(&model, "q4_k_m");
    let bytes = |belongs: &dyn Fn(ComponentId) -> bool| {
        let tensors = storage.tensors.iter().zip(&storage.stored);
        tensors.filter(|(t, _)| belongs(t.component)).map(|(_, s)| s.bytes).sum::<u64>()
    };
    assert_eq!(bytes(&|id| id.layer() == Some(0)), 943_882_240);
    assert_eq!(bytes(&|id| id.layer() == Some(4)), 822_771_712);
    assert_eq!(bytes(&|id| id == ComponentId::Expert(0, 3)), 114_229_248);
    assert_eq!(bytes(&|id| id == ComponentId::Expert(4, 3)), 99_090_432);
}

/// Name, type and dimensions of every tensor of a file, merged ones once.
fn file(storage: &Storage) -> BTreeMap<String, (String, Vec<u64>)> {
    let tensors = storage.tensors.iter().zip(&storage.stored);
    let row = |(tensor, stored): (&Tensor, &StoredTensor)| {
        (tensor.name.clone(), (stored.type_name.to_owned(), tensor.file_shape()))
    };
    tensors.map(row).collect()
}

/// The same of one of llama.cpp's dry runs; its sparse inputs have no rotary frequencies.
fn dry_run(run: &Value) -> BTreeMap<String, (String, Vec<u64>)> {
    let mut tensors = BTreeMap::new();
    for row in run["tensors"].as_array().unwrap() {
        let (name, ranges) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
        let layers = if ranges.is_empty() { vec![0] } else { numbers(ranges) };
        let dimensions = row[2].as_str().unwrap().split(',').map(|d| d.parse::<u64>().unwrap());
        let mut shape: Vec<u64> = dimensions.collect();
        while shape.len() > 1 && shape.last() == Some(&1) {
            shape.pop();
        }
        shape.reverse();
        for layer in layers {
            let name = name.replacen("{}", &layer.to_string(), 1);
            let kind = row[3].as_str().unwrap().to_lowercase();
            tensors.insert(name, (kind, shape.clone()));
        }
    }
    tensors
}

#[test]
fn types_are_those_llama_cpp_chooses() {
    let runs: Value = serde_json::from_str(&data("oracle/quantize-dry-run.json")).unwrap();
    let mut compared = 0;
    for run in runs.as_array().unwrap() {
        let model = model(run["model"].as_str().unwrap());
        let name = run["type"].as_str().unwrap();
        // Floats are also what published checkpoints hold, which have the plain names.
        let name = if name.ends_with("F16") { format!("gguf-{name}") } else { name.to_owned() };
        let Ok(scheme) = Scheme::parse(&name) else { continue };
        let mut ours = file(&scheme.store(&model).unwrap());
        ours.remove("rope_freqs.weight");
        let theirs = dry_run(run);
        let wrong = theirs.iter().find(|(name, row)| ours.get(*name) != Some(*row));
        assert_eq!(wrong, None, "{} {name}", run["model"]);
        assert_eq!(ours.len(), theirs.len(), "{} {name}", run["model"]);
        compared += 1;
    }
    assert_eq!(compared, 54, "18 types of three models");
}

fn type_of(model: &Model, scheme: &str, wanted: impl Fn(&Tensor) -> bool) -> StoredTensor {
    let storage = store(model, scheme);
    let index = storage.tensors.iter().position(wanted).unwrap();
    storage.stored[index].clone()
}

#[test]
fn values_of_the_70b_get_more_bits() {
    // llama.cpp: eight query heads share one value head in the 70B models, so Q4_K becomes Q5_K.
    let value =
        |t: &Tensor| t.component == ComponentId::Attention(10) && t.role == TensorRole::AttnV;
    let more = |t: &Tensor| t.component == ComponentId::Attention(0) && t.role == TensorRole::AttnV;
    let model = model("llama-3.1-70b");
    assert_eq!(type_of(&model, "q4_k_m", value).type_name, "q5_k");
    assert_eq!(type_of(&model, "q4_k_m", more).type_name, "q6_k");
    assert_eq!(type_of(&model, "q4_0", value).type_name, "q4_0");
}

#[test]
fn a_tied_embedding_takes_the_type_of_the_head() {
    let embedding = |t: &Tensor| t.role == TensorRole::TokenEmbedding;
    let model = model("llama-3.2-1b");
    assert_eq!(type_of(&model, "q4_k_m", embedding).type_name, "q6_k");
    assert_eq!(type_of(&model, "q8_0", embedding).type_name, "q8_0");
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
    assert_eq!(type_of("q4_k_m", TensorRole::FfnGate), "q5_0");
    assert_eq!(type_of("q5_k_m", TensorRole::FfnGate), "q5_1");
    assert_eq!(type_of("q6_k", TensorRole::FfnGate), "q8_0");
    assert_eq!(type_of("q4_k_m", TensorRole::Output), "q8_0");
    assert_eq!(type_of("q4_0", TensorRole::Output), "q8_0");
}

#[test]
fn rotary_frequencies_exist_only_in_gguf() {
    let frequencies = |t: &Tensor| t.role == TensorRole::RopeFrequencies;
    let model = model("llama-3.1-8b");
    assert_eq!(type_of(&model, "q4_k_m", frequencies).bytes, 256);
    for scheme in ["f32", "nf4"] {
        assert!(!store(&model, scheme).tensors.iter().any(frequencies));
    }
}

#[test]
fn bitsandbytes_stages_112_mib_for_an_expert_matrix() {
    let expert = |t: &Tensor| t.component == ComponentId::Expert(0, 0);
    let stored = type_of(&model("mixtral-8x7b"), "nf4", expert);
    assert_eq!((stored.bytes, stored.staged_bytes), (33_030_208, 112 << 20));
    assert_eq!(stored.type_name, "nf4");
    assert_eq!(type_of(&model("mixtral-8x7b"), "q4_k_m", expert).staged_bytes, 0);
}

#[test]
fn scheme_names_read_back_and_know_their_peers() {
    for scheme in Scheme::all() {
        assert_eq!(Scheme::parse(&scheme.name().to_uppercase()).unwrap(), scheme);
        assert!(scheme.alternatives().contains(&scheme));
        assert!(!scheme.description().is_empty());
    }
    let scheme = |name: &str| Scheme::parse(name).unwrap();
    assert_eq!(scheme("nf4_dq").name(), "nf4-dq");
    let error = Scheme::parse("q4_k_n").unwrap_err();
    assert!(error.hint_text().unwrap().contains("q4_k_m"));
    assert_eq!(scheme("nf4").default_staging(), Staging::Device);
    assert_eq!(scheme("q4_k_m").default_staging(), Staging::None);
}
