//! What is on the devices, noted down while a model is loaded and runs.

use std::path::Path;
use std::time::Instant;

use apportion::error::Error;
use apportion::files::{Appended, write_atomically};
use apportion::load::devices::Device;
use apportion::load::memory::trace_memory;
use apportion::trace::{END, HEAD, Snapshot};

/// A memory log, or nowhere to write one.
pub struct MemoryLog {
    out: Option<Appended>,
    started: Instant,
}

impl MemoryLog {
    /// Begins a log anew, where one is wanted.
    pub fn begin(path: Option<&Path>) -> Result<Self, Error> {
        let begun = |path: &Path| {
            write_atomically(path, &format!("{HEAD}\n"))?;
            Appended::open(path)
        };
        Ok(Self { out: path.map(begun).transpose()?, started: Instant::now() })
    }

    /// One line: what is on the devices now.
    pub fn note(&mut self, label: &str, devices: &[Device]) -> Result<(), Error> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let now = trace_memory(devices, label);
        out.line(&Snapshot { at: self.started.elapsed(), ..now }.to_line())
    }

    /// The last line: whoever watches need not wait for more.
    pub fn end(&mut self, devices: &[Device]) -> Result<(), Error> {
        self.note(END, devices)
    }
}
