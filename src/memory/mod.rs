//! What each component and each device needs: weights, KV cache, workspace, staging.

use crate::model::ComponentId;

/// Bytes one component needs wherever it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentDemand {
    /// Which component.
    pub id: ComponentId,
    /// Resident weights.
    pub weights_bytes: u64,
    /// KV cache of its layer; only attention has one.
    pub kv_cache_bytes: u64,
    /// The largest 16-bit matrix its loading stages on the device that quantizes; 0 when none.
    pub staging_bytes: u64,
}

/// Workspace a device needs for a kind of work it hosts; buffers are reused, so a device needs the
/// largest of the kinds it hosts, not their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workspace {
    /// Hosting the embedding.
    pub embedding_bytes: u64,
    /// Hosting an attention block (and its router).
    pub attention_bytes: u64,
    /// Hosting an mlp, a shared expert or an expert.
    pub feed_forward_bytes: u64,
    /// Hosting the output head (or the embedding it is tied to).
    pub head_bytes: u64,
}
