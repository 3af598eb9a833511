//! Medians: the machine may be busy with something else, and a median of many runs does not mind.

use std::fmt;
use std::time::{Duration, Instant};

use super::table::time;

/// How long something took, and what came of it.
pub struct Timed<T> {
    /// The middle one of the runs.
    pub median: Duration,
    /// How many runs counted.
    pub runs: usize,
    /// What the last run returned.
    pub result: T,
}

impl<T> fmt::Display for Timed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.runs == 1 { "run" } else { "runs" };
        write!(f, "{} ({} {plural})", time(self.median), self.runs)
    }
}

/// One run, timed.
pub fn once<T, E>(mut work: impl FnMut() -> Result<T, E>) -> Result<Timed<T>, E> {
    let (median, result) = run(&mut work)?;
    Ok(Timed { median, runs: 1, result })
}

/// The median of `runs` runs, after one that does not count.
pub fn repeated<T, E>(runs: usize, mut work: impl FnMut() -> Result<T, E>) -> Result<Timed<T>, E> {
    let (_, mut result) = run(&mut work)?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let (time, latest) = run(&mut work)?;
        times.push(time);
        result = latest;
    }
    times.sort_unstable();
    Ok(Timed { median: times[runs / 2], runs, result })
}

fn run<T, E>(work: &mut impl FnMut() -> Result<T, E>) -> Result<(Duration, T), E> {
    let started = Instant::now();
    let result = work()?;
    Ok((started.elapsed(), result))
}
