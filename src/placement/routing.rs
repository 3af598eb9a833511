//! The routing statistics that a placement was made for, as its file records them.
//!
//! Pairs between layers are left out: nothing of a placement depends on them.

use std::sync::Arc;

use serde::Deserialize;

use super::emit::{Emitter, quoted};
use crate::error::Error;
use crate::routing::{Recorded, Statistics, sets_text};

/// The entries of `routing`.
#[derive(Default, Deserialize)]
#[serde(transparent)]
pub(super) struct RoutingEntries(Vec<Recorded>);

impl RoutingEntries {
    pub(super) fn read(self) -> Result<Vec<Arc<Statistics>>, Error> {
        self.0.into_iter().map(|entry| entry.into_statistics().map(Arc::new)).collect()
    }
}

pub(super) fn write(out: &mut Emitter, statistics: &Arc<Statistics>) {
    out.entry("model", quoted(&statistics.model));
    out.entry("text", quoted(&statistics.text));
    if let Some(source) = &statistics.source {
        out.entry("source", quoted(source));
    }
    out.entry("tokens", statistics.tokens);
    out.entry("top_k", statistics.top_k);
    out.list("counts", &statistics.counts, |out, row| {
        let row: Vec<String> = row.iter().map(u64::to_string).collect();
        out.scalar(format!("[{}]", row.join(", ")));
    });
    if let Some(layers) = &statistics.set_counts {
        out.list("set_counts", layers, |out, sets| out.scalar(quoted(&sets_text(sets))));
    }
}
