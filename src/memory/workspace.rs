//! Activation buffers per kind of work: three formulas, with the runtime's numbers.
//!
//! With T tokens at once (`micro_batch_tokens`: of all sequences, or of each), C cells of the cache,
//! a bytes per activation, m bytes of mask, and W the experts chosen per token times their width or the
//! dense width, whichever is larger:
//!
//! `reference`, after llama.cpp of 2024 (115.5 MiB were measured for Mixtral 8x7B at 512 tokens, of
//! which 112 MiB are the two inner tensors; the formula gives 128 MiB):
//! - embedding: T x hidden x a;
//! - attention: T x (2 hidden + (heads + 2 KV heads) x head size) x a, and the mask T x C x m;
//! - feed-forward: two live inner tensors and two around them, 2 x T x (W + hidden) x a;
//! - head: T x (vocabulary + hidden) x a.
//!
//! `ggml_graph`, the graph of 2026, whose gated product has a tensor of its own. Every part has the
//! mask and six copies of hidden states that cross from another device:
//! - feed-forward: the larger of 3 W + hidden (gate, up, product) and 2 x chosen x hidden + hidden (the
//!   experts' answers before they are added up), per token;
//! - attention: 3 hidden + (2 heads + 2 KV heads) x head size per token;
//! - head: the vocabulary and four hidden states, beside the mask of the layers before it (286 MiB were reported for
//!   Llama 3.1 8B on one device, 294 in host memory; the formula gives 294.5);
//! - embedding: four hidden states, and a mask in f32.
//!
//! `torch`: tensors that a decoder layer of transformers keeps alive together:
//! - attention: 4 hidden + (2 heads + 2 KV heads) x head size per token;
//! - feed-forward: 3 W + 4 hidden per token;
//! - head: the last hidden states, and logits of the wanted tokens in a and in f32.
//!
//! Without flash attention the scores are written: heads x T x C x 4 (ggml), and in torch in a, in f32
//! for the softmax, and in a again.

use super::{Load, kv::Cells};
use crate::model::{Geometry, LayerCache};
use crate::runtime::{Activations, MicroBatch, Rules};

/// One buffer: its bytes and the formula with its numbers.
pub(super) struct Sized {
    pub(super) name: &'static str,
    pub(super) bytes: u128,
    pub(super) formula: String,
}

/// Embedding, attention, feed-forward, head.
pub(super) fn sizes(geometry: &Geometry, load: &Load) -> [Sized; 4] {
    let of = Numbers::of(geometry, load);
    match load.runtime.rules().workspace {
        Activations::Reference => reference(&of),
        Activations::GgmlGraph => ggml_graph(&of),
        Activations::Torch => torch(&of, load),
    }
}

/// Bytes of a graph's inputs, once: the mask and hidden states that cross to a device.
pub(super) fn graph_inputs(geometry: &Geometry, load: &Load) -> Sized {
    let Numbers { tokens, cells, hidden, bytes, mask, .. } = Numbers::of(geometry, load);
    Sized {
        name: "graph_copies",
        bytes: tokens * (cells * mask + 3 * hidden * bytes),
        formula: format!("{tokens} tokens x ({cells} x {mask} B + 3 x {hidden} x {bytes} B)"),
    }
}

/// What the formulas are about, in 128 bits: bounded configs and contexts cannot overflow them.
struct Numbers {
    tokens: u128,
    cells: u128,
    hidden: u128,
    heads: u128,
    kv_heads: u128,
    head_dim: u128,
    vocab: u128,
    chosen: u128,
    width: u128,
    bytes: u128,
    mask: u128,
    flash: bool,
}

impl Numbers {
    fn of(geometry: &Geometry, load: &Load) -> Self {
        let rules: &Rules = load.runtime.rules();
        let wide = u128::from;
        let (context, batch) = (wide(load.context), wide(load.batch));
        let most = wide(rules.micro_batch_tokens);
        let tokens = match rules.micro_batch {
            MicroBatch::Filled => most,
            MicroBatch::Separate => batch * context.min(most),
            MicroBatch::Together => (batch * context).min(most),
        };
        let chosen = wide(u64::from(geometry.experts_per_token));
        Self {
            tokens,
            cells: Cells::of(&LayerCache::default(), load).each,
            hidden: wide(geometry.hidden),
            heads: wide(geometry.heads),
            kv_heads: wide(geometry.kv_heads),
            head_dim: wide(geometry.head_dim),
            vocab: wide(geometry.vocab),
            chosen,
            width: (chosen * wide(geometry.expert_width)).max(wide(geometry.dense_width)),
            bytes: wide(rules.activation_bytes),
            mask: wide(rules.mask_bytes),
            flash: rules.flash_attention,
        }
    }

    /// Tokens whose logits are computed.
    fn logits_rows(&self, load: &Load) -> u128 {
        let wanted = u128::from(load.batch) * u128::from(load.runtime.rules().logits_tokens);
        wanted.min(self.tokens)
    }

    fn scores(&self, bytes: u128) -> (u128, String) {
        if self.flash {
            return (0, String::new());
        }
        let (heads, cells) = (self.heads, self.cells);
        (heads * cells * bytes, format!(" + {heads} x {cells} x {bytes} B"))
    }
}

/// What a run asks for at each kind of work, tensor by tensor where the runtime's formula is made of tensors;
/// for so many tokens at once instead of a whole micro-batch.
pub(super) fn pieces(geometry: &Geometry, load: &Load, tokens: Option<u64>) -> [Vec<u128>; 4] {
    let mut of = Numbers::of(geometry, load);
    of.tokens = tokens.map_or(of.tokens, u128::from);
    match load.runtime.rules().workspace {
        Activations::Reference => reference(&of).map(|sized| vec![sized.bytes]),
        Activations::GgmlGraph => ggml_graph(&of).map(|sized| vec![sized.bytes]),
        Activations::Torch => torch_pieces(&of, load),
    }
}

fn reference(of: &Numbers) -> [Sized; 4] {
    let Numbers {
        tokens, cells, hidden, heads, kv_heads, head_dim, vocab, width, bytes, mask, ..
    } = *of;
    let (scores, said) = of.scores(4);
    let heads_wide = (heads + 2 * kv_heads) * head_dim;
    [
        Sized {
            name: "workspace.embedding",
            bytes: tokens * hidden * bytes,
            formula: format!("{tokens} tokens x {hidden} x {bytes} B"),
        },
        Sized {
            name: "workspace.attention",
            bytes: tokens * ((2 * hidden + heads_wide) * bytes + cells * mask + scores),
            formula: format!(
                "{tokens} tokens x ((2 x {hidden} + ({heads} + 2 x {kv_heads}) x {head_dim}) x {bytes} B \
                 + {cells} x {mask} B{said})"
            ),
        },
        Sized {
            name: "workspace.feed_forward",
            bytes: tokens * 2 * (width + hidden) * bytes,
            formula: format!("{tokens} tokens x 2 x ({width} + {hidden}) x {bytes} B"),
        },
        Sized {
            name: "workspace.head",
            bytes: tokens * (vocab + hidden) * bytes,
            formula: format!("{tokens} tokens x ({vocab} + {hidden}) x {bytes} B"),
        },
    ]
}

fn ggml_graph(of: &Numbers) -> [Sized; 4] {
    let Numbers {
        tokens, cells, hidden, heads, kv_heads, head_dim, vocab, width, bytes, mask, ..
    } = *of;
    let (scores, said) = of.scores(4);
    let inputs = cells * mask + 6 * hidden * bytes;
    let crossing = format!("{cells} x {mask} B + 6 x {hidden} x {bytes} B");
    let heads_wide = (2 * heads + 2 * kv_heads) * head_dim;
    let answers = 2 * of.chosen * hidden;
    [
        Sized {
            name: "workspace.embedding",
            bytes: tokens * (4 * hidden * bytes + cells * 4),
            formula: format!("{tokens} tokens x (4 x {hidden} x {bytes} B + {cells} x 4 B)"),
        },
        Sized {
            name: "workspace.attention",
            bytes: tokens * ((3 * hidden + heads_wide) * bytes + inputs + scores),
            formula: format!(
                "{tokens} tokens x ((3 x {hidden} + 2 x ({heads} + {kv_heads}) x {head_dim}) x {bytes} B \
                 + {crossing}{said})"
            ),
        },
        Sized {
            name: "workspace.feed_forward",
            bytes: tokens * (((3 * width).max(answers) + hidden) * bytes + inputs),
            formula: format!(
                "{tokens} tokens x ((max(3 x {width}, {answers}) + {hidden}) x {bytes} B + {crossing})"
            ),
        },
        Sized {
            name: "workspace.head",
            bytes: tokens * ((vocab + 4 * hidden) * bytes + cells * mask),
            formula: format!(
                "{tokens} tokens x (({vocab} + 4 x {hidden}) x {bytes} B + {cells} x {mask} B)"
            ),
        },
    ]
}

fn torch(of: &Numbers, load: &Load) -> [Sized; 4] {
    let Numbers {
        tokens, cells, hidden, heads, kv_heads, head_dim, vocab, width, bytes, mask, ..
    } = *of;
    let (_, said) = of.scores(2 * bytes + 4);
    let rows = of.logits_rows(load);
    let [embedding, attention, feed_forward, head] =
        torch_pieces(of, load).map(|pieces| pieces.iter().sum());
    [
        Sized {
            name: "workspace.embedding",
            bytes: embedding,
            formula: format!("{tokens} tokens x {hidden} x {bytes} B"),
        },
        Sized {
            name: "workspace.attention",
            bytes: attention,
            formula: format!(
                "{tokens} tokens x ((4 x {hidden} + 2 x ({heads} + {kv_heads}) x {head_dim}) x {bytes} B \
                 + {cells} x {mask} B{said})"
            ),
        },
        Sized {
            name: "workspace.feed_forward",
            bytes: feed_forward,
            formula: format!("{tokens} tokens x (3 x {width} + 4 x {hidden}) x {bytes} B"),
        },
        Sized {
            name: "workspace.head",
            bytes: head,
            formula: format!(
                "{tokens} tokens x {hidden} x {bytes} B + {rows} rows x {vocab} x ({bytes} + 4) B"
            ),
        },
    ]
}

/// The tensors of each kind of work, in the order in which a decoder layer makes them.
fn torch_pieces(of: &Numbers, load: &Load) -> [Vec<u128>; 4] {
    let Numbers {
        tokens, cells, hidden, heads, kv_heads, head_dim, vocab, width, bytes, mask, ..
    } = *of;
    let state = tokens * hidden * bytes;
    let (queries, keys) = (tokens * heads * head_dim * bytes, tokens * kv_heads * head_dim * bytes);
    let mut attention = vec![tokens * cells * mask, state, state];
    // Projected, then rotated; the answer of the heads takes the place of the first queries.
    attention.extend([queries, keys, keys, queries]);
    if !of.flash {
        let scores = tokens * heads * cells;
        attention.extend([scores * bytes, scores * 4, scores * bytes]);
    }
    attention.extend([state, state]);
    let inner = tokens * width * bytes;
    let logits = of.logits_rows(load) * vocab;
    [
        vec![state],
        attention,
        vec![state, state, inner, inner, inner, state, state],
        vec![state, logits * bytes, logits * 4],
    ]
}
