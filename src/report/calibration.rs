//! What `calibrate` prints: every figure with how much its measurements differ.

use serde_json::{Map, Value, json};

use super::{Align, Table};
use crate::error::printable;
use crate::hardware::{Calibration, Figure, MeasuredDevice, MeasuredLink};
use crate::units::{Ratio, format_time};

/// A table, a figure a line.
pub fn calibration(calibration: &Calibration) -> String {
    let mut table = Table::new(&[
        ("where", Align::Left),
        ("what", Align::Left),
        ("median", Align::Right),
        ("spread", Align::Right),
        ("runs", Align::Right),
    ]);
    let mut row = |place: &str, what: &str, median: String, figure: &Figure| {
        let spread = figure.spread_permille();
        let spread = format!("{}.{} %", spread / 10, spread % 10);
        table.row([place.to_owned(), what.to_owned(), median, spread, figure.runs.to_string()]);
    };
    for MeasuredDevice { id, backing, reading, compute } in &calibration.devices {
        let place = printable(&format!("{id} ({backing})"));
        for (name, rate) in reading {
            row(&place, &format!("read {name}"), giga(rate.median, "GB/s"), rate);
        }
        row(&place, "compute", giga(compute.median, "GFLOPS"), compute);
    }
    for MeasuredLink { between: (a, b), latency_ps, bytes_per_second } in &calibration.links {
        let place = printable(&format!("{a} - {b}"));
        row(&place, "latency", format_time(latency_ps.median), latency_ps);
        let rate = giga(bytes_per_second.median, "GB/s");
        row(&place, "bandwidth", rate, bytes_per_second);
    }
    table.render() + "spread: between the quartiles of the runs, beside the median\n"
}

fn giga(rate: u64, unit: &str) -> String {
    format!("{:.2} {unit}", Ratio::new(rate, 1_000_000_000).as_f64())
}

/// The same for programs: whole bytes and operations per second, whole picoseconds. `file` is where the
/// hardware file was written, `text` what is in it.
pub fn calibration_json(calibration: &Calibration, file: Option<&str>, text: &str) -> Value {
    let device = |device: &MeasuredDevice| {
        let rates = device.reading.iter().map(|(name, rate)| ((*name).to_owned(), quartiles(rate)));
        json!({
            "id": device.id,
            "backing": device.backing,
            "bytes_per_second": rates.collect::<Map<_, _>>(),
            "flops": quartiles(&device.compute),
        })
    };
    let link = |link: &MeasuredLink| {
        json!({
            "between": [link.between.0, link.between.1],
            "latency_ps": quartiles(&link.latency_ps),
            "bytes_per_second": quartiles(&link.bytes_per_second),
        })
    };
    json!({
        "devices": calibration.devices.iter().map(device).collect::<Vec<_>>(),
        "links": calibration.links.iter().map(link).collect::<Vec<_>>(),
        "file": file,
        "hardware": text,
    })
}

fn quartiles(figure: &Figure) -> Value {
    let Figure { median, low, high, runs } = figure;
    json!({ "median": median, "low": low, "high": high, "runs": runs })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Calibration {
        let figure = |median, runs| Figure { median, low: median / 2, high: median, runs };
        Calibration {
            devices: vec![MeasuredDevice {
                id: "gpu0".to_owned(),
                backing: "cpu".to_owned(),
                reading: vec![("q4_k", figure(4_120_000_000, 12))],
                compute: figure(41_000_000_000, 3),
            }],
            links: vec![MeasuredLink {
                between: ("gpu0".to_owned(), "gpu1".to_owned()),
                latency_ps: figure(23_500_000, 200),
                bytes_per_second: figure(2_000_000_000, 9),
            }],
        }
    }

    #[test]
    fn every_figure_has_a_line() {
        let lines = [
            "where        what             median  spread  runs",
            "gpu0 (cpu)   read q4_k     4.12 GB/s  50.0 %    12",
            "gpu0 (cpu)   compute    41.00 GFLOPS  50.0 %     3",
            "gpu0 - gpu1  latency        23.50 us  50.0 %   200",
            "gpu0 - gpu1  bandwidth     2.00 GB/s  50.0 %     9",
            "spread: between the quartiles of the runs, beside the median",
        ];
        let expected: String = lines.map(|line| format!("{line}\n")).concat();
        assert_eq!(calibration(&example()), expected);
    }

    #[test]
    fn programs_get_whole_numbers() {
        let value = calibration_json(&example(), None, "version: 1\n");
        let q4_k = json!({"median": 4_120_000_000_u64, "low": 2_060_000_000, "high": 4_120_000_000_u64, "runs": 12});
        assert_eq!(value["devices"][0]["bytes_per_second"]["q4_k"], q4_k);
        assert_eq!(value["links"][0]["latency_ps"]["median"], 23_500_000);
        assert_eq!((&value["file"], &value["hardware"]), (&Value::Null, &json!("version: 1\n")));
    }
}
