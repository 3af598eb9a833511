//! Reads what can be expected: maps of known keys, words, bytes, values in the unit of their objective.

use serde_json::{Map, Value};

use super::fields::{Fields, short};
use crate::error::Error;
use crate::nearest::did_you_mean;
use crate::objective::{ALL, Unit, law};
use crate::problem::{ObjectiveKind, ObjectiveValue};
use crate::units::{Ratio, parse_bytes, parse_decimal, parse_time};

pub(super) fn known(
    fields: &Fields<'_>,
    place: &str,
    entries: &Map<String, Value>,
    known: &[&str],
) -> Result<(), Error> {
    match entries.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let error = fields.refuse(place);
            let error = error
                .expected(format!("keys among {}", known.join(", ")))
                .found(format!("`{key}`"));
            Err(match did_you_mean(key, known.iter().copied()) {
                Some(hint) => error.hint(hint),
                None => error,
            })
        }
    }
}

pub(super) fn map<'a>(
    fields: &Fields<'_>,
    expect: &'a Map<String, Value>,
    key: &str,
) -> Result<Option<&'a Map<String, Value>>, Error> {
    match expect.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(other) => Err(fields
            .refuse(&format!("expect.{key}"))
            .expected("a map of keys")
            .found(short(other))),
    }
}

pub(super) fn word(
    fields: &Fields<'_>,
    key: &str,
    value: &Value,
    words: &[&str],
) -> Result<String, Error> {
    match value {
        Value::String(text) if words.contains(&text.as_str()) => Ok(text.clone()),
        other => Err(fields
            .refuse(&format!("expect.{key}"))
            .expected(format!("one of {}", words.join(", ")))
            .found(short(other))),
    }
}

pub(super) fn objective(fields: &Fields<'_>, name: &str) -> Result<ObjectiveKind, Error> {
    ObjectiveKind::named(name).ok_or_else(|| {
        let names = ALL.iter().map(|kind| kind.name());
        let error = fields
            .refuse("expect.objectives")
            .expected(format!("among {}", names.clone().collect::<Vec<_>>().join(", ")))
            .found(format!("`{name}`"));
        match did_you_mean(name, names) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

/// A value in the unit of its objective: exact, as a size, a share or a time.
pub(super) fn read_value(
    fields: &Fields<'_>,
    place: &str,
    kind: ObjectiveKind,
    value: &Value,
) -> Result<ObjectiveValue, Error> {
    let unit = law(kind).unit();
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => String::new(),
    };
    let text = text.trim();
    let whole = || text.parse::<u64>().ok();
    let read = match unit {
        Unit::Bytes => parse_bytes(text).ok().map(ObjectiveValue::Bytes),
        Unit::Count => whole().map(ObjectiveValue::Count),
        Unit::Time => whole().or_else(|| parse_time(text).ok()).map(ObjectiveValue::Time),
        Unit::Share | Unit::Transfers => ratio(text).map(ObjectiveValue::Ratio),
    };
    read.ok_or_else(|| {
        let expected = match unit {
            Unit::Bytes => "bytes such as `1024` or `16GiB`",
            Unit::Count => "a whole number",
            Unit::Time => "picoseconds, or a time such as `16ms`",
            Unit::Share | Unit::Transfers => "a fraction such as `3/4`, `75%` or `0.75`",
        };
        fields.refuse(place).expected(expected).found(short(value))
    })
}

pub(super) fn ratio(text: &str) -> Option<Ratio> {
    let decimal = |text: &str, scale: u64| {
        let (number, decimals) = parse_decimal(text.trim_end())?;
        Some(Ratio::new(number, decimals.checked_mul(scale)?))
    };
    Ratio::from_fraction(text)
        .or_else(|| text.strip_suffix('%').and_then(|percent| decimal(percent, 100)))
        .or_else(|| decimal(text, 1))
}

/// A share: `0.0001`, `1e-4`, `0.01%`.
pub(super) fn gap(fields: &Fields<'_>, place: &str, value: &Value) -> Result<Ratio, Error> {
    let text = match value {
        // As digits: `1e-4` is a number too.
        Value::Number(number) => format!("{:.9}", number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => text.clone(),
        _ => String::new(),
    };
    ratio(text.trim()).ok_or_else(|| {
        fields.refuse(place).expected("a share such as `0.0001` or `0.01%`").found(short(value))
    })
}

pub(super) fn bytes(fields: &Fields<'_>, place: &str, value: &Value) -> Result<u64, Error> {
    let read = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => parse_bytes(text).ok(),
        _ => None,
    };
    read.ok_or_else(|| {
        let refusal = fields.refuse(place);
        refusal.expected("bytes such as `1024` or `16GiB`").found(short(value))
    })
}
