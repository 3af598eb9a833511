//! What a checkpoint says of its model: the key-values of a GGUF header.

use std::collections::BTreeMap;

/// The key-values of a checkpoint's first file, by key; of safetensors its `__metadata__` texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(BTreeMap<String, MetaValue>);

/// One value of a header.
#[derive(Clone, Debug, PartialEq)]
pub enum MetaValue {
    /// A whole number that is not negative.
    Unsigned(u64),
    /// A negative whole number.
    Negative(i64),
    /// A number with a fraction; single precision is widened, which is exact.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A text.
    Text(String),
    /// The length in bytes of a text of more than 1 MiB, which is not kept.
    LongText(u64),
    /// A list of at most 4096 whole numbers, none negative, or of booleans as 0 and 1.
    Integers(Vec<u64>),
    /// The number of items of any other list, such as a vocabulary; the items are not kept.
    List(u64),
}

impl Metadata {
    /// Adds a value; false, and nothing is changed, when the key is already there.
    pub(super) fn insert(&mut self, key: String, value: MetaValue) -> bool {
        if self.0.contains_key(&key) {
            return false;
        }
        self.0.insert(key, value);
        true
    }

    /// The value of that key.
    pub fn get(&self, key: &str) -> Option<&MetaValue> {
        self.0.get(key)
    }

    /// The whole number of that key, unless it is negative.
    pub fn u64(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            MetaValue::Unsigned(value) => Some(*value),
            _ => None,
        }
    }

    /// The number of that key: a float, or a whole one as far as a float holds it exactly.
    pub fn f64(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            MetaValue::Float(value) => Some(*value),
            MetaValue::Unsigned(value) => u32::try_from(*value).ok().map(f64::from),
            MetaValue::Negative(value) => i32::try_from(*value).ok().map(f64::from),
            _ => None,
        }
    }

    /// The boolean of that key.
    pub fn bool(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            MetaValue::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The text of that key.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            MetaValue::Text(value) => Some(value),
            _ => None,
        }
    }

    /// The list of whole numbers or booleans of that key; `None` for a single number.
    pub fn integers(&self, key: &str) -> Option<Vec<u64>> {
        match self.get(key)? {
            MetaValue::Integers(values) => Some(values.clone()),
            _ => None,
        }
    }

    /// The number of items of the list of that key, whether they were kept or not.
    pub fn len(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            MetaValue::Integers(values) => u64::try_from(values.len()).ok(),
            MetaValue::List(items) => Some(*items),
            _ => None,
        }
    }

    /// All values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &MetaValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}
