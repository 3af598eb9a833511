//! What the words of questions and answers mean: formula, why, source.
//!
//! The words are data (`terms.yaml`); what a runtime's rules say, and where that comes from, is read from the
//! [profiles](crate::runtime) themselves, so that it cannot be another thing here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::error::Error;
use crate::nearest::did_you_mean;
use crate::runtime::{NAMES, Profile};
use crate::yaml::{self, StrictMap};

const TEXT: &str = include_str!("terms.yaml");

/// Read once; a test reads the text on its own.
static TERMS: LazyLock<BTreeMap<String, Term>> = LazyLock::new(|| read().unwrap_or_default());

/// What a term is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What can be minimised.
    Objective,
    /// What must hold.
    Constraint,
    /// A figure of what a device needs.
    Estimate,
    /// What crosses between devices.
    Traffic,
    /// A word of an answer.
    Answer,
    /// What a runtime does with memory.
    Rule,
}

impl Kind {
    /// All of them, in the order they are listed.
    pub const ALL: [Self; 6] = [
        Self::Objective,
        Self::Constraint,
        Self::Estimate,
        Self::Traffic,
        Self::Answer,
        Self::Rule,
    ];

    /// The word for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Objective => "objective",
            Self::Constraint => "constraint",
            Self::Estimate => "term of the estimate",
            Self::Traffic => "term of the traffic",
            Self::Answer => "word of an answer",
            Self::Rule => "rule of a runtime",
        }
    }

    /// The heading of a list of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Objective => "objectives",
            Self::Constraint => "constraints",
            Self::Estimate => "terms of the estimate",
            Self::Traffic => "terms of the traffic",
            Self::Answer => "words of an answer",
            Self::Rule => "rules of runtimes",
        }
    }
}

/// A word and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a term")]
pub struct Term {
    /// What it is a part of.
    pub kind: Kind,
    /// One line.
    pub about: String,
    /// How it is computed or what must hold.
    pub formula: Option<String>,
    /// Why it is there.
    pub why: Option<String>,
    /// Where it comes from.
    pub source: Option<String>,
    /// How it is asked for on the command line.
    pub option: Option<String>,
    /// The page of the documentation that has more.
    pub page: Option<String>,
    /// The rule of runtimes it is, where that has another name.
    rule: Option<String>,
}

/// What one runtime's profile says of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruled {
    /// The runtime.
    pub runtime: &'static str,
    /// The value.
    pub value: String,
    /// Where that comes from.
    pub source: String,
}

/// A term under its name, with what runtimes say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Its name.
    pub name: &'static str,
    /// What is to be said of it.
    pub term: &'static Term,
    /// The rule of each runtime, where it is one, or where one of this name has a say in it.
    pub rules: Vec<Ruled>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of the list of terms")]
struct File {
    version: u64,
    terms: StrictMap<Term>,
}

fn read() -> Result<BTreeMap<String, Term>, Error> {
    let File { version, terms } = yaml::from_str(TEXT, "read the terms", "terms.yaml")?;
    match version {
        1 => Ok(terms.0.into_iter().collect()),
        other => Err(Error::new("read the terms").expected("version 1").found(other.to_string())),
    }
}

/// Every term, by kind and then by name.
pub fn terms() -> Vec<(&'static str, &'static Term)> {
    let mut all: Vec<(&str, &Term)> =
        TERMS.iter().map(|(name, term)| (name.as_str(), term)).collect();
    all.sort_by_key(|&(name, term)| (term.kind, name));
    all
}

/// What a name stands for. It may be written as on the command line (`--max-devices`), as in files
/// (`kv_cache_bytes`) or with blanks (`KV cache`).
///
/// # Errors
/// Another name, with the nearest.
///
/// ```
/// let found = apportion::explain::explain("--max-devices").unwrap();
/// assert_eq!(found.name, "max_devices");
/// assert!(apportion::explain::explain("peak").unwrap_err().to_string().contains("peak"));
/// ```
pub fn explain(name: &str) -> Result<Explained, Error> {
    let wanted = name.trim().trim_start_matches('-').to_lowercase().replace(['-', ' '], "_");
    let bare = wanted.strip_suffix("_bytes").unwrap_or(&wanted);
    let found = TERMS
        .get_key_value(&wanted)
        .or_else(|| TERMS.get_key_value(bare))
        .or_else(|| TERMS.get_key_value(alias(bare)));
    let Some((name, term)) = found else {
        let names = || TERMS.keys().map(String::as_str);
        let list = || "`apportion explain` without a name lists all".to_owned();
        return Err(Error::new("explain")
            .object(name)
            .expected("an objective, a constraint, or a term of an estimate or answer")
            .hint(did_you_mean(&wanted, names()).unwrap_or_else(list)));
    };
    Ok(Explained { name, term, rules: ruled(term.rule.as_deref().unwrap_or(name)) })
}

/// Other names for the same things, as options, tables and files have them.
fn alias(name: &str) -> &str {
    match name {
        "used" => "required",
        "free_default_pins" => "default_pins",
        "expected_transfers_per_token" | "transfers" => "traffic",
        "hand_over" => "hand_overs",
        "remote_expert" => "remote_experts",
        "max_move" | "max_moved" => "max_moved_bytes",
        "driver_context" => "driver_context_bytes",
        "blas_workspace" => "blas_workspace_bytes",
        "migrate_from" => "migration",
        "unused" => "usable_fraction",
        "objective" => "value",
        "kv" => "kv_cache",
        other => other,
    }
}

/// What each runtime says of a rule; nothing when it is none.
fn ruled(rule: &str) -> Vec<Ruled> {
    let profile = |&name: &&'static str| {
        let profile = Profile::shared(name).ok()?;
        let value = profile.value(rule)?.to_owned();
        Some(Ruled { runtime: name, value, source: profile.source(rule).to_owned() })
    };
    NAMES.iter().filter_map(profile).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::objective;
    use crate::runtime::rule_names;

    #[test]
    fn the_list_is_the_programs() {
        let terms = read().unwrap();
        let of = |kind: Kind| -> BTreeSet<&str> {
            terms
                .iter()
                .filter(|(_, term)| term.kind == kind)
                .map(|(name, _)| name.as_str())
                .collect()
        };
        let objectives: BTreeSet<&str> = objective::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(of(Kind::Objective), objectives);
        let rules = terms.iter().filter(|(_, term)| term.kind == Kind::Rule);
        let rules: BTreeSet<&str> =
            rules.map(|(name, term)| term.rule.as_deref().unwrap_or(name)).collect();
        assert_eq!(rules, rule_names().collect());
        for kind in Kind::ALL {
            assert!(!of(kind).is_empty(), "{kind:?}");
        }
        for (name, term) in &terms {
            let counts = term.kind == Kind::Rule || term.kind == Kind::Answer;
            assert!(term.formula.is_some() || counts, "{name} has no formula");
            assert!(term.source.is_some() || counts, "{name} has no source");
            let pages = ["formulation", "memory", "time"];
            assert!(term.page.as_deref().is_none_or(|page| pages.contains(&page)), "{name}");
        }
    }

    #[test]
    fn names_are_found_as_they_are_written() {
        for (written, name) in [
            ("kv_cache_bytes", "kv_cache"),
            ("KV cache", "kv_cache"),
            ("--pin", "pin"),
            ("driver-context-bytes", "driver_context_bytes"),
            ("driver_context", "driver_context_bytes"),
            ("used_bytes", "required"),
            ("capacity_bytes", "capacity_bytes"),
            ("--max-move", "max_moved_bytes"),
        ] {
            assert_eq!(explain(written).unwrap().name, name, "{written}");
        }
        let sources = explain("workspace_rule").unwrap().rules;
        assert_eq!(sources.len(), NAMES.len());
        assert!(sources.iter().all(|rule| !rule.source.is_empty()), "{sources:?}");
        assert_eq!(explain("workspace").unwrap().rules, sources, "the term has the same rule");
    }
}
