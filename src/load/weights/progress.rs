//! How a load is watched, and how it is ended before its end.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Error;

/// Someone who wants to know how far a load is. Called from many threads at once.
pub trait Watch: Sync {
    /// That many more bytes of the files were read for the device of that index.
    fn loaded(&self, device: usize, bytes: u64);
}

/// Nobody.
impl Watch for () {
    fn loaded(&self, _device: usize, _bytes: u64) {}
}

/// Why a weight was not loaded.
#[derive(Debug)]
pub(in crate::load) enum Trouble {
    /// This went wrong.
    Failed(Error),
    /// Something else went wrong elsewhere, so there was no point in going on.
    Abandoned,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Whether to go on.
#[derive(Debug)]
pub(in crate::load) struct Halt<'a> {
    asked: Option<&'a AtomicBool>,
    failed: AtomicBool,
}

impl<'a> Halt<'a> {
    /// Not yet; the caller may raise `asked` at any time.
    pub(in crate::load) fn new(asked: Option<&'a AtomicBool>) -> Self {
        Self { asked, failed: AtomicBool::new(false) }
    }

    /// Something went wrong: nobody goes on.
    pub(in crate::load) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Asked between small pieces of work.
    ///
    /// # Errors
    /// The caller wants it to end, or something went wrong elsewhere.
    pub(in crate::load) fn check(&self) -> Result<(), Trouble> {
        if self.asked.is_some_and(|asked| asked.load(Ordering::Relaxed)) {
            return Err(Error::new("load the model").found("it was stopped").into());
        }
        if self.failed.load(Ordering::Relaxed) {
            return Err(Trouble::Abandoned);
        }
        Ok(())
    }
}
