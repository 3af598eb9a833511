//! What is on devices at one moment, as their ledgers and drivers say it.

use std::time::Duration;

use super::devices::Device;
use crate::trace::{DeviceMemory, DriverMemory, Snapshot};

/// All devices now, under a label such as `load after`; whoever has a clock says when that was.
///
/// A ledger's weights, keys and values are counted before they are allocated and until they are gone; a driver
/// counts what everybody has.
pub fn trace_memory(devices: &[Device], label: impl Into<String>) -> Snapshot {
    let device = |device: &Device| {
        let balance = device.ledger.balance();
        DeviceMemory {
            id: device.id.clone(),
            backing: device.backing.to_string(),
            weights_bytes: balance.weights_bytes(),
            kv_cache_bytes: balance.kv_cache_bytes(),
            staged_bytes: balance.staged_bytes,
            peak_bytes: balance.peak_bytes,
            budget_bytes: device.ledger.budget_bytes(),
            driver: device.driver_memory().map(|memory| DriverMemory {
                free_bytes: memory.free_bytes,
                total_bytes: memory.total_bytes,
            }),
        }
    };
    let devices = devices.iter().map(device).collect();
    Snapshot { at: Duration::ZERO, label: label.into(), devices }
}
