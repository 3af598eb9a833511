//! Files made by a scheme are explained by one that makes the same file.

use apportion::dtype::GgmlType;
use apportion::model::Model;
use apportion::quant::{FoundType, Scheme, explain, explain_gguf};
use serde_json::{Map, Value};

use super::converters::converted;
use super::{Wanted, checkpoint, model_of};

/// The tensors of a file that the scheme makes of the model.
fn made(model: &Model, scheme: &Scheme) -> Vec<Wanted> {
    let storage = scheme.store(model).unwrap();
    let pairs = storage.tensors.iter().zip(&storage.stored);
    pairs
        .filter(|(tensor, _)| tensor.is_first_part())
        .map(|(tensor, stored)| {
            let kind = GgmlType::from_name(stored.type_name).unwrap();
            (tensor.name.clone(), tensor.file_shape(), kind)
        })
        .collect()
}

fn found(tensors: &[Wanted]) -> Vec<FoundType<'_>> {
    tensors.iter().map(|(name, shape, kind)| FoundType { name, shape, kind: *kind }).collect()
}

/// The scheme that explains the tensors, which must leave no difference.
fn explained(model: &Model, tensors: &[Wanted], file_type: Option<u32>, imatrix: bool) -> Scheme {
    let explanation = explain(model, &found(tensors), file_type, imatrix).unwrap();
    assert_eq!(explanation.differences, 0, "{}", explanation.scheme.name());
    explanation.scheme
}

#[test]
fn every_way_of_making_a_file_is_explained_by_its_tensors() {
    // Number of the file type, whether an importance matrix is mentioned, and the scheme.
    let ways = [
        (0, false, "gguf-f32"),
        (1, false, "gguf-f16"),
        (32, false, "gguf-bf16"),
        (10, false, "q2_k"),
        (10, false, "q2_k:era=2023-08-21"),
        (2, true, "q4_0:imatrix"),
        (15, false, "q4_k_m"),
        (15, true, "q4_k_m:imatrix"),
        (15, false, "q4_k_m:output=q8_0,embedding=q8_0"),
        (15, false, "q4_k_m:embedding=q8_0"),
        (15, false, "q4_k_m:pure"),
        (14, false, "q4_k_s:era=2024-01-11"),
        (12, false, "q3_k_m:era=2024-04-03"),
        (12, false, "q3_k_m:era=2024-05-11"),
        (31, true, "iq1_m"),
        (38, false, "mxfp4_moe"),
    ];
    for name in ["mixtral-8x7b", "llama-3.1-8b"] {
        let model = Model::from_catalogue(name).unwrap();
        for (number, imatrix, way) in ways {
            let tensors = made(&model, &Scheme::parse(way).unwrap());
            // With the flag of a guess, and without a word.
            for said in [Some(number | 1024), None] {
                let scheme = explained(&model, &tensors, said, imatrix);
                assert_eq!(made(&model, &scheme), tensors, "{name}, {way}: {}", scheme.name());
            }
        }
    }
}

#[test]
fn of_several_explanations_the_plainest_is_given() {
    let model = Model::from_catalogue("llama-2-7b").unwrap();
    let tensors = made(&model, &Scheme::parse("q4_k_m:era=2024-05-11,imatrix").unwrap());
    assert_eq!(explained(&model, &tensors, Some(15), false).name(), "q4_k_m");
    assert_eq!(explained(&model, &tensors, Some(15), true).name(), "q4_k_m:imatrix");
}

#[test]
fn each_tensor_that_departs_is_one_difference() {
    let model = Model::from_catalogue("mixtral-8x7b").unwrap();
    let mut tensors = made(&model, &Scheme::parse("q4_k_m").unwrap());
    let at = |name: &str, tensors: &[Wanted]| tensors.iter().position(|t| t.0 == name).unwrap();
    let other_type = at("blk.3.attn_q.weight", &tensors);
    tensors[other_type].2 = GgmlType::Q8_0;
    let other_shape = at("blk.4.ffn_norm.weight", &tensors);
    tensors[other_shape].1 = vec![4097];
    tensors.remove(at("blk.5.attn_norm.weight", &tensors));
    tensors.push(("blk.6.more.weight".to_owned(), vec![32], GgmlType::F32));
    let explanation = explain(&model, &found(&tensors), Some(15), false).unwrap();
    assert_eq!((explanation.scheme.name().as_str(), explanation.differences), ("q4_k_m", 4));
    assert!(explain(&model, &[], Some(15), false).unwrap().differences > 300);
}

#[test]
fn a_file_is_explained_from_what_it_says_of_itself() {
    for (name, case) in converted() {
        for (number, way) in [(15, "q4_k_m"), (1, "gguf-f16")] {
            let model = case.model(&name);
            let scheme = Scheme::parse(way).unwrap();
            let said: Map<String, Value> = (case.metadata.clone().into_iter())
                .chain([("general.file_type".to_owned(), Value::from(number))])
                .collect();
            let file = checkpoint(&said, &made(&model, &scheme));
            let explanation = explain_gguf(&model_of(&file), &file).unwrap();
            assert_eq!(explanation.differences, 0, "{name}");
            assert_eq!(explanation.scheme, scheme, "{name}");
        }
    }
}
