//! Reading and writing files without surprises.
//!
//! Every file a user names passes through here: a reader that never blocks on a pipe and never takes
//! more memory than the caller allows, and a writer that leaves either the old file or the whole new
//! one. It knows nothing of formats.

mod lines;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::units::format_bytes;

pub use lines::{Appended, Tail};

/// No file this program reads as a whole may be larger, in bytes: the map of a model with thousands of
/// experts is far below it.
pub const TEXT_BYTES_MAX: u64 = 4 << 20;

/// Reads a regular file of at most [`TEXT_BYTES_MAX`] bytes as UTF-8 text; `operation` completes
/// "cannot ...".
///
/// # Errors
/// Anything else. A device or pipe is refused before it is opened, because reading one may never end.
pub fn read_text(path: &Path, operation: &str) -> Result<String, Error> {
    read_at_most(path, operation, TEXT_BYTES_MAX)
}

/// As [`read_text`] with another limit, in bytes.
pub(crate) fn read_at_most(path: &Path, operation: &str, bytes_max: u64) -> Result<String, Error> {
    let refuse = || Error::new(operation).object(path.display().to_string());
    let (file, bytes) = open_regular(path, operation)?;
    // Some files of the system say they are empty and wait for events when read.
    if bytes == 0 {
        return Err(refuse().expected("text").found("an empty file"));
    }
    let mut content = Vec::new();
    // A file may grow: the limit holds while reading.
    file.take(bytes_max + 1)
        .read_to_end(&mut content)
        .map_err(|error| refuse().found(io_reason(&error)))?;
    if u64::try_from(content.len()).unwrap_or(u64::MAX) > bytes_max {
        let most = format!("at most {}", format_bytes(bytes_max));
        return Err(refuse().expected(most).found("a larger file"));
    }
    as_text(content).map_err(|found| refuse().expected("UTF-8 text").found(found))
}

/// Opens a regular file for reading, with its length in bytes; `operation` completes "cannot ...".
///
/// # Errors
/// Anything that is not a regular file. What it is is asked before opening, because opening a pipe may
/// wait for ever, and asked again of what was opened.
pub fn open_regular(path: &Path, operation: &str) -> Result<(File, u64), Error> {
    let refuse = || Error::new(operation).object(path.display().to_string());
    let failed = |error: io::Error| refuse().found(io_reason(&error));
    let regular = |metadata: Metadata| {
        if metadata.is_file() {
            return Ok(metadata.len());
        }
        let found = if metadata.is_dir() { "a folder" } else { "a pipe, socket or device" };
        Err(refuse().expected("a regular file").found(found))
    };
    regular(fs::metadata(path).map_err(failed)?)?;
    let file = File::open(path).map_err(failed)?;
    let bytes = regular(file.metadata().map_err(failed)?)?;
    Ok((file, bytes))
}

/// A regular file that many threads read at positions of their own.
#[derive(Debug)]
pub struct PositionedFile {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl PositionedFile {
    /// Opens it; `operation` completes "cannot ...".
    ///
    /// # Errors
    /// As [`open_regular`].
    pub fn open(path: &Path, operation: &str) -> Result<Self, Error> {
        let (file, bytes) = open_regular(path, operation)?;
        Ok(Self { file, path: path.to_owned(), bytes })
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes when it was opened.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Fills the buffer with the bytes from `offset` on; `operation` completes "cannot ...".
    ///
    /// # Errors
    /// A file that ends before, even one that was longer when it was opened, and failures of the system.
    pub fn read_at(
        &self,
        mut offset: u64,
        buffer: &mut [u8],
        operation: &str,
    ) -> Result<(), Error> {
        let refuse = || Error::new(operation).object(self.path.display().to_string());
        let mut filled = 0;
        while filled < buffer.len() {
            match read_some_at(&self.file, offset, &mut buffer[filled..]) {
                Ok(0) => {
                    let missing = buffer.len() - filled;
                    return Err(refuse()
                        .place(format!("byte {offset}"))
                        .expected(format!("{missing} more bytes"))
                        .found("the end of the file")
                        .hint("the file was cut after its header was read; fetch it again"));
                }
                Ok(count) => {
                    filled += count;
                    offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(refuse().found(io_reason(&error))),
            }
        }
        Ok(())
    }
}

#[cfg(unix)]
fn read_some_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_some_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

/// Whether `path` is a folder, or a link to one.
pub fn is_folder(path: &Path) -> bool {
    path.is_dir()
}

/// Whether there is nothing at `path`, not even a link that leads nowhere.
pub fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The names in a folder, sorted, without hidden ones and without those that are not UTF-8.
///
/// # Errors
/// A folder that cannot be read, or has more than 100,000 entries.
pub fn names_in(folder: &Path, operation: &str) -> Result<Vec<String>, Error> {
    const ENTRIES_MAX: usize = 100_000;
    let refuse = || Error::new(operation).object(folder.display().to_string());
    let failed = |error: io::Error| refuse().found(io_reason(&error));
    let mut names = Vec::new();
    for (index, entry) in fs::read_dir(folder).map_err(failed)?.enumerate() {
        if index == ENTRIES_MAX {
            let most = format!("at most {ENTRIES_MAX} entries");
            return Err(refuse().expected(most).found("more"));
        }
        let name = entry.map_err(failed)?.file_name().into_string();
        names.extend(name.ok().filter(|name| !name.starts_with('.')));
    }
    names.sort_unstable();
    Ok(names)
}

/// The content as text, or what it is instead.
fn as_text(content: Vec<u8>) -> Result<String, String> {
    if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
        return Err("UTF-16 (save it as UTF-8)".to_owned());
    }
    if content.starts_with(b"\xef\xbb\xbf") {
        return Err("a byte order mark before it (save it as UTF-8 without one)".to_owned());
    }
    if let Some(at) = content.iter().position(|&byte| byte == 0) {
        return Err(format!("a zero byte at byte {at}"));
    }
    let text = String::from_utf8(content)
        .map_err(|e| format!("other bytes from byte {} on", e.utf8_error().valid_up_to()))?;
    if text.trim().is_empty() { Err("only blanks".to_owned()) } else { Ok(text) }
}

/// Writes `text` to `path` so that a reader sees the old file or the whole new one, never a half.
///
/// The text goes to a temporary file in the same folder, which then takes the name. On failure the
/// temporary file is removed and whatever was at `path` stays.
pub fn write_atomically(path: &Path, text: &str) -> Result<(), Error> {
    let failed =
        |found: String| Error::new("write").object(path.display().to_string()).found(found);
    let target = resolve_target(path).map_err(failed)?;
    let temporary = temporary_beside(&target).ok_or_else(|| failed("no file name".to_owned()))?;
    let written = write_new(&temporary, text).and_then(|()| fs::rename(&temporary, &target));
    written.map_err(|e| {
        // The first failure is the one to report; a leftover that cannot be removed changes nothing.
        if e.kind() != io::ErrorKind::AlreadyExists {
            let _ = fs::remove_file(&temporary);
        }
        failed(io_reason(&e))
    })
}

/// Refuses what [`write_atomically`] would refuse later anyway, as far as it shows without writing: for
/// before a long computation whose result is to be kept.
///
/// # Errors
/// A folder, pipe or device at `path`, and a folder around it that does not exist.
pub fn check_target(path: &Path) -> Result<(), Error> {
    let failed =
        |found: String| Error::new("write").object(path.display().to_string()).found(found);
    let target = resolve_target(path).map_err(failed)?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.map(fs::metadata) {
        None => Ok(()),
        Some(Ok(metadata)) if metadata.is_dir() => Ok(()),
        Some(Ok(_)) => Err(failed("it is below a file".to_owned()).expected("a folder around it")),
        Some(Err(error)) => {
            Err(failed(io_reason(&error)).expected("a folder around it that exists"))
        }
    }
}

/// Refuses to write an output over the file that it is made from, by whatever paths the two are named.
///
/// # Errors
/// The same file at both paths.
pub fn check_not_input(output: &Path, input: &Path) -> Result<(), Error> {
    match (fs::canonicalize(output), fs::canonicalize(input)) {
        (Ok(to), Ok(from)) if to == from => Err(Error::new("write")
            .object(output.display().to_string())
            .expected("another file than the one that is read")
            .found("the same")),
        // What is not there yet is no input.
        _ => Ok(()),
    }
}

/// Makes sure that there is a folder at `path`, for before a long computation whose results go there.
///
/// # Errors
/// Something else at `path`, or a folder around it where nothing may be made.
pub fn make_folder(path: &Path) -> Result<(), Error> {
    let refuse = || Error::new("make the folder").object(path.display().to_string());
    if path.exists() && !path.is_dir() {
        return Err(refuse().expected("a folder, or nothing yet").found("a file"));
    }
    fs::create_dir_all(path).map_err(|error| refuse().found(io_reason(&error)))
}

/// Follows a symbolic link, so that it stays one, and refuses to replace what is not a plain file.
fn resolve_target(path: &Path) -> Result<PathBuf, String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => fs::canonicalize(path).map_err(|e| io_reason(&e)),
        Ok(metadata) if metadata.is_dir() => Err("it is a folder".to_owned()),
        Ok(_) => Err("it is a pipe, socket or device, not a regular file".to_owned()),
        Err(_) => Ok(path.to_owned()),
    }
}

/// A name no reader looks for, unique to this process.
fn temporary_beside(target: &Path) -> Option<PathBuf> {
    let name = target.file_name()?.to_string_lossy().into_owned();
    Some(target.with_file_name(format!(".{name}.{}.tmp", std::process::id())))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The system's reason in plain words, without the error number.
fn io_reason(error: &io::Error) -> String {
    let text = match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.yaml");
        write_atomically(&path, "one\n").unwrap();
        write_atomically(&path, "two\n").unwrap();
        assert_eq!(read_text(&path, "read").unwrap(), "two\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("none/map.yaml")] {
            assert!(check_target(&path).is_err());
        }
        check_target(&folder.path().join("map.yaml")).unwrap();
        check_target(Path::new("map.yaml")).unwrap();
        assert!(write_atomically(folder.path(), "x").is_err());
        assert!(write_atomically(&folder.path().join("none/map.yaml"), "x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_output_is_not_its_input() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.yaml");
        let same = folder.path().join("./map.yaml");
        check_not_input(&same, &path).unwrap();
        write_atomically(&path, "one\n").unwrap();
        assert!(check_not_input(&same, &path).is_err());
        check_not_input(&folder.path().join("other"), &path).unwrap();
    }

    #[test]
    fn a_folder_is_made_where_there_is_none_and_never_over_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        make_folder(&path).unwrap();
        make_folder(&path).unwrap();
        assert!(path.is_dir());
        fs::write(path.join("file"), "x").unwrap();
        assert!(make_folder(&path.join("file")).is_err());
        assert!(make_folder(&path.join("file/c")).is_err());
    }

    #[test]
    fn files_are_read_at_positions_and_cut_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"0123456789").unwrap();
        let file = PositionedFile::open(&path, "read").unwrap();
        assert_eq!((file.bytes(), file.path()), (10, path.as_path()));
        let mut buffer = [0; 4];
        file.read_at(6, &mut buffer, "read").unwrap();
        assert_eq!(&buffer, b"6789");
        file.read_at(1, &mut buffer, "read").unwrap();
        assert_eq!(&buffer, b"1234");
        let message = file.read_at(8, &mut buffer, "read").unwrap_err().to_string();
        assert!(message.contains("at byte 10: expected 2 more bytes"), "{message}");
        assert!(PositionedFile::open(folder.path(), "read").is_err());
    }

    #[test]
    fn hostile_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let refusal = |path: &Path| read_at_most(path, "read", 100).unwrap_err().to_string();
        for (content, word) in [
            (&b""[..], "empty"),
            (b" \n\t", "only blanks"),
            (b"a: \xff", "other bytes from byte 3 on"),
            (b"\xff\xfea\0", "UTF-16"),
            (b"\xfe\xff\0a", "UTF-16"),
            (b"\xef\xbb\xbfa: 1", "byte order mark"),
            (b"a\0", "zero byte at byte 1"),
            (&[b'a'; 101], "at most 100 B"),
        ] {
            fs::write(&path, content).unwrap();
            let message = refusal(&path);
            assert!(message.contains(word), "{message}");
        }
        assert!(refusal(folder.path()).contains("folder"));
        assert!(refusal(&folder.path().join("x")).contains("no such"));
    }
}
