//! A config in, typed and bounded values out: the keys a family reads and nothing else.
//!
//! Configs are hostile text. Every value has a type and bounds, a key may be said only once, and a
//! refusal names the file, the key, what was expected and what was there.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::expression::{Expression, Scope, Value};
use super::family::{Family, families};
use super::template::{Key, KeyKind};
use crate::error::Error;
use crate::files::TEXT_BYTES_MAX;
use crate::nearest::did_you_mean;
use crate::strict::UniqueKeys;

const OPERATION: &str = "read the config";
const LIST_ITEMS_MAX: usize = 1000;
const TEXT_CHARS_MAX: usize = 64;

/// The values a family reads, by key; defaults are filled in.
pub(super) type Values = BTreeMap<String, Value>;

/// Reads the text of a config.json as one object in which no key is said twice.
pub(super) fn parse(text: &str, source: &str) -> Result<Map<String, Json>, Error> {
    let refuse = || Error::new(OPERATION).object(source);
    if text.len() as u64 > TEXT_BYTES_MAX {
        return Err(refuse().expected("at most 4 MiB of text").found("more"));
    }
    if text.trim().is_empty() {
        return Err(refuse().expected("a JSON object").found("an empty file"));
    }
    let describe = |error: serde_json::Error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let suffix = format!(" at line {line} column {column}");
        let message = message.strip_suffix(&suffix).unwrap_or(&message);
        refuse().place(format!("line {line}:{column}")).found(message)
    };
    serde_json::from_str::<UniqueKeys>(text).map_err(describe)?;
    match serde_json::from_str(text).map_err(describe)? {
        Json::Object(object) => Ok(object),
        other => Err(refuse().expected("a JSON object").found(shown(&other))),
    }
}

/// The family that serves a config's `model_type`.
pub(super) fn family_of(
    object: &Map<String, Json>,
    source: &str,
) -> Result<&'static Family, Error> {
    let known = || families().iter().flat_map(|f| f.model_types.iter().map(String::as_str));
    let list = known().collect::<Vec<_>>().join(", ");
    let refuse = || Error::new(OPERATION).object(source).place("key `model_type`");
    match object.get("model_type") {
        Some(Json::String(name)) => {
            let serves = |family: &&Family| family.model_types.iter().any(|t| t == name);
            families().iter().find(serves).ok_or_else(|| {
                let error = refuse().expected(format!("one of {list}")).found(format!("`{name}`"));
                if object.contains_key("text_config") {
                    return error.hint(
                        "this is a config of several models in one (`text_config`); \
                         pass its language model's own config",
                    );
                }
                match did_you_mean(name, known()) {
                    Some(hint) => error.hint(hint),
                    None => error,
                }
            })
        }
        Some(other) => Err(refuse().expected(format!("one of {list}")).found(shown(other))),
        None => Err(refuse().expected(format!("one of {list}")).found("no such key")),
    }
}

/// As [`family_of`], for those who can do without.
pub(super) fn known_family_of(object: &Map<String, Json>) -> Option<&'static Family> {
    let name = object.get("model_type")?.as_str()?;
    families().iter().find(|family| family.model_types.iter().any(|t| t == name))
}

/// The config of the language model: the whole, or the `text_config` in one of several models.
pub(super) fn language_model(object: &Map<String, Json>) -> &Map<String, Json> {
    let inner = object.get("text_config").and_then(Json::as_object);
    let served = |config: &&Map<String, Json>| known_family_of(config).is_some();
    inner.filter(|_| !served(&object)).filter(served).unwrap_or(object)
}

/// What a config says about quantization.
pub(super) fn quantization_of(object: &Map<String, Json>) -> Map<String, Json> {
    let keys = ["quantization_config", "quantization"];
    let said = keys.iter().filter_map(|key| Some((*key, object.get(*key)?)));
    said.map(|(key, value)| (key.to_owned(), value.clone())).collect()
}

/// The family's values from a config; keys the family does not read are ignored.
pub(super) fn read(
    family: &Family,
    object: &Map<String, Json>,
    source: &str,
) -> Result<Values, Error> {
    let mut values = Values::new();
    for (name, key) in family.config.iter() {
        if let Some((path, json)) = find(object, name, key) {
            let value = typed(key, json).map_err(|expected| {
                Error::new(OPERATION)
                    .object(source)
                    .place(format!("key `{path}`"))
                    .expected(expected)
                    .found(shown(json))
            })?;
            values.insert(name.clone(), value);
        } else if otherwise(object, name, key).is_none() {
            return Err(missing(name, object, source));
        }
    }
    fill_defaults(family, object, &mut values, source)?;
    Ok(values)
}

/// As [`read`], for configs that this program wrote or ships: every key must be one the family reads.
pub(super) fn read_exact(
    family: &Family,
    object: &Map<String, Json>,
    source: &str,
) -> Result<Values, Error> {
    let first = |path: &String| path.split('.').next().unwrap_or(path).to_owned();
    let known: Vec<String> = family
        .config
        .iter()
        .flat_map(|(name, key)| std::iter::once(name.clone()).chain(key.from.iter().map(first)))
        .collect();
    if let Some(extra) = object.keys().find(|key| !known.contains(key)) {
        let error = Error::new(OPERATION)
            .object(source)
            .place(format!("key `{extra}`"))
            .expected(format!("keys of family `{}`", family.family))
            .found("another key");
        return Err(match did_you_mean(extra, known.iter().map(String::as_str)) {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }
    read(family, object, source)
}

/// The values as JSON, for [`super::Model::config`].
pub(super) fn to_json(values: &Values) -> BTreeMap<String, Json> {
    let json = |value: &Value| match value {
        Value::Integer(value) => Json::from(*value),
        Value::Boolean(value) => Json::from(*value),
        Value::Text(value) => Json::from(value.as_str()),
        Value::Integers(value) => Json::from(value.clone()),
        Value::Texts(value) => Json::from(value.clone()),
    };
    values.iter().map(|(name, value)| (name.clone(), json(value))).collect()
}

/// The value at the key's own name or at one of its other places; null counts as absent, and so do
/// the words that the key says mean it.
fn find<'a>(
    object: &'a Map<String, Json>,
    name: &'a str,
    key: &'a Key,
) -> Option<(&'a str, &'a Json)> {
    std::iter::once(name).chain(key.from.iter().map(String::as_str)).find_map(|path| {
        let mut steps = path.split('.');
        let first = object.get(steps.next()?)?;
        let value = steps.try_fold(first, |value, step| value.get(step))?;
        let absent = value.is_null()
            || value.as_str().is_some_and(|text| key.absent.iter().any(|word| word == text));
        (!absent).then_some((path, value))
    })
}

/// What the key means without a value: null may mean something else than leaving it out.
fn otherwise<'a>(object: &Map<String, Json>, name: &str, key: &'a Key) -> Option<&'a Expression> {
    let null = || object.get(name).is_some_and(Json::is_null);
    key.if_null.as_ref().filter(|_| null()).or(key.default.as_ref())
}

/// The value as the key wants it, or what was expected.
fn typed(key: &Key, json: &Json) -> Result<Value, String> {
    let within = |value: &i64| (key.min..=key.max).contains(value);
    match key.kind {
        KeyKind::Integer => json
            .as_i64()
            .filter(within)
            .map(Value::Integer)
            .ok_or_else(|| format!("a whole number from {} to {}", key.min, key.max)),
        KeyKind::Length => json
            .as_array()
            .map_or_else(|| json.as_i64(), |list| i64::try_from(list.len()).ok())
            .filter(within)
            .map(Value::Integer)
            .ok_or_else(|| format!("a list of {} to {} items", key.min, key.max)),
        KeyKind::Boolean => {
            json.as_bool().map(Value::Boolean).ok_or_else(|| "true or false".to_owned())
        }
        KeyKind::Text => word(json).map(Value::Text).ok_or_else(|| {
            format!("a word of at most {TEXT_CHARS_MAX} letters, digits, `.`, `_` or `-`")
        }),
        KeyKind::Texts => json
            .as_array()
            .filter(|list| list.len() <= LIST_ITEMS_MAX)
            .and_then(|list| list.iter().map(word).collect())
            .map(Value::Texts)
            .ok_or_else(|| format!("a list of at most {LIST_ITEMS_MAX} words")),
        KeyKind::Integers => json
            .as_array()
            .filter(|list| list.len() <= LIST_ITEMS_MAX)
            .and_then(|list| list.iter().map(|item| item.as_i64().filter(within)).collect())
            .map(Value::Integers)
            .ok_or_else(|| {
                format!(
                    "a list of at most {LIST_ITEMS_MAX} whole numbers from {} to {}",
                    key.min, key.max
                )
            }),
    }
}

fn word(json: &Json) -> Option<String> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let text = json.as_str().filter(|text| text.len() <= TEXT_CHARS_MAX && text.chars().all(safe));
    text.map(str::to_owned)
}

/// Defaults may build on other defaults, so they are filled in until nothing changes any more.
fn fill_defaults(
    family: &Family,
    object: &Map<String, Json>,
    values: &mut Values,
    source: &str,
) -> Result<(), Error> {
    loop {
        let mut waiting = None;
        let before = values.len();
        for (name, key) in family.config.iter() {
            let default = otherwise(object, name, key).filter(|_| !values.contains_key(name));
            let Some(default) = default else { continue };
            if default.names().iter().any(|needed| !values.contains_key(*needed)) {
                waiting = Some(name);
                continue;
            }
            let value = default.evaluate(Scope { keys: values, layer: None }).map_err(|why| {
                Error::new(OPERATION)
                    .object(source)
                    .place(format!("key `{name}`, which is absent"))
                    .found(why)
                    .hint(format!("give `{name}` in the config"))
            })?;
            values.insert(name.clone(), value);
        }
        match waiting {
            None => return Ok(()),
            Some(name) if values.len() == before => {
                return Err(Error::new(OPERATION)
                    .object(source)
                    .place(format!("key `{name}`"))
                    .found("defaults that need each other"));
            }
            Some(_) => {}
        }
    }
}

fn missing(name: &str, object: &Map<String, Json>, source: &str) -> Error {
    let found = if object.contains_key(name) { "null" } else { "no such key" };
    let error = Error::new(OPERATION)
        .object(source)
        .place(format!("key `{name}`"))
        .expected("a value")
        .found(found);
    let others = object.keys().map(String::as_str).filter(|key| *key != name);
    match did_you_mean(name, others) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// A value for a message, cut short.
fn shown(json: &Json) -> String {
    match json {
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
        other => other.to_string().chars().take(80).collect(),
    }
}
