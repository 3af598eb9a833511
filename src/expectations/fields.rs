//! The keys of one case, read one by one so that every message names the file, the case and the key.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::nearest::did_you_mean;

/// Reads, and remembers whose keys these are.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    /// `case `name` of `file``, for messages.
    place: String,
    keys: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// # Errors
    /// A key that is not among the known ones, with the nearest of them.
    pub(super) fn new(
        place: &str,
        keys: &'a Map<String, Value>,
        known: &[&str],
    ) -> Result<Self, Error> {
        let fields = Self { place: place.to_owned(), keys };
        match keys.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(fields),
            Some(key) => {
                let error = Error::new("read the expectations")
                    .place(place)
                    .expected("the keys of a case")
                    .found(format!("`{key}`"));
                Err(match did_you_mean(key, known.iter().copied()) {
                    Some(hint) => error.hint(hint),
                    None => error.hint(format!("the keys are {}", known.join(", "))),
                })
            }
        }
    }

    /// A refusal of what a key holds.
    pub(super) fn refuse(&self, key: &str) -> Error {
        Error::new("read the expectations").place(format!("key `{key}` of {}", self.place))
    }

    /// What a reader says of a value, with its place.
    pub(super) fn at<T>(&self, key: &str, read: Result<T, Error>) -> Result<T, Error> {
        read.map_err(|error| error.place(format!("key `{key}` of {}", self.place)))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(|value| !value.is_null())
    }

    /// Whether the key is there, be it without a value.
    pub(super) fn is_said(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    /// Text, or a number as it is written.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, Error> {
        self.value(key).map(|value| self.as_text(key, value)).transpose()
    }

    fn as_text(&self, key: &str, value: &Value) -> Result<String, Error> {
        match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(self.refuse(key).expected("text or a number").found(kind(other))),
        }
    }

    /// A list of texts; a text alone is a list of one.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, Error> {
        match self.value(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| self.as_text(key, item)).collect(),
            Some(one) => Ok(vec![self.as_text(key, one)?]),
        }
    }

    pub(super) fn whole(&self, key: &str) -> Result<Option<u64>, Error> {
        let read = |value: &Value| {
            value.as_u64().ok_or_else(|| {
                self.refuse(key)
                    .expected(format!("a whole number from 0 to {}", u64::MAX))
                    .found(short(value))
            })
        };
        self.value(key).map(read).transpose()
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        let read = |value: &Value| {
            value
                .as_bool()
                .ok_or_else(|| self.refuse(key).expected("true or false").found(short(value)))
        };
        self.value(key).map(read).transpose()
    }

    /// One of some words; hyphens are as good as underscores.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<Option<T>, Error> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let plain = text.replace('-', "_");
        let found = words.iter().find(|(word, _)| *word == plain);
        found.map(|&(_, value)| Some(value)).ok_or_else(|| {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.refuse(key).expected(format!("one of {}", names.join(", "))).found(text)
        })
    }
}

/// What kind of value it is, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map of keys",
    }
}

/// A scalar as it is, anything else by its kind.
pub(super) fn short(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        other => kind(other).to_owned(),
    }
}
