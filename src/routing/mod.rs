//! How often a model chooses which expert: measured on a text, kept in a file.
//!
//! # routing.json, version 1
//!
//! | key | holds |
//! |---|---|
//! | `version` | `1`; a file without it is read as this one |
//! | `model` | which model was run |
//! | `text` | what it read |
//! | `source` | optional: where the figures come from |
//! | `tokens` | how many tokens it read, at least 1 |
//! | `top_k` | experts chosen per token |
//! | `counts[layer][expert]` | how many tokens chose the expert; an empty row for a layer without experts |
//! | `set_counts[layer]` | optional: `[[expert, ...], count]` for every set of `top_k` experts (ascending) that so many tokens chose together, each set once, at most 4096 a layer; empty for a layer without experts |
//! | `pair_counts[layer][expert][expert]` | optional: how many tokens chose the one and then the other in the next layer that has experts; one entry less than `counts`, empty where either is missing |
//!
//! Figures that cannot come from such a run are refused: every layer's counts sum to `tokens` x `top_k`,
//! no expert is chosen by more tokens than there are, sets sum to `tokens` and those with an expert to its
//! count, and pairs sum to `top_k` x the counts of either layer. A run of more than 2^32 tokens is refused,
//! and so is a layer with more than 4096 sets: where so many are possible, leave `set_counts` out.
//! The same form, without the version, is that of published counts of Mixtral.

mod check;
mod distance;
pub(crate) mod draws;
mod fits;
mod read;
mod write;

use std::path::Path;

use crate::error::Error;
use crate::files;

use crate::problem::Affinity;
pub use distance::distance;
pub use draws::Kind;
#[cfg(feature = "candle")]
pub(crate) use draws::possible_sets;
pub(crate) use read::Recorded;
pub(crate) use write::sets_text;

/// The version of the format that is written.
pub const VERSION: u64 = 1;

/// A set of experts, ascending, and how many tokens chose it.
pub type SetCount = (Vec<u32>, u64);

/// How often each expert was chosen; every value of this type that was read satisfies the sums above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Which model was run.
    pub model: String,
    /// What it read.
    pub text: String,
    /// Where the figures come from, when the file says so.
    pub source: Option<String>,
    /// How many tokens it read.
    pub tokens: u64,
    /// Experts chosen per token.
    pub top_k: u64,
    /// Tokens that chose an expert, by layer and expert; empty for layers without experts.
    pub counts: Vec<Vec<u64>>,
    /// Tokens that chose a set of experts (ascending), by layer; empty for layers without experts.
    pub set_counts: Option<Vec<Vec<SetCount>>>,
    /// Tokens that chose an expert and then another in the next layer with experts.
    pub pair_counts: Option<Vec<Vec<Vec<u64>>>>,
}

impl Statistics {
    /// The most tokens a run may have: sums of what is counted stay far from what can be added up.
    pub const TOKENS_MAX: u64 = 1 << 32;

    /// The most sets of experts that are counted in a layer.
    pub const SETS_MAX: usize = 4096;

    /// Reads a file as hostile input.
    ///
    /// # Errors
    /// More than 32 MiB, anything but the format above, and sums that cannot be.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = files::read_at_most(path, read::OPERATION, read::FILE_BYTES_MAX)?;
        Self::from_json(&text, &path.display().to_string())
    }

    /// Writes the file so that a reader sees the old one or the whole new one.
    ///
    /// # Errors
    /// What the file system refuses.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        files::write_atomically(path, &self.to_json())
    }

    /// The pairs of consecutive layers with experts, where they were counted.
    pub fn affinity(&self) -> Option<Affinity> {
        let pairs = self.pair_counts.as_ref()?.iter().filter(|counts| !counts.is_empty());
        let pair_counts = pairs.cloned().collect();
        Some(Affinity { tokens: self.tokens, top_k: self.top_k, pair_counts })
    }

    /// Experts of a layer that has any.
    pub fn experts(&self) -> usize {
        self.counts.iter().map(Vec::len).max().unwrap_or(0)
    }
}
