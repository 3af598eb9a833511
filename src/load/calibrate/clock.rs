//! Repeated measurements within a share of the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;

/// Fewer say nothing of how much they differ.
const RUNS_MIN: usize = 3;

/// More say nothing new.
const RUNS_MAX: usize = 200;

/// How long the work takes, in picoseconds, again and again: as often as the time allows, at least 3 times
/// and at most 200, after a first run that does not count. `prepare` comes before each and is not in it; nor
/// is what the work says that it took for something else. `None` when `stop` ended it.
///
/// # Errors
/// What the work refuses.
pub(super) fn repeated(
    share: Duration,
    stop: &AtomicBool,
    prepare: impl Fn(),
    mut work: impl FnMut() -> Result<Duration, Error>,
) -> Result<Option<Vec<u64>>, Error> {
    work()?;
    let began = Instant::now();
    let mut times = Vec::new();
    while times.len() < RUNS_MIN || (times.len() < RUNS_MAX && began.elapsed() < share) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        prepare();
        let started = Instant::now();
        let other = work()?;
        let ps = started.elapsed().saturating_sub(other).as_nanos().saturating_mul(1000);
        times.push(u64::try_from(ps).unwrap_or(u64::MAX).max(1));
    }
    Ok(Some(times))
}

/// Keeps a thread busy for that long; how long it was.
pub(super) fn busy(time: Duration) -> Duration {
    let began = Instant::now();
    while began.elapsed() < time {
        std::hint::spin_loop();
    }
    began.elapsed()
}
