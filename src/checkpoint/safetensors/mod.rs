//! The header of a safetensors file: its length in 8 bytes, then a JSON object of tensors.
//!
//! Source of the rules: the safetensors crate, 0.7 (`tensor.rs`), which refuses the same.

mod layout;
mod listing;

use std::io::Read;

use super::{Header, OPERATION};
use crate::error::Error;
use crate::units::format_bytes;

/// A longer JSON text is refused, as by the reference implementation.
const JSON_BYTES_MAX: u64 = 100_000_000;

/// Bytes of the header's length, before the JSON text.
pub(super) const LENGTH_BYTES: u64 = 8;

/// Reads the header of a safetensors file of `bytes` bytes; `shown` is its name in messages.
///
/// # Errors
/// Anything the reference implementation refuses: a header that is not within the file, names twice,
/// unknown types, data that do not have the size of their shape, or overlap, or leave bytes unused.
pub fn read_safetensors(mut source: impl Read, bytes: u64, shown: &str) -> Result<Header, Error> {
    let json_bytes = header_length(&mut source, bytes, shown)?;
    let json = header_text(source, json_bytes, shown)?;
    let listing = listing::parse(&json, shown)?;
    let data_start = LENGTH_BYTES + json_bytes;
    let tensors = layout::tensors(listing.tensors, data_start, bytes, shown)?;
    Ok(Header { header_bytes: data_start, tensors, metadata: listing.metadata })
}

/// The length of the JSON text, within its limit and the file.
pub(super) fn header_length(source: &mut impl Read, bytes: u64, shown: &str) -> Result<u64, Error> {
    let refuse = || Error::new(OPERATION).object(shown).place("byte 0");
    if bytes < LENGTH_BYTES {
        let found = format!("a file of {bytes} bytes");
        return Err(refuse().expected("8 bytes that say how long the header is").found(found));
    }
    let mut length = [0; 8];
    source.read_exact(&mut length).map_err(|e| refuse().found(e.to_string()))?;
    let json_bytes = u64::from_le_bytes(length);
    let left = bytes - LENGTH_BYTES;
    if json_bytes <= left.min(JSON_BYTES_MAX) {
        return Ok(json_bytes);
    }
    let expected = if left < JSON_BYTES_MAX {
        format!("a header length within the file, at most {left}")
    } else {
        format!("a header length of at most {JSON_BYTES_MAX}")
    };
    let error = refuse().expected(expected).found(json_bytes.to_string());
    Err(match &length {
        b"version " => {
            error.hint("this looks like a Git LFS pointer; fetch the file it stands for")
        }
        [b'G', b'G', b'U', b'F', ..] => error.hint("this is a GGUF file; name it .gguf"),
        [0x80, 2, ..] | [b'P', b'K', 3, 4, ..] => {
            error.hint("this looks like a PyTorch file; convert it to safetensors")
        }
        _ => error,
    })
}

/// The JSON text. Its first byte is looked at alone, so that a false length costs nothing.
fn header_text(mut source: impl Read, json_bytes: u64, shown: &str) -> Result<String, Error> {
    let refuse = |at: u64| Error::new(OPERATION).object(shown).place(format!("byte {at}"));
    let mut json = Vec::new();
    let read = |source: &mut dyn Read, count: u64, json: &mut Vec<u8>| {
        source.take(count).read_to_end(json).map_err(|e| refuse(LENGTH_BYTES).found(e.to_string()))
    };
    read(&mut source, json_bytes.min(1), &mut json)?;
    if json != b"{" {
        let found =
            json.first().map_or("an empty header".to_owned(), |byte| format!("{byte:#04x}"));
        return Err(refuse(LENGTH_BYTES).expected("`{`, where the header begins").found(found));
    }
    read(&mut source, json_bytes - 1, &mut json)?;
    let found = u64::try_from(json.len()).unwrap_or(u64::MAX);
    if found < json_bytes {
        let expected = format!("a header of {}", format_bytes(json_bytes));
        let found = format!("the end of the file after {}", format_bytes(found));
        return Err(refuse(LENGTH_BYTES).expected(expected).found(found));
    }
    String::from_utf8(json).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let found = format!("{:#04x}", e.as_bytes().get(at).copied().unwrap_or_default());
        let at = LENGTH_BYTES + u64::try_from(at).unwrap_or(json_bytes);
        refuse(at).expected("a header in UTF-8").found(found)
    })
}
