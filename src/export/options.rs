//! Options that one consumer reads and others do not.

use std::collections::BTreeMap;

use super::Exporter;
use crate::error::Error;

/// Options by name, without hyphens, with everything that was typed for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<&'static str, Vec<String>>);

impl Options {
    /// With these values of an option; without any it is as if it were not typed.
    #[must_use]
    pub fn with(mut self, name: &'static str, values: impl IntoIterator<Item = String>) -> Self {
        let values: Vec<String> = values.into_iter().collect();
        if !values.is_empty() {
            self.0.insert(name, values);
        }
        self
    }

    /// All that was typed for an option, in order.
    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// What was typed last for an option.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str)
    }

    /// Whether it was typed at all.
    pub fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// One of the words that an option knows; the first of them when it was not typed.
    ///
    /// # Errors
    /// Another word.
    pub fn choice(&self, name: &str, words: &[&'static str]) -> Result<&'static str, Error> {
        let Some(typed) = self.one(name) else { return Ok(words.first().copied().unwrap_or("")) };
        words.iter().copied().find(|word| *word == typed).ok_or_else(|| {
            let list = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>();
            Error::new(format!("use --{name}")).object(typed).expected(list.join(" or "))
        })
    }

    /// The first option that was typed and is none of those that are read.
    pub(crate) fn unread(&self, read: &[&str]) -> Option<&'static str> {
        self.0.keys().copied().find(|name| !read.contains(name))
    }

    /// Refuses options that the consumer does not read.
    pub(super) fn check(&self, exporter: &dyn Exporter) -> Result<(), Error> {
        let Some(other) = self.unread(exporter.options()) else { return Ok(()) };
        let whose =
            super::all().into_iter().filter(|other_one| other_one.options().contains(&other));
        let whose = whose.map(|one| format!("--to {}", one.name())).collect::<Vec<_>>();
        Err(Error::new("use the option")
            .object(format!("--{other}"))
            .expected(format!("it with {}", whose.join(" or ")))
            .found(format!("--to {}", exporter.name())))
    }
}
