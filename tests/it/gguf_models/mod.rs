//! From a GGUF file's own words to what it should contain, and to the scheme that made it.

/// Metadata as llama.cpp's converters write them.
mod converters;
/// Which scheme made a file.
mod explained;
/// Metadata that lie.
mod lies;
/// Files that others made.
mod real;

use std::io::Cursor;

use apportion::checkpoint::{Checkpoint, Format, HeaderFile, read_gguf};
use apportion::dtype::GgmlType;
use apportion::model::Model;
use serde_json::{Map, Value};

use crate::checkpoint::build::{Gguf, kind, list, text};

/// A tensor to be written: name, dimensions with the outermost first, type.
type Wanted = (String, Vec<u64>, GgmlType);

/// The checkpoint of a file with these metadata and tensors, of which only the header exists.
fn checkpoint(metadata: &Map<String, Value>, tensors: &[Wanted]) -> Checkpoint {
    let mut file = metadata.iter().fold(Gguf::new(), |file, (key, value)| {
        let (kind, content) = stored(value);
        file.value(key, kind, &content)
    });
    let mut offset = 0_u64;
    for (name, shape, kind) in tensors {
        let innermost_first: Vec<u64> = shape.iter().rev().copied().collect();
        file = file.tensor(name, &innermost_first, kind.id(), offset);
        offset += kind.bytes(shape.iter().product()).unwrap().next_multiple_of(32);
    }
    let header = file.file();
    let bytes = u64::try_from(header.len()).unwrap() + offset;
    let read = read_gguf(Cursor::new(header), bytes, "made.gguf").unwrap();
    let file = HeaderFile { path: "made.gguf".into(), bytes, header_bytes: read.header_bytes };
    Checkpoint {
        format: Format::Gguf,
        files: vec![file],
        tensors: read.tensors,
        metadata: read.metadata,
        config_text: None,
        notices: Vec::new(),
    }
}

/// The type number and the bytes of a value.
fn stored(value: &Value) -> (u32, Vec<u8>) {
    let number = |value: &Value| match (value.as_bool(), value.as_i64()) {
        (Some(truth), _) => (kind::BOOL, vec![u8::from(truth)]),
        (_, Some(number)) if number < 0 => {
            (kind::I32, i32::try_from(number).unwrap().to_le_bytes().to_vec())
        }
        (_, Some(number)) => (kind::U64, u64::try_from(number).unwrap().to_le_bytes().to_vec()),
        _ => panic!("{value}"),
    };
    match value {
        Value::String(word) => (kind::TEXT, text(word)),
        Value::Array(items) => {
            let of_items = number(items.first().unwrap()).0;
            let content: Vec<u8> = items.iter().flat_map(|item| number(item).1).collect();
            (kind::LIST, list(of_items, u64::try_from(items.len()).unwrap(), &content))
        }
        other => number(other),
    }
}

/// The model of a file that is known to have one.
fn model_of(checkpoint: &Checkpoint) -> Model {
    Model::from_gguf(checkpoint, "made").unwrap().unwrap()
}
