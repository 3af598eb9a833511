//! Files of lines that only grow: written one line at a time, and read while somebody writes them.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::{check_target, io_reason, open_regular};
use crate::error::Error;
use crate::units::format_bytes;

/// A longer line is refused, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// So much is read at once, in bytes.
const CHUNK_BYTES: u64 = 1 << 20;

/// A file to whose end lines are written.
#[derive(Debug)]
pub struct Appended {
    file: File,
    path: PathBuf,
}

impl Appended {
    /// Opens a file, or makes it where there is none.
    ///
    /// # Errors
    /// What is no regular file, and what the file system refuses.
    pub fn open(path: &Path) -> Result<Self, Error> {
        check_target(path)?;
        let opened = OpenOptions::new().append(true).create(true).open(path);
        let file = opened.map_err(|error| refuse(path, "write").found(io_reason(&error)))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Adds a line, which is in the system's hands when this returns.
    ///
    /// # Errors
    /// What the file system refuses; some of the line may be there then.
    pub fn line(&mut self, text: &str) -> Result<(), Error> {
        // One write: whoever reads meanwhile rarely sees half a line.
        let line = format!("{text}\n");
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|error| refuse(&self.path, "write").found(io_reason(&error)))
    }

    /// Waits until all of it is on the disk.
    ///
    /// # Errors
    /// What the file system refuses.
    pub fn sync(&mut self) -> Result<(), Error> {
        let synced = self.file.sync_data();
        synced.map_err(|error| refuse(&self.path, "write").found(io_reason(&error)))
    }
}

/// A file that is read line by line as it grows.
#[derive(Debug)]
pub struct Tail {
    file: File,
    path: PathBuf,
    operation: &'static str,
    read_bytes: u64,
    lines: u64,
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
}

impl Tail {
    /// Opens it; `operation` completes "cannot ...".
    ///
    /// # Errors
    /// As [`open_regular`].
    pub fn open(path: &Path, operation: &'static str) -> Result<Self, Error> {
        let (file, _) = open_regular(path, operation)?;
        let path = path.to_owned();
        Ok(Self { file, path, operation, read_bytes: 0, lines: 0, rest: Vec::new() })
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Whole lines that have come since the last call, none when there are none; not all of them at once where
    /// there are very many.
    ///
    /// # Errors
    /// A file that became shorter, a line of more than 1 MiB, lines that are no text, and what the file system
    /// refuses.
    pub fn lines(&mut self) -> Result<Vec<String>, Error> {
        let failed =
            |error: &std::io::Error| refuse(&self.path, self.operation).found(io_reason(error));
        let bytes = self.file.metadata().map_err(|error| failed(&error))?.len();
        if bytes < self.read_bytes {
            return Err(refuse(&self.path, self.operation)
                .expected(format!("the {} that were read, and more", format_bytes(self.read_bytes)))
                .found(format!("{}: it was cut off", format_bytes(bytes))));
        }
        // A line may be as long as what is read at once, so none in the first part is not yet none.
        for _ in 0..2 {
            let before = self.rest.len();
            let more = (&self.file).take(CHUNK_BYTES).read_to_end(&mut self.rest);
            more.map_err(|error| failed(&error))?;
            self.read_bytes += u64::try_from(self.rest.len() - before).unwrap_or(0);
            if self.rest.contains(&b'\n') {
                break;
            }
        }
        let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else {
            return self.check_rest().map(|()| Vec::new());
        };
        let rest = self.rest.split_off(end + 1);
        let mut whole = std::mem::replace(&mut self.rest, rest);
        whole.pop();
        self.check_rest()?;
        let mut lines = Vec::new();
        for line in whole.split(|&byte| byte == b'\n') {
            self.lines += 1;
            let text = std::str::from_utf8(line).ok().filter(|_| line.len() <= LINE_BYTES_MAX);
            let text = text.ok_or_else(|| {
                refuse(&self.path, self.operation)
                    .place(format!("line {}", self.lines))
                    .expected("a line of UTF-8 text")
                    .found("other bytes")
            })?;
            lines.push(text.to_owned());
        }
        Ok(lines)
    }

    /// Whether the last line that was read has no end yet.
    pub fn is_cut(&self) -> bool {
        !self.rest.is_empty()
    }

    /// What was read of a line whose end has not come yet.
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// An error about the file; `operation` was given when it was opened.
    pub fn refuse(&self) -> Error {
        refuse(&self.path, self.operation)
    }

    fn check_rest(&self) -> Result<(), Error> {
        if self.rest.len() <= LINE_BYTES_MAX {
            return Ok(());
        }
        let most = u64::try_from(LINE_BYTES_MAX).map_or_else(|_| String::new(), format_bytes);
        Err(self
            .refuse()
            .place(format!("line {}", self.lines + 1))
            .expected(format!("at most {most}"))
            .found("a longer one"))
    }
}

fn refuse(path: &Path, operation: &str) -> Error {
    Error::new(operation).object(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_come_and_half_a_line_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut out = Appended::open(&path).unwrap();
        let mut tail = Tail::open(&path, "read").unwrap();
        assert!(tail.lines().unwrap().is_empty() && !tail.is_cut());
        out.line("one").unwrap();
        out.line("").unwrap();
        out.file.write_all(b"thr").unwrap();
        assert_eq!(tail.lines().unwrap(), ["one", ""]);
        assert!(tail.lines().unwrap().is_empty() && tail.is_cut());
        out.line("ee").unwrap();
        out.sync().unwrap();
        assert_eq!(tail.lines().unwrap(), ["three"]);
        assert!(!tail.is_cut());
        Appended::open(&path).unwrap().line("four").unwrap();
        assert_eq!(tail.lines().unwrap(), ["four"], "it is added to, not begun anew");
    }

    #[test]
    fn what_became_shorter_or_is_no_text_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut out = Appended::open(&path).unwrap();
        out.line("one").unwrap();
        let mut tail = Tail::open(&path, "read").unwrap();
        tail.lines().unwrap();
        out.file.set_len(2).unwrap();
        let message = tail.lines().unwrap_err().to_string();
        assert!(message.contains("2 B: it was cut off"), "{message}");
        std::fs::write(&path, b"ok\n\xff\n").unwrap();
        let message = Tail::open(&path, "read").unwrap().lines().unwrap_err().to_string();
        assert!(message.contains("at line 2: expected a line of UTF-8 text"), "{message}");
        std::fs::write(&path, vec![b'x'; LINE_BYTES_MAX + 2]).unwrap();
        let mut long = Tail::open(&path, "read").unwrap();
        let message = (0..3).find_map(|_| long.lines().err()).unwrap().to_string();
        assert!(message.contains("at line 1: expected at most 1.00 MiB"), "{message}");
        assert!(Appended::open(folder.path()).is_err());
    }
}
