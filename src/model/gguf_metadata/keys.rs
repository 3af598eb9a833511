//! Where GGUF files say what a config key says, for the keys that families share.
//!
//! Sources: the converters of llama.cpp (`conversion/`, 2026) for what is written, its loader
//! (`llama-model.cpp`, `load_hparams`) for what an absent key means. The names are those of [`super::Facts`].

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::super::expression::Expression;

/// Config key, and the expressions that give its value, the first that the file answers.
const KEYS: &[(&str, &[&str])] = &[
    // Sizes.
    ("hidden_size", &["embedding_length"]),
    ("d_model", &["embedding_length"]),
    ("intermediate_size", &["feed_forward_length"]),
    ("intermediate_size_mlp", &["feed_forward_length"]),
    ("ffn_hidden_size", &["feed_forward_length"]),
    ("num_hidden_layers", LAYERS),
    ("n_layers", LAYERS),
    ("num_nextn_predict_layers", &["nextn_predict_layers", "0"]),
    ("vocab_size", &["rows_of_token_embd_weight", "vocab_size"]),
    // Attention.
    ("num_attention_heads", &["attention_head_count"]),
    ("n_heads", &["attention_head_count"]),
    ("num_key_value_heads", KV_HEADS),
    ("kv_n_heads", KV_HEADS),
    ("head_dim", &["attention_key_length", "embedding_length / attention_head_count"]),
    ("q_lora_rank", &["attention_q_lora_rank", "none"]),
    ("kv_lora_rank", &["attention_kv_lora_rank"]),
    ("qk_rope_head_dim", &["rope_dimension_count"]),
    // Since compressed caches, the plain lengths are those of what is kept.
    (
        "qk_nope_head_dim",
        &[
            "attention_key_length_mla - rope_dimension_count",
            "attention_key_length - rope_dimension_count",
        ],
    ),
    ("v_head_dim", &["attention_value_length_mla", "attention_value_length"]),
    (
        "sliding_window",
        &["if(attention_sliding_window > 0, attention_sliding_window, none)", "none"],
    ),
    ("attention_chunk_size", &["if(attention_sliding_window > 0, attention_sliding_window, none)"]),
    // Experts.
    ("num_experts", &["expert_count"]),
    ("num_local_experts", &["expert_count"]),
    ("n_routed_experts", &["expert_count"]),
    ("moe_num_experts", &["expert_count"]),
    ("num_experts_per_tok", &["expert_used_count"]),
    ("moe_k", &["expert_used_count"]),
    ("moe_top_k", &["expert_used_count"]),
    ("moe_intermediate_size", &["expert_feed_forward_length", "rows_of_ffn_gate_exps_weight"]),
    ("shared_expert_intermediate_size", SHARED_WIDTH),
    ("n_shared_experts", SHARED),
    ("moe_num_shared_experts", SHARED),
    ("first_k_dense_replace", &["leading_dense_block_count", "layers_with_ffn_gate_inp_weight[0]"]),
    ("moe_layer_start_index", &["leading_dense_block_count"]),
    ("moe_layer_interval", &["interleave_moe_layer_step"]),
    ("interleave_moe_layer_step", &["interleave_moe_layer_step"]),
    ("moe_layers", &["layers_with_ffn_gate_inp_weight"]),
    ("mlp_only_layers", &["layers_without_ffn_gate_inp_weight"]),
    ("expert_layer_offset", &["layers_with_ffn_gate_inp_weight[0]"]),
    (
        "expert_layer_period",
        &["layers_with_ffn_gate_inp_weight[1] - layers_with_ffn_gate_inp_weight[0]", "block_count"],
    ),
    // Recurrent layers between those with attention.
    ("attn_layer_offset", &["layers_with_attn_q_weight[0]"]),
    (
        "attn_layer_period",
        &["layers_with_attn_q_weight[1] - layers_with_attn_q_weight[0]", "block_count"],
    ),
    ("mamba_d_conv", &["ssm_conv_kernel"]),
    ("mamba_d_state", &["ssm_state_size"]),
    ("mamba_dt_rank", &["ssm_time_step_rank"]),
    ("mamba_expand", &["ssm_inner_size / embedding_length"]),
    // What only the tensors show.
    ("tie_word_embeddings", &["not has_output_weight"]),
    ("attention_bias", ANY_ATTENTION_BIAS),
    ("qkv_bias", &["has_attn_q_bias"]),
    ("mlp_bias", &["has_ffn_up_bias or has_ffn_down_bias"]),
    ("use_bias", ANY_ATTENTION_BIAS),
    ("lm_head_bias", &["has_output_bias"]),
    ("mamba_conv_bias", &["has_ssm_conv1d_bias"]),
    ("mamba_proj_bias", &["has_ssm_in_bias"]),
    ("use_qk_norm", &["has_attn_q_norm_weight"]),
    ("rope_factors", &["columns_of_rope_factors_long_weight", "0"]),
    (
        "rope_type",
        &[
            "if(has_rope_freqs_weight, \"llama3\", if(has_rope_factors_long_weight, \"longrope\", \"default\"))",
        ],
    ),
];

/// Blocks of multi-token prediction count as layers in files.
const LAYERS: &[&str] = &["block_count - nextn_predict_layers", "block_count"];

/// Compressed caches have one head in files, whatever the config says.
const KV_HEADS: &[&str] = &[
    "if(attention_key_length_mla > 0, attention_head_count, attention_head_count_kv)",
    "attention_head_count_kv",
    "attention_head_count",
];

const SHARED_WIDTH: &[&str] =
    &["expert_shared_feed_forward_length", "rows_of_ffn_gate_shexp_weight"];

/// By the tensors where there are any: one family's converter writes a width of shared experts that its
/// larger model does not have.
const SHARED: &[&str] = &[
    "if(has_ffn_gate_shexp_weight, expert_shared_count, 0)",
    "if(has_ffn_gate_shexp_weight, rows_of_ffn_gate_shexp_weight / expert_feed_forward_length, 0)",
];

const ANY_ATTENTION_BIAS: &[&str] = &[
    "has_attn_q_bias or has_attn_qkv_bias or has_attn_q_a_bias or has_attn_kv_a_mqa_bias or has_attn_output_bias",
];

/// The expressions for a key that its family gives none for; empty when files do not say it.
pub(super) fn sources(key: &str) -> &'static [Expression] {
    static SOURCES: OnceLock<BTreeMap<&str, Vec<Expression>>> = OnceLock::new();
    let all = SOURCES.get_or_init(|| {
        let parse = |text: &&str| {
            Expression::parse(text).expect("the expressions are valid, which a test holds")
        };
        KEYS.iter().map(|(key, texts)| (*key, texts.iter().map(parse).collect())).collect()
    });
    all.get(key).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_is_valid_and_every_key_is_there_once() {
        for (key, texts) in KEYS {
            assert_eq!(sources(key).len(), texts.len(), "{key}");
            assert_eq!(KEYS.iter().filter(|row| row.0 == *key).count(), 1, "{key}");
        }
        assert!(sources("vocabulary_size").is_empty());
    }
}
