//! Where every value of a YAML text stands in it, to the byte.
//!
//! The parser says where values begin. Where they end is found here, by the rules of the plain YAML that
//! [`crate::yaml`] lets through: quoted text ends on its line, brackets at their bracket.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::error::Error;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    /// Bytes of the text; of a block, from its first key or item to the end of its last value. Empty where
    /// nothing is written.
    pub range: Range<usize>,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Scalar(Quotes),
    Map { flow: bool, entries: Vec<Entry> },
    List { flow: bool, items: Vec<Node> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    None,
    Single,
    Double,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub key: String,
    /// Where the key begins.
    pub at: usize,
    pub value: Node,
}

/// A collection that is not closed yet.
struct Open {
    start: usize,
    node: Kind,
    key: Option<(String, usize)>,
}

/// The tree of a text that [`crate::yaml`] has read.
///
/// # Errors
/// What the parser reads otherwise, with the line.
pub(super) fn tree(text: &str) -> Result<Node, Error> {
    let offsets = Offsets::of(text);
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            refuse().place(format!("line {}", error.marker().line())).found(error.info())
        })?;
        let start = offsets.byte(span.start.index());
        let done = match event {
            Event::MappingStart(..) => {
                let flow = text[start..].starts_with('{');
                let node = Kind::Map { flow, entries: Vec::new() };
                open.push(Open { start, node, key: None });
                continue;
            }
            Event::SequenceStart(..) => {
                let flow = text[start..].starts_with('[');
                let node = Kind::List { flow, items: Vec::new() };
                open.push(Open { start, node, key: None });
                continue;
            }
            Event::Scalar(value, style, ..) => {
                let node = scalar(text, &offsets, span, style)?;
                if let Some(Open { node: Kind::Map { .. }, key: key @ None, .. }) = open.last_mut()
                {
                    *key = Some((value.into_owned(), start));
                    continue;
                }
                node
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let Some(closed) = open.pop() else { return Err(unknown(span)) };
                close(closed, start)
            }
            Event::Alias(_) => return Err(unknown(span)),
            _ => continue,
        };
        match open.last_mut() {
            None => root = Some(done),
            Some(Open { node: Kind::List { items, .. }, .. }) => items.push(done),
            Some(Open { node: Kind::Map { entries, .. }, key, .. }) => {
                let Some((key, at)) = key.take() else { return Err(unknown(span)) };
                entries.push(Entry { key, at, value: done });
            }
            Some(_) => return Err(unknown(span)),
        }
    }
    root.ok_or_else(|| refuse().found("no value"))
}

pub(super) fn refuse() -> Error {
    Error::new("find the values in the text")
}

fn unknown(span: Span) -> Error {
    let place = format!("line {}", span.start.line());
    refuse().place(place).expected("plain YAML").found("another kind of it")
}

/// `end` is where the closing bracket is, or anywhere behind a block.
fn close(closed: Open, end: usize) -> Node {
    let Open { start, node, .. } = closed;
    let last = match &node {
        Kind::Map { flow: false, entries } => entries.last().map(|entry| entry.value.range.end),
        Kind::List { flow: false, items } => items.last().map(|item| item.range.end),
        _ => Some(end + 1),
    };
    Node { range: start..last.unwrap_or(start), kind: node }
}

fn scalar(text: &str, offsets: &Offsets, span: Span, style: ScalarStyle) -> Result<Node, Error> {
    let mut start = offsets.byte(span.start.index());
    // Nothing is where the parser saw that there is nothing: that may be before the colon.
    if style == ScalarStyle::Plain && span.is_empty() {
        let rest = &text[start..];
        let blanks = rest.len() - rest.trim_start_matches(' ').len();
        start += if rest[blanks..].starts_with(':') { blanks + 1 } else { 0 };
        return Ok(Node { range: start..start, kind: Kind::Scalar(Quotes::None) });
    }
    let rest = &text.as_bytes()[start..];
    let (quotes, length) = match style {
        ScalarStyle::Plain => (Quotes::None, offsets.byte(span.end.index()).saturating_sub(start)),
        ScalarStyle::SingleQuoted => (Quotes::Single, quoted(rest, b'\'')),
        ScalarStyle::DoubleQuoted => (Quotes::Double, quoted(rest, b'"')),
        _ => return Err(unknown(span)),
    };
    Ok(Node { range: start..start + length, kind: Kind::Scalar(quotes) })
}

/// Bytes of the quoted text at the beginning.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        let next = rest.get(at + 1).copied();
        if quote == b'"' && rest[at] == b'\\' {
            at += 1;
        } else if rest[at] == quote && (quote == b'"' || next != Some(quote)) {
            return at + 1;
        } else if rest[at] == quote {
            at += 1;
        }
        at += 1;
    }
    rest.len()
}

/// From the parser's characters to bytes.
enum Offsets {
    /// Every character is a byte.
    Same,
    Table(Vec<usize>),
}

impl Offsets {
    fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Same;
        }
        let starts = text.char_indices().map(|(byte, _)| byte);
        Self::Table(starts.chain([text.len()]).collect())
    }

    fn byte(&self, char: usize) -> usize {
        match self {
            Self::Same => char,
            Self::Table(table) => table.get(char).or(table.last()).copied().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every scalar as it is written, with the keys that lead there.
    fn scalars(text: &str, node: &Node, path: &str, found: &mut Vec<String>) {
        match &node.kind {
            Kind::Scalar(_) => found.push(format!("{path}={}", &text[node.range.clone()])),
            Kind::Map { entries, .. } => {
                for Entry { key, at, value } in entries {
                    assert!(text[*at..].starts_with(['"', '\'']) || text[*at..].starts_with(key));
                    scalars(text, value, &format!("{path}.{key}"), found);
                }
            }
            Kind::List { items, .. } => {
                for (index, item) in items.iter().enumerate() {
                    scalars(text, item, &format!("{path}.{index}"), found);
                }
            }
        }
    }

    #[test]
    fn values_are_found_to_the_byte() {
        let text = "# é\na: {} # x\nb:\nc:   # n\n  - 'x ''y' # k\n  - [1, \"t\\\"wo\" ] \n  - k: v w\n    \
                    é: 2  \nd: {e: 1 , \"f\": [2 ]}\nlast: plain text   # hi";
        let root = tree(text).unwrap();
        let mut found = Vec::new();
        scalars(text, &root, "", &mut found);
        let expected = [
            ".b=",
            ".c.0='x ''y'",
            ".c.1.0=1",
            ".c.1.1=\"t\\\"wo\"",
            ".c.2.k=v w",
            ".c.2.é=2",
            ".d.e=1",
            ".d.f.0=2",
            ".last=plain text",
        ];
        assert_eq!(found, expected);
        let Kind::Map { entries, flow: false } = &root.kind else { panic!("{root:?}") };
        let written = |at: usize| &text[entries[at].value.range.clone()];
        assert_eq!((written(0), written(3)), ("{}", "{e: 1 , \"f\": [2 ]}"));
        assert_eq!(written(2).split('\n').next_back(), Some("    é: 2"));
    }
}
