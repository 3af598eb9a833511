//! What a GPU's driver says of its memory: everybody's bytes, not only ours.

use super::Device;
use crate::error::Error;
use crate::units::format_bytes;

/// Memory of a GPU at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverMemory {
    /// What nobody uses, in bytes.
    pub free_bytes: u64,
    /// What there is, in bytes.
    pub total_bytes: u64,
}

impl Device {
    /// What the driver says now; `None` for CPU memory, and where it does not answer.
    pub fn driver_memory(&self) -> Option<DriverMemory> {
        self.run(|| ask(&self.real))
    }

    /// What went wrong when bytes for `what` were put on the device; where the driver is out of memory, that,
    /// with what was asked for and what was free.
    pub(in crate::load) fn refused(
        &self,
        what: &str,
        bytes: u64,
        error: &candle_core::Error,
    ) -> Error {
        let text = error.to_string();
        let refuse = Error::new(format!("put {what} on the device")).object(&self.id);
        let lowered = text.to_lowercase();
        if !lowered.contains("out_of_memory") && !lowered.contains("out of memory") {
            return refuse.found(text);
        }
        let free = self.driver_memory().map_or_else(
            || "no memory left".to_owned(),
            |memory| {
                format!(
                    "{} free of {}",
                    format_bytes(memory.free_bytes),
                    format_bytes(memory.total_bytes)
                )
            },
        );
        refuse
            .place(self.backing.to_string())
            .expected(format!("{} more", format_bytes(bytes)))
            .found(free)
            .hint("something else uses the GPU: solve again with what is really free")
    }
}

#[cfg(feature = "cuda")]
fn ask(real: &candle_core::Device) -> Option<DriverMemory> {
    let candle_core::Device::Cuda(gpu) = real else { return None };
    let (free, total) = gpu.cuda_stream().context().mem_get_info().ok()?;
    Some(DriverMemory {
        free_bytes: u64::try_from(free).ok()?,
        total_bytes: u64::try_from(total).ok()?,
    })
}

#[cfg(not(feature = "cuda"))]
fn ask(_real: &candle_core::Device) -> Option<DriverMemory> {
    None
}
