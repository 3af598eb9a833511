//! The one table, row by row, so that a long run shows what it has so far.

use std::fmt;
use std::time::Duration;

/// One measurement.
pub struct Row {
    /// Which part of the program.
    pub what: String,
    /// On what.
    pub instance: String,
    /// How long it took.
    pub time: String,
    /// What came of it.
    pub outcome: String,
    /// What it should be.
    pub target: String,
    /// Whether it is; `None` where nothing is demanded.
    pub met: Option<bool>,
}

/// The lines above the first row.
pub fn head() -> String {
    "| what | instance | median time | target | | outcome |\n|---|---|---|---|---|---|".to_owned()
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        let Self { what, instance, time, outcome, target, .. } = self;
        write!(f, "| {what} | {instance} | {time} | {target} | {verdict} | {outcome} |")
    }
}

/// Three significant digits or so, in the unit that suits.
pub fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 1.0 { format!("{seconds:.2} s") } else { format!("{:.2} ms", seconds * 1e3) }
}
