//! Published files: which recipe made each of them, to the byte or to every digit given.
//!
//! The figures and where they come from are in the ground truth of the project; tensors are listed here
//! as the files have them.

use apportion::dtype::GgmlType;
use apportion::quant::llama_cpp::{Era, Facts, FileType, Recipe, Row};

use super::{data, quantizer, rows};

/// The shape of a model, as far as the files below need it.
struct Shape {
    facts: Facts<'static>,
    hidden: u64,
    head: u64,
    ffn: u64,
    vocabulary: u64,
    /// Experts as matrices of their own.
    split: bool,
    /// A tensor of rotary factors, and norms of queries and keys.
    rotary: bool,
    head_norms: bool,
}

fn facts(
    architecture: &'static str,
    layers: u32,
    experts: u32,
    heads: u64,
    kv: u64,
) -> Facts<'static> {
    Facts { architecture, layers, experts, heads, kv_heads: kv, source_experts_mxfp4: false }
}

fn mixtral(split: bool) -> Shape {
    Shape {
        facts: facts("llama", 32, 8, 32, 8),
        hidden: 4096,
        head: 128,
        ffn: 14336,
        vocabulary: 32000,
        split,
        rotary: false,
        head_norms: false,
    }
}

fn llama_3_1_8b() -> Shape {
    let facts = facts("llama", 32, 0, 32, 8);
    Shape { facts, vocabulary: 128_256, rotary: true, ..mixtral(false) }
}

fn qwen3_30b() -> Shape {
    Shape {
        facts: facts("qwen3moe", 48, 128, 32, 4),
        hidden: 2048,
        ffn: 768,
        vocabulary: 151_936,
        head_norms: true,
        ..mixtral(false)
    }
}

fn tensors(shape: &Shape) -> Vec<(String, Vec<u64>)> {
    let Shape { facts, hidden, ffn, vocabulary, .. } = *shape;
    let (queries, keys) = (facts.heads * shape.head, facts.kv_heads * shape.head);
    let experts = u64::from(facts.experts);
    let mut tensors: Vec<(String, Vec<u64>)> = vec![
        ("token_embd.weight".into(), vec![vocabulary, hidden]),
        ("output_norm.weight".into(), vec![hidden]),
        ("output.weight".into(), vec![vocabulary, hidden]),
    ];
    if shape.rotary {
        tensors.push(("rope_freqs.weight".into(), vec![64]));
    }
    for layer in 0..facts.layers {
        let mut add = |name: &str, shape: Vec<u64>| {
            tensors.push((format!("blk.{layer}.{name}.weight"), shape));
        };
        add("attn_q", vec![queries, hidden]);
        add("attn_k", vec![keys, hidden]);
        add("attn_v", vec![keys, hidden]);
        add("attn_output", vec![hidden, queries]);
        if shape.head_norms {
            add("attn_q_norm", vec![shape.head]);
            add("attn_k_norm", vec![shape.head]);
        }
        if experts > 0 {
            add("ffn_gate_inp", vec![experts, hidden]);
        }
        for (name, rows, row) in [("gate", ffn, hidden), ("down", hidden, ffn), ("up", ffn, hidden)]
        {
            if experts == 0 {
                add(&format!("ffn_{name}"), vec![rows, row]);
            } else if shape.split {
                (0..experts).for_each(|e| add(&format!("ffn_{name}.{e}"), vec![rows, row]));
            } else {
                add(&format!("ffn_{name}_exps"), vec![experts, rows, row]);
            }
        }
        add("attn_norm", vec![hidden]);
        add("ffn_norm", vec![hidden]);
    }
    tensors
}

/// Bytes of all tensors, and their elements.
fn size(shape: &Shape, recipe: &Recipe) -> (u64, u64) {
    let tensors = tensors(shape);
    let rows: Vec<Row<'_>> = tensors.iter().map(|(name, shape)| Row { name, shape }).collect();
    size_of(&shape.facts, &rows, recipe)
}

fn size_of(facts: &Facts<'_>, rows: &[Row<'_>], recipe: &Recipe) -> (u64, u64) {
    let types = recipe.types(facts, rows).unwrap();
    let elements = |row: &Row<'_>| row.shape.iter().product::<u64>();
    let bytes = |(row, kind): (&Row<'_>, &GgmlType)| kind.bytes(elements(row)).unwrap();
    (rows.iter().zip(&types).map(bytes).sum(), rows.iter().map(elements).sum())
}

fn recipe(file_type: &str, era: &str) -> Recipe {
    let file_type = FileType::parse(file_type).unwrap();
    let era = if era.is_empty() { Era::default() } else { Era::parse(era).unwrap() };
    Recipe { era, ..Recipe::new(file_type) }
}

/// In hundredths of a GiB, rounded.
fn hundredths_of_gib(bytes: u64) -> u64 {
    (bytes * 100 + (1 << 29)) >> 30
}

#[test]
fn mixtral_of_december_2023() {
    // TheBloke: whole files; the rest is their header.
    for (file_type, file, header) in [
        ("q2_k", 15_644_034_176, 779_392),
        ("q3_k_m", 20_363_355_584, 779_712),
        ("q4_k_m", 26_441_533_376_u64, 780_224),
    ] {
        let (bytes, _) = size(&mixtral(true), &recipe(file_type, "2023-12-14"));
        assert_eq!(file - bytes, header, "{file_type}");
    }
    for (file_type, expected) in [
        ("q2_k", 1457),
        ("q3_k_m", 1896),
        ("q4_k_m", 2462),
        ("q4_0", 2462),
        ("q5_k_m", 3002),
        ("q5_0", 3002),
        ("q6_k", 3574),
        ("q8_0", 4622),
    ] {
        let (bytes, _) = size(&mixtral(true), &recipe(file_type, "2023-12-14"));
        assert_eq!(hundredths_of_gib(bytes), expected, "{file_type}");
    }
    // Buffers of logs: all weights, and all but the embedding of 85.94 MiB.
    let (bytes, _) = size(&mixtral(true), &recipe("q5_k_m", "2023-12-14"));
    assert_eq!((bytes * 100 + (1 << 19)) >> 20, 3_073_549);
    let embedding = GgmlType::Q5K.bytes(32000 * 4096).unwrap();
    assert_eq!(((bytes - embedding) * 100 + (1 << 19)) >> 20, 3_064_955);
}

#[test]
fn mixtral_in_january_2024() {
    for (file_type, era, expected) in [
        ("q2_k_s", "2024-01-11", 1493),
        ("q2_k", "2024-01-11", 1599),
        ("q3_k_m", "2024-01-11", 2093),
        ("q2_k", "2024-01-13", 1612),
        ("q3_k_m", "2024-01-13", 2100),
    ] {
        let (bytes, _) = size(&mixtral(true), &recipe(file_type, era));
        assert_eq!(hundredths_of_gib(bytes), expected, "{file_type} {era}");
    }
}

#[test]
fn mixtral_of_spring_2024() {
    // MaziyarPanahi: merged experts, routers still in 16 bit.
    for (file_type, file) in [
        ("q2_k", 17_309_173_632),
        ("q3_k_m", 22_544_394_112),
        ("q4_k_m", 28_446_410_624),
        ("q5_k_m", 33_227_523_968),
        ("q6_k", 38_378_760_064),
        ("q8_0", 49_624_262_528_u64),
    ] {
        let (bytes, _) = size(&mixtral(false), &recipe(file_type, "2024-04-20"));
        assert_eq!(file - bytes, 780_160, "{file_type}");
    }
}

#[test]
fn qwen3_with_an_importance_matrix() {
    // unsloth, 2025: IQ4_NL and Q4_0 tell whether there was one.
    for (file_type, imatrix, file) in [
        ("iq4_nl", true, 17_310_782_016),
        ("q4_0", true, 17_379_988_032),
        ("q2_k", false, 11_258_610_240),
        ("q3_k_m", false, 14_711_847_488),
        ("q3_k_s", false, 13_292_468_800),
        ("q4_1", false, 19_192_500_800),
        ("q4_k_m", false, 18_556_686_912),
        ("q4_k_s", false, 17_456_009_792),
        ("q5_k_m", false, 21_725_581_888),
        ("q5_k_s", false, 21_080_511_040),
        ("q6_k", false, 25_092_532_800),
        ("q8_0", false, 32_483_932_736_u64),
    ] {
        let (bytes, _) = size(&qwen3_30b(), &Recipe { imatrix, ..recipe(file_type, "2025-05") });
        assert_eq!(file - bytes, 5_970_496, "{file_type}");
    }
    // In two parts: their headers together.
    let (bytes, _) = size(&qwen3_30b(), &recipe("bf16", ""));
    assert_eq!(61_095_803_424 - bytes, 5_970_464);
}

#[test]
fn llama_3_1_8b_to_four_decimals_of_a_bit() {
    // llama.cpp: tools/quantize/README.md; bits per weight in ten thousandths.
    for (file_type, imatrix, expected) in [
        ("iq1_s", true, 20042_u64),
        ("iq1_m", true, 21460),
        ("iq2_xxs", true, 23824),
        ("iq2_xs", true, 25882),
        ("iq2_s", true, 27403),
        ("iq2_m", true, 29294),
        ("iq3_xxs", true, 32548),
        ("iq3_xs", true, 34977),
        ("iq3_s", false, 36606),
        ("iq3_m", false, 37628),
        ("iq4_xs", false, 44597),
        ("iq4_nl", false, 46818),
        ("q2_k_s", true, 29697),
        ("q2_k", false, 31593),
        ("q3_k_s", false, 36429),
        ("q3_k_l", false, 42979),
        ("q4_k_s", false, 46672),
        ("q4_k_m", false, 48944),
        ("q5_k_s", false, 55704),
        ("q5_k_m", false, 57036),
        ("q6_k", false, 65633),
        ("q8_0", false, 85008),
        ("f16", false, 160_005),
    ] {
        let recipe = Recipe { imatrix, ..recipe(file_type, "") };
        let (bytes, elements) = size(&llama_3_1_8b(), &recipe);
        assert_eq!((bytes * 80_000 + elements / 2) / elements, expected, "{file_type}");
    }
}

/// Bytes and elements of a model whose tensors the quantizer's runs list.
fn size_of_listed(name: &str, recipe: &Recipe) -> (u64, u64) {
    let file = data("quantize-types.json");
    let models = file.as_array().unwrap();
    let model = quantizer::model(models.iter().find(|m| m["name"] == name).unwrap());
    let answers = quantizer::answers(&model, "");
    size_of(&model.facts, &rows(&answers), recipe)
}

#[test]
fn dense_files_without_settings() {
    let mistral = Shape { vocabulary: 32768, rotary: false, ..llama_3_1_8b() };
    for (file_type, file) in [
        ("iq1_m", 1_757_663_392),
        ("q2_k", 2_722_877_600),
        ("q3_k_m", 3_522_941_088),
        ("q4_k_m", 4_372_811_936),
        ("q5_k_m", 5_136_175_264),
        ("q6_k", 5_947_248_800),
        ("q8_0", 7_702_565_024_u64),
    ] {
        // MaziyarPanahi/Mistral-7B-Instruct-v0.3-GGUF
        assert_eq!(file - size(&mistral, &recipe(file_type, "")).0, 757_920, "{file_type}");
    }
    for (file_type, file) in [
        ("q2_k", 3_179_136_416),
        ("q3_k_m", 4_018_922_912),
        ("q4_k_m", 4_920_739_232),
        ("q5_k_m", 5_732_992_416),
        ("q6_k", 6_596_011_424),
        ("q8_0", 8_540_775_840_u64),
    ] {
        // bartowski/Meta-Llama-3.1-8B-Instruct-GGUF
        let bytes = size(&llama_3_1_8b(), &recipe(file_type, "")).0;
        assert_eq!(file - bytes, 7_840_928, "{file_type}");
    }
    for (file_type, file) in [
        ("q2_k", 3_015_940_800),
        ("q3_k_m", 3_808_391_872),
        ("q4_k_m", 4_683_074_240),
        ("q5_k_m", 5_444_831_936),
        ("q6_k", 6_254_199_488),
        ("q8_0", 8_098_525_888_u64),
    ] {
        // bartowski/Qwen2.5-7B-Instruct-GGUF
        let bytes = size_of_listed("qwen2.5-7b", &recipe(file_type, "")).0;
        assert_eq!(file - bytes, 5_954_240, "{file_type}");
    }
}

#[test]
fn deepseek_v2_lite_falls_back() {
    // Rows of 1408 and 10944; before 2026 `attn_kv_b` followed no rule. mradermacher's file; logs of
    // ik_llama.cpp say 9.649 GiB, 5.277 bits per weight, and 29.26 GiB in 16 bit.
    let (bytes, elements) = size_of_listed("deepseek-v2-lite", &recipe("q4_k_m", "2024-06"));
    assert_eq!(10_364_416_768 - bytes, 3_996_416);
    assert_eq!(hundredths_of_gib(bytes * 10), 9649);
    assert_eq!((bytes * 8000 + elements / 2) / elements, 5277);
    let (bytes, _) = size_of_listed("deepseek-v2-lite", &recipe("f16", ""));
    assert_eq!(hundredths_of_gib(bytes), 2926);
}

#[test]
fn gpt_oss_keeps_its_experts() {
    // lmstudio-community's file and tables of llama-bench.
    let (bytes, _) = size_of_listed("gpt-oss-20b-mxfp4", &recipe("mxfp4_moe", ""));
    assert_eq!(12_109_565_632 - bytes, 13_007_296);
    assert_eq!(hundredths_of_gib(bytes), 1127);
    let (bytes, _) = size_of_listed("gpt-oss-20b-mxfp4", &recipe("f16", ""));
    assert_eq!(hundredths_of_gib(bytes), 1283);
}
