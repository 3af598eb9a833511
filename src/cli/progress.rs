//! How far a long piece of work is: one line on a terminal, rewritten, gone when the work is done.
//!
//! By hand, because a count and a line to rewrite are all there is to it; a crate for bars would bring
//! a dozen others.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What is done within this is not worth a line.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Faster than this nobody reads.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// A count of steps that shows itself where somebody is looking.
pub struct Progress {
    what: &'static str,
    total: usize,
    done: AtomicUsize,
    terminal: bool,
    started: Instant,
    shown: Mutex<Option<Instant>>,
}

impl Progress {
    /// Nothing of `total` is done yet.
    pub fn new(what: &'static str, total: usize) -> Self {
        let terminal = io::stderr().is_terminal();
        let done = AtomicUsize::new(0);
        Self { what, total, done, terminal, started: Instant::now(), shown: Mutex::new(None) }
    }

    /// One more is done; from any thread.
    pub fn step(&self) {
        self.advance(1);
    }

    /// So many more are done; from any thread.
    pub fn advance(&self, steps: usize) {
        let done = self.done.fetch_add(steps, Ordering::Relaxed) + steps;
        let elapsed = self.started.elapsed();
        if !self.terminal || elapsed < PATIENCE {
            return;
        }
        // Another thread that is writing says as much as this one would.
        let Ok(mut shown) = self.shown.try_lock() else { return };
        if shown.is_none_or(|at| at.elapsed() >= PAUSE) {
            let line = line(self.what, done, self.total, elapsed);
            let _ = write!(io::stderr(), "\r{line}\x1b[K");
            *shown = Some(Instant::now());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let shown = self.shown.get_mut().ok().is_some_and(|shown| shown.is_some());
        if shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// `[#######.............] 224/640 points, 3 s`.
fn line(what: &str, done: usize, total: usize, elapsed: Duration) -> String {
    const CELLS: usize = 20;
    let full = (done * CELLS).checked_div(total).unwrap_or(CELLS).min(CELLS);
    let bar = "#".repeat(full);
    format!("[{bar:.<CELLS$}] {done}/{total} {what}, {} s", elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_how_far_it_is() {
        let line = line("points", 32, 64, Duration::from_millis(2500));
        assert_eq!(line, "[##########..........] 32/64 points, 2 s");
    }
}
