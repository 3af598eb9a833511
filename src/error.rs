//! The one error: which operation failed on which object, what was expected, what was found, a hint.

use std::fmt;

/// Why something could not be done.
///
/// It is opaque on purpose: a caller prints it. "No" answers (infeasible, a check that fails) are not
/// errors but outcomes.
#[derive(Debug)]
pub struct Error(Box<Parts>);

#[derive(Debug, Default)]
struct Parts {
    operation: String,
    object: Option<String>,
    place: Option<String>,
    expected: Option<String>,
    found: Option<String>,
    hint: Option<String>,
}

impl Error {
    /// `operation` completes the sentence "cannot ...".
    pub fn new(operation: impl Into<String>) -> Self {
        Self(Box::new(Parts { operation: operation.into(), ..Parts::default() }))
    }

    /// The file, name or value it happened to; the outermost caller that knows it sets it last.
    #[must_use]
    pub fn object(mut self, object: impl Into<String>) -> Self {
        self.0.object = Some(object.into());
        self
    }

    /// Where inside the object: a key, a line.
    #[must_use]
    pub fn place(mut self, place: impl Into<String>) -> Self {
        self.0.place = Some(place.into());
        self
    }

    /// What would have been right.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = Some(expected.into());
        self
    }

    /// What was there instead.
    #[must_use]
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.0.found = Some(found.into());
        self
    }

    /// What to try next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The next thing to try, printed on a line of its own.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { operation, object, place, expected, found, .. } = &*self.0;
        write!(f, "cannot {operation}")?;
        if let Some(object) = object {
            write!(f, " `{}`", printable(object))?;
        }
        if let Some(place) = place {
            write!(f, ", at {}", printable(place))?;
        }
        match (expected, found) {
            (Some(e), Some(x)) => write!(f, ": expected {}, found {}", printable(e), printable(x)),
            (Some(e), None) => write!(f, ": expected {}", printable(e)),
            (None, Some(x)) => write!(f, ": {}", printable(x)),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Text from outside, safe on a terminal: control and direction-changing characters are escaped and
/// very long text is cut.
pub fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 400;
    let mut out = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == CHARS_MAX {
            out.push_str("...");
            break;
        }
        let direction = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || direction { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_operation_object_place_expected_and_found() {
        let error = Error::new("read the config")
            .object("config.json")
            .place("key `hidden_size`")
            .expected("a positive integer")
            .found("-4");
        assert_eq!(
            error.to_string(),
            "cannot read the config `config.json`, at key `hidden_size`: \
             expected a positive integer, found -4"
        );
    }

    #[test]
    fn hostile_names_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable(&"x".repeat(1000)).len(), 403);
    }
}
