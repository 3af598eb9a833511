//! The fingerprint of a model: two with the same facts, and only those, have the same.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::model::{Geometry, GgufCounts, KeyValue, LayerCache, Model, Tensor};

/// SHA-256 in hex over a text with one fact per line.
pub(super) fn of(model: &Model, unpublished: &[Tensor]) -> String {
    let mut hash = Sha256::new();
    let Geometry { layers, hidden, heads, kv_heads, head_dim, vocab, .. } = &model.geometry;
    let geometry = &model.geometry;
    hash.update(format!(
        "apportion model 2\n{}\n{layers} {hidden} {heads} {kv_heads} {head_dim} {vocab}\n{} {} {} {} {}\n",
        model.family,
        geometry.experts,
        geometry.experts_per_token,
        geometry.expert_width,
        geometry.dense_width,
        geometry.tied_head,
    ));
    let GgufCounts { layers, kv_heads, kv_heads_before } = model.gguf_counts;
    hash.update(format!("GgufCounts {{ layers: {layers}, kv_heads: {kv_heads} }}\n"));
    if let Some((day, kv_heads)) = kv_heads_before {
        hash.update(format!("before {day} {kv_heads}\n"));
    }
    for cache in &model.cache {
        let LayerCache { kept, expanded, window, gguf_window, state_elements } = cache;
        for KeyValue { heads, key_width, value_width } in [kept, expanded] {
            hash.update(format!("{heads} {key_width} {value_width} "));
        }
        hash.update(format!("{} {state_elements}\n", window.unwrap_or(0)));
        if gguf_window != window {
            hash.update(format!("gguf {}\n", gguf_window.unwrap_or(0)));
        }
    }
    for tensor in model.tensors.iter().chain(unpublished) {
        let Tensor { name, role, component, published_f32, .. } = tensor;
        let shape = tensor.file_shape();
        hash.update(format!("{name} {shape:?} {} {component} {published_f32}\n", role.name()));
    }
    let mut hex = String::with_capacity(64);
    for byte in hash.finalize() {
        write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
    }
    hex
}
