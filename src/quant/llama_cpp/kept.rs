//! Which tensors are never quantized, and the type they are kept in.

use super::tensor::Traits;
use super::{Era, Facts, Row};
use crate::dtype::GgmlType;

/// Parts of names that keep a matrix from being quantized (`tensor_allows_quantization`).
const KEPT: [&str; 35] = [
    "_norm.weight",
    // Routers, and the table of expert numbers by token.
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    // Gemma 3n: very small ones, and one that is small enough.
    "altup",
    "laurel",
    "per_layer_model_proj",
    // Convolutions of state space models.
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    // RWKV.
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    // Positions: T5's, and those of the encoders of images and sound.
    "attn_rel_b.weight",
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
];

/// The same for one architecture, `glm5-next`.
const KEPT_GLM5: [&str; 14] = [
    "hc_",
    "indexer.attn_q_b",
    "indexer.attn_k",
    "indexer.proj",
    "indexer_compressor_gate",
    "indexer_compressor_ape",
    "ssm_f_a.weight",
    "ssm_f_b.weight",
    "ssm_g_a.weight",
    "ssm_g_b.weight",
    "ssm_beta.weight",
    "attn_kv_a_mqa.weight",
    "attn_k_b.weight",
    "attn_v_b.weight",
];

/// Ends of the names of matrices that converters write in 32 bit (`prepare_tensors` of conversion/base.py).
const FLOAT_32: [&str; 18] = [
    "_norm.weight",
    ".ffn_gate_inp_shexp.weight",
    "position_embd.weight",
    "token_types.weight",
    ".ssm_conv1d.weight",
    ".ssm_conv1d_q.weight",
    ".ssm_conv1d_k.weight",
    ".ssm_conv1d_v.weight",
    ".shortconv.conv.weight",
    ".time_mix_first.weight",
    ".time_mix_w1.weight",
    ".time_mix_w2.weight",
    ".time_mix_decay_w1.weight",
    ".time_mix_decay_w2.weight",
    ".time_mix_lerp_fused.weight",
    ".altup_correct_coef.weight",
    ".altup_predict_coef.weight",
    ".indexer.proj.weight",
];

/// The same for `glm5-next`, by parts of names.
const FLOAT_32_GLM5: [&str; 5] = ["hc_attn_", "hc_ffn_", "indexer_compressor_", "ssm_a", "ssm_dt"];

/// Whether the quantizer leaves matrices of that name as the converter wrote them.
pub(super) fn is_kept(name: &str, facts: &Facts<'_>) -> bool {
    let named = |part: &&str| name.contains(*part);
    !name.ends_with("weight")
        || matches!(name, "position_embd.weight" | "token_types.weight")
        || KEPT.iter().any(named)
        || (facts.architecture == "glm5-next" && KEPT_GLM5.iter().any(named))
}

/// Whether converters write matrices of that name in 32 bit, routers apart.
pub(super) fn is_float_32(name: &str, facts: &Facts<'_>) -> bool {
    let named = |part: &&str| name.contains(*part);
    !name.ends_with(".weight")
        || FLOAT_32.iter().any(|end| name.ends_with(end))
        || (facts.architecture == "glm5-next" && FLOAT_32_GLM5.iter().any(named))
}

/// The type in which converters write the tensor when matrices are to be of type `matrices`.
pub(super) fn converted(
    row: &Row<'_>,
    traits: Traits,
    matrices: GgmlType,
    facts: &Facts<'_>,
    era: Era,
) -> GgmlType {
    let name = row.name;
    if name.ends_with("ffn_gate_tid2eid.weight") {
        return GgmlType::I32;
    }
    if facts.source_experts_mxfp4 && row.is_stack() && name.ends_with("_exps.weight") {
        return GgmlType::Mxfp4;
    }
    let float_32 = row.shape.len() < 2
        || traits.is_float_32
        || (name.ends_with(".ffn_gate_inp.weight") && router_is_float_32(facts, era));
    if float_32 { GgmlType::F32 } else { matrices }
}

/// DBRX's converter asks for every matrix in the type of the file, its router included.
fn router_is_float_32(facts: &Facts<'_>, era: Era) -> bool {
    era >= Era::ROUTER_F32 && facts.architecture != "dbrx"
}
