//! YAML as this crate reads it: one document, no aliases, no tags, no key twice, at most 4 MiB.
//!
//! What the formats here need is a small part of YAML. The rest (anchors, merge keys, tags, block
//! scalars, directives) is how a short file becomes a large value or means something else than it
//! seems to, so it is refused, by a scan that understands quotes and comments, before the YAML library
//! sees the text. Where the scan cannot be sure that it reads the text as the library would, it refuses.

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::files::TEXT_BYTES_MAX;
pub use crate::strict::StrictMap;
use crate::strict::UniqueKeys;

/// Lists and maps in brackets may be nested this deep.
const FLOW_DEPTH_MAX: usize = 64;

/// The library keeps every token in memory; a placement of 50 thousand components has fewer than these.
const TOKENS_MAX: usize = 500_000;

/// Reads one value from YAML text.
///
/// `operation` completes "cannot ..." and `source` names the text in messages.
///
/// # Errors
/// Text over 4 MiB, anything refused above, and what `T` does not accept, with line and column.
///
/// ```
/// let sizes: Vec<u64> = apportion::yaml::from_str("[1, 2]", "read sizes", "sizes.yaml").unwrap();
/// assert_eq!(sizes, [1, 2]);
/// assert!(apportion::yaml::from_str::<Vec<u64>>("[&a 1, *a]", "read sizes", "sizes.yaml").is_err());
/// ```
pub fn from_str<T: DeserializeOwned>(
    text: &str,
    operation: &str,
    source: &str,
) -> Result<T, Error> {
    let refuse = || Error::new(operation).object(source);
    if text.len() as u64 > TEXT_BYTES_MAX {
        return Err(refuse().expected("at most 4 MiB of text").found("more"));
    }
    if let Err(Refused { at, what }) = Scan::new(text).run() {
        return Err(refuse().place(position(text, at)).expected("plain YAML").found(what));
    }
    serde_yaml::from_str::<UniqueKeys>(text).map_err(|error| describe(refuse(), &error))?;
    serde_yaml::from_str(text).map_err(|error| describe(refuse(), &error))
}

fn describe(refusal: Error, error: &serde_yaml::Error) -> Error {
    let message = error.to_string();
    let Some(location) = error.location() else { return refusal.found(message) };
    let (line, column) = (location.line(), location.column());
    let suffix = format!(" at line {line} column {column}");
    let message = message.strip_suffix(&suffix).unwrap_or(&message).to_owned();
    refusal.place(format!("line {line}:{column}")).found(message)
}

fn position(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("line {line}:{column}")
}

struct Refused {
    at: usize,
    what: String,
}

/// What the scan has just passed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// An indicator, or the start of the text.
    Punctuation,
    /// A text in quotes or a closed bracket: what cannot go on.
    Closed,
    Plain,
}

/// A walk over the tokens of the text.
struct Scan<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
    depth: usize,
    last: Last,
    /// Whether a line break lies between the last token and this one.
    broken: bool,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        Self { bytes, text, at: 0, depth: 0, last: Last::Punctuation, broken: false }
    }

    fn run(mut self) -> Result<(), Refused> {
        // The library takes these for line breaks or skips them, which the scan below does not.
        if let Some(at) = self.text.find(['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}']) {
            return Err(Refused { at, what: "an invisible character".to_owned() });
        }
        for _ in 0..TOKENS_MAX {
            if !self.skip_blanks() {
                return Ok(());
            }
            self.token()?;
            self.broken = false;
        }
        self.refuse("more than 500 thousand values and marks")
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(b'\n')
    }

    fn refuse<T>(&self, what: &str) -> Result<T, Refused> {
        Err(Refused { at: self.at, what: what.to_owned() })
    }

    /// Passes blanks, breaks and comments; false at the end of the text.
    fn skip_blanks(&mut self) -> bool {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\t' => {}
                b'\n' | b'\r' => self.broken = true,
                b'#' => {
                    while !is_break(self.peek(1)) {
                        self.at += 1;
                    }
                }
                _ => return true,
            }
            self.at += 1;
        }
        false
    }

    fn token(&mut self) -> Result<(), Refused> {
        let byte = self.peek(0);
        let spaced = is_blank(self.peek(1));
        // A plain scalar that goes on in the next line would make brackets and quotes there mere text.
        let continued = self.broken && self.last == Last::Plain;
        if continued && (matches!(byte, b'[' | b'{') || self.depth > 0 && !b",]}:".contains(&byte))
        {
            return self.refuse("a value over several lines (put it in quotes on one line)");
        }
        match byte {
            b'&' => return self.refuse("an anchor (`&`)"),
            b'*' => return self.refuse("an alias (`*`)"),
            b'!' => return self.refuse("a tag (`!`)"),
            b'|' | b'>' => {
                return self.refuse("a block scalar (put the text in quotes on one line)");
            }
            b'%' | b'@' | b'`' => {
                return self.refuse("a reserved character (put the text in quotes)");
            }
            b'?' if spaced || self.depth > 0 => return self.refuse("a `?` key"),
            b'[' | b'{' if self.depth == FLOW_DEPTH_MAX => {
                return self.refuse("brackets nested too deep");
            }
            b'[' | b'{' => {
                self.depth += 1;
                self.step(Last::Punctuation);
            }
            b']' | b'}' => {
                self.depth = self.depth.saturating_sub(1);
                self.step(Last::Closed);
            }
            b',' => self.step(Last::Punctuation),
            b'-' if spaced => self.step(Last::Punctuation),
            b':' if spaced || self.depth > 0 => self.step(Last::Punctuation),
            b'"' | b'\'' => self.quoted(byte)?,
            _ => self.plain()?,
        }
        Ok(())
    }

    fn step(&mut self, last: Last) {
        self.at += 1;
        self.last = last;
    }

    fn quoted(&mut self, quote: u8) -> Result<(), Refused> {
        let start = self.at;
        self.at += 1;
        loop {
            let byte = self.peek(0);
            if is_break(byte) {
                self.at = start;
                return self.refuse("a quoted text that does not end on its line");
            }
            self.at += 1;
            let escapes = match quote {
                b'"' => byte == b'\\' && !is_break(self.peek(0)),
                _ => byte == quote && self.peek(0) == quote,
            };
            if escapes {
                self.at += 1;
            } else if byte == quote {
                self.last = Last::Closed;
                return Ok(());
            }
        }
    }

    fn plain(&mut self) -> Result<(), Refused> {
        let start = self.at;
        let flow = self.depth > 0;
        loop {
            let byte = self.peek(0);
            let ends = is_break(byte)
                || byte == b':' && is_blank(self.peek(1))
                || byte == b'#' && is_blank(self.bytes[self.at - 1])
                || flow && b",[]{}".contains(&byte);
            if ends && self.at > start {
                break;
            }
            let named = self.peek(1).is_ascii_alphanumeric() || b"_-".contains(&self.peek(1));
            if flow && (b"\"'!".contains(&byte) || b"&*".contains(&byte) && named) {
                return self.refuse("a character that needs quotes inside brackets");
            }
            self.at += 1;
        }
        if self.bytes[start..self.at].trim_ascii() == b"<<" {
            self.at = start;
            return self.refuse("a merge key (`<<`)");
        }
        self.last = Last::Plain;
        Ok(())
    }
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t') || is_break(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<serde_json::Value, Error> {
        from_str(text, "read the test", "test.yaml")
    }

    #[test]
    fn everyday_yaml_is_read() {
        let text = "# a * comment & more\na: 'x & *y'\nb: \"!z \\\" *\" # *c\nlist:\n  - 2 * 3\n  - [a * b, \
                    {c: d}]\nurl: https://x.org/#frag\n\"k\": don't\nx: a&b*c\n";
        let value = read(text).unwrap();
        assert_eq!(value["a"], "x & *y");
        assert_eq!(value["list"][1][0], "a * b");
        assert_eq!(value["k"], "don't");
    }

    #[test]
    fn what_hides_other_values_is_refused() {
        for text in [
            "a: &x 1\nb: *x",
            "- &x [1]\n- *x",
            "[&x 1, *x]",
            "{a: &x 1}",
            "a: !!str 1",
            "!t a",
            "base: {a: 1}\n<<: {b: 2}",
            "a: |\n  text\n",
            "a: >-\n  text\n",
            "%YAML 1.2\n---\na: 1",
            "? a\n: b",
            "a: \"two\n  lines\"",
            "&x a: 1",
            "[foo\n \"bar, *x]\"]",
            "a: foo\n  [\nb,\"c: *x #\"",
            "\u{feff}a: 1",
            "a: 1\u{2028}b: *x",
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains("expected plain YAML"), "{text:?}: {message}");
        }
    }

    /// Whether the library finds an alias or a tag in the text, which has no anchor to go with it.
    fn hides_something(text: &str) -> bool {
        fn tagged(value: &serde_yaml::Value) -> bool {
            match value {
                serde_yaml::Value::Tagged(_) => true,
                serde_yaml::Value::Sequence(list) => list.iter().any(tagged),
                serde_yaml::Value::Mapping(map) => map.iter().any(|(k, v)| tagged(k) || tagged(v)),
                _ => false,
            }
        }
        match serde_yaml::from_str(text) {
            Ok(value) => tagged(&value),
            Err(error) => error.to_string().contains("unknown anchor"),
        }
    }

    #[test]
    fn no_quoting_hides_an_alias_or_a_tag_from_the_scan() {
        const PIECES: [&str; 24] = [
            "*x", "*x ", "!t ", "a", "b ", ": ", ":", "- ", ", ", ",", "[", "]", "{", "}", "\"",
            "'", " ", "\n", "\n  ", "# ", "#", "\\", "? ", "\n- ",
        ];
        let mut state = 1_u64;
        let mut next = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let (mut hidden, mut passed) = (0, 0);
        for _ in 0..300_000 {
            let count = 2 + next(11);
            let text: String = (0..count).map(|_| PIECES[next(PIECES.len())]).collect();
            let accepted = Scan::new(&text).run().is_ok();
            let hides = hides_something(&text);
            assert!(!(accepted && hides), "{text:?}");
            hidden += u32::from(hides);
            passed += u32::from(accepted);
        }
        assert!(hidden > 1000 && passed > 1000, "the pieces no longer test anything");
    }

    #[test]
    fn a_key_is_said_once_at_any_depth() {
        for text in ["a: 1\na: 2", "x: {b: [{c: 1, c: 2}]}", "1: a\n\"1\": b"] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains("appears twice"), "{message}");
        }
    }

    #[test]
    fn errors_say_line_and_column() {
        let message = read("a: 1\nb: [1, 2").unwrap_err().to_string();
        assert!(message.starts_with("cannot read the test `test.yaml`, at line "), "{message}");
        assert!(read("a: 1\n---\nb: 2").is_err(), "two documents");
        assert!(read(&"[".repeat(1000)).is_err(), "deep brackets");
        assert!(read(&"- ".repeat(100_000)).is_err(), "deep lists");
        assert!(read(&" ".repeat(5 << 20)).is_err(), "too large");
        assert!(read(&format!("[{}0]", "0,".repeat(1 << 20))).is_err(), "too many");
    }

    #[test]
    fn strict_maps_refuse_duplicates_by_themselves() {
        assert!(serde_json::from_str::<StrictMap<u8>>(r#"{"a":1,"a":2}"#).is_err());
        assert_eq!(serde_json::from_str::<StrictMap<u8>>(r#"{"a":1}"#).unwrap()["a"], 1);
    }
}
