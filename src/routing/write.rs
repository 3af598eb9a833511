//! Writes routing statistics: a line per layer, equal bytes for equal figures.

use std::fmt::Write as _;

use serde_json::Value;

use super::{SetCount, Statistics, VERSION};

impl Statistics {
    /// The text of the file.
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
        let mut lists = vec![("counts", list(&self.counts, |row| numbers(row)))];
        if let Some(sets) = &self.set_counts {
            lists.push(("set_counts", list(sets, |layer| joined(layer, set))));
        }
        if let Some(pairs) = &self.pair_counts {
            lists.push(("pair_counts", list(pairs, |rows| joined(rows, |row| numbers(row)))));
        }
        let lists = lists.iter().map(|(name, list)| format!("  \"{name}\": {list}"));
        text.push_str(&lists.collect::<Vec<_>>().join(",\n"));
        text.push_str("\n}\n");
        text
    }
}

/// The sets of a layer as placement files have them: `0,1:5 0,2:7`.
pub(crate) fn sets_text(sets: &[SetCount]) -> String {
    let set = |(experts, count): &SetCount| {
        let experts: Vec<String> = experts.iter().map(u32::to_string).collect();
        format!("{}:{count}", experts.join(","))
    };
    sets.iter().map(set).collect::<Vec<_>>().join(" ")
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn numbers<T: ToString>(row: &[T]) -> String {
    joined(row, T::to_string)
}

fn set((experts, count): &SetCount) -> String {
    format!("[{},{count}]", numbers(experts))
}

fn joined<T>(entries: &[T], show: impl Fn(&T) -> String) -> String {
    format!("[{}]", entries.iter().map(show).collect::<Vec<_>>().join(","))
}

/// One entry per line.
fn list<T>(entries: &[T], show: impl Fn(&T) -> String) -> String {
    if entries.is_empty() {
        return "[]".to_owned();
    }
    let lines: Vec<String> = entries.iter().map(|entry| format!("    {}", show(entry))).collect();
    format!("[\n{}\n  ]", lines.join(",\n"))
}
