//! Reads routing statistics: the shape while parsing, so that memory stays in proportion to the text, then
//! the sums.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::{Statistics, VERSION};
use crate::error::Error;

pub(super) const OPERATION: &str = "read the routing statistics";

/// A larger file is refused, in bytes: pairs of 61 layers with 256 experts take 16 million.
pub(super) const FILE_BYTES_MAX: u64 = 32 << 20;

/// No model has more layers.
const LAYERS_MAX: usize = 4096;

/// No layer has more experts.
const EXPERTS_MAX: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the keys of routing statistics")]
struct FileEntry {
    version: Option<u64>,
    model: String,
    text: String,
    source: Option<String>,
    tokens: u64,
    top_k: u64,
    counts: AtMost<AtMost<u64, EXPERTS_MAX>, LAYERS_MAX>,
    pair_counts: Option<AtMost<Square, LAYERS_MAX>>,
}

/// A list that is refused as soon as it is longer.
struct AtMost<T, const MAX: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for AtMost<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(AtMostVisitor(PhantomData))
    }
}

struct AtMostVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for AtMostVisitor<T, MAX> {
    type Value = AtMost<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = seq.next_element()? {
            if entries.len() == MAX {
                return Err(de::Error::invalid_length(MAX + 1, &self));
            }
            entries.push(entry);
        }
        Ok(AtMost(entries))
    }
}

/// As many rows as columns, or none.
struct Square(Vec<Vec<u64>>);

impl<'de> Deserialize<'de> for Square {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(SquareVisitor)
    }
}

struct SquareVisitor;

impl<'de> Visitor<'de> for SquareVisitor {
    type Value = Square;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows as long as there are rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Square, A::Error> {
        let mut rows: Vec<Vec<u64>> = Vec::new();
        while let Some(AtMost(row)) = seq.next_element::<AtMost<u64, EXPERTS_MAX>>()? {
            let columns = rows.first().map_or(row.len(), Vec::len);
            if row.len() != columns || rows.len() == columns {
                return Err(de::Error::invalid_length(row.len(), &self));
            }
            rows.push(row);
        }
        if rows.first().is_some_and(|first| first.len() != rows.len()) {
            return Err(de::Error::invalid_length(rows.len(), &self));
        }
        Ok(Square(rows))
    }
}

impl Statistics {
    /// Reads the text of a file; `source` names it in messages.
    ///
    /// # Errors
    /// Anything but the format of [the room](super), and sums that cannot be.
    pub fn from_json(text: &str, source: &str) -> Result<Self, Error> {
        let refuse = || Error::new(OPERATION).object(source);
        let file: FileEntry = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let message = error.to_string();
            let suffix = format!(" at line {line} column {column}");
            let message = message.strip_suffix(&suffix).unwrap_or(&message);
            refuse().place(format!("line {line}:{column}")).found(message)
        })?;
        if let Some(version) = file.version.filter(|&version| version != VERSION) {
            let expected = VERSION.to_string();
            return Err(refuse().place("version").expected(expected).found(version.to_string()));
        }
        let pairs = file.pair_counts.map(|pairs| pairs.0.into_iter().map(|m| m.0).collect());
        let statistics = Self {
            model: file.model,
            text: file.text,
            source: file.source,
            tokens: file.tokens,
            top_k: file.top_k,
            counts: file.counts.0.into_iter().map(|row| row.0).collect(),
            pair_counts: pairs,
        };
        statistics.check().map_err(|error| error.object(source))?;
        Ok(statistics)
    }

    /// Whether the figures can come from a run.
    fn check(&self) -> Result<(), Error> {
        let experts = self.experts();
        let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        if self.tokens == 0 {
            return Err(differs("tokens", "at least 1", 0_u64));
        }
        if !(1..=experts).contains(&whole(self.top_k)) {
            let expected = format!("1 to {experts}, the experts of a layer");
            return Err(differs("top_k", &expected, self.top_k));
        }
        let sum = u128::from(self.tokens) * u128::from(self.top_k);
        for (layer, row) in self.counts.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
            let place = format!("counts, layer {layer}");
            if row.len() != experts {
                return Err(differs(&place, &format!("{experts} experts, or none"), row.len()));
            }
            if let Some(&most) = row.iter().find(|&&count| count > self.tokens) {
                let expected = format!("at most {} tokens for an expert", self.tokens);
                return Err(differs(&place, &expected, most));
            }
            if total(row) != sum {
                let expected = format!("a sum of {sum}, tokens x top_k");
                return Err(differs(&place, &expected, total(row)));
            }
        }
        self.pair_counts.as_ref().map_or(Ok(()), |pairs| self.check_pairs(pairs))
    }

    fn check_pairs(&self, pairs: &[Vec<Vec<u64>>]) -> Result<(), Error> {
        let expected = self.counts.len().saturating_sub(1);
        if pairs.len() != expected {
            let expected = format!("{expected} entries, one less than layers");
            return Err(differs("pair_counts", &expected, pairs.len()));
        }
        for (layer, rows) in pairs.iter().enumerate() {
            let place = format!("pair_counts, layer {layer}");
            let next = self.counts[layer + 1..].iter().find(|row| !row.is_empty());
            let there = next.filter(|_| !self.counts[layer].is_empty());
            let size = there.map_or(0, Vec::len);
            if rows.len() != size {
                return Err(differs(&place, &format!("{size} x {size} counts"), rows.len()));
            }
            let Some(next) = there else { continue };
            for (expert, row) in rows.iter().enumerate() {
                let columns = rows.iter().map(|row| row[expert]);
                let column = columns.fold(0, |sum, count| sum + u128::from(count));
                for (found, count) in
                    [(total(row), self.counts[layer][expert]), (column, next[expert])]
                {
                    let sum = u128::from(count) * u128::from(self.top_k);
                    if found != sum {
                        let place = format!("{place}, expert {expert}");
                        let expected = format!("a sum of {sum}, its count x top_k");
                        return Err(differs(&place, &expected, found));
                    }
                }
            }
        }
        Ok(())
    }
}

fn differs(place: &str, expected: &str, found: impl fmt::Display) -> Error {
    Error::new(OPERATION).place(place).expected(expected).found(found.to_string())
}

fn total(row: &[u64]) -> u128 {
    row.iter().fold(0, |sum, &count| sum + u128::from(count))
}
