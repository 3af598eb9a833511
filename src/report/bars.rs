//! One bar per device, split by purpose; letters carry the meaning, so it needs no colour.

use super::{Align, Table, percent};
use crate::error::printable;
use crate::problem::Problem;
use crate::units::format_bytes;
use crate::verify::{DeviceUse, Measured};

const LEGEND: &str =
    "W weights  K KV cache  o workspace  s staging (loading only)  r reserve  . free";

/// Bytes per device by purpose, and below it a bar for each, at most `width` columns wide.
pub fn bars(problem: &Problem, measured: &Measured, width: usize) -> String {
    let mut table = Table::new(&[
        ("device", Align::Left),
        ("used", Align::Right),
        ("of", Align::Right),
        ("", Align::Right),
        ("weights", Align::Right),
        ("KV cache", Align::Right),
        ("workspace", Align::Right),
    ]);
    for (device, used) in problem.devices.iter().zip(&measured.devices) {
        table.row([
            printable(&device.id),
            format_bytes(used.used_bytes),
            format_bytes(device.capacity_bytes),
            percent(used.utilization()),
            format_bytes(used.weights_bytes),
            format_bytes(used.kv_cache_bytes),
            format_bytes(used.workspace_bytes),
        ]);
    }
    let mut text = table.render();
    text.push_str(&aside(problem, measured, "staged while loading", |used| used.staging_bytes));
    text.push_str(&aside(problem, measured, "rounded up", |used| used.rounding_bytes));
    text.push_str(&aside(problem, measured, "reserve", |used| used.reserve_bytes));
    text.push_str(&aside(problem, measured, "headroom", |used| used.headroom_bytes));
    text.push('\n');
    let names = problem.devices.iter().map(|device| printable(&device.id));
    let name_width = names.map(|name| name.chars().count()).max().unwrap_or(0);
    let cells = width.saturating_sub(name_width + 4).max(10);
    let pairs = problem.devices.iter().zip(&measured.devices);
    text.extend(pairs.map(|(device, used)| {
        format!("{:name_width$}  [{}]\n", printable(&device.id), bar(used, cells))
    }));
    text.push_str(LEGEND);
    text.push('\n');
    text
}

/// What only some machines have, on a line of its own: `reserve: gpu0 512.00 MiB`.
fn aside(
    problem: &Problem,
    measured: &Measured,
    what: &str,
    bytes: impl Fn(&DeviceUse) -> u64,
) -> String {
    let pairs = problem.devices.iter().zip(&measured.devices);
    let entries: Vec<String> = pairs
        .filter(|(_, used)| bytes(used) > 0)
        .map(|(device, used)| format!("{} {}", printable(&device.id), format_bytes(bytes(used))))
        .collect();
    if entries.is_empty() { String::new() } else { format!("{what}: {}\n", entries.join(", ")) }
}

/// `cells` letters; every letter stands for the same number of bytes.
fn bar(used: &DeviceUse, cells: usize) -> String {
    let running = used.kv_cache_bytes.saturating_add(used.workspace_bytes);
    let parts = [
        ('W', used.weights_bytes.saturating_add(used.rounding_bytes)),
        ('K', used.kv_cache_bytes),
        ('o', used.workspace_bytes),
        // KV cache and workspace take the place of what was staged, so only the excess shows.
        ('s', used.staging_bytes.saturating_sub(running)),
        ('r', used.reserve_bytes),
    ];
    let mut text = String::new();
    let mut sum: u128 = 0;
    for (letter, bytes) in parts {
        sum += u128::from(bytes);
        // However small, what is there shows.
        let least = if bytes > 0 { (text.len() + 1).min(cells) } else { 0 };
        let end = cells_of(sum, used.capacity_bytes, cells).max(least);
        text.extend(std::iter::repeat_n(letter, end.saturating_sub(text.len())));
    }
    format!("{text:.<cells$}")
}

/// Rounded to the nearest cell; what is over capacity stays inside the bar.
fn cells_of(bytes: u128, capacity: u64, cells: usize) -> usize {
    let capacity = u128::from(capacity.max(1));
    let cells_wide = u128::try_from(cells).unwrap_or(u128::MAX);
    let scaled = (bytes * cells_wide + capacity / 2) / capacity;
    usize::try_from(scaled.min(cells_wide)).unwrap_or(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_each_purpose_in_proportion() {
        let used = DeviceUse {
            weights_bytes: 48,
            rounding_bytes: 2,
            kv_cache_bytes: 10,
            workspace_bytes: 10,
            staging_bytes: 30,
            reserve_bytes: 10,
            used_bytes: 90,
            capacity_bytes: 100,
            headroom_bytes: 0,
        };
        assert_eq!(bar(&used, 10), "WWWWWKosr.");
        assert_eq!(bar(&DeviceUse { capacity_bytes: 1, ..used }, 5), "WWWWW");
    }
}
