//! Activation buffers per kind of work, for the reference runtime profile.
//!
//! The profile reads a prompt in chunks of at most 512 tokens per sequence, keeps activations in f32,
//! and computes attention without writing the score matrix (only the 16-bit mask over the context).
//! With T = sequences x min(context, 512) tokens at once:
//!
//! - embedding: T x hidden x 4;
//! - attention: T x (2 hidden + (heads + 2 KV heads) x head size) x 4, and the mask T x context x 2;
//! - feed-forward: two live inner tensors, 2 x T x width x 4, where width is the experts chosen per
//!   token times their width or the dense width, whichever is larger, and 2 x T x hidden x 4 around them;
//! - head: T x (vocabulary + hidden) x 4, with logits for every token of the chunk.
//!
//! It bounds from above what llama.cpp allocates: 115.5 MiB were measured for Mixtral 8x7B at 512
//! tokens, of which 112 MiB are the two inner tensors; the formula gives 128 MiB.

use super::Load;
use crate::model::Geometry;

/// Tokens of one sequence that are computed at once; llama.cpp's default micro-batch.
const CHUNK_TOKENS: u64 = 512;

/// One buffer: its bytes and the formula with its numbers.
pub(super) struct Sized {
    pub(super) name: &'static str,
    pub(super) bytes: u128,
    pub(super) formula: String,
}

/// Embedding, attention, feed-forward, head.
pub(super) fn sizes(geometry: &Geometry, load: &Load) -> [Sized; 4] {
    let chunk = load.context.min(CHUNK_TOKENS);
    let tokens = u128::from(load.batch) * u128::from(chunk);
    let Geometry { hidden, heads, kv_heads, head_dim, vocab, .. } = *geometry;
    let wide = u128::from;
    let heads_wide = (wide(heads) + 2 * wide(kv_heads)) * wide(head_dim);
    let width = width(geometry);
    let context = load.context;
    [
        Sized {
            name: "workspace.embedding",
            bytes: tokens * wide(hidden) * 4,
            formula: format!("{tokens} tokens x {hidden} x 4 B"),
        },
        Sized {
            name: "workspace.attention",
            bytes: tokens * ((2 * wide(hidden) + heads_wide) * 4 + wide(context) * 2),
            formula: format!(
                "{tokens} tokens x ((2 x {hidden} + ({heads} + 2 x {kv_heads}) x {head_dim}) x 4 B \
                 + {context} x 2 B)"
            ),
        },
        Sized {
            name: "workspace.feed_forward",
            bytes: tokens * 2 * (width + wide(hidden)) * 4,
            formula: format!("{tokens} tokens x 2 x ({width} + {hidden}) x 4 B"),
        },
        Sized {
            name: "workspace.head",
            bytes: tokens * (wide(vocab) + wide(hidden)) * 4,
            formula: format!("{tokens} tokens x ({vocab} + {hidden}) x 4 B"),
        },
    ]
}

/// Elements of the widest inner tensor per token.
fn width(geometry: &Geometry) -> u128 {
    let chosen = u128::from(geometry.experts_per_token) * u128::from(geometry.expert_width);
    chosen.max(u128::from(geometry.dense_width))
}
