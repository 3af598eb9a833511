//! Schemes outside GGUF: totals of models, names, and what is left alone.

use std::collections::BTreeSet;

use apportion::model::{ComponentId, Model, Tensor, TensorRole};
use apportion::quant::{Override, Scheme, Staging, Storage, StoredTensor};
use serde_json::{Value, json};

use super::{data, model};

fn store(model: &Model, scheme: &str) -> Storage {
    Scheme::parse(scheme).unwrap().store(model).unwrap()
}

fn total(name: &str, scheme: &str) -> u64 {
    store(&model(name), scheme).bytes()
}

fn rows(storage: &Storage) -> impl Iterator<Item = (&Tensor, &StoredTensor)> {
    storage.tensors.iter().zip(&storage.stored)
}

#[test]
fn totals_of_mixtral_8x7b() {
    // Evaluated from the layouts of each tool by a calculator of its own; head, embedding and norms in
    // 16 bit, and the router where the tool leaves it out.
    for (scheme, bytes) in [
        ("nf4", 26_647_595_008),
        ("fp4", 26_647_595_008),
        ("nf4-dq", 24_482_994_048),
        ("fp4-dq", 24_482_994_048),
        ("nf4:v5", 91_476_213_760),
        ("int8", 47_000_069_120),
        ("gptq-4bit-g128", 24_678_768_640),
        ("awq-4bit-g128", 24_653_602_816),
    ] {
        assert_eq!(total("mixtral-8x7b", scheme), bytes, "{scheme}");
    }
}

/// Parameters of Mixtral 8x7B by what happens to them.
const MAPS: u64 = 32 * (8 * 3 * 14336 * 4096 + 2 * 4096 * 4096 + 2 * 1024 * 4096);
const TABLES: u64 = 2 * 32000 * 4096;
const ROUTERS: u64 = 32 * 8 * 4096;
const NORMS: u64 = 65 * 4096;
/// Matrices of attention and experts.
const MATRICES: u64 = 32 * (8 * 3 + 4);

#[test]
fn totals_by_what_each_tool_quantizes() {
    let rest = 2 * (TABLES + ROUTERS + NORMS);
    let rows = 32 * (8 * (2 * 14336 + 4096) + 2 * 4096 + 2 * 1024);
    for (scheme, bytes) in [
        ("fp8", MAPS + 4 * MAPS / (128 * 128) + rest),
        ("fp8:ue8m0", MAPS + MAPS / (128 * 128) + rest),
        ("fp8:tensor", MAPS + 4 * MATRICES + rest),
        ("fp8-dynamic", MAPS + 2 * rows + rest),
        ("fp8-tensor", MAPS + 4 * MATRICES + rest),
        ("fp8-block", MAPS + 2 * MAPS / (128 * 128) + rest),
        ("w8a8", MAPS + 2 * rows + rest),
        ("w4a16", MAPS / 2 + 2 * MAPS / 128 + 16 * MATRICES + rest),
        ("nvfp4", MAPS / 2 + MAPS / 16 + 8 * MATRICES + rest),
        ("mxfp4a16", MAPS / 2 + MAPS / 32 + rest),
        // Routers are linear layers like any other.
        ("hqq-4bit-g64", (MAPS + ROUTERS) / 64 * (32 + 4) + 2 * (TABLES + NORMS)),
        ("mlx-4bit", (MAPS + ROUTERS + TABLES) / 64 * (32 + 4) + 2 * NORMS),
        ("mlx-mxfp8", (MAPS + ROUTERS + TABLES) / 32 * 33 + 2 * NORMS),
        // Only experts.
        (
            "mxfp4",
            17 * (32 * 8 * 3 * 14336 * 4096 / 32) + 2 * (32 * (2 * 4096 + 2 * 1024) * 4096) + rest,
        ),
    ] {
        assert_eq!(total("mixtral-8x7b", scheme), bytes, "{scheme}");
    }
}

#[test]
fn mlx_gives_routers_of_qwen3_eight_bits() {
    let model = model("qwen3-30b-a3b");
    let storage = store(&model, "mlx-4bit");
    let of = |role| rows(&storage).find(|(t, _)| t.role == role).unwrap().1;
    assert_eq!(of(TensorRole::Router).type_name, "mlx-8bit");
    assert_eq!(of(TensorRole::Router).bytes, 128 * 2048 + 128 * 2048 / 64 * 4);
    assert_eq!(of(TensorRole::TokenEmbedding).type_name, "mlx-4bit");
    assert_eq!(of(TensorRole::AttnQ).type_name, "mlx-4bit");
    assert_eq!(of(TensorRole::Norm).type_name, "bf16");
}

/// A model whose rows divide by 32 and little else.
fn odd() -> Model {
    let mut config: Value =
        serde_json::from_str(&data("configs/mixtral-8x7b/config.json")).unwrap();
    config["hidden_size"] = json!(2880);
    config["head_dim"] = json!(64);
    config["intermediate_size"] = json!(1440);
    Model::from_config_json(&config.to_string(), "test").unwrap()
}

#[test]
fn a_tool_that_cannot_pack_a_matrix_names_it() {
    let model = odd();
    for scheme in ["awq-4bit-g128", "w4a16", "fp8-block"] {
        let error = Scheme::parse(scheme).unwrap().store(&model).unwrap_err().to_string();
        assert!(error.contains("model.layers.0.self_attn.q_proj.weight"), "{scheme}: {error}");
        assert!(error.contains("2880 inputs, not a multiple of 128"), "{scheme}: {error}");
    }
    // Short groups and short blocks are part of these formats.
    for scheme in ["gptq-4bit-g128", "fp8", "nf4", "hqq-4bit-g64", "w4a16-g32", "nvfp4"] {
        assert!(Scheme::parse(scheme).unwrap().store(&model).is_ok(), "{scheme}");
    }
}

#[test]
fn what_stays_in_16_bit_is_said_with_its_bytes() {
    let notices = |model: &Model, scheme: &str| {
        Scheme::parse(scheme).unwrap().notices(model).unwrap().join("\n")
    };
    let mixtral = model("mixtral-8x7b");
    assert_eq!(
        notices(&mixtral, "nf4:v5"),
        "transformers 5 keeps the experts of this model in 16 bit: \
         90,194,313,216 of 91,476,213,760 bytes are not quantized"
    );
    for scheme in ["nf4", "q4_k_m", "mxfp4", "fp8", "mlx-4bit", "f16"] {
        assert_eq!(notices(&mixtral, scheme), "", "{scheme}");
    }
    let dense = model("llama-3.1-8b");
    assert_eq!(notices(&dense, "nf4:v5"), "");
    assert!(notices(&dense, "mxfp4").contains("this model has none"));
    // 1440 is no multiple of 64: the way down of 32 x 8 experts.
    let down = 32 * 8 * 2 * 2880 * 1440_u64;
    let said = notices(&odd(), "mlx-4bit");
    assert!(said.contains("256 matrices"), "{said}");
    assert!(said.replace(',', "").contains(&format!(": {down} of ")), "{said}");
}

#[test]
fn every_name_reads_back_as_itself() {
    let mut names: BTreeSet<String> = Scheme::all().iter().map(Scheme::name).collect();
    let all = names.len();
    let mut try_to_add = |name: String| {
        if let Ok(scheme) = Scheme::parse(&name) {
            names.insert(scheme.name());
        }
    };
    let groups =
        ["", "-g8", "-g16", "-g32", "-g64", "-g96", "-g128", "-g256", "-g1024", "-channel"];
    for bits in 0..=9 {
        for group in groups {
            for kind in ["gptq", "awq", "hqq", "mlx"] {
                for option in ["", ":gemv", ":gemm"] {
                    try_to_add(format!("{kind}-{bits}bit{group}{option}"));
                }
            }
            for asym in ["", "-asym"] {
                try_to_add(format!("w{bits}a16{group}{asym}"));
            }
        }
    }
    for form in ["int8", "nf4", "nf4-dq", "fp4", "fp4-dq"] {
        for option in [":v5", ":v4", ":block=32", ":block=4096,v5", ":block=64"] {
            try_to_add(format!("{form}{option}"));
        }
    }
    for option in ["ue8m0", "static", "tensor", "tensor,static", "1x32", "64x64,ue8m0,static"] {
        try_to_add(format!("fp8:{option}"));
    }
    assert!(names.len() > all + 80, "{} names, {all} of them listed", names.len());
    for name in &names {
        let scheme = Scheme::parse(name).unwrap();
        assert_eq!(&scheme.name(), name);
        assert_eq!(Scheme::parse(&name.to_uppercase()).unwrap(), scheme, "{name}");
        assert!(scheme.alternatives().contains(&scheme), "{name}");
        assert!(scheme.alternatives().iter().all(|other| other.kind() == scheme.kind()), "{name}");
        assert!(!scheme.description().is_empty());
    }
}

#[test]
fn names_as_people_write_them() {
    for (written, name) in [
        ("GPTQ-4bit", "gptq-4bit-g128"),
        ("gptq", "gptq-4bit-g128"),
        ("gptq_8bit_g32", "gptq-8bit-g32"),
        ("awq", "awq-4bit-g128"),
        ("hqq", "hqq-4bit-g64"),
        ("W4A16", "w4a16"),
        ("w4a16-g128", "w4a16"),
        ("FP8-Dynamic", "fp8-dynamic"),
        ("NVFP4", "nvfp4"),
        ("mlx-4bit-g64", "mlx-4bit"),
        ("nf4:v4", "nf4"),
        ("fp8:128x128", "fp8"),
    ] {
        assert_eq!(Scheme::parse(written).unwrap().name(), name, "{written}");
    }
    for (wrong, near) in [("gptq-4bt-g128", "gptq-4bit-g128"), ("mlx-4bits", "mlx-4bit")] {
        let error = Scheme::parse(wrong).unwrap_err();
        assert!(error.hint_text().unwrap().contains(near), "{wrong}");
    }
    assert!(Scheme::parse("gptq-4bit:v5").unwrap_err().to_string().contains("without options"));
    assert!(Scheme::parse("nf4:v7").unwrap_err().to_string().contains("v4, v5"));
}

#[test]
fn alternatives_keep_what_loads_them() {
    let names = |name: &str| -> Vec<String> {
        Scheme::parse(name).unwrap().alternatives().iter().map(Scheme::name).collect()
    };
    assert_eq!(names("nf4:v5"), ["int8:v5", "nf4:v5", "nf4-dq:v5", "fp4:v5", "fp4-dq:v5"]);
    assert_eq!(
        names("awq-4bit-channel:gemv"),
        ["awq-4bit-channel:gemv", "awq-4bit-g32:gemv", "awq-4bit-g64:gemv", "awq-4bit-g128:gemv"]
    );
    assert_eq!(names("mxfp4"), ["mxfp4"]);
}

fn with(scheme: &str, overrides: &[&str]) -> Result<Scheme, apportion::error::Error> {
    let overrides = overrides.iter().map(|text| Override::parse(text)).collect::<Result<_, _>>()?;
    Scheme::parse(scheme)?.with_overrides(overrides)
}

#[test]
fn overrides_mix_types_of_one_world() {
    let model = model("mixtral-8x7b");
    let expert = |scheme: &str, overrides: &[&str], id| {
        let storage = with(scheme, overrides).unwrap().store(&model).unwrap();
        let (_, stored) = rows(&storage).find(|(t, _)| t.component == id).unwrap();
        (stored.type_name, stored.bytes)
    };
    let (first, second) = (ComponentId::Expert(3, 0), ComponentId::Expert(3, 1));
    let n = 14336 * 4096_u64;
    let mixed = ["layers.*.experts.0=int8"];
    assert_eq!(expert("nf4", &mixed, first), ("int8", n + 4 * 14336));
    assert_eq!(expert("nf4", &mixed, second), ("nf4", 33_030_208));
    assert_eq!(expert("nf4", &["*experts*=skip"], first), ("f16", 2 * n));
    assert_eq!(expert("fp8", &["*experts*=skip"], first), ("bf16", 2 * n));
    assert_eq!(expert("bf16", &["*experts*=nf4:block=128"], first).0, "nf4");
    assert_eq!(expert("mlx-4bit", &["*experts.0=mlx-8bit"], first), ("mlx-8bit", n + n / 16));
    assert_eq!(expert("q4_k_m", &["layers.*.experts.0=q8_0"], first), ("q8_0", n / 32 * 34));
    assert_eq!(expert("q4_k_m", &["layers.*.experts.0=q8_0"], second).0, "q4_k");
    // The last that matches counts, and only it has to fit.
    assert_eq!(expert("nf4", &["*=int8", "*experts*=nf4"], first).0, "nf4");
    for (scheme, wrong) in [
        ("nf4", "*=q4_k"),
        ("q4_k_m", "*=nf4"),
        ("nf4", "*=gptq-4bit"),
        ("nf4", "*=int8:v5"),
        ("nf4", "*"),
        ("nf4", "=int8"),
        ("nf4", "[=int8"),
    ] {
        assert!(with(scheme, &[wrong]).is_err(), "{scheme} {wrong}");
    }
    assert!(with("nf4", &["nothing=int8"]).unwrap().store(&model).is_err());
    let optional = with("nf4", &["nothing=int8?"]).unwrap();
    assert_eq!(optional.store(&model).unwrap(), store(&model, "nf4"));
    assert_eq!(optional.overrides()[0].to_string(), "nothing=int8?");
}

#[test]
fn only_what_is_quantized_while_loading_is_staged() {
    let staging =
        |scheme: &str, overrides: &[&str]| with(scheme, overrides).unwrap().default_staging();
    assert_eq!(staging("fp4", &[]), Staging::Device);
    assert_eq!(staging("bf16", &["*experts*=nf4"]), Staging::Device);
    let loaded = ["bf16", "gptq-4bit", "awq", "hqq", "fp8", "mxfp4", "nvfp4", "w4a16", "mlx-4bit"];
    for scheme in loaded {
        assert_eq!(staging(scheme, &[]), Staging::None, "{scheme}");
        assert!(store(&model("mixtral-8x7b"), scheme).stored.iter().all(|s| s.staged_bytes == 0));
    }
}
