//! A YAML writer for what placement files need: nested keys, lists, and scalars that read back as what
//! they were.
//!
//! Written by hand because the order of keys, the comments beside exact fractions and the quoting are
//! part of the format: two runs must give the same bytes.

use std::fmt::{self, Write};

use serde_json::Value;

/// Builds a document line by line.
#[derive(Debug, Default)]
pub(crate) struct Emitter {
    text: String,
    depth: usize,
    /// The next line starts an item of a list.
    item: bool,
}

impl Emitter {
    /// A comment line.
    pub(crate) fn comment(&mut self, text: &str) {
        self.line(&format!("# {text}"));
    }

    /// `key: value`, the value already a YAML scalar.
    pub(crate) fn entry(&mut self, key: &str, value: impl fmt::Display) {
        self.line(&format!("{key}: {value}"));
    }

    /// `key:` with what `content` writes below it.
    pub(crate) fn section(&mut self, key: &str, content: impl FnOnce(&mut Self)) {
        self.line(&format!("{key}:"));
        self.indented(content);
    }

    /// `key:` with one block per item, or `key: []`.
    pub(crate) fn list<T>(&mut self, key: &str, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        if items.is_empty() {
            return self.entry(key, "[]");
        }
        self.section(key, |out| {
            for item in items {
                out.item = true;
                out.indented(|out| each(out, item));
            }
        });
    }

    /// A bare scalar as an item of a list.
    pub(crate) fn scalar(&mut self, value: impl fmt::Display) {
        self.line(&value.to_string());
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn indented(&mut self, content: impl FnOnce(&mut Self)) {
        self.depth += 1;
        content(self);
        self.depth -= 1;
    }

    fn line(&mut self, content: &str) {
        let dash = std::mem::take(&mut self.item);
        let indent = "  ".repeat(if dash { self.depth - 1 } else { self.depth });
        let dash = if dash { "- " } else { "" };
        self.text.push_str(&indent);
        self.text.push_str(dash);
        self.text.push_str(content);
        self.text.push('\n');
    }
}

/// A string as a scalar: plain when no reader can take it for anything else, quoted otherwise.
pub(crate) fn text(text: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c);
    let word = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(plain);
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    if word && !reserved.contains(&text) { text.to_owned() } else { quoted(text) }
}

/// A double-quoted scalar in ASCII: every other character is escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// A JSON value in flow style, which YAML reads as the same value.
pub(crate) fn flow(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(string) => quoted(string),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Value::Object(entries) => {
            let entry =
                |(key, value): (&String, &Value)| format!("{}: {}", quoted(key), flow(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_read_back_as_strings() {
        for original in [
            "gpu0",
            "0",
            "true",
            "no",
            "1e3",
            "-",
            "*",
            "a: b",
            "# c",
            "",
            "é\u{feff}\u{85}\n\"\\",
            "layers.*=gpu0",
            "~",
            "0x1F",
            ".inf",
            "\u{1f600}",
        ] {
            let document = format!("key: {}\n", text(original));
            let read: std::collections::BTreeMap<String, String> =
                serde_yaml::from_str(&document).unwrap();
            assert_eq!(read["key"], original, "{document}");
        }
    }

    #[test]
    fn json_values_read_back() {
        let value: Value = serde_json::json!({
            "a": [1, 2.5, 1e-5, 1e20, -3, u64::MAX], "b": null, "c": true, "d": {"e": "x\ty", "f": []}
        });
        let read: Value = serde_yaml::from_str(&flow(&value)).unwrap();
        assert_eq!(read, value);
    }
}
