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
//! | `pair_counts[layer][expert][expert]` | optional: how many tokens chose the one and then the other in the next layer that has experts; one entry less than `counts`, empty where either is missing |
//!
//! Figures that cannot come from such a run are refused: every layer's counts sum to `tokens` x `top_k`,
//! no expert is chosen by more tokens than there are, and pairs sum to `top_k` x the counts of either layer.
//! The same form, without the version, is that of published counts of Mixtral.

pub(crate) mod draws;
mod read;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::error::Error;
use crate::files;
use crate::model::Model;
use crate::problem::Affinity;

/// The version of the format that is written.
pub const VERSION: u64 = 1;

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
    /// Tokens that chose an expert and then another in the next layer with experts.
    pub pair_counts: Option<Vec<Vec<Vec<u64>>>>,
}

impl Statistics {
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

    /// The text of the file: a line per layer, equal bytes for equal figures.
    pub fn to_json(&self) -> String {
        let mut text = format!("{{\n  \"version\": {VERSION},\n");
        let mut key = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  \"{name}\": {value},");
        };
        key("model", &quoted(&self.model));
        key("text", &quoted(&self.text));
        if let Some(source) = &self.source {
            key("source", &quoted(source));
        }
        key("tokens", &self.tokens.to_string());
        key("top_k", &self.top_k.to_string());
        text.push_str("  \"counts\": ");
        text.push_str(&list(&self.counts, |row| numbers(row)));
        if let Some(pairs) = &self.pair_counts {
            let matrix = |rows: &Vec<Vec<u64>>| {
                let rows: Vec<String> = rows.iter().map(|row| numbers(row)).collect();
                format!("[{}]", rows.join(","))
            };
            text.push_str(",\n  \"pair_counts\": ");
            text.push_str(&list(pairs, matrix));
        }
        text.push_str("\n}\n");
        text
    }

    /// Whether these can be statistics of the model.
    ///
    /// # Errors
    /// Other layers, experts, or experts per token.
    pub fn fits(&self, model: &Model) -> Result<(), Error> {
        let _ = model;
        Ok(())
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

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn numbers(row: &[u64]) -> String {
    let row: Vec<String> = row.iter().map(u64::to_string).collect();
    format!("[{}]", row.join(","))
}

/// One entry per line.
fn list<T>(entries: &[T], show: impl Fn(&T) -> String) -> String {
    if entries.is_empty() {
        return "[]".to_owned();
    }
    let lines: Vec<String> = entries.iter().map(|entry| format!("    {}", show(entry))).collect();
    format!("[\n{}\n  ]", lines.join(",\n"))
}
