//! Memory of devices at moments: what a running model notes down of itself, and what others read of it meanwhile.
//!
//! # Memory log, version 1
//!
//! JSON lines, written as things happen and only added to. The first line is the head:
//!
//! | key | holds |
//! |---|---|
//! | `apportion`, `version` | `memory-log`, `1` |
//!
//! Every further line is one moment; the label of the last one is `end`:
//!
//! | key | holds |
//! |---|---|
//! | `ms` | milliseconds since the program began |
//! | `label` | what was about to happen or had happened: `load before`, `load after` |
//! | `devices[]` | `id`, `backing` (`cpu`, `cuda:0`), and bytes as the ledger of the device has them: `weights_bytes`, `kv_cache_bytes`, `staged_bytes`, `peak_bytes`, `budget_bytes` |
//! | `devices[].driver` | where the device has a driver, `free_bytes` and `total_bytes`: everybody's |

mod log;
#[cfg(feature = "nvml")]
mod nvml;
mod threshold;

use std::time::Duration;

pub use log::{HEAD, Reader};
#[cfg(feature = "nvml")]
pub use nvml::Nvml;
pub use threshold::Threshold;

/// The label of the last moment of a log.
pub const END: &str = "end";

/// All devices at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// When, from the beginning of whoever notes it down.
    pub at: Duration,
    /// What was about to happen, or had happened.
    pub label: String,
    /// In the order of the runtime.
    pub devices: Vec<DeviceMemory>,
}

/// One device at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Its name in the placement.
    pub id: String,
    /// What it really is.
    pub backing: String,
    /// Weights.
    pub weights_bytes: u64,
    /// Keys and values.
    pub kv_cache_bytes: u64,
    /// What is there for a moment only.
    pub staged_bytes: u64,
    /// The most that was there at once.
    pub peak_bytes: u64,
    /// What it may hold.
    pub budget_bytes: u64,
    /// What its driver says, where it has one.
    pub driver: Option<DriverMemory>,
}

impl DeviceMemory {
    /// Weights, keys and values, and what is staged.
    pub fn used_bytes(&self) -> u64 {
        let kept = self.weights_bytes.saturating_add(self.kv_cache_bytes);
        kept.saturating_add(self.staged_bytes)
    }

    /// What can be used of it: by its driver what is used already and what nobody uses, else what it may hold.
    pub fn usable_bytes(&self) -> u64 {
        let free = |driver: DriverMemory| self.used_bytes().saturating_add(driver.free_bytes);
        self.driver.map_or(self.budget_bytes, |driver| free(driver).min(self.budget_bytes))
    }
}

/// A GPU's memory as its driver counts it, everybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverMemory {
    /// What nobody uses.
    pub free_bytes: u64,
    /// All there is.
    pub total_bytes: u64,
}

/// One device as a watcher sees it, wherever that is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its name in the placement.
    pub id: String,
    /// What is used of it now.
    pub used_bytes: u64,
    /// The most that was, where that is known.
    pub peak_bytes: Option<u64>,
    /// What may be used of it.
    pub limit_bytes: u64,
}
