//! The machine: devices and how much of each may be used.
//!
//! Nothing here asks the machine; sizes come from the command line ([`Hardware::from_sizes`]) or from a
//! file ([`Hardware::from_yaml`]).
//!
//! # hardware.yaml, version 1
//!
//! ```yaml
//! version: 1
//! nodes:
//!   - id: box                       # node and device ids: a-z 0-9 _ . -, each once in the file
//!     devices:
//!       - id: gpu0
//!         kind: cuda                # cuda, metal or gpu; cpu for host memory
//!         memory: 15.60GiB          # what may be used, in bytes or with a unit
//!         reserve: 512MiB           # optional: kept free when anything lives there
//!         bandwidth: 1TB/s          # optional, not used yet
//!         compute: 312TFLOPS        # optional, not used yet
//!       - { id: cpu, kind: cpu, memory: 64GiB }
//! links:                            # optional, not used yet: between nodes or devices
//!   - { between: [gpu0, cpu], latency: 5us, bandwidth: 32GB/s }
//! default_link: { latency: 5us, bandwidth: 32GB/s }
//! ```
//!
//! The first listed GPU is GPU 0. Unknown and repeated keys are refused.

mod file;
mod network;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use file::HardwareFile;
pub use network::{Link, Network, Speed};

use crate::error::Error;
use crate::problem::DeviceSet;
use crate::units::BYTES_MAX;

/// What a device is to the planner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKind {
    /// An accelerator.
    Gpu,
    /// Host memory, the tier of last resort.
    Cpu,
}

impl DeviceKind {
    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Cpu => "cpu",
        }
    }
}

/// One place components can live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The name used in files and on the command line, e.g. `gpu0`.
    pub id: String,
    /// Accelerator or host.
    pub kind: DeviceKind,
    /// Bytes the user says are usable.
    pub capacity_bytes: u64,
    /// Bytes kept free on it when anything lives there (driver context, fragmentation margin).
    pub reserve_bytes: u64,
}

/// The devices of a machine, in the order the user listed them; the first GPU is "GPU 0".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// GPUs first, in listed order, then the CPU if there is one.
    pub devices: Vec<Device>,
    /// Speeds and links, as far as they are known.
    pub network: Arc<Network>,
}

impl Hardware {
    /// Devices `gpu0`, `gpu1`, ... and `cpu` of these sizes; `reserve` is kept free on every GPU.
    ///
    /// ```
    /// use apportion::hardware::Hardware;
    /// let hardware = Hardware::from_sizes(&[16 << 30, 16 << 30], Some(64 << 30), 0).unwrap();
    /// assert_eq!(hardware.devices[1].id, "gpu1");
    /// assert_eq!(hardware.devices[2].id, "cpu");
    /// ```
    pub fn from_sizes(gpus: &[u64], cpu: Option<u64>, reserve: u64) -> Result<Self, Error> {
        let gpu = |(index, &capacity_bytes): (usize, &u64)| Device {
            id: format!("gpu{index}"),
            kind: DeviceKind::Gpu,
            capacity_bytes,
            reserve_bytes: reserve,
        };
        let cpu = cpu.map(|capacity_bytes| Device {
            id: "cpu".to_owned(),
            kind: DeviceKind::Cpu,
            capacity_bytes,
            reserve_bytes: 0,
        });
        Self::new(gpus.iter().enumerate().map(gpu).chain(cpu).collect())
    }

    /// Checks the devices and puts the GPUs first; the order among each kind stays.
    pub fn new(mut devices: Vec<Device>) -> Result<Self, Error> {
        let refuse = || Error::new("use this hardware");
        devices.sort_by_key(|device| device.kind);
        if devices.first().is_none_or(|device| device.kind != DeviceKind::Gpu) {
            return Err(refuse()
                .expected("at least one GPU")
                .found("none")
                .hint("add `--gpu 16GiB`, or a device of kind `cuda`, `metal` or `gpu`"));
        }
        if devices.len() > DeviceSet::DEVICES_MAX {
            let most = format!("at most {} devices", DeviceSet::DEVICES_MAX);
            return Err(refuse().expected(most).found(devices.len().to_string()));
        }
        let mut seen = BTreeSet::new();
        let mut total: u64 = 0;
        for device in &devices {
            check_id(&device.id)?;
            let refuse = || refuse().object(&device.id);
            if !seen.insert(&device.id) {
                return Err(refuse()
                    .expected("a name of its own for each device")
                    .found("it twice"));
            }
            if device.capacity_bytes == 0 {
                return Err(refuse().expected("a capacity above zero").found("0 bytes"));
            }
            // Planner and verifier add capacities up; below this limit no sum can overflow.
            total =
                total.saturating_add(device.capacity_bytes).saturating_add(device.reserve_bytes);
            if total > BYTES_MAX {
                return Err(refuse().expected("at most 1024 PiB over all devices").found("more"));
            }
        }
        Ok(Self { devices, network: Arc::default() })
    }

    /// The index of a device by its id.
    pub fn index_of(&self, id: &str) -> Option<usize> {
        self.devices.iter().position(|device| device.id == id)
    }

    /// Whether there is host memory to spill to.
    pub fn has_cpu(&self) -> bool {
        self.devices.iter().any(|device| device.kind == DeviceKind::Cpu)
    }
}

/// Device and node names go into files, patterns and terminals unquoted, so they are kept plain.
fn check_id(id: &str) -> Result<(), Error> {
    const CHARS_MAX: usize = 64;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c);
    if id.is_empty() || id.len() > CHARS_MAX || !id.chars().all(plain) {
        return Err(Error::new("use the device name")
            .object(id)
            .expected("1 to 64 characters of `a-z 0-9 _ . -`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_machines_are_refused() {
        assert!(Hardware::from_sizes(&[], None, 0).is_err());
        assert!(Hardware::from_sizes(&[], Some(1 << 30), 0).is_err());
        assert!(Hardware::from_sizes(&[0], None, 0).is_err());
        assert!(Hardware::from_sizes(&[1; 65], None, 0).is_err());
        assert!(Hardware::from_sizes(&[BYTES_MAX, 1], None, 0).is_err());
        assert!(Hardware::from_sizes(&[1; 64], None, 0).is_ok());
    }
}
