//! What NVIDIA's management library says of a machine's GPUs. It is loaded when it is asked for: a program built with
//! it runs where there is no such library, and says so.

use super::DriverMemory;
use crate::error::Error;

/// The library, loaded.
#[derive(Debug)]
pub struct Nvml(nvml_wrapper::Nvml);

impl Nvml {
    /// Loads it.
    ///
    /// # Errors
    /// A machine without the library or without a driver.
    pub fn open() -> Result<Self, Error> {
        nvml_wrapper::Nvml::init().map(Self).map_err(|error| {
            Error::new("ask the driver of the GPUs")
                .expected("NVIDIA's management library (NVML) and a driver")
                .found(error.to_string())
                .hint("where there is none, watch a log that `--memory-log` writes, with --log")
        })
    }

    /// Memory of the GPU of that index.
    ///
    /// # Errors
    /// A GPU that there is not, and what the driver refuses.
    pub fn memory(&self, index: u32) -> Result<DriverMemory, Error> {
        let ask = || self.0.device_by_index(index)?.memory_info();
        let memory = ask().map_err(|error| {
            Error::new("ask the driver of the GPU")
                .object(index.to_string())
                .found(error.to_string())
                .hint("`--device gpu0=1` says which GPU of the machine a device is")
        })?;
        Ok(DriverMemory { free_bytes: memory.free, total_bytes: memory.total })
    }
}
