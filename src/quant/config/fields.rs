//! Fields of a foreign object, read with their types and refused by their names.

use serde_json::{Map, Value};

use super::OPERATION;
use crate::error::Error;
use crate::quant::Scheme;
use crate::quant::format::Format;

/// One object of a config.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// The whole config, for what a method takes from elsewhere.
    config: &'a Map<String, Value>,
    place: String,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        value: &'a Value,
        config: &'a Map<String, Value>,
        place: &str,
    ) -> Result<Self, Error> {
        let place = place.to_owned();
        match value.as_object() {
            Some(object) => Ok(Self { object, config, place }),
            None => {
                Err(Error::new(OPERATION).place(place).expected("an object").found(kind(value)))
            }
        }
    }

    /// An error about one field.
    pub(super) fn refuse(&self, key: &str) -> Error {
        Error::new(OPERATION).place(format!("`{}.{key}`", self.place))
    }

    /// A method or option that is understood but not sized.
    pub(super) fn unsupported(&self, key: &str, expected: &str) -> Error {
        let found =
            self.get(key).map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"));
        self.refuse(key).expected(expected).found(found).hint("--quant NAME says it instead")
    }

    pub(super) fn object(&self) -> &'a Map<String, Value> {
        self.object
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// A value that is there and not null.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// The fields of an object in this one.
    pub(super) fn inner(&self, key: &str) -> Result<Option<Self>, Error> {
        let place = format!("{}.{key}", self.place);
        self.get(key).map(|value| Self::new(value, self.config, &place)).transpose()
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.read(key, "a string", Value::as_str)
    }

    /// `false` when it is not there.
    pub(super) fn flag(&self, key: &str) -> Result<bool, Error> {
        Ok(self.read(key, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>, Error> {
        self.read(key, "a whole number", Value::as_i64)
    }

    /// A size that must be there.
    pub(super) fn size(&self, key: &str, default: Option<u64>) -> Result<u64, Error> {
        let size = self
            .read(key, "a whole number above 0", |value| value.as_u64().filter(|&size| size > 0))?;
        size.or(default).ok_or_else(|| self.refuse(key).expected("a whole number above 0"))
    }

    /// A list of strings; empty when it is not there.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<&'a str>, Error> {
        let list = self.read(key, "a list of strings", |value| {
            value.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>()
        })?;
        Ok(list.unwrap_or_default())
    }

    /// Layers of the model, as far as the config says.
    pub(super) fn layers(&self) -> Option<u64> {
        let text = self.config.get("text_config").and_then(Value::as_object);
        let layers = |config: &Map<String, Value>| config.get("num_hidden_layers")?.as_u64();
        layers(self.config).or_else(|| text.and_then(layers))
    }

    fn read<T>(
        &self,
        key: &str,
        expected: &str,
        as_kind: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match as_kind(value) {
            Some(read) => Ok(Some(read)),
            None => Err(self.refuse(key).expected(expected).found(kind(value))),
        }
    }
}

/// The scheme of a format, without overrides.
pub(super) fn plain(format: Format) -> Scheme {
    Scheme { format, overrides: Vec::new() }
}

/// A value for a message: short ones in full.
fn kind(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "another list".to_owned(),
        _ => format!("`{value}`"),
    }
}
