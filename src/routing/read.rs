//! Reads routing statistics: the shape while parsing, so that memory stays in proportion to the text, then
//! the sums.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::{SetCount, Statistics, VERSION};
use crate::error::Error;

pub(super) const OPERATION: &str = "read the routing statistics";

/// A larger file is refused, in bytes: pairs of 61 layers with 256 experts take 16 million.
pub(super) const FILE_BYTES_MAX: u64 = 32 << 20;

/// No model has more layers.
const LAYERS_MAX: usize = 4096;

/// No layer has more experts.
const EXPERTS_MAX: usize = 4096;

/// By layer and expert.
type Counts = AtMost<AtMost<u64, EXPERTS_MAX>, LAYERS_MAX>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the keys of routing statistics")]
struct FileEntry {
    version: Option<u64>,
    model: String,
    text: String,
    source: Option<String>,
    tokens: u64,
    top_k: u64,
    counts: Counts,
    set_counts: Option<AtMost<AtMost<SetEntry, { Statistics::SETS_MAX }>, LAYERS_MAX>>,
    pair_counts: Option<AtMost<Square, LAYERS_MAX>>,
}

/// Experts and how many tokens chose them together.
#[derive(Deserialize)]
#[serde(expecting = "a set and its count, as in `[[0, 1], 7]`")]
struct SetEntry(AtMost<u32, EXPERTS_MAX>, u64);

/// Statistics as a placement file records them; the sets of a layer are one text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of routing statistics")]
pub(crate) struct Recorded {
    model: String,
    text: String,
    source: Option<String>,
    tokens: u64,
    top_k: u64,
    counts: Counts,
    set_counts: Option<AtMost<String, LAYERS_MAX>>,
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
        let sets = |layer: AtMost<SetEntry, { Statistics::SETS_MAX }>| {
            layer.0.into_iter().map(|SetEntry(experts, count)| (experts.0, count)).collect()
        };
        let statistics = Self {
            model: file.model,
            text: file.text,
            source: file.source,
            tokens: file.tokens,
            top_k: file.top_k,
            counts: rows(file.counts),
            set_counts: file.set_counts.map(|layers| layers.0.into_iter().map(sets).collect()),
            pair_counts: file
                .pair_counts
                .map(|pairs| pairs.0.into_iter().map(|square| square.0).collect()),
        };
        statistics.check().map_err(|error| error.object(source))?;
        Ok(statistics)
    }
}

impl Recorded {
    /// Held against itself as a file is.
    pub(crate) fn into_statistics(self) -> Result<Statistics, Error> {
        let sets = self.set_counts.map(|layers| {
            let layers = layers.0.iter().enumerate();
            layers.map(|(layer, text)| read_sets(layer, text)).collect::<Result<_, _>>()
        });
        let statistics = Statistics {
            model: self.model,
            text: self.text,
            source: self.source,
            tokens: self.tokens,
            top_k: self.top_k,
            counts: rows(self.counts),
            set_counts: sets.transpose()?,
            pair_counts: None,
        };
        statistics.check()?;
        Ok(statistics)
    }
}

fn rows(counts: Counts) -> Vec<Vec<u64>> {
    counts.0.into_iter().map(|row| row.0).collect()
}

/// Reads what [`super::sets_text`] wrote.
fn read_sets(layer: usize, text: &str) -> Result<Vec<SetCount>, Error> {
    let set = |text: &str| {
        let (experts, count) = text.split_once(':')?;
        let experts = experts.split(',').map(|expert| expert.parse().ok());
        Some((experts.collect::<Option<Vec<u32>>>()?, count.parse().ok()?))
    };
    let refuse = |found: String| {
        let most = Statistics::SETS_MAX;
        Err(Error::new(OPERATION)
            .place(format!("set_counts, layer {layer}"))
            .expected(format!("at most {most} sets as in `0,1:7 0,2:9`"))
            .found(found))
    };
    let mut sets = Vec::new();
    for word in text.split_ascii_whitespace() {
        match set(word) {
            Some(_) if sets.len() == Statistics::SETS_MAX => return refuse("more".to_owned()),
            Some(set) => sets.push(set),
            None => return refuse(format!("`{word}`")),
        }
    }
    Ok(sets)
}
