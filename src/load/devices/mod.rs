//! The devices of a placement made real: which memory they stand for, how much of it they may use, and the
//! threads that work there.

mod bind;
mod driver;
mod ledger;
mod planned;
mod wishes;

use std::fmt;
use std::sync::Arc;

pub use bind::{Bound, Wishes, bind, host_id};
pub use driver::DriverMemory;
pub use ledger::{Balance, Ledger, Purpose, Staged};
pub use planned::Planned;
pub use wishes::{Binding, Budget};

/// What a device of a placement really is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Host memory, computed by the CPU.
    Cpu,
    /// A GPU, by its CUDA ordinal.
    Cuda(usize),
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

/// One device of a placement.
///
/// Everything that happens on it happens on its own threads: a CPU device computes with as many as it was
/// given, and a GPU is driven by one, so that whatever is asked of it is done in that order.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name in the placement.
    pub id: String,
    /// Its place in the placement's hardware.
    pub index: usize,
    /// What it really is.
    pub backing: Backing,
    /// What is there; one book however often the device is cloned.
    pub ledger: Arc<Ledger>,
    pub(super) real: candle_core::Device,
    /// Shared by the names of one GPU.
    pub(super) workers: Arc<rayon::ThreadPool>,
}

impl Device {
    /// Does the work on the device's own threads and waits for it.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.workers.install(work)
    }

    /// The threads that work there.
    pub fn threads(&self) -> usize {
        self.workers.current_num_threads()
    }
}
