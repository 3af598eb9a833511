//! The usual patterns of names, for tensors that no family's template has.

use super::{Belongs, Place};
use crate::model::{ComponentId, TensorRole};

/// What layers are numbered after.
const LAYER_LISTS: [&str; 6] = ["layers", "blk", "h", "blocks", "layer", "block"];

/// Last words of a weight's path and what it does, the first that is there.
const ROLES: [(&str, TensorRole); 34] = [
    ("q_proj", TensorRole::AttnQ),
    ("attn_q", TensorRole::AttnQ),
    ("wq", TensorRole::AttnQ),
    ("k_proj", TensorRole::AttnK),
    ("attn_k", TensorRole::AttnK),
    ("wk", TensorRole::AttnK),
    ("v_proj", TensorRole::AttnV),
    ("attn_v", TensorRole::AttnV),
    ("wv", TensorRole::AttnV),
    ("o_proj", TensorRole::AttnOutput),
    ("out_proj", TensorRole::AttnOutput),
    ("attn_output", TensorRole::AttnOutput),
    ("wo", TensorRole::AttnOutput),
    ("qkv_proj", TensorRole::AttnQkv),
    ("query_key_value", TensorRole::AttnQkv),
    ("attn_qkv", TensorRole::AttnQkv),
    ("c_attn", TensorRole::AttnQkv),
    ("gate_up_proj", TensorRole::FfnGateUp),
    ("gate_proj", TensorRole::FfnGate),
    ("w1", TensorRole::FfnGate),
    ("ffn_gate", TensorRole::FfnGate),
    ("ffn_gate_exps", TensorRole::FfnGate),
    ("up_proj", TensorRole::FfnUp),
    ("fc1", TensorRole::FfnUp),
    ("w3", TensorRole::FfnUp),
    ("ffn_up", TensorRole::FfnUp),
    ("ffn_up_exps", TensorRole::FfnUp),
    ("down_proj", TensorRole::FfnDown),
    ("fc2", TensorRole::FfnDown),
    ("w2", TensorRole::FfnDown),
    ("ffn_down", TensorRole::FfnDown),
    ("ffn_down_exps", TensorRole::FfnDown),
    ("gate", TensorRole::Router),
    ("router", TensorRole::Router),
];

/// The role of a weight by the words of its name.
pub(super) fn role_of(name: &str, dimensions: usize) -> TensorRole {
    let words: Vec<&str> = name.split('.').collect();
    let word = |wanted: &str| words.contains(&wanted);
    if name.ends_with("bias") {
        return TensorRole::Bias;
    }
    if name.contains("norm") || name.contains("ln_") {
        return TensorRole::Norm;
    }
    if dimensions < 2 {
        return TensorRole::Parameter;
    }
    match belongs_by_word(&words).place {
        Place::One(ComponentId::Embedding) => return TensorRole::TokenEmbedding,
        Place::One(ComponentId::OutputHead) => return TensorRole::Output,
        Place::One(ComponentId::Router(_)) => return TensorRole::Router,
        _ => {}
    }
    ROLES.iter().find(|(last, _)| word(last)).map_or(TensorRole::Parameter, |row| row.1)
}

/// Where a tensor belongs, by the words of its name.
pub(super) fn belongs(name: &str) -> Belongs {
    belongs_by_word(&name.split('.').collect::<Vec<_>>())
}

fn belongs_by_word(words: &[&str]) -> Belongs {
    let place = match layer_of(words) {
        Some((layer, rest)) => in_layer(layer, rest),
        None => Place::One(outside_layers(words)),
    };
    Belongs { place, role: TensorRole::Parameter }
}

/// The layer's number and the words after it.
fn layer_of<'a, 'b>(words: &'a [&'b str]) -> Option<(u32, &'a [&'b str])> {
    let numbered = |pair: &[&str]| LAYER_LISTS.contains(&pair[0]) && pair[1].parse::<u32>().is_ok();
    let at = words.windows(2).position(numbered)?;
    let layer = words.get(at + 1)?.parse().ok()?;
    Some((layer, words.get(at + 2..)?))
}

fn in_layer(layer: u32, rest: &[&str]) -> Place {
    let has = |part: &str| rest.iter().any(|word| word.contains(part));
    let is = |wanted: &str| rest.contains(&wanted);
    if has("shared_expert") || has("_shexp") || has("shared_mlp") {
        return Place::One(ComponentId::SharedExpert(layer));
    }
    if let Some(at) = rest.iter().position(|word| *word == "experts") {
        let number = rest.get(at + 1).and_then(|word| word.parse().ok());
        return number.map_or(Place::AllExperts { layer, as_rows: false }, |expert| {
            Place::One(ComponentId::Expert(layer, expert))
        });
    }
    if has("_exps") {
        return Place::AllExperts { layer, as_rows: false };
    }
    // `ffn_down.3.weight`: an expert of a GGUF file from before they were merged.
    if let [first, number, ..] = rest
        && first.starts_with("ffn_")
        && let Ok(expert) = number.parse()
    {
        return Place::One(ComponentId::Expert(layer, expert));
    }
    if is("router") || is("gate") || has("ffn_gate_inp") || has("exp_probs_b") {
        return Place::One(ComponentId::Router(layer));
    }
    let norm = has("norm") || has("ln_");
    if !norm && (is("mlp") || has("feed_forward") || has("ffn")) {
        return Place::One(ComponentId::Mlp(layer));
    }
    Place::One(ComponentId::Attention(layer))
}

fn outside_layers(words: &[&str]) -> ComponentId {
    let has = |part: &str| words.iter().any(|word| word.contains(part));
    if has("lm_head") || has("embed_out") || words.first() == Some(&"output") {
        return ComponentId::OutputHead;
    }
    if has("norm") || has("ln_f") {
        return ComponentId::FinalNorm;
    }
    ComponentId::Embedding
}
