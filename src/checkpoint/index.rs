//! The index of a sharded safetensors checkpoint: which file holds which tensor.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::names::{Names, natural};
use super::{FoundTensor, OPERATION, TENSORS_MAX};
use crate::error::Error;

/// A larger index is refused, in bytes; DeepSeek-V3's has 9 million.
pub(super) const INDEX_BYTES_MAX: u64 = 64 << 20;

/// A checkpoint may not have more files.
const SHARDS_MAX: usize = 10_000;

/// An index file as it stands.
#[derive(Debug)]
pub struct Index<'a> {
    /// The shards' file names, in natural order.
    pub shards: Vec<String>,
    /// Each tensor's name with its shard, as an index into `shards`.
    pub tensors: Vec<(Cow<'a, str>, usize)>,
    /// How many bytes the index says the tensors have.
    pub total_bytes: Option<u64>,
}

/// Reads the text of an index; `shown` is its name in messages.
///
/// # Errors
/// Text that is no index, names twice, and shards that are not plain names beside the index.
pub fn read_index<'a>(text: &'a str, shown: &str) -> Result<Index<'a>, Error> {
    let refuse = || Error::new(OPERATION).object(shown);
    let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let suffix = format!(" at line {line} column {column}");
        refuse()
            .place(format!("line {line}:{column}"))
            .expected("an index: a JSON object with a `weight_map`")
            .found(message.strip_suffix(&suffix).unwrap_or(&message))
    })?;
    let Raw { metadata, weight_map: WeightMap { shards, mut tensors } } = raw;
    let at_key = |name: &str| refuse().place(format!("key `weight_map`, key `{name}`"));
    if let Some((again, _)) = Names::new(tensors.iter().map(|t| &*t.0)).first_repeated() {
        let error = at_key(&tensors[again].0);
        return Err(error.expected("every tensor once").found("the same name twice"));
    }
    for (shard, name) in shards.iter().enumerate() {
        if !is_plain(name) {
            let tensor = tensors.iter().find(|tensor| tensor.1 == shard);
            return Err(at_key(tensor.map_or("", |tensor| &*tensor.0))
                .expected("the plain name of a .safetensors file beside the index")
                .found(format!("`{name}`")));
        }
    }
    let mut order: Vec<usize> = (0..shards.len()).collect();
    order.sort_by(|&a, &b| natural(&shards[a], &shards[b]));
    let mut rank = vec![0; order.len()];
    for (place, &shard) in order.iter().enumerate() {
        rank[shard] = place;
    }
    for tensor in &mut tensors {
        tensor.1 = rank[tensor.1];
    }
    let shards = order.iter().map(|&shard| shards[shard].clone().into_owned()).collect();
    Ok(Index {
        shards,
        tensors,
        total_bytes: metadata.and_then(|m| m.total_size).and_then(|t| t.0),
    })
}

/// A name that cannot lead anywhere but to a file beside the index; no file system knows longer ones.
fn is_plain(name: &str) -> bool {
    let safe = |c: char| !matches!(c, '/' | '\\' | ':') && !c.is_control();
    let short = name.len() <= 255;
    short && name.ends_with(".safetensors") && !name.starts_with('.') && name.chars().all(safe)
}

impl Index<'_> {
    /// Holds the index against what the shards hold; `tensors` have shards as files, `found` their names.
    ///
    /// # Errors
    /// Any tensor that is not in exactly the shard the index says.
    pub(super) fn check(
        &self,
        tensors: &[FoundTensor],
        found: &Names<'_>,
        shown: &str,
    ) -> Result<(), Error> {
        let promised = Names::new(self.tensors.iter().map(|t| &*t.0));
        let mut first = None::<(&str, Error)>;
        promised.pair(found, |promise, find| {
            let promise = promise.map(|at| &self.tensors[at]);
            let find = find.map(|at| &tensors[at]);
            let Some((name, error)) = self.disagreement(promise, find, shown) else { return };
            // The order of the pairs has no meaning; that of the names has.
            if first.as_ref().is_none_or(|(earlier, _)| name < *earlier) {
                first = Some((name, error));
            }
        });
        first.map_or(Ok(()), |(_, error)| Err(error))
    }

    fn disagreement<'t>(
        &'t self,
        promise: Option<&'t (Cow<'_, str>, usize)>,
        find: Option<&'t FoundTensor>,
        shown: &str,
    ) -> Option<(&'t str, Error)> {
        let at = |shard: usize| format!("in `{}`", self.shards[shard]);
        let place = find.and_then(|tensor| usize::try_from(tensor.file).ok());
        let name = promise.map(|p| &*p.0).or(find.map(|tensor| &*tensor.name))?;
        let (expected, found) = match (promise.map(|p| p.1), place) {
            (Some(shard), Some(place)) if shard == place => return None,
            (Some(shard), Some(place)) => (at(shard), at(place)),
            (Some(shard), None) => (at(shard), "in none of the shards".to_owned()),
            (None, Some(place)) => ("no such tensor".to_owned(), at(place)),
            (None, None) => return None,
        };
        let error = Error::new(OPERATION).object(shown).place(format!("tensor `{name}`"));
        let hint = "the index and its shards do not belong together; fetch them again";
        Some((name, error.expected(expected).found(found).hint(hint)))
    }
}

#[derive(Deserialize)]
struct Raw<'a> {
    metadata: Option<IndexMetadata>,
    #[serde(borrow)]
    weight_map: WeightMap<'a>,
}

#[derive(Deserialize)]
struct IndexMetadata {
    total_size: Option<TotalSize>,
}

struct WeightMap<'a> {
    shards: Vec<Cow<'a, str>>,
    tensors: Vec<(Cow<'a, str>, usize)>,
}

impl<'de: 'a, 'a> Deserialize<'de> for WeightMap<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WeightMapVisitor)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct WeightMapVisitor;

impl<'de> Visitor<'de> for WeightMapVisitor {
    type Value = WeightMap<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from tensors to files")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut numbers = BTreeMap::new();
        let (mut shards, mut tensors) = (Vec::new(), Vec::new());
        let mut latest = None::<usize>;
        while let Some((Name(name), Name(file))) = map.next_entry()? {
            // Neighbours mostly live in the same shard.
            let shard = match latest {
                Some(shard) if shards[shard] == file => shard,
                _ => *numbers.entry(file.clone()).or_insert_with(|| {
                    shards.push(file);
                    shards.len() - 1
                }),
            };
            latest = Some(shard);
            tensors.push((name, shard));
            if tensors.len() > TENSORS_MAX {
                return Err(de::Error::custom(format_args!("more than {TENSORS_MAX} tensors")));
            }
            if shards.len() > SHARDS_MAX {
                return Err(de::Error::custom(format_args!("more than {SHARDS_MAX} files")));
            }
        }
        Ok(WeightMap { shards, tensors })
    }
}

/// Some writers give the total as a float or a text; then it is not used.
struct TotalSize(Option<u64>);

impl<'de> Deserialize<'de> for TotalSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TotalSizeVisitor)
    }
}

struct TotalSizeVisitor;

impl Visitor<'_> for TotalSizeVisitor {
    type Value = TotalSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes")
    }

    fn visit_u64<E>(self, bytes: u64) -> Result<TotalSize, E> {
        Ok(TotalSize(Some(bytes)))
    }

    fn visit_f64<E>(self, _: f64) -> Result<TotalSize, E> {
        Ok(TotalSize(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<TotalSize, E> {
        Ok(TotalSize(None))
    }
}
