//! The header of a GGUF file: counts, key-values, tensor infos, then aligned data.
//!
//! Sources of the rules: the format's description in ggml (`docs/gguf.md`) and the reader of llama.cpp
//! (`gguf.cpp`). Where the two differ the reader counts, because what it refuses nobody can load: arrays
//! within arrays, and tensors whose data are not in the order of the list.

mod cursor;
mod parts;
mod tensors;
mod values;

use std::io::{Read, Seek};

use super::{Header, TENSORS_MAX};
use crate::error::Error;
use cursor::Cursor;
use tensors::Infos;

pub(super) use parts::read_parts;

/// The least a key-value can take: the key's length and one letter, its type, a value of one byte.
const VALUE_BYTES_MIN: u64 = 8 + 1 + 4 + 1;

/// The least a tensor's info can take: the name's length and one letter, one dimension, type, offset.
const INFO_BYTES_MIN: u64 = 8 + 1 + 4 + 8 + 4 + 8;

const VALUES_MAX: u64 = 1 << 16;

/// Reads the header of a GGUF file of `bytes` bytes; `shown` is its name in messages.
///
/// # Errors
/// Other versions than 2 and 3, big-endian files, and anything that contradicts itself or the file.
pub fn read_gguf(source: impl Read + Seek, bytes: u64, shown: &str) -> Result<Header, Error> {
    let mut cursor = Cursor::new(source, bytes, shown);
    check_version(&mut cursor)?;
    let tensors_max = u64::try_from(TENSORS_MAX).unwrap_or(u64::MAX);
    let tensor_count = count(&mut cursor, "tensors", INFO_BYTES_MIN, tensors_max)?;
    let value_count = count(&mut cursor, "key-values", VALUE_BYTES_MIN, VALUES_MAX)?;
    let values = values::read(&mut cursor, value_count)?;
    let mut infos = Infos::new(values.alignment);
    for _ in 0..tensor_count {
        infos.read(&mut cursor)?;
    }
    let (header_bytes, tensors) = infos.finish(&cursor)?;
    Ok(Header { header_bytes, tensors, metadata: values.metadata })
}

fn check_version<R: Read + Seek>(cursor: &mut Cursor<'_, R>) -> Result<(), Error> {
    let magic = cursor.bytes::<4>("the magic `GGUF`")?;
    if magic != *b"GGUF" {
        let found: String =
            magic.iter().flat_map(|&byte| byte.escape_ascii()).map(char::from).collect();
        let error = cursor.refuse(0).expected("the magic `GGUF`").found(format!("`{found}`"));
        return Err(match &magic {
            b"FUGG" => error.hint("this is a big-endian file; convert it to little-endian"),
            b"tjgg" | b"lmgg" | b"fmgg" | b"algg" => {
                error.hint("this is a format from before GGUF; convert the model again")
            }
            b"vers" => {
                error.hint("this looks like a Git LFS pointer; fetch the file it stands for")
            }
            _ => error,
        });
    }
    let version = cursor.u32("the version")?;
    let error =
        |found: String| cursor.refuse(4).expected("version 2 or 3, little-endian").found(found);
    match version {
        2 | 3 => Ok(()),
        1 => Err(error("version 1".to_owned()).hint("convert the model again, to version 3")),
        _ if version.trailing_zeros() >= 16 && version != 0 => {
            let version = version.swap_bytes();
            Err(error(format!("version {version}, big-endian")).hint("convert it to little-endian"))
        }
        _ => Err(error(format!("version {version}"))),
    }
}

/// A count of things that take `least` bytes each at least, so that the file can hold them.
fn count<R: Read + Seek>(
    cursor: &mut Cursor<'_, R>,
    things: &str,
    least: u64,
    most: u64,
) -> Result<u64, Error> {
    let at = cursor.at();
    let count = cursor.u64(&format!("the number of {things}"))?;
    let room = cursor.left() / least;
    if count <= room.min(most) {
        return Ok(count);
    }
    let expected = if room < most {
        format!("at most {room} {things}, for which the file has room")
    } else {
        format!("at most {most} {things}")
    };
    Err(cursor.refuse(at).expected(expected).found(count.to_string()))
}
