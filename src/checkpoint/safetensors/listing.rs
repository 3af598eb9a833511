//! The JSON text of a safetensors header, read in one pass without building a tree.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::{MetaValue, Metadata, OPERATION, TENSORS_MAX};
use super::LENGTH_BYTES;
use crate::error::Error;
use crate::strict::StrictMap;

/// No tensor has more dimensions; the frameworks that write these files have a lower limit.
const DIMENSIONS_MAX: usize = 64;

/// A header as it stands: nothing is checked but that it is a listing.
pub struct Listing<'a> {
    pub metadata: Metadata,
    pub tensors: Vec<Listed<'a>>,
}

/// One tensor of the listing.
pub struct Listed<'a> {
    pub name: Cow<'a, str>,
    pub dtype: Cow<'a, str>,
    pub shape: Vec<u64>,
    pub data_offsets: (u64, u64),
}

/// Parses the JSON text of a header.
pub fn parse<'a>(json: &'a str, shown: &str) -> Result<Listing<'a>, Error> {
    serde_json::from_str(json).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let suffix = format!(" at line {line} column {column}");
        Error::new(OPERATION)
            .object(shown)
            .place(format!("byte {}", byte_of(json, line, column)))
            .expected("a JSON object of tensors with `dtype`, `shape` and `data_offsets`")
            .found(message.strip_suffix(&suffix).unwrap_or(&message))
    })
}

/// Where in the file the parser stopped; it counts from 1.
fn byte_of(json: &str, line: usize, column: usize) -> u64 {
    let before: usize = json.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    LENGTH_BYTES + u64::try_from(before + column.saturating_sub(1)).unwrap_or(u64::MAX)
}

impl<'de: 'a, 'a> Deserialize<'de> for Listing<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ListingVisitor)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Shape,
    data_offsets: (u64, u64),
}

struct ListingVisitor;

impl<'de> Visitor<'de> for ListingVisitor {
    type Value = Listing<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut metadata, mut tensors) = (None, Vec::new());
        while let Some(Name(name)) = map.next_key()? {
            if name == "__metadata__" {
                let texts = map.next_value::<Option<StrictMap<String>>>().map_err(within(&name))?;
                if metadata.replace(as_metadata(texts.unwrap_or_default())).is_some() {
                    return Err(de::Error::custom("the key `__metadata__` appears twice"));
                }
                continue;
            }
            if tensors.len() == TENSORS_MAX {
                return Err(de::Error::custom(format_args!("more than {TENSORS_MAX} tensors")));
            }
            let Info { dtype, shape: Shape(shape), data_offsets } =
                map.next_value().map_err(within(&name))?;
            tensors.push(Listed { name, dtype, shape, data_offsets });
        }
        Ok(Listing { metadata: metadata.unwrap_or_default(), tensors })
    }
}

/// Says which key an error is about.
fn within<E: de::Error>(name: &str) -> impl FnOnce(E) -> E {
    move |error| E::custom(format_args!("in key `{name}`: {error}"))
}

fn as_metadata(texts: StrictMap<String>) -> Metadata {
    let mut metadata = Metadata::default();
    for (key, text) in texts.0 {
        metadata.insert(key, MetaValue::Text(text));
    }
    metadata
}

/// A list of dimensions that cannot take much more memory than its text.
struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {DIMENSIONS_MAX} dimensions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        let mut shape = Vec::new();
        while let Some(dimension) = list.next_element()? {
            if shape.len() == DIMENSIONS_MAX {
                return Err(de::Error::invalid_length(shape.len() + 1, &self));
            }
            shape.push(dimension);
        }
        Ok(Shape(shape))
    }
}
