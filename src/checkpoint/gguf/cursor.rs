//! A place in a GGUF file that never goes beyond its end.

use std::io::{BufReader, Read, Seek};

use super::super::OPERATION;
use crate::error::Error;

/// A longer header is refused, in bytes: the largest vocabularies take 20 million, a whole tokenizer twice
/// that.
const HEADER_BYTES_MAX: u64 = 128 << 20;

const BUFFER_BYTES: usize = 256 << 10;

/// Reads forward and knows where it is.
pub struct Cursor<'a, R> {
    source: BufReader<R>,
    at: u64,
    file_bytes: u64,
    shown: &'a str,
}

impl<'a, R: Read + Seek> Cursor<'a, R> {
    /// At the start of a file of `file_bytes` bytes, called `shown` in messages.
    pub fn new(source: R, file_bytes: u64, shown: &'a str) -> Self {
        Self { source: BufReader::with_capacity(BUFFER_BYTES, source), at: 0, file_bytes, shown }
    }

    /// Bytes before the cursor.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The length of the file.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Bytes after the cursor.
    pub fn left(&self) -> u64 {
        self.file_bytes - self.at
    }

    /// An error about the byte `at`.
    pub fn refuse(&self, at: u64) -> Error {
        self.refuse_within(at, "")
    }

    /// An error about the byte `at`, which belongs to `thing` if that is said.
    pub fn refuse_within(&self, at: u64, thing: &str) -> Error {
        let comma = if thing.is_empty() { "" } else { ", " };
        Error::new(OPERATION).object(self.shown).place(format!("byte {at}{comma}{thing}"))
    }

    /// The next bytes, which are `what`.
    pub fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    /// The next four bytes as a number, which is `what`.
    pub fn u32(&mut self, what: &str) -> Result<u32, Error> {
        self.bytes(what).map(u32::from_le_bytes)
    }

    /// The next eight bytes as a number, which is `what`.
    pub fn u64(&mut self, what: &str) -> Result<u64, Error> {
        self.bytes(what).map(u64::from_le_bytes)
    }

    /// A text of at most `bytes_max` bytes behind its length.
    pub fn text(&mut self, bytes_max: u64, what: &str) -> Result<String, Error> {
        let at = self.at;
        let length = self.u64(what)?;
        if length > bytes_max {
            let expected = format!("{what}, of at most {bytes_max} bytes");
            return Err(self.refuse(at).expected(expected).found(format!("a length of {length}")));
        }
        self.text_of(length, at, what)
    }

    /// A text of `length` bytes, as was said at `at`.
    pub fn text_of(&mut self, length: u64, at: u64, what: &str) -> Result<String, Error> {
        self.need(at, length, what)?;
        let start = self.at;
        let mut text = vec![0; usize::try_from(length).unwrap_or_default()];
        self.fill(&mut text, what)?;
        String::from_utf8(text).map_err(|error| {
            let wrong = error.utf8_error().valid_up_to();
            let found =
                format!("{:#04x}", error.as_bytes().get(wrong).copied().unwrap_or_default());
            let at = start + u64::try_from(wrong).unwrap_or_default();
            self.refuse(at).expected(format!("{what} in UTF-8")).found(found)
        })
    }

    /// Goes over `count` bytes, which are `what`.
    pub fn skip(&mut self, count: u64, what: &str) -> Result<(), Error> {
        self.need(self.at, count, what)?;
        let failed = |found: String| Error::new(OPERATION).object(self.shown).found(found);
        let distance = i64::try_from(count).map_err(|error| failed(error.to_string()))?;
        self.source.seek_relative(distance).map_err(|error| failed(error.to_string()))?;
        self.at += count;
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8], what: &str) -> Result<(), Error> {
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.need(self.at, count, what)?;
        self.source
            .read_exact(bytes)
            .map_err(|error| self.refuse(self.at).expected(what).found(error.to_string()))?;
        self.at += count;
        Ok(())
    }

    /// Refuses to take `count` more bytes than the file or the limit has; `at` is where that was said.
    fn need(&self, at: u64, count: u64, what: &str) -> Result<(), Error> {
        if count > self.left() {
            let found = format!("{count} bytes, {} before the end of the file", self.left());
            return Err(self.refuse(at).expected(format!("{what} within the file")).found(found));
        }
        if self.at + count > HEADER_BYTES_MAX {
            let expected = format!("a header of at most {HEADER_BYTES_MAX} bytes");
            return Err(self.refuse(at).expected(expected).found(format!("{what} beyond that")));
        }
        Ok(())
    }
}
