//! The machine: devices and how much of each may be used.
//!
//! Nothing here asks the machine; sizes and names come from the command line ([`Spec`]) or from a file
//! ([`Hardware::from_yaml`]), speeds from there too or from what makers state ([`HardwareCatalogue`]).
//!
//! # hardware.yaml, version 1
//!
//! ```yaml
//! version: 1
//! nodes:
//!   - id: box                       # node and device ids: a-z 0-9 _ . -, each once in the file
//!     link: pcie-4-x16              # optional: between devices of the node that no link names
//!     devices:
//!       - id: gpu0
//!         kind: cuda                # cuda, metal or gpu; cpu for host memory
//!         memory: 15.60GiB          # what may be used, in bytes or with a unit
//!         reserve: 512MiB           # optional: kept free when anything lives there
//!         bandwidth: {default: 1TB/s, q4_k: 800GB/s}  # optional: one rate, or rates by storage type
//!         compute: 312TFLOPS        # optional: products of 16-bit matrices
//!       - { id: gpu1, model: rtx-4090, memory: 23GiB }  # kind, memory and speeds of a model by name
//!       - { id: cpu, kind: cpu, memory: 64GiB, bandwidth: 70GB/s }
//! devices:                          # optional: devices outside of nodes, or with `node: ID` in one
//!   - { id: far, model: l4 }
//! links:                            # optional: between two devices, two nodes, or a device and a node
//!   - { between: [gpu0, gpu1], kind: nvlink-3-bridge }
//!   - { between: [far, box], latency: 40us, bandwidth: 1.1GB/s }
//! default_link: ethernet-10g        # optional: between any other two; a name, or latency and bandwidth
//! ```
//!
//! The first listed GPU is GPU 0; the devices of nodes come before those outside. Unknown and repeated keys are
//! refused. A link is the same both ways, and the one that says most counts: of two devices, else of a device
//! and the other's node, else of their two nodes, else within their node, else the default. Where a bandwidth is
//! stated by type, `default` is that of every other type and of the KV cache; types are named as
//! `apportion inspect MODEL --quant NAME --tensors` names them.
//!
//! Models and kinds of links are names of the catalogue (`apportion models --hardware`), which holds what data
//! sheets state: the most that hardware can do. Runtimes get less of it, so what is stated beside a name goes
//! before what the name stands for. Speeds and links are needed only where time is asked for. Links have no
//! traffic of others on them; replicas of experts and tensors split over devices are out of scope for now.

mod calibration;
mod catalogue;
mod file;
mod network;
mod spec;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use calibration::{Calibration, Figure, MeasuredDevice, MeasuredLink};
pub use catalogue::{HardwareCatalogue, KnownDevice, KnownLink};
pub use network::{Link, Network, Speed};
pub use spec::Spec;

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
        let gpus: Vec<Spec> = gpus.iter().copied().map(Spec::of_size).collect();
        Self::from_specs(&gpus, cpu.map(Spec::of_size), reserve)
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
