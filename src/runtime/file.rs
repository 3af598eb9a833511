//! Reads a profile: YAML, hostile, every value within bounds and every name known.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};

use super::rules::{RULES, canonical};
use super::{NAMES, Profile, Rule};
use crate::error::Error;
use crate::nearest::did_you_mean;
use crate::yaml::{self, StrictMap};

const OPERATION: &str = "read the runtime profile";
/// Rules that need not be stated, because profiles from before there were these are complete without them.
const ASSUMED: [(&str, &str, &str); 2] = [
    ("sends", "per_expert", "the convention until it is measured"),
    ("layer_devices", "sequential", "the convention until it is measured"),
];
/// Longer sources and descriptions are refused.
const TEXT_BYTES_MAX: usize = 600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a runtime profile")]
struct FileEntry {
    version: u64,
    runtime: Option<String>,
    based_on: Option<String>,
    about: Option<String>,
    rules: StrictMap<RuleEntry>,
}

/// A value alone, or with where it comes from.
struct RuleEntry {
    value: String,
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a rule: `value`, `source`")]
struct SourcedEntry {
    value: Text,
    source: Option<String>,
}

/// A number, a word, `true`, `false`, or a list of words: as text.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entry = deserializer.deserialize_any(RuleVisitor { nested: false })?;
        Ok(Self(entry.value))
    }
}

impl<'de> Deserialize<'de> for RuleEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RuleVisitor { nested: true })
    }
}

struct RuleVisitor {
    /// Whether a map of value and source may stand here.
    nested: bool,
}

fn bare(value: String) -> RuleEntry {
    RuleEntry { value, source: None }
}

impl<'de> Visitor<'de> for RuleVisitor {
    type Value = RuleEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a word, a list of words")?;
        f.write_str(if self.nested { ", or `value` with its `source`" } else { "" })
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<RuleEntry, E> {
        Ok(bare(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<RuleEntry, E> {
        Ok(bare(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<RuleEntry, E> {
        Ok(bare(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RuleEntry, A::Error> {
        let mut words: Vec<String> = Vec::new();
        while let Some(word) = seq.next_element()? {
            words.push(word);
        }
        Ok(bare(words.join(",")))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RuleEntry, A::Error> {
        if !self.nested {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        }
        let entry = SourcedEntry::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RuleEntry { value: entry.value.0, source: entry.source })
    }
}

/// Reads the text of a profile; `source` names it in messages.
pub(super) fn read(text: &str, source: &str) -> Result<Profile, Error> {
    let refuse = || Error::new(OPERATION).object(source);
    let file: FileEntry = yaml::from_str(text, OPERATION, source)?;
    if file.version != 1 {
        return Err(refuse().place("version").expected("1").found(file.version.to_string()));
    }
    let base = file.based_on.as_deref().map(Profile::named).transpose()?;
    let name = match (&file.runtime, &base) {
        (Some(name), _) => name.clone(),
        (None, Some(base)) => base.name.clone(),
        (None, None) => {
            return Err(refuse()
                .expected("`based_on`, or `runtime` with every rule")
                .hint(format!("the runtimes are {}", NAMES.join(", "))));
        }
    };
    check_name(&name).map_err(|e| e.place(source))?;
    let mut rules = base.as_ref().map(|base| base.rules.clone()).unwrap_or_default();
    for (key, entry) in &file.rules.0 {
        let place = |e: Error| e.object(source).place(format!("rule `{key}`"));
        let (key, rule) = read_rule(key, entry, source).map_err(place)?;
        rules.insert(key, rule);
    }
    let about = file.about.or(base.map(|base| base.about)).unwrap_or_default();
    if about.len() > TEXT_BYTES_MAX {
        return Err(refuse().place("about").expected(format!("at most {TEXT_BYTES_MAX} bytes")));
    }
    complete(name, about, rules).map_err(|e| e.object(source))
}

fn read_rule(key: &str, entry: &RuleEntry, file: &str) -> Result<(&'static str, Rule), Error> {
    let Some(&(key, form)) = RULES.iter().find(|row| row.0 == key) else {
        let error = Error::new(OPERATION).expected("the name of a rule").found("another name");
        return Err(match did_you_mean(key, RULES.iter().map(|row| row.0)) {
            Some(hint) => error.hint(hint),
            None => error,
        });
    };
    let value = canonical(form, &entry.value)?;
    let source = match &entry.source {
        Some(text) if text.len() > TEXT_BYTES_MAX => {
            return Err(Error::new(OPERATION)
                .expected(format!("a source of at most {TEXT_BYTES_MAX} bytes"))
                .found(format!("{} bytes", text.len())));
        }
        Some(text) => text.clone(),
        None => format!("stated in {file}"),
    };
    Ok((key, Rule { value, source }))
}

/// A profile from rules as a placement file records them: all that differ from the runtime's own, or
/// all there are when it is none of ours.
pub(super) fn recorded(name: &str, values: &BTreeMap<String, String>) -> Result<Profile, Error> {
    check_name(name)?;
    let base = if NAMES.contains(&name) { Some(Profile::named(name)?) } else { None };
    let mut rules = base.as_ref().map(|base| base.rules.clone()).unwrap_or_default();
    for (key, value) in values {
        let entry = bare(value.clone());
        let place = |e: Error| e.place(format!("rule `{key}`"));
        let (key, rule) = read_rule(key, &entry, "the placement").map_err(place)?;
        rules.insert(key, rule);
    }
    complete(name.to_owned(), base.map(|base| base.about).unwrap_or_default(), rules)
}

fn complete(
    name: String,
    about: String,
    mut rules: BTreeMap<&'static str, Rule>,
) -> Result<Profile, Error> {
    for (rule, value, source) in ASSUMED {
        rules
            .entry(rule)
            .or_insert_with(|| Rule { value: value.to_owned(), source: source.to_owned() });
    }
    let missing: Vec<&str> =
        RULES.iter().map(|row| row.0).filter(|key| !rules.contains_key(key)).collect();
    if missing.is_empty() {
        return Ok(Profile::of(name, about, rules));
    }
    Err(Error::new(OPERATION)
        .expected("every rule, or `based_on`")
        .found(format!("no {}", missing.join(", "))))
}

/// Names of runtimes go into files and terminals unquoted, so they are kept plain.
fn check_name(name: &str) -> Result<(), Error> {
    const CHARS_MAX: usize = 64;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c);
    if name.is_empty() || name.len() > CHARS_MAX || !name.chars().all(plain) {
        return Err(Error::new("use the runtime's name")
            .object(name)
            .expected("1 to 64 characters of `a-z 0-9 _ . -`"));
    }
    Ok(())
}
