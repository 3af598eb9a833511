//! Changes values in a YAML text and leaves everything else as it is written: comments, order, quotes,
//! blank lines.
//!
//! Only what differs is touched. A value keeps the quotes it had, a new key goes below the others, an entry
//! that is gone takes its lines with it but not the comments on lines of their own. The new text is read
//! again before it is handed out: whatever the rules here may miss, no text leaves that says anything else
//! than what was wanted.

use std::ops::Range;

use serde_json::{Map, Value};

use super::lines::{block, eol, flow_text, key_text, scalar_like};
use super::spans::{Entry, Kind, Node, refuse, tree};
use crate::error::Error;
use crate::yaml;

/// The text with `new` in place of `old`, which it says now.
///
/// # Errors
/// A text in which a change cannot be made without touching something else, with the line.
pub(crate) fn rewrite(text: &str, source: &str, old: &Value, new: &Value) -> Result<String, Error> {
    if old == new {
        return Ok(text.to_owned());
    }
    let root = tree(text).map_err(|error| error.object(source))?;
    let mut rewriter = Rewriter { text, eol: eol(text), edits: Vec::new() };
    rewriter.merge(&root, old, new, 0).map_err(|error| error.object(source))?;
    let rewritten = rewriter.apply().map_err(|error| error.object(source))?;
    let says: Value = yaml::from_str(&rewritten, "read what was rewritten", source)?;
    if says != *new {
        return Err(refuse()
            .object(source)
            .expected("a text in which values can be changed one by one")
            .found("one that then says something else")
            .hint("nothing was written; write the cases as blocks of `key: value` lines"));
    }
    Ok(rewritten)
}

struct Rewriter<'a> {
    text: &'a str,
    eol: &'static str,
    /// In the order in which insertions at one place stand.
    edits: Vec<(Range<usize>, String)>,
}

impl Rewriter<'_> {
    /// `column` is where the keys of the block around the value begin.
    fn merge(&mut self, node: &Node, old: &Value, new: &Value, column: usize) -> Result<(), Error> {
        if old == new {
            return Ok(());
        }
        match (&node.kind, old, new) {
            (Kind::Map { flow, entries }, Value::Object(old), Value::Object(new))
                if !entries.is_empty() && !new.is_empty() =>
            {
                self.merge_map(node, *flow, entries, (old, new))
            }
            (Kind::List { items, .. }, Value::Array(old), Value::Array(new))
                if items.len() == new.len() && old.len() == new.len() =>
            {
                let pairs = items.iter().zip(old.iter().zip(new));
                pairs.into_iter().try_for_each(|(item, (old, new))| {
                    self.merge(item, old, new, self.column(item.range.start))
                })
            }
            (Kind::Scalar(quotes), _, new) if !is_collection(new) => {
                let written = scalar_like(new, *quotes);
                let blank = if node.range.is_empty() { " " } else { "" };
                self.edits.push((node.range.clone(), format!("{blank}{written}")));
                Ok(())
            }
            (_, _, Value::Object(new)) if !new.is_empty() && self.ends_its_line(node) => {
                self.fill(node, new, column);
                Ok(())
            }
            _ => self.replace(node, new),
        }
    }

    fn merge_map(
        &mut self,
        node: &Node,
        flow: bool,
        entries: &[Entry],
        (old, new): (&Map<String, Value>, &Map<String, Value>),
    ) -> Result<(), Error> {
        let gone = entries.iter().any(|entry| !new.contains_key(&entry.key));
        if flow && gone {
            return self.replace(node, &Value::Object(new.clone()));
        }
        let column = self.column(node.range.start);
        for entry in entries {
            match (old.get(&entry.key), new.get(&entry.key)) {
                (Some(old), Some(new)) => self.merge(&entry.value, old, new, column)?,
                _ => self.remove(entry)?,
            }
        }
        let added: Vec<_> = new.iter().filter(|(key, _)| !old.contains_key(*key)).collect();
        if flow {
            let last = entries.last().map_or(node.range.start + 1, |last| last.value.range.end);
            let added = added
                .iter()
                .map(|(key, value)| format!(", {}: {}", key_text(key), flow_text(value)));
            self.edits.push((last..last, added.collect()));
            return Ok(());
        }
        let lines = added.iter().flat_map(|(key, value)| block(key, value, column));
        let lines: Vec<String> = lines.collect();
        self.insert_below(node.range.end, &lines);
        Ok(())
    }

    /// Puts a block in the place of `{}` or of nothing, below the line of its key.
    fn fill(&mut self, node: &Node, new: &Map<String, Value>, column: usize) {
        let before = self.text[..node.range.start].trim_end_matches(' ').len();
        self.edits.push((before..node.range.end, String::new()));
        let lines = new.iter().flat_map(|(key, value)| block(key, value, column + 2));
        let lines: Vec<String> = lines.collect();
        self.insert_below(node.range.end, &lines);
    }

    /// Whether only blanks and a comment follow in the line, and the value is an empty bracket or nothing.
    fn ends_its_line(&self, node: &Node) -> bool {
        let empty = match &node.kind {
            Kind::Scalar(_) => node.range.is_empty(),
            Kind::Map { flow, entries } => *flow && entries.is_empty(),
            Kind::List { flow, items } => *flow && items.is_empty(),
        };
        let rest = &self.text[node.range.end..self.line_end(node.range.end)];
        empty && (rest.trim().is_empty() || rest.trim_start().starts_with('#'))
    }

    fn replace(&mut self, node: &Node, new: &Value) -> Result<(), Error> {
        if self.has_comment(node) {
            return Err(refuse()
                .place(format!("line {}", self.line(node.range.start)))
                .expected("values that can be changed one by one")
                .found("comments within brackets or a list that is no longer as long")
                .hint(
                    "write it as a block of `key: value` lines, or move the comments out of it",
                ));
        }
        let blank = if node.range.is_empty() { " " } else { "" };
        self.edits.push((node.range.clone(), format!("{blank}{}", flow_text(new))));
        Ok(())
    }

    /// Whether a comment may be within it: any `#` is taken for one.
    fn has_comment(&self, node: &Node) -> bool {
        !matches!(node.kind, Kind::Scalar(_)) && self.text[node.range.clone()].contains('#')
    }

    /// Takes the lines of an entry of a block away; comments on lines of their own stay.
    fn remove(&mut self, entry: &Entry) -> Result<(), Error> {
        let start = self.line_start(entry.at);
        if !self.text[start..entry.at].trim().is_empty() {
            return Err(refuse()
                .place(format!("line {}", self.line(entry.at)))
                .expected("a key on a line of its own, to take it away")
                .found(format!("`{}` behind something else", entry.key)));
        }
        let end = self.next_line(entry.value.range.end.max(entry.at));
        let mut at = start;
        for line in self.text[start..end].split_inclusive('\n') {
            if at == start || !line.trim_start().starts_with('#') {
                self.edits.push((at..at + line.len(), String::new()));
            }
            at += line.len();
        }
        Ok(())
    }

    fn insert_below(&mut self, at: usize, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        let next = self.next_line(at);
        let unended = !self.text[..next].ends_with('\n');
        let mut block = lines.join(self.eol) + self.eol;
        if unended {
            // The last line of the text has no end: it gets one, and the new last one has none.
            block.truncate(block.len() - self.eol.len());
            block.insert_str(0, self.eol);
        }
        self.edits.push((next..next, block));
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |end| end + 1)
    }

    /// Where the line ends, before its break.
    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find(['\r', '\n']).map_or(self.text.len(), |end| at + end)
    }

    fn next_line(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |end| at + end + 1)
    }

    fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    /// The column of a key, in characters: `- ` before it counts as blanks.
    fn column(&self, at: usize) -> usize {
        self.text[self.line_start(at)..at].chars().count()
    }

    fn apply(mut self) -> Result<String, Error> {
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut out = String::with_capacity(self.text.len());
        let mut at = 0;
        for (range, new) in &self.edits {
            if range.start < at {
                return Err(refuse()
                    .place(format!("line {}", self.line(range.start)))
                    .expected("values apart from each other"));
            }
            out.push_str(&self.text[at..range.start]);
            out.push_str(new);
            at = range.end;
        }
        out.push_str(&self.text[at..]);
        Ok(out)
    }
}

fn is_collection(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rewritten(text: &str, new: &Value) -> String {
        let old: Value = yaml::from_str(text, "read", "test.yaml").unwrap();
        rewrite(text, "test.yaml", &old, new).unwrap()
    }

    #[test]
    fn what_is_new_goes_where_it_belongs() {
        let text = "cases:\n  - name: a\n    expect: {}   # fill\n\n  - name: b\n    expect:\n\n  - {name: c, expect: {}}\n\
                    \x20 - name: d\n    expect: # not yet";
        let case = |name| json!({"name": name, "expect": {"x": 1, "map": {"z": "a b"}}});
        let new = json!({"cases": [case("a"), case("b"), case("c"), case("d")]});
        let expected = "cases:\n  - name: a\n    expect:   # fill\n      x: 1\n      map:\n        z: \"a b\"\n\n\
                        \x20 - name: b\n    expect:\n      x: 1\n      map:\n        z: \"a b\"\n\n\
                        \x20 - {name: c, expect: {x: 1, map: {z: \"a b\"}}}\n\
                        \x20 - name: d\n    expect: # not yet\n      x: 1\n      map:\n        z: \"a b\"";
        assert_eq!(rewritten(text, &new), expected);
    }

    #[test]
    fn values_keep_their_quotes_and_everything_around_them() {
        let text = "a: 'x'  # one\nb:\n  # two\n  c: \"y\"\n  d: plain # three\n  gone: {e: 1}\n\n  # four\n  list: [1, 2] # five\nf: {g: 1, h: 2}\n";
        let new = json!({"a": "z", "b": {"c": "w", "d": "other", "list": [1, 3], "new": 1}, "f": {"g": 1, "h": 3, "i": 4}});
        let expected = "a: 'z'  # one\nb:\n  # two\n  c: \"w\"\n  d: other # three\n\n  # four\n  list: [1, 3] # five\n  new: 1\nf: {g: 1, h: 3, i: 4}\n";
        assert_eq!(rewritten(text, &new), expected);
        let windows = text.replace('\n', "\r\n");
        assert_eq!(rewritten(&windows, &new), expected.replace('\n', "\r\n"));
    }

    #[test]
    fn what_cannot_be_changed_alone_is_refused_with_its_line() {
        for (text, new) in [
            ("a: 1\nb: {c: 1, # why\n  d: 2}\n", json!({"a": 1, "b": {"c": 1}})),
            ("- a: 1\n  b: 2\n", json!([{"b": 2}])),
        ] {
            let old: Value = yaml::from_str(text, "read", "test.yaml").unwrap();
            let message = rewrite(text, "test.yaml", &old, &new).unwrap_err().to_string();
            assert!(message.contains("`test.yaml`, at line "), "{message}");
        }
    }
}
