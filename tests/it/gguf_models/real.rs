//! Files that others made, predicted from their metadata without difference.

use apportion::model::Model;
use apportion::quant::explain_gguf;

use super::model_of;
use crate::checkpoint::known::{gguf, tiny_mixtral};

/// File, its length, the model's family and name in the catalogue's way, and the scheme that explains it.
const FILES: [(&str, u64, &str, &str); 3] = [
    ("SmolLM2-135M-Instruct.Q4_1.gguf", 98_362_432, "llama", "q4_1"),
    ("tk-Q8_0.gguf", 2_285_664, "mixtral", "q8_0"),
    ("tk-Q4_K_M.gguf", 1_317_856, "mixtral", "q4_k_m"),
];

#[test]
fn files_of_others_are_predicted_without_difference() {
    for (name, bytes, family, scheme) in FILES {
        let found = gguf(name, bytes);
        let model = model_of(&found);
        assert_eq!(model.family, family, "{name}");
        let explanation = explain_gguf(&model, &found).unwrap();
        assert_eq!(explanation.differences, 0, "{name}: {}", explanation.scheme.name());
        assert_eq!(explanation.scheme.name(), scheme, "{name}");
        let predicted = explanation.scheme.store(&model).unwrap();
        assert_eq!(predicted.bytes(), found.tensor_bytes(), "{name}");
    }
}

#[test]
fn other_formats_describe_no_model() {
    let shelf = tiny_mixtral();
    let found = shelf.open("");
    assert_eq!(Model::from_gguf(&found, "found").unwrap(), None);
    let model = Model::from_catalogue("mixtral-8x7b").unwrap();
    assert_eq!(explain_gguf(&model, &found), None);
}
