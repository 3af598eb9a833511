//! The types llama.cpp's quantizer chooses, against what it said itself.

mod limits;
mod published;
mod quantizer;

use apportion::dtype::GgmlType;
use apportion::quant::llama_cpp::{Facts, FileType, Recipe, Row};
use serde_json::Value;

fn data(name: &str) -> Value {
    let path = format!("{}/tests/data/oracle/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// `"0-3,6"` as 0, 1, 2, 3, 6; nothing of an empty text.
fn numbers(ranges: &str) -> Vec<u32> {
    let number = |text: &str| text.parse::<u32>().unwrap();
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        number(first)..=number(last)
    };
    ranges.split(',').filter(|text| !text.is_empty()).flat_map(range).collect()
}

/// The names of a template: `blk.{}.attn_q.weight` in layers `"0-3"`.
fn names(template: &str, ranges: &str) -> Vec<String> {
    if ranges.is_empty() {
        return vec![template.to_owned()];
    }
    let name = |number: u32| template.replace("{}", &number.to_string());
    numbers(ranges).into_iter().map(name).collect()
}

/// A tensor with the type the quantizer gave it.
#[derive(Debug)]
struct Answer {
    name: String,
    shape: Vec<u64>,
    type_name: String,
}

fn rows(answers: &[Answer]) -> Vec<Row<'_>> {
    answers.iter().map(|a| Row { name: &a.name, shape: &a.shape }).collect()
}

/// Fails with the first tensor that gets another type.
fn compare(recipe: &Recipe, facts: &Facts<'_>, answers: &[Answer]) {
    let types = recipe.types(facts, &rows(answers)).unwrap();
    for (answer, chosen) in answers.iter().zip(&types) {
        let file_type = recipe.file_type.name();
        assert_eq!(chosen.name(), answer.type_name, "{facts:?} {file_type} {answer:?}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "compared with numbers of three digits")]
fn mebibytes(kind: GgmlType, shape: &[u64]) -> f64 {
    kind.bytes(shape.iter().product()).unwrap() as f64 / 1_048_576.0
}

#[test]
fn every_row_of_18_levels_of_three_models() {
    let facts = |model: &str| match model {
        "llama-3.1-8b" => ("llama", 32, 0, 8),
        "mixtral-8x7b" => ("llama", 32, 8, 8),
        "qwen3-30b-a3b" => ("qwen3moe", 48, 128, 4),
        other => panic!("{other}"),
    };
    let runs = data("quantize-dry-run.json");
    assert_eq!(runs.as_array().unwrap().len(), 54);
    for run in runs.as_array().unwrap() {
        let (architecture, layers, experts, kv_heads) = facts(run["model"].as_str().unwrap());
        let facts = Facts {
            architecture,
            layers,
            experts,
            heads: 32,
            kv_heads,
            source_experts_mxfp4: false,
        };
        let mut answers = Vec::new();
        let mut total_mib = 0.0;
        for row in run["tensors"].as_array().unwrap() {
            let text = |at: usize| row[at].as_str().unwrap();
            let mut shape: Vec<u64> =
                text(2).split(',').rev().map(|n| n.parse().unwrap()).collect();
            while shape.len() > 1 && shape[0] == 1 {
                shape.remove(0);
            }
            let kind = GgmlType::from_name(text(3)).unwrap();
            // Printed with two or three digits.
            let mib = mebibytes(kind, &shape);
            assert!((mib - row[4].as_f64().unwrap()).abs() < 0.005_001, "{row}");
            for name in names(text(0), text(1)) {
                total_mib += mib;
                answers.push(Answer { name, shape: shape.clone(), type_name: kind.name().into() });
            }
        }
        assert!((total_mib - run["mib"].as_f64().unwrap()).abs() < 0.005_001, "{total_mib}");
        let file_type = FileType::parse(run["type"].as_str().unwrap()).unwrap();
        compare(&Recipe { imatrix: false, ..Recipe::new(file_type) }, &facts, &answers);
    }
}
