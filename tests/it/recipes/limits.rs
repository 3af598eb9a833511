//! What holds for any names and shapes: refusals instead of panics, order where it must not matter.

use apportion::dtype::GgmlType;
use apportion::quant::llama_cpp::{Era, Facts, FileType, Recipe, Row};

use super::{data, quantizer, rows};

const FACTS: Facts<'_> = Facts {
    architecture: "qwen3moe",
    layers: 4,
    experts: 8,
    heads: 32,
    kv_heads: 4,
    source_experts_mxfp4: false,
};

const ERAS: [Era; 9] = [
    Era::MIXTRAL,
    Era::RESTORED_MIXES,
    Era::ATTN_OUTPUT_OF_8,
    Era::LAYER_FROM_NAME,
    Era::IQ4_NL,
    Era::MERGED_EXPERTS,
    Era::ROUTER_F32,
    Era::VISITED_BY_LAYER,
    Era::TENSOR_CATEGORIES,
];

fn one(recipe: &Recipe, facts: &Facts<'_>, name: &str, shape: &[u64]) -> Option<GgmlType> {
    recipe.types(facts, &[Row { name, shape }]).ok().map(|types| types[0])
}

#[test]
fn hostile_names_and_shapes_get_a_type_or_a_refusal() {
    let names = [
        "",
        ".",
        "weight",
        "blk.",
        "blk..weight",
        "blk.output.weight",
        "blk.99999999999999999999.ffn_down.weight",
        "blk.4294967295.ffn_down_exps.weight",
        "ffn_down.weight",
        "blk.3.attn_v.weight\u{0}",
        "blk.\u{661}.attn_v.weight",
        "ffn_upffn_gateattn_v.weight",
    ];
    let shapes: [&[u64]; 6] =
        [&[], &[0], &[0, 0], &[u64::MAX, u64::MAX], &[1, 1, 1, 1, 7], &[u64::MAX, 2, 2, 1 << 40]];
    let odd = [0, 1, u64::MAX];
    for file_type in FileType::ALL {
        for (heads, layers) in odd.iter().zip([0, 1, u32::MAX]) {
            let facts = Facts { heads: *heads, kv_heads: odd[1], layers, ..FACTS };
            for era in ERAS {
                let recipe = Recipe { era, ..Recipe::new(file_type) };
                for (name, shape) in names.iter().flat_map(|n| shapes.map(|shape| (n, shape))) {
                    one(&recipe, &facts, name, shape);
                }
            }
        }
    }
}

#[test]
fn what_the_quantizer_refuses_is_refused_by_name() {
    let recipe = Recipe::new(FileType::Q4KM);
    let refused = |name: &str| {
        let row = Row { name, shape: &[2048, 2048] };
        recipe.types(&FACTS, &[row]).unwrap_err().to_string()
    };
    assert_eq!(
        refused("blk.4.ffn_down.weight"),
        "cannot choose the type of the tensor `blk.4.ffn_down.weight`: \
         expected a layer below 4, found none or another"
    );
    assert!(refused("ffn_down.weight").contains("a layer below 4"));
    let too_narrow = Recipe { output_type: Some(GgmlType::Q6K), ..recipe };
    let row = Row { name: "output.weight", shape: &[2048, 2880] };
    let error = too_narrow.types(&FACTS, &[row]).unwrap_err().to_string();
    assert!(error.contains("rows of whole blocks of 256, as q6_k has"), "{error}");
}

#[test]
fn a_name_without_a_layer_is_not_taken_for_one_with() {
    // The same after its beginning, but not the output matrix.
    let recipe = Recipe::new(FileType::Q4KM);
    let shape: &[u64] = &[2048, 2048];
    let rows = ["blk.output.weight", "output.weight", "blk.1output.weight"]
        .map(|name| Row { name, shape });
    let types = recipe.types(&FACTS, &rows).unwrap();
    assert_eq!(types, [GgmlType::Q4K, GgmlType::Q6K, GgmlType::Q4K]);
}

#[test]
fn the_order_given_matters_only_where_files_were_read_in_order() {
    let file = data("quantize-types.json");
    for model in file.as_array().unwrap().iter().map(quantizer::model) {
        let answers = quantizer::answers(&model, "");
        let rows = rows(&answers);
        let backwards: Vec<Row<'_>> = rows.iter().rev().copied().collect();
        for file_type in [FileType::Q4KM, FileType::Q3KM, FileType::Iq2M, FileType::Q4KS] {
            let recipe = Recipe::new(file_type);
            let mut reversed = recipe.types(&model.facts, &backwards).unwrap();
            reversed.reverse();
            assert_eq!(recipe.types(&model.facts, &rows).unwrap(), reversed);
        }
    }
    // Four layers get five bits for values: the first ones, or once the first ones of the file.
    let names: Vec<String> = (0..8).rev().map(|n| format!("blk.{n}.attn_v.weight")).collect();
    let rows: Vec<Row<'_>> = names.iter().map(|name| Row { name, shape: &[256, 256] }).collect();
    let facts = Facts { architecture: "llama", layers: 8, experts: 0, ..FACTS };
    let first = |era| {
        let recipe = Recipe { era, ..Recipe::new(FileType::Q4KS) };
        recipe.types(&facts, &rows).unwrap()[0]
    };
    assert_eq!(first(Era::default()), GgmlType::Q4K);
    assert_eq!(first(Era::ROUTER_F32), GgmlType::Q5K);
}

#[test]
fn dense_q2_k_was_mostly_3_bit() {
    // llama.cpp's quantizer of November 2023; files of Llama 2 7B had 2.83 GB then.
    let facts = Facts { architecture: "llama", layers: 32, experts: 0, kv_heads: 32, ..FACTS };
    let old = Recipe { era: Era::MIXTRAL, ..Recipe::new(FileType::Q2K) };
    let new = Recipe::new(FileType::Q2K);
    let shape = &[11008, 4096];
    assert_eq!(one(&old, &facts, "blk.3.ffn_gate.weight", shape), Some(GgmlType::Q3K));
    assert_eq!(one(&new, &facts, "blk.3.ffn_gate.weight", shape), Some(GgmlType::Q2K));
    let grouped = Facts { kv_heads: 8, ..facts };
    assert_eq!(one(&old, &grouped, "blk.3.attn_v.weight", shape), Some(GgmlType::Q3K));
    assert_eq!(one(&new, &grouped, "blk.3.attn_v.weight", shape), Some(GgmlType::Q4K));
}

#[test]
fn fused_attention_changed_its_rules_in_2026() {
    let facts = Facts { architecture: "phi3", layers: 32, experts: 0, kv_heads: 32, ..FACTS };
    let shape = &[9216, 3072];
    let chosen = |file_type, era| {
        let recipe = Recipe { era, ..Recipe::new(file_type) };
        one(&recipe, &facts, "blk.9.attn_qkv.weight", shape)
    };
    assert_eq!(chosen(FileType::Q4KM, Era::VISITED_BY_LAYER), Some(GgmlType::Q5K));
    // The only one of its kind here, and so among the last eighth.
    assert_eq!(chosen(FileType::Q4KM, Era::TENSOR_CATEGORIES), Some(GgmlType::Q6K));
    assert_eq!(chosen(FileType::Q3KL, Era::VISITED_BY_LAYER), Some(GgmlType::Q4K));
    assert_eq!(chosen(FileType::Q3KL, Era::TENSOR_CATEGORIES), Some(GgmlType::Q5K));
}

#[test]
fn experts_of_a_layer_once_differed() {
    // For three days every third matrix got more bits, not every third layer (PR 4927 tells).
    let facts = Facts { architecture: "llama", layers: 32, ..FACTS };
    let names: Vec<String> = (0..32)
        .flat_map(|layer| (0..8).map(move |e| format!("blk.{layer}.ffn_down.{e}.weight")))
        .collect();
    let rows: Vec<Row<'_>> = names.iter().map(|name| Row { name, shape: &[4096, 14336] }).collect();
    let kinds_of_layer_5 = |era| {
        let recipe = Recipe { era, ..Recipe::new(FileType::Q4KM) };
        let mut kinds = recipe.types(&facts, &rows).unwrap()[40..48].to_vec();
        kinds.sort();
        kinds.dedup();
        kinds
    };
    assert_eq!(kinds_of_layer_5(Era::MIXTRAL), [GgmlType::Q4K]);
    assert_eq!(kinds_of_layer_5(Era::RESTORED_MIXES), [GgmlType::Q4K, GgmlType::Q6K]);
    assert_eq!(kinds_of_layer_5(Era::LAYER_FROM_NAME), [GgmlType::Q4K]);
}
