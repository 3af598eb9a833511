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

/// One run of something that can fail.
pub type Work<'a> = &'a mut dyn FnMut() -> Result<Duration, Box<dyn std::error::Error>>;

/// Medians of several things measured in turn, so that whatever else the machine does meets all of them; after a
/// round that does not count.
pub fn alternating<const N: usize>(
    rounds: usize,
    mut works: [Work<'_>; N],
) -> Result<[Duration; N], Box<dyn std::error::Error>> {
    let mut times = [const { Vec::new() }; N];
    for round in 0..=rounds {
        for (work, times) in works.iter_mut().zip(&mut times) {
            let time = work()?;
            if round > 0 {
                times.push(time);
            }
        }
    }
    Ok(times.map(median))
}

/// The middle one.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
