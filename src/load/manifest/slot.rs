//! What a tensor is to the decoder, whatever its file calls it.

use crate::model::{ComponentId, ComponentKind};

/// The place of a weight in its component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// The token embedding, `[vocabulary, hidden]`; a tied head multiplies with it too.
    Embedding,
    /// The normalisation before attention.
    AttentionNorm,
    /// Queries, `[heads x head width, hidden]`.
    Query,
    /// Keys, `[key-value heads x head width, hidden]`.
    Key,
    /// Values, `[key-value heads x head width, hidden]`.
    Value,
    /// Out of attention, `[hidden, heads x head width]`.
    Output,
    /// Added to queries.
    QueryBias,
    /// Added to keys.
    KeyBias,
    /// Added to values.
    ValueBias,
    /// Added to what comes out of attention.
    OutputBias,
    /// The normalisation of each query head.
    QueryNorm,
    /// The normalisation of each key head.
    KeyNorm,
    /// The normalisation before the feed-forward part.
    FeedForwardNorm,
    /// Scores of the experts, `[experts, hidden]`.
    Router,
    /// The gate of a feed-forward part, `[width, hidden]`.
    Gate,
    /// Up, `[width, hidden]`.
    Up,
    /// Gate above up in one matrix, `[2 x width, hidden]`.
    GateUp,
    /// Down, `[hidden, width]`.
    Down,
    /// The normalisation after the last layer.
    FinalNorm,
    /// The output head, `[vocabulary, hidden]`.
    Head,
    /// Divisors of the rotary frequencies, which some GGUF files carry.
    RopeFactors,
}

/// Names inside a layer: as published, in GGUF files, and what they are.
const IN_LAYER: [(&str, &str, Slot); 22] = [
    ("input_layernorm.weight", "attn_norm.weight", Slot::AttentionNorm),
    ("self_attn.q_proj.weight", "attn_q.weight", Slot::Query),
    ("self_attn.k_proj.weight", "attn_k.weight", Slot::Key),
    ("self_attn.v_proj.weight", "attn_v.weight", Slot::Value),
    ("self_attn.o_proj.weight", "attn_output.weight", Slot::Output),
    ("self_attn.q_proj.bias", "attn_q.bias", Slot::QueryBias),
    ("self_attn.k_proj.bias", "attn_k.bias", Slot::KeyBias),
    ("self_attn.v_proj.bias", "attn_v.bias", Slot::ValueBias),
    ("self_attn.o_proj.bias", "attn_output.bias", Slot::OutputBias),
    ("self_attn.q_norm.weight", "attn_q_norm.weight", Slot::QueryNorm),
    ("self_attn.k_norm.weight", "attn_k_norm.weight", Slot::KeyNorm),
    ("post_attention_layernorm.weight", "ffn_norm.weight", Slot::FeedForwardNorm),
    ("block_sparse_moe.gate.weight", "ffn_gate_inp.weight", Slot::Router),
    ("mlp.gate.weight", "ffn_gate_inp.weight", Slot::Router),
    ("mlp.gate_proj.weight", "ffn_gate.weight", Slot::Gate),
    ("mlp.up_proj.weight", "ffn_up.weight", Slot::Up),
    ("mlp.down_proj.weight", "ffn_down.weight", Slot::Down),
    ("mlp.experts.gate_up_proj", "ffn_gate_up_exps.weight", Slot::GateUp),
    ("mlp.experts.down_proj", "ffn_down_exps.weight", Slot::Down),
    ("", "ffn_gate_exps.weight", Slot::Gate),
    ("", "ffn_up_exps.weight", Slot::Up),
    ("", "rope_freqs.weight", Slot::RopeFactors),
];

/// Names of an expert's own matrices after its number: as published by Mixtral, by others, and in old GGUF
/// files, where the number comes last.
const OF_EXPERT: [(&str, &str, &str, Slot); 3] = [
    ("w1.weight", "gate_proj.weight", "ffn_gate", Slot::Gate),
    ("w3.weight", "up_proj.weight", "ffn_up", Slot::Up),
    ("w2.weight", "down_proj.weight", "ffn_down", Slot::Down),
];

impl Slot {
    /// The least of them.
    pub(in crate::load) const FIRST: Self = Self::Embedding;
    /// The greatest of them.
    pub(in crate::load) const LAST: Self = Self::RopeFactors;

    /// What a tensor of that name is to a component; `None` when the decoder has no use for it.
    pub fn of(component: ComponentId, name: &str) -> Option<Self> {
        match component {
            ComponentId::Embedding
                if is_one_of(name, &["embed_tokens.weight", "token_embd.weight"]) =>
            {
                Some(Self::Embedding)
            }
            ComponentId::FinalNorm if is_one_of(name, &["norm.weight", "output_norm.weight"]) => {
                Some(Self::FinalNorm)
            }
            ComponentId::OutputHead if is_one_of(name, &["lm_head.weight", "output.weight"]) => {
                Some(Self::Head)
            }
            _ if name == "rope_freqs.weight" => Some(Self::RopeFactors),
            _ => {
                let layer = component.layer()?;
                let slot = Self::in_layer(layer, component.expert(), name)?;
                slot.is_of(component.kind(), name.contains("exp")).then_some(slot)
            }
        }
    }

    fn in_layer(layer: u32, expert: Option<u32>, name: &str) -> Option<Self> {
        let inner = [format!("layers.{layer}."), format!("blk.{layer}.")]
            .iter()
            .find_map(|lead| name.split_once(lead.as_str()).map(|parts| parts.1))?;
        let whole = IN_LAYER.iter().find(|(published, gguf, _)| {
            (!published.is_empty() && inner == *published) || inner == *gguf
        });
        whole.map(|row| row.2).or_else(|| Self::of_expert(expert?, inner))
    }

    fn of_expert(expert: u32, inner: &str) -> Option<Self> {
        let published = inner.split_once(&format!("experts.{expert}.")).map(|parts| parts.1);
        let row = OF_EXPERT.iter().find(|(mixtral, others, gguf, _)| {
            published.is_some_and(|name| name == *mixtral || name == *others)
                || inner == format!("{gguf}.{expert}.weight")
        });
        row.map(|row| row.3)
    }

    /// Whether a component of that kind has it; `of_experts` says that the name is of experts.
    fn is_of(self, kind: ComponentKind, of_experts: bool) -> bool {
        let feed_forward = matches!(self, Self::Gate | Self::Up | Self::GateUp | Self::Down);
        match kind {
            ComponentKind::Router => self == Self::Router,
            ComponentKind::Expert => feed_forward,
            ComponentKind::Mlp => feed_forward && !of_experts,
            ComponentKind::Attention => !feed_forward && self != Self::Router,
            _ => false,
        }
    }

    /// Whether it is a matrix that activations are multiplied with; the others are vectors and tables.
    pub fn is_linear(self) -> bool {
        matches!(
            self,
            Self::Query
                | Self::Key
                | Self::Value
                | Self::Output
                | Self::Router
                | Self::Gate
                | Self::Up
                | Self::GateUp
                | Self::Down
                | Self::Head
        )
    }
}

/// Whether the name is one of these, or ends with one after a dot.
fn is_one_of(name: &str, endings: &[&str]) -> bool {
    endings.iter().any(|ending| {
        name.strip_suffix(ending).is_some_and(|lead| lead.is_empty() || lead.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_kinds_of_files_are_understood() {
        let expert = ComponentId::Expert(3, 5);
        for (component, name, slot) in [
            (ComponentId::Embedding, "model.embed_tokens.weight", Slot::Embedding),
            (ComponentId::Embedding, "token_embd.weight", Slot::Embedding),
            (ComponentId::FinalNorm, "model.norm.weight", Slot::FinalNorm),
            (ComponentId::OutputHead, "output.weight", Slot::Head),
            (ComponentId::Attention(3), "model.layers.3.self_attn.q_proj.weight", Slot::Query),
            (ComponentId::Attention(3), "blk.3.ffn_norm.weight", Slot::FeedForwardNorm),
            (ComponentId::Router(3), "model.layers.3.block_sparse_moe.gate.weight", Slot::Router),
            (ComponentId::Router(3), "model.layers.3.mlp.gate.weight", Slot::Router),
            (expert, "model.layers.3.block_sparse_moe.experts.5.w2.weight", Slot::Down),
            (expert, "model.layers.3.mlp.experts.5.up_proj.weight", Slot::Up),
            (expert, "model.layers.3.mlp.experts.gate_up_proj", Slot::GateUp),
            (expert, "blk.3.ffn_gate_exps.weight", Slot::Gate),
            (expert, "blk.3.ffn_gate.5.weight", Slot::Gate),
            (ComponentId::Mlp(3), "blk.3.ffn_gate.weight", Slot::Gate),
        ] {
            assert_eq!(Slot::of(component, name), Some(slot), "{name}");
        }
        for (component, name) in [
            (ComponentId::Attention(3), "blk.3.ffn_gate_inp.weight"),
            (ComponentId::Router(3), "blk.3.attn_q.weight"),
            (ComponentId::Mlp(3), "blk.3.ffn_gate_exps.weight"),
            (expert, "blk.3.ffn_gate.6.weight"),
        ] {
            assert_eq!(Slot::of(component, name), None, "{component} {name}");
        }
        assert_eq!(
            Slot::of(ComponentId::Attention(3), "model.layers.13.self_attn.q_proj.weight"),
            None
        );
    }
}
