//! What `watch` prints: one line for each moment.

use std::time::Duration;

use serde_json::{Value, json};

use super::{decimals, percent};
use crate::error::printable;
use crate::trace::Reading;
use crate::units::{Ratio, format_bytes};

/// All devices at one moment, beside what was planned.
#[derive(Clone, Debug)]
pub struct Watched {
    /// When.
    pub at: Duration,
    /// What the runtime says it was about to do or had done; nothing where the driver is asked.
    pub label: Option<String>,
    /// Each device, and what the placement says it holds; `None` for one that the placement does not have.
    pub devices: Vec<(Reading, Option<u64>)>,
    /// Devices that hold too much.
    pub passed: Vec<String>,
}

/// One line.
pub fn watched(watched: &Watched) -> String {
    let device = |(reading, planned): &(Reading, Option<u64>)| {
        let used = format_bytes(reading.used_bytes);
        let limit = format_bytes(reading.limit_bytes);
        let share = (reading.limit_bytes > 0)
            .then(|| percent(Ratio::new(reading.used_bytes, reading.limit_bytes)));
        let share = share.map_or_else(String::new, |share| format!(" ({share})"));
        let planned = planned.map_or_else(
            || "not planned".to_owned(),
            |planned| format!("{} planned", format_bytes(planned)),
        );
        let over = if watched.passed.contains(&reading.id) { ", over" } else { "" };
        format!("{} {used} of {limit}{share}, {planned}{over}", printable(&reading.id))
    };
    let devices: Vec<String> = watched.devices.iter().map(device).collect();
    let label = watched
        .label
        .as_deref()
        .map_or_else(String::new, |label| format!("  {}", printable(label)));
    format!("{:9.3} s{label}  {}\n", watched.at.as_secs_f64(), devices.join("; "))
}

/// The same for programs, on one line.
pub fn watched_json(watched: &Watched) -> Value {
    let device = |(reading, planned): &(Reading, Option<u64>)| {
        json!({
            "id": reading.id,
            "used_bytes": reading.used_bytes,
            "peak_bytes": reading.peak_bytes,
            "limit_bytes": reading.limit_bytes,
            "planned_bytes": planned,
        })
    };
    json!({
        "seconds": decimals(&format!("{:.3}", watched.at.as_secs_f64())),
        "label": watched.label,
        "devices": watched.devices.iter().map(device).collect::<Vec<_>>(),
        "passed": watched.passed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_line() {
        let reading = |id: &str, used_bytes| Reading {
            id: id.to_owned(),
            used_bytes,
            peak_bytes: None,
            limit_bytes: 4 << 20,
        };
        let devices = vec![(reading("gpu0", 3 << 20), Some(3 << 20)), (reading("host", 0), None)];
        let example = Watched {
            at: Duration::from_millis(1500),
            label: Some("load after".to_owned()),
            devices,
            passed: vec!["gpu0".to_owned()],
        };
        assert_eq!(
            watched(&example),
            "    1.500 s  load after  gpu0 3.00 MiB of 4.00 MiB (75.00 %), 3.00 MiB planned, over; \
             host 0 B of 4.00 MiB (0.00 %), not planned\n"
        );
        let json = watched_json(&example);
        assert_eq!((&json["seconds"], &json["passed"]), (&json!(1.5), &json!(["gpu0"])));
        assert_eq!(json["devices"][1]["planned_bytes"], Value::Null);
    }
}
