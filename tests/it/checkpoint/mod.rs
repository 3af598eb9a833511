//! Checkpoints in a folder of their own: written byte by byte, opened, and held against what was written.

pub mod build;
/// What fuzzing kept.
mod corpus;
mod folders;
mod gguf_layout;
mod gguf_lies;
mod gguf_parts;
mod index_lies;
pub mod known;
mod safetensors_lies;
mod shards;
/// Pipes, links in circles, folders where files should be.
mod strange_files;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use apportion::checkpoint::Checkpoint;
use tempfile::TempDir;

/// A folder with the files of a checkpoint.
pub struct Shelf(TempDir);

impl Shelf {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a file there.
    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), content).unwrap();
        self
    }

    /// Puts a file there of which only the beginning takes space.
    fn put_sparse(&self, name: &str, beginning: &[u8], bytes: u64) -> &Self {
        self.put(name, beginning);
        File::options().write(true).open(self.path(name)).unwrap().set_len(bytes).unwrap();
        self
    }

    /// What is at `name`; the folder itself with `""`.
    pub fn open(&self, name: &str) -> Checkpoint {
        Checkpoint::open(&self.path(name)).unwrap()
    }

    /// Why what is at `name` is refused, in which all `words` must appear.
    fn refuses(&self, name: &str, words: &[&str]) {
        refuses(&self.path(name), words);
    }
}

fn refuses(path: &Path, words: &[&str]) {
    let message = match Checkpoint::open(path) {
        Ok(checkpoint) => panic!("{words:?} expected, found {checkpoint:?}"),
        Err(error) => format!("{error} {}", error.hint_text().unwrap_or_default()),
    };
    for word in words {
        assert!(message.contains(word), "`{word}` is missing in: {message}");
    }
    assert!(message.len() < 2500, "{} characters", message.len());
}
