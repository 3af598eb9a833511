//! What was planned against what is there.

use std::collections::BTreeMap;
use std::time::Duration;

use super::manifest::Manifest;
use super::placed::Placed;
use crate::error::Error;
use crate::model::ComponentId;

/// Planned and measured bytes of a loaded model, by device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// In the placement's order.
    pub devices: Vec<DeviceTally>,
}

/// Of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceTally {
    /// Its name in the placement.
    pub device: String,
    /// Its components.
    pub components: BTreeMap<ComponentId, Bytes>,
    /// What candle keeps beside them at most, where it was allowed to repack.
    pub second_copy_bytes: u64,
    /// The most that was there at once only for loading.
    pub peak_staged_bytes: u64,
}

/// Weights of one component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// As the manifest says.
    pub planned: u64,
    /// As counted in the memory that holds them.
    pub measured: u64,
}

impl DeviceTally {
    /// All of its components.
    pub fn total(&self) -> Bytes {
        self.components.values().fold(Bytes::default(), |sum, one| Bytes {
            planned: sum.planned.saturating_add(one.planned),
            measured: sum.measured.saturating_add(one.measured),
        })
    }
}

impl Tally {
    /// Counts the memory of every weight of a model that was loaded from that manifest.
    pub fn of(manifest: &Manifest, placed: &Placed) -> Self {
        let name = |device: &super::devices::Device| DeviceTally {
            device: device.id.clone(),
            peak_staged_bytes: device.ledger.balance().peak_staged_bytes,
            ..DeviceTally::default()
        };
        let mut devices: Vec<DeviceTally> = placed.devices.iter().map(name).collect();
        for item in &manifest.items {
            if let Some(device) = devices.get_mut(item.device) {
                let bytes = device.components.entry(item.component).or_default();
                bytes.planned = bytes.planned.saturating_add(item.bytes);
            }
        }
        for ((component, _), weight) in &placed.weights {
            let home = placed.homes.get(component).and_then(|home| devices.get_mut(*home));
            if let Some(device) = home {
                let bytes = device.components.entry(*component).or_default();
                bytes.measured = bytes.measured.saturating_add(weight.bytes());
                device.second_copy_bytes =
                    device.second_copy_bytes.saturating_add(weight.second_copy_bytes());
            }
        }
        Self { devices }
    }

    /// Whether every component takes exactly the bytes that were planned.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), Error> {
        for device in &self.devices {
            let differs = |(_, bytes): &(&ComponentId, &Bytes)| bytes.planned != bytes.measured;
            if let Some((component, bytes)) = device.components.iter().find(differs) {
                return Err(Error::new("account for the weights on the device")
                    .object(&device.device)
                    .place(component.to_string())
                    .expected(format!("{} bytes", bytes.planned))
                    .found(format!("{} bytes", bytes.measured)));
            }
        }
        Ok(())
    }

    /// Bytes that were loaded onto all devices per second, when it took that long; `None` when it took no
    /// time that could be measured.
    pub fn bytes_per_second(&self, took: Duration) -> Option<u64> {
        let bytes: u64 = self.devices.iter().map(|device| device.total().measured).sum();
        let rate = (u128::from(bytes) * 1_000_000_000).checked_div(took.as_nanos())?;
        u64::try_from(rate).ok()
    }
}
