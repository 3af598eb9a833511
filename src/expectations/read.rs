//! Reads a file of expectations as hostile input: as far as its cases, which are read one by one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use globset::{Glob, GlobMatcher};
use serde_json::{Map, Value};

use super::CASES_MAX;
use super::fields::{Fields, kind};
use super::question::KEYS;
use crate::error::Error;
use crate::files::read_text;
use crate::yaml;

const OPERATION: &str = "read the expectations";
const VERSION: u64 = 1;
const NAME_CHARS_MAX: usize = 200;

/// A file of expectations, its cases not asked yet.
#[derive(Debug)]
pub struct Expectations {
    pub(super) source: String,
    /// What paths in it are relative to.
    pub(super) folder: PathBuf,
    pub(super) text: String,
    /// All that the file says.
    pub(super) root: Value,
    pub(super) defaults: Map<String, Value>,
    pub(super) cases: Vec<Case>,
}

/// A case as it stands in the file.
#[derive(Debug)]
pub(super) struct Case {
    /// Its name, or its number where that is what is wrong.
    pub(super) name: String,
    /// Where it stands in the list.
    pub(super) index: usize,
    /// Its keys, or why it is none.
    pub(super) keys: Result<Map<String, Value>, (String, Option<String>)>,
}

impl Expectations {
    /// Reads the file at a path.
    ///
    /// # Errors
    /// As [`Self::from_yaml`], and what is no text.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = read_text(path, OPERATION)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Self::from_yaml(text, &path.display().to_string(), folder)
    }

    /// Reads the text of a file; `source` names it in messages, paths in it are relative to `folder`.
    ///
    /// What is wrong with one case is said when it is asked, so that the others still are.
    ///
    /// # Errors
    /// Text that is not plain YAML, another version, keys that are not those of the format, defaults that no
    /// case could have, no cases, and more than [`CASES_MAX`].
    pub fn from_yaml(text: String, source: &str, folder: PathBuf) -> Result<Self, Error> {
        let refuse = || Error::new(OPERATION).object(source);
        let root: Value = yaml::from_str(&text, OPERATION, source)?;
        let Value::Object(keys) = &root else {
            return Err(refuse().expected("the keys of a file of expectations").found(kind(&root)));
        };
        if let Some(key) =
            keys.keys().find(|key| !["version", "defaults", "cases"].contains(&key.as_str()))
        {
            let known = "`version`, `defaults` and `cases`";
            return Err(refuse().expected(known).found(format!("`{key}`")));
        }
        match keys.get("version") {
            Some(Value::Number(version)) if version.as_u64() == Some(VERSION) => {}
            found => {
                let found = found.map_or_else(|| "none".to_owned(), ToString::to_string);
                let place = refuse().place("version");
                return Err(place.expected(VERSION.to_string()).found(found));
            }
        }
        let defaults = match keys.get("defaults") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(defaults)) => defaults.clone(),
            Some(other) => {
                return Err(refuse()
                    .place("defaults")
                    .expected("keys of cases")
                    .found(kind(other)));
            }
        };
        Fields::new(&format!("the defaults of `{source}`"), &defaults, &KEYS)?;
        let cases = match keys.get("cases") {
            // A check of nothing would always pass.
            Some(Value::Array(cases)) if cases.is_empty() => {
                return Err(refuse().place("cases").expected("at least one").found("none"));
            }
            Some(Value::Array(cases)) if cases.len() <= CASES_MAX => read_cases(cases, source),
            Some(Value::Array(cases)) => {
                return Err(refuse()
                    .place("cases")
                    .expected(format!("at most {CASES_MAX}"))
                    .found(cases.len().to_string()));
            }
            other => {
                let found = other.map_or("nothing", kind);
                return Err(refuse().place("cases").expected("a list of cases").found(found));
            }
        };
        Ok(Self { source: source.to_owned(), folder, text, root, defaults, cases })
    }

    /// How many cases there are.
    pub fn cases(&self) -> usize {
        self.cases.len()
    }

    /// The names of the cases, in the order of the file.
    pub fn names(&self) -> Vec<&str> {
        self.cases.iter().map(|case| case.name.as_str()).collect()
    }

    /// Keeps only the cases whose name one of the patterns is or matches; `*` stands for anything.
    ///
    /// # Errors
    /// What is no pattern, and one that matches no case.
    pub fn only<S: AsRef<str>>(&mut self, patterns: &[S]) -> Result<(), Error> {
        let mut chosen: BTreeSet<usize> = BTreeSet::new();
        for pattern in patterns.iter().map(AsRef::as_ref) {
            // A name may have characters that mean something else in a pattern.
            let exact = self.cases.iter().find(|case| case.name == pattern);
            if let Some(case) = exact {
                chosen.insert(case.index);
                continue;
            }
            let matcher = matcher(pattern)?;
            let before = chosen.len();
            let cases = self.cases.iter().filter(|case| matcher.is_match(&case.name));
            chosen.extend(cases.map(|case| case.index));
            if chosen.len() == before && !self.cases.iter().any(|c| matcher.is_match(&c.name)) {
                let names = self.cases.iter().map(|case| case.name.as_str());
                let error = Error::new("choose cases")
                    .object(pattern)
                    .expected("a pattern that matches the name of a case")
                    .found("no match");
                return Err(match crate::nearest::did_you_mean(pattern, names) {
                    Some(hint) => error.hint(hint),
                    None => error.hint("`*` stands for anything, as in `mixtral*`"),
                });
            }
        }
        self.cases.retain(|case| chosen.contains(&case.index));
        Ok(())
    }
}

fn matcher(pattern: &str) -> Result<GlobMatcher, Error> {
    const CHARS_MAX: usize = 256;
    let refuse = || Error::new("choose cases").object(pattern);
    if pattern.len() > CHARS_MAX {
        return Err(refuse().expected(format!("at most {CHARS_MAX} characters")));
    }
    let glob = Glob::new(pattern).map_err(|error| refuse().found(error.kind().to_string()))?;
    Ok(glob.compile_matcher())
}

fn read_cases(cases: &[Value], source: &str) -> Vec<Case> {
    let mut names = BTreeSet::new();
    let read = |(index, case): (usize, &Value)| {
        let number = format!("case {}", index + 1);
        match read_case(case, &number, source, &mut names) {
            Ok((name, keys)) => Case { name, index, keys: Ok(keys) },
            Err((name, error)) => {
                let hint = error.hint_text().map(str::to_owned);
                Case { name, index, keys: Err((error.to_string(), hint)) }
            }
        }
    };
    cases.iter().enumerate().map(read).collect()
}

/// The name and the keys; what is wrong comes with the name it is reported under.
fn read_case(
    case: &Value,
    number: &str,
    source: &str,
    names: &mut BTreeSet<String>,
) -> Result<(String, Map<String, Value>), (String, Error)> {
    let refuse = |place: String| Error::new(OPERATION).object(source).place(place);
    let Value::Object(keys) = case else {
        let error = refuse(number.to_owned()).expected("the keys of a case").found(kind(case));
        return Err((number.to_owned(), error));
    };
    let name = match keys.get("name") {
        Some(Value::String(name)) => name.trim().to_owned(),
        Some(Value::Number(name)) => name.to_string(),
        other => {
            let found = other.map_or("nothing", kind);
            let error = refuse(format!("`name` of {number}")).expected("text").found(found);
            return Err((number.to_owned(), error));
        }
    };
    if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) {
        let error = refuse(format!("`name` of {number}"))
            .expected(format!("1 to {NAME_CHARS_MAX} characters"))
            .found(format!("{}", name.chars().count()));
        return Err((number.to_owned(), error));
    }
    if !names.insert(name.clone()) {
        let error = refuse(number.to_owned())
            .expected("a name of its own for each case")
            .found(format!("`{name}` once more"));
        return Err((format!("{number}: {name}"), error));
    }
    Ok((name, keys.clone()))
}
