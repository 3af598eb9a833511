//! The lines of a memory log, written and read back as hostile input.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{DeviceMemory, DriverMemory, Snapshot};
use crate::error::Error;

/// What tells such a file from others.
const WHAT: &str = "memory-log";

/// The version of the format that this program writes, and the only one it reads.
const VERSION: u64 = 1;

/// The first line of a log.
pub const HEAD: &str = r#"{"apportion":"memory-log","version":1}"#;

/// No moment has more devices.
const DEVICES_MAX: usize = 4096;

impl Snapshot {
    /// As a line of a log.
    pub fn to_line(&self) -> String {
        let device = |device: &DeviceMemory| {
            let mut value = json!({
                "id": device.id,
                "backing": device.backing,
                "weights_bytes": device.weights_bytes,
                "kv_cache_bytes": device.kv_cache_bytes,
                "staged_bytes": device.staged_bytes,
                "peak_bytes": device.peak_bytes,
                "budget_bytes": device.budget_bytes,
            });
            if let Some(driver) = &device.driver {
                let DriverMemory { free_bytes, total_bytes } = driver;
                value["driver"] = json!({"free_bytes": free_bytes, "total_bytes": total_bytes});
            }
            value
        };
        let ms = u64::try_from(self.at.as_millis()).unwrap_or(u64::MAX);
        let devices: Vec<Value> = self.devices.iter().map(device).collect();
        json!({"ms": ms, "label": self.label, "devices": devices}).to_string()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the head of a memory log")]
struct HeadEntry {
    apportion: String,
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a moment of a memory log")]
struct SnapshotEntry {
    ms: u64,
    label: String,
    devices: Vec<DeviceEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a device of a memory log")]
struct DeviceEntry {
    id: String,
    backing: String,
    weights_bytes: u64,
    kv_cache_bytes: u64,
    staged_bytes: u64,
    peak_bytes: u64,
    budget_bytes: u64,
    #[serde(default)]
    driver: Option<DriverEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "free_bytes and total_bytes")]
struct DriverEntry {
    free_bytes: u64,
    total_bytes: u64,
}

/// Reads a log line by line.
#[derive(Debug, Default)]
pub struct Reader {
    lines: u64,
}

impl Reader {
    /// What a whole line says: nothing, where it is the head.
    ///
    /// # Errors
    /// A line that is damaged, and where; a first line that is not the head of such a log.
    pub fn line(&mut self, line: &str) -> Result<Option<Snapshot>, Error> {
        self.lines += 1;
        let place = format!("line {}", self.lines);
        let refuse = || Error::new("read the memory log").place(place.as_str());
        if self.lines == 1 {
            let head = serde_json::from_str::<HeadEntry>(line).ok();
            let head = head.filter(|head| head.apportion == WHAT).ok_or_else(|| {
                refuse().expected("the head of a memory log, as --memory-log writes it")
            })?;
            if head.version != VERSION {
                let found = head.version.to_string();
                return Err(refuse().expected(format!("version {VERSION}")).found(found));
            }
            return Ok(None);
        }
        let entry = serde_json::from_str::<SnapshotEntry>(line);
        let entry = entry.map_err(|e| refuse().expected("a whole moment").found(e.to_string()))?;
        if entry.devices.len() > DEVICES_MAX {
            let found = entry.devices.len().to_string();
            return Err(refuse().expected(format!("at most {DEVICES_MAX} devices")).found(found));
        }
        Ok(Some(snapshot(entry)))
    }

    /// What a whole log says that nobody writes any more.
    ///
    /// # Errors
    /// As [`line`](Self::line); a log that was cut off in the middle of a line, or before its first moment.
    pub fn whole(text: &str) -> Result<Vec<Snapshot>, Error> {
        let cut = |lines: u64| {
            let refuse = Error::new("read the memory log").place(format!("line {}", lines + 1));
            refuse.expected("a whole line").found("the end of the file: it was cut off")
        };
        let mut reader = Self::default();
        let Some((whole, "")) = text.rsplit_once('\n') else {
            return Err(cut(u64::try_from(text.matches('\n').count()).unwrap_or(u64::MAX)));
        };
        let mut snapshots = Vec::new();
        for line in whole.split('\n') {
            snapshots.extend(reader.line(line)?);
        }
        if snapshots.is_empty() { Err(cut(reader.lines)) } else { Ok(snapshots) }
    }
}

fn snapshot(entry: SnapshotEntry) -> Snapshot {
    let device = |d: DeviceEntry| DeviceMemory {
        id: d.id,
        backing: d.backing,
        weights_bytes: d.weights_bytes,
        kv_cache_bytes: d.kv_cache_bytes,
        staged_bytes: d.staged_bytes,
        peak_bytes: d.peak_bytes,
        budget_bytes: d.budget_bytes,
        driver: d.driver.map(|DriverEntry { free_bytes, total_bytes }| DriverMemory {
            free_bytes,
            total_bytes,
        }),
    };
    Snapshot {
        at: Duration::from_millis(entry.ms),
        label: entry.label,
        devices: entry.devices.into_iter().map(device).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Snapshot {
        let device = |id: &str, driver| DeviceMemory {
            id: id.to_owned(),
            backing: "cpu".to_owned(),
            weights_bytes: 5,
            kv_cache_bytes: 3,
            staged_bytes: 1,
            peak_bytes: 12,
            budget_bytes: 20,
            driver,
        };
        let driver = DriverMemory { free_bytes: 7, total_bytes: u64::MAX };
        let devices = vec![device("gpu0", None), device("a \"b\"", Some(driver))];
        Snapshot { at: Duration::from_millis(1234), label: "load after".to_owned(), devices }
    }

    #[test]
    fn a_moment_reads_back_as_itself() {
        let mut reader = Reader::default();
        assert_eq!(reader.line(HEAD).unwrap(), None);
        assert_eq!(reader.line(&example().to_line()).unwrap(), Some(example()));
        assert_eq!(example().devices[0].used_bytes(), 9);
        let twice = format!("{HEAD}\n{HEAD}\n");
        assert!(Reader::whole(&twice).is_err(), "the head twice");
        let text = format!("{HEAD}\n{}\n", example().to_line());
        assert_eq!(Reader::whole(&text).unwrap(), [example()]);
    }

    #[test]
    fn what_is_damaged_or_cut_off_is_named() {
        let line = example().to_line();
        for (text, words) in [
            (String::new(), "at line 1: expected a whole line, found the end of the file"),
            (HEAD[..20].to_owned(), "at line 1: expected a whole line"),
            (format!("{HEAD}\n"), "at line 2: expected a whole line"),
            (format!("{HEAD}\n{}", &line[..40]), "at line 2: expected a whole line"),
            (format!("{HEAD}\n{}\n", &line[..40]), "at line 2: expected a whole moment"),
            (format!("{line}\n"), "at line 1: expected the head of a memory log"),
            (HEAD.replace(":1", ":2") + "\n", "expected version 1, found 2"),
            (format!("{HEAD}\n{}\n", line.replace(":5", ":-5")), "at line 2"),
            (format!("{HEAD}\n{}\n", line.replace("\"ms\"", "\"at\"")), "unknown field `at`"),
            (format!("{HEAD}\n\n"), "at line 2"),
        ] {
            let message = Reader::whole(&text).unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
