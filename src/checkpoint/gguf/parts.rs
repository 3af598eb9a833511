//! The parts of a split GGUF file, which number themselves.

use std::path::{Path, PathBuf};

use super::super::assemble::check_count;
use super::super::{Header, Metadata, OPERATION};
use super::read_gguf;
use crate::error::Error;
use crate::files;

const COUNT: &str = "split.count";
const NUMBER: &str = "split.no";
const TENSORS: &str = "split.tensors.count";

/// The headers of all parts, each with the length of its file; of one file its own.
///
/// # Errors
/// Parts that do not say of themselves what their names say, or do not have all tensors together.
pub fn read_parts(paths: &[PathBuf]) -> Result<Vec<(Header, u64)>, Error> {
    let mut parts = Vec::new();
    let mut tensors = 0;
    // One after the other: all but the first are short, and their sum is limited as it grows.
    for (number, path) in paths.iter().enumerate() {
        let (file, bytes) = files::open_regular(path, OPERATION)?;
        let mut header = read_gguf(file, bytes, &path.display().to_string())?;
        check_part(path, &header.metadata, number, paths.len())?;
        tensors += header.tensors.len();
        check_count(path, tensors)?;
        if number > 0 {
            // Only the first speaks for the model.
            header.metadata = Metadata::default();
        }
        parts.push((header, bytes));
    }
    if let (Some((first, _)), Some(path)) = (parts.first(), paths.first()) {
        let promised = first.metadata.u64(TENSORS).filter(|_| paths.len() > 1);
        if promised.is_some_and(|promised| u64::try_from(tensors) != Ok(promised)) {
            return Err(refuse(path, TENSORS)
                .expected(format!("{tensors}, as many as the parts have tensors"))
                .found(format!("{}", promised.unwrap_or_default())));
        }
    }
    Ok(parts)
}

fn refuse(path: &Path, key: &str) -> Error {
    Error::new(OPERATION).object(path.display().to_string()).place(format!("key `{key}`"))
}

/// The part is the one its place in the row says, counted from 0.
fn check_part(path: &Path, metadata: &Metadata, number: usize, count: usize) -> Result<(), Error> {
    let said = |key: &str| metadata.u64(key);
    let found = |key: &str| said(key).map_or("no such number".to_owned(), |n| n.to_string());
    if count == 1 {
        if said(COUNT).is_none_or(|count| count <= 1) {
            return Ok(());
        }
        return Err(refuse(path, COUNT)
            .expected("1, for a file that is not named as one of several parts")
            .found(found(COUNT))
            .hint("the parts of a split file are named NAME-00001-of-0000N.gguf"));
    }
    for (key, expected) in [(COUNT, count), (NUMBER, number)] {
        if said(key) != u64::try_from(expected).ok() {
            return Err(refuse(path, key).expected(expected.to_string()).found(found(key)));
        }
    }
    Ok(())
}
