//! Every file type on 40 shapes of models, as `llama-quantize --dry-run` decided them.

use std::collections::BTreeMap;

use apportion::dtype::GgmlType;
use apportion::quant::llama_cpp::{Facts, FileType, Recipe};
use serde_json::Value;

use super::{Answer, compare, data, mebibytes, names, rows};

pub(super) struct Model<'a> {
    pub(super) facts: Facts<'a>,
    tensors: Vec<Tensor<'a>>,
    runs: &'a [Value],
}

/// The tensors of a name template and shape.
struct Tensor<'a> {
    template: &'a str,
    layers: &'a str,
    shape: Vec<u64>,
    /// Their type where it is the same in every run.
    constant: Option<&'a str>,
}

fn models(file: &Value) -> Vec<Model<'_>> {
    file.as_array().unwrap().iter().map(model).collect()
}

pub(super) fn model(model: &Value) -> Model<'_> {
    let number = |key: &str| model[key].as_u64().unwrap();
    let small = |key: &str| u32::try_from(number(key)).unwrap();
    Model {
        facts: Facts {
            architecture: model["architecture"].as_str().unwrap(),
            layers: small("layers"),
            experts: small("experts"),
            heads: number("heads"),
            kv_heads: number("kv_heads"),
            source_experts_mxfp4: model["experts_mxfp4"].as_bool().unwrap(),
        },
        tensors: model["tensors"].as_array().unwrap().iter().map(tensor).collect(),
        runs: model["runs"].as_array().unwrap(),
    }
}

fn tensor(row: &Value) -> Tensor<'_> {
    let shape = row[2].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    Tensor {
        template: row[0].as_str().unwrap(),
        layers: row[1].as_str().unwrap(),
        shape,
        constant: row[3].as_str(),
    }
}

/// The recipe of a run: its file type, and options as the quantizer's command line has them.
fn recipe(run: &Value) -> Recipe {
    let file_type = FileType::parse(run[0].as_str().unwrap()).unwrap();
    let mut recipe = Recipe { imatrix: false, ..Recipe::new(file_type) };
    let mut options = run[1].as_str().unwrap().split(' ').filter(|option| !option.is_empty());
    while let Some(option) = options.next() {
        let mut kind = || Some(GgmlType::from_name(options.next().unwrap()).unwrap());
        match option {
            "imatrix" => recipe.imatrix = true,
            "pure" => recipe.pure = true,
            "leave-output-tensor" => recipe.leave_output = true,
            "output-tensor-type" => recipe.output_type = kind(),
            "token-embedding-type" => recipe.token_embedding_type = kind(),
            other => panic!("{other}"),
        }
    }
    recipe
}

/// Types and names of `q6_k@0-3,6|q4_k`: types with their layers, the last one for the rest.
fn typed(types: &str, template: &str, layers: &str) -> Vec<(String, String)> {
    let (some, rest) = types.rsplit_once('|').unwrap_or(("", types));
    let mut named: BTreeMap<String, &str> = BTreeMap::new();
    for part in some.split('|').filter(|part| !part.is_empty()) {
        let (kind, layers) = part.split_once('@').unwrap();
        named.extend(names(template, layers).into_iter().map(|name| (name, kind)));
    }
    let kind = |name: &String| named.get(name).copied().unwrap_or(rest).to_owned();
    names(template, layers).into_iter().map(|name| (kind(&name), name)).collect()
}

pub(super) fn answers(model: &Model<'_>, types: &str) -> Vec<Answer> {
    let mut varying = types.split(' ');
    let mut answers = Vec::new();
    for tensor in &model.tensors {
        let types = tensor.constant.unwrap_or_else(|| varying.next().unwrap_or("?"));
        for (type_name, name) in typed(types, tensor.template, tensor.layers) {
            answers.push(Answer { name, shape: tensor.shape.clone(), type_name });
        }
    }
    assert!(varying.next().is_none(), "{types}");
    answers
}

#[test]
fn every_type_of_every_run() {
    let file = data("quantize-types.json");
    let (mut runs, mut refused) = (0, 0);
    for model in models(&file) {
        for run in model.runs {
            runs += 1;
            let recipe = recipe(run);
            let types = run[2].as_str().unwrap();
            if types == "refused" {
                assert!(recipe.types(&model.facts, &rows(&answers(&model, ""))).is_err(), "{run}");
                refused += 1;
                continue;
            }
            let answers = answers(&model, types);
            compare(&recipe, &model.facts, &answers);
            let mib = |a: &Answer| mebibytes(GgmlType::from_name(&a.type_name).unwrap(), &a.shape);
            let total: f64 = answers.iter().map(mib).sum();
            assert!((total - run[3].as_f64().unwrap()).abs() < 0.005_1, "{run}: {total}");
            // Quantizing for real would be refused; small models may escape by falling back.
            assert!(recipe.file_type.needs_imatrix() || run[4] == false, "{run}");
            if model.facts.architecture == "llama" && model.facts.layers == 80 {
                assert!(recipe.imatrix || recipe.file_type.needs_imatrix() == run[4], "{run}");
            }
        }
    }
    assert_eq!((runs, refused), (1814, 10));
}
