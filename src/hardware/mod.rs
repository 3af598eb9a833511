//! The machine: devices and how much of each may be used.

/// What a device is to the planner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKind {
    /// An accelerator.
    Gpu,
    /// Host memory, the tier of last resort.
    Cpu,
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
}
