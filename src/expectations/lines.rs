//! Values as the text that a rewritten file gets: blocks of lines, and brackets for what fits on one.

use serde_json::{Map, Value};

use super::spans::Quotes;
use crate::placement::emit::{quoted, text};

/// Maps that have a line for every entry, however short: what they hold changes entry by entry.
const LONG: [&str; 3] = ["objectives", "devices", "map"];

/// How lines of the text end.
pub(super) fn eol(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// The lines of an entry whose key stands in this column.
pub(super) fn block(key: &str, value: &Value, column: usize) -> Vec<String> {
    let start = format!("{}{}:", " ".repeat(column), key_text(key));
    match value {
        Value::Object(entries) if !is_short(key, entries) => {
            let below = entries.iter().flat_map(|(key, value)| block(key, value, column + 2));
            std::iter::once(start).chain(below).collect()
        }
        value => vec![format!("{start} {}", flow_text(value))],
    }
}

/// Whether it goes between brackets on one line.
fn is_short(key: &str, entries: &Map<String, Value>) -> bool {
    let plain = |value: &Value| !matches!(value, Value::Object(_) | Value::Array(_));
    entries.is_empty() || !LONG.contains(&key) && entries.values().all(plain)
}

/// The value on one line.
pub(super) fn flow_text(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| {
                format!("{}: {}", key_text(key), flow_text(value))
            };
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow_text).collect::<Vec<_>>().join(", "))
        }
        scalar => scalar_like(scalar, Quotes::None),
    }
}

/// A scalar in the quotes of another, as far as that can hold it.
pub(super) fn scalar_like(value: &Value, quotes: Quotes) -> String {
    let Value::String(string) = value else { return value.to_string() };
    let printable = |c: char| (' '..='~').contains(&c) && c != '\'';
    match quotes {
        Quotes::Single if string.chars().all(printable) => format!("'{string}'"),
        Quotes::None if is_fraction(string) => string.clone(),
        // Some digests look like words; all are quoted, as in placement files.
        Quotes::None if is_digest(string) => quoted(string),
        Quotes::None => text(string),
        _ => quoted(string),
    }
}

pub(super) fn key_text(key: &str) -> String {
    text(key)
}

fn is_digest(text: &str) -> bool {
    text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_fraction(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('/').is_some_and(|(above, below)| digits(above) && digits(below))
}
