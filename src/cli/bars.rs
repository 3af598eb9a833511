//! How far a load is: a line per device on a terminal, rewritten, gone when the work is done.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use apportion::error::printable;
use apportion::load::Watch;
use apportion::units::format_bytes;

use super::progress::{PATIENCE, PAUSE};

/// Bytes of each device that show themselves where somebody is looking.
pub struct Bars {
    devices: Vec<Bar>,
    terminal: bool,
    started: Instant,
    shown: Mutex<Option<Instant>>,
}

struct Bar {
    name: String,
    total_bytes: u64,
    bytes: AtomicU64,
}

impl Bars {
    /// Nothing is loaded yet; names with the bytes to come, in the placement's order. Devices that get
    /// nothing have no line.
    pub fn new(devices: impl IntoIterator<Item = (String, u64)>) -> Self {
        let bar = |(name, total_bytes): (String, u64)| Bar {
            name: printable(&name),
            total_bytes,
            bytes: AtomicU64::new(0),
        };
        Self {
            devices: devices.into_iter().map(bar).collect(),
            terminal: io::stderr().is_terminal(),
            started: Instant::now(),
            shown: Mutex::new(None),
        }
    }

    fn lines(&self) -> Vec<String> {
        let bars = self.devices.iter().filter(|bar| bar.total_bytes > 0);
        let width = bars.clone().map(|bar| bar.name.chars().count()).max().unwrap_or(0);
        bars.map(|bar| line(bar, width)).collect()
    }

    /// Writes every line and goes back to the first.
    fn write(lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        let mut text = String::new();
        for line in lines {
            text.push('\r');
            text.push_str(line);
            text.push_str("\x1b[K\n");
        }
        let _ = write!(io::stderr(), "{text}\x1b[{}A", lines.len());
    }
}

impl Watch for Bars {
    fn loaded(&self, device: usize, bytes: u64) {
        let Some(bar) = self.devices.get(device) else { return };
        bar.bytes.fetch_add(bytes, Ordering::Relaxed);
        if !self.terminal || self.started.elapsed() < PATIENCE {
            return;
        }
        // Another thread that is writing says as much as this one would.
        let Ok(mut shown) = self.shown.try_lock() else { return };
        if shown.is_none_or(|at| at.elapsed() >= PAUSE) {
            Self::write(&self.lines());
            *shown = Some(Instant::now());
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        let shown = self.shown.get_mut().ok().is_some_and(|shown| shown.is_some());
        if shown {
            Self::write(&vec![String::new(); self.lines().len()]);
        }
    }
}

/// `gpu0 [#####...............] 4.00 GiB of 16.00 GiB`.
fn line(bar: &Bar, width: usize) -> String {
    const CELLS: u64 = 20;
    let bytes = bar.bytes.load(Ordering::Relaxed).min(bar.total_bytes);
    let full = u128::from(bytes) * u128::from(CELLS) / u128::from(bar.total_bytes.max(1));
    let full = usize::try_from(full).unwrap_or(0);
    let (cells, of) = ("#".repeat(full), format_bytes(bar.total_bytes));
    format!("{:width$} [{cells:.<20}] {} of {of}", bar.name, format_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_has_a_line_in_proportion() {
        let bars = Bars::new(
            [("gpu0", 16 << 30), ("host", 0), ("g", 1 << 30)]
                .map(|(name, bytes)| (name.to_owned(), bytes)),
        );
        bars.loaded(0, 4 << 30);
        bars.loaded(2, 2 << 30);
        bars.loaded(9, 1);
        assert_eq!(
            bars.lines(),
            [
                "gpu0 [#####...............] 4.00 GiB of 16.00 GiB",
                "g    [####################] 1.00 GiB of 1.00 GiB",
            ]
        );
    }
}
