//! What the numbers were measured on; what the system does not say is left out.

use std::fs;

/// One line: cores, processor, system, load, version.
pub fn line() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let parts = [
        Some(format!("{cores} cores")),
        processor(),
        Some(format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        distribution(),
        load().map(|load| format!("load {load} when the run began")),
        Some(format!("apportion {}", env!("CARGO_PKG_VERSION"))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn distribution() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

/// Processes that wanted a core, averaged over a minute.
fn load() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    Some(text.split_whitespace().next()?.to_owned())
}

/// The most memory this process ever had, in bytes; not every bench asks.
#[allow(dead_code, reason = "each bench compiles this file for itself")]
pub fn peak_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
