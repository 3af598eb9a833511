//! From the names of a placement to real memory and threads.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{Backing, Binding, Budget, Device, Ledger, Planned};
use crate::error::Error;
use crate::hardware::DeviceKind;
use crate::nearest::did_you_mean;
use crate::units::format_bytes;

/// More threads for one device are refused.
const THREADS_MAX: usize = 1024;

/// The name of the host memory where components wait while others pass; another where a device of the placement
/// has that one.
pub fn host_id<'a>(mut taken: impl Iterator<Item = &'a str>) -> &'static str {
    if taken.any(|id| id == "host") { "host-parked" } else { "host" }
}

/// What users say about the devices of a placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// What devices really are; the others are found out.
    pub bindings: Vec<Binding>,
    /// The most that may be put on devices; the others' is planned.
    pub budgets: Vec<Budget>,
    /// Threads of every device that is CPU memory, at least 1.
    pub threads: usize,
}

/// The devices of a placement made real.
#[derive(Clone, Debug)]
pub struct Bound {
    /// In the placement's order, those that hold nothing too.
    pub devices: Arc<[Device]>,
    /// What the user should know, as sentences: GPUs that are CPU memory here.
    pub notices: Vec<String>,
}

/// Makes every device of the placement real.
///
/// Without a binding a CPU is itself, and `gpuN` is CUDA device N (a GPU of another name the one of its place
/// among the placement's GPUs) where this build and this machine have it; otherwise it is CPU memory with the
/// same budget. Names bound to one GPU share its memory and its one thread, and each has its own budget.
///
/// # Errors
/// Bindings and budgets for devices that are not there or twice for one, a CUDA device that is asked for and
/// not to be had, no threads or more than 1024.
pub fn bind(planned: &[Planned], wishes: &Wishes) -> Result<Bound, Error> {
    if !(1..=THREADS_MAX).contains(&wishes.threads) {
        return Err(Error::new("start threads")
            .expected(format!("1 to {THREADS_MAX} for each device"))
            .found(wishes.threads.to_string()));
    }
    let names: Vec<&str> = planned.iter().map(|device| device.id.as_str()).collect();
    let bound = wishes.bindings.iter().map(|binding| binding.device.as_str());
    check_names("bind the device", bound, &names)?;
    let budgeted = wishes.budgets.iter().map(|budget| budget.device.as_str());
    check_names("budget the device", budgeted, &names)?;
    let mut workshop = Workshop { threads: wishes.threads, gpus: BTreeMap::new() };
    let mut devices = Vec::with_capacity(planned.len());
    let mut notices = Vec::new();
    for (index, device) in planned.iter().enumerate() {
        let budget = wishes.budgets.iter().find(|budget| budget.device == device.id);
        let budget_bytes = budget.map_or_else(|| device.budget_bytes(), |budget| budget.bytes);
        let binding = wishes.bindings.iter().find(|binding| binding.device == device.id);
        let real = match (binding.map(|binding| binding.backing), device.kind) {
            (Some(backing), _) => workshop.asked_for(device, backing)?,
            (None, DeviceKind::Cpu) => workshop.cpu(device)?,
            (None, DeviceKind::Gpu) => {
                let ordinal = ordinal(&device.id).unwrap_or(index);
                match workshop.gpu(ordinal) {
                    Ok(real) => real,
                    Err(why) => {
                        notices.push(stand_in(device, ordinal, budget_bytes, &why));
                        workshop.cpu(device)?
                    }
                }
            }
        };
        let ledger = Arc::new(Ledger::new(&device.id, budget_bytes));
        let Real { backing, device: real, workers } = real;
        devices.push(Device { id: device.id.clone(), index, backing, ledger, real, workers });
    }
    Ok(Bound { devices: devices.into(), notices })
}

impl Device {
    /// Host memory where components are parked while they move, on threads of its own.
    ///
    /// # Errors
    /// Threads that the system refuses.
    pub(in crate::load) fn host(
        beside: &[Self],
        budget_bytes: u64,
        threads: usize,
    ) -> Result<Self, Error> {
        let id = host_id(beside.iter().map(|device| device.id.as_str()));
        let workers = pool(id, threads.clamp(1, THREADS_MAX))
            .map_err(|why| Error::new("start threads for").object(id).found(why))?;
        Ok(Self {
            id: id.to_owned(),
            index: beside.len(),
            backing: Backing::Cpu,
            ledger: Arc::new(Ledger::new(id, budget_bytes)),
            real: candle_core::Device::Cpu,
            workers,
        })
    }
}

/// Every name is a device's, and said once.
fn check_names<'a>(
    operation: &str,
    said: impl Iterator<Item = &'a str>,
    known: &[&str],
) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for name in said {
        let refuse = || Error::new(operation).object(name);
        if !known.contains(&name) {
            let error = refuse()
                .expected(format!("a device of the placement: {}", known.join(", ")))
                .found("another name");
            return Err(match did_you_mean(name, known.iter().copied()) {
                Some(hint) => error.hint(hint),
                None => error,
            });
        }
        if !seen.insert(name) {
            return Err(refuse().expected("each device once").found("it twice"));
        }
    }
    Ok(())
}

/// N of `gpuN`.
fn ordinal(id: &str) -> Option<usize> {
    let digits = id.strip_prefix("gpu")?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn stand_in(device: &Planned, ordinal: usize, budget_bytes: u64, why: &str) -> String {
    format!(
        "{} is CPU memory here, of which it may use {}: no cuda:{ordinal}, {why}",
        device.id,
        format_bytes(budget_bytes)
    )
}

/// What stands behind a name.
#[derive(Clone)]
struct Real {
    backing: Backing,
    device: candle_core::Device,
    workers: Arc<ThreadPool>,
}

/// Makes devices, each GPU once.
struct Workshop {
    threads: usize,
    gpus: BTreeMap<usize, Result<Real, String>>,
}

impl Workshop {
    fn cpu(&self, device: &Planned) -> Result<Real, Error> {
        let workers = pool(&device.id, self.threads)
            .map_err(|why| Error::new("start threads for").object(&device.id).found(why))?;
        Ok(Real { backing: Backing::Cpu, device: candle_core::Device::Cpu, workers })
    }

    /// A GPU, or why there is none.
    fn gpu(&mut self, ordinal: usize) -> Result<Real, String> {
        self.gpus.entry(ordinal).or_insert_with(|| open_gpu(ordinal)).clone()
    }

    fn asked_for(&mut self, device: &Planned, backing: Backing) -> Result<Real, Error> {
        let Backing::Cuda(ordinal) = backing else { return self.cpu(device) };
        self.gpu(ordinal).map_err(|why| {
            let error = Error::new("bind the device")
                .object(format!("{}={backing}", device.id))
                .expected("a CUDA device that can be used")
                .found(why);
            if candle_core::utils::cuda_is_available() {
                return error;
            }
            error.hint(format!(
                "`{}=cpu` has it in CPU memory; GPUs need --features cuda",
                device.id
            ))
        })
    }
}

/// Opens a GPU on the thread that will drive it: whatever is asked of it comes from there, in that order.
fn open_gpu(ordinal: usize) -> Result<Real, String> {
    if !candle_core::utils::cuda_is_available() {
        return Err("this build has no CUDA".to_owned());
    }
    let backing = Backing::Cuda(ordinal);
    let workers = pool(&backing.to_string(), 1)?;
    let opened = workers.install(|| candle_core::Device::new_cuda(ordinal));
    let device = opened.map_err(|error| error.to_string())?;
    Ok(Real { backing, device, workers })
}

fn pool(name: &str, threads: usize) -> Result<Arc<ThreadPool>, String> {
    let name = name.to_owned();
    let named = move |number| format!("{name} {number}");
    let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(named).build();
    pool.map(Arc::new).map_err(|error| error.to_string())
}
