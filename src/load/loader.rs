//! Loads every tensor of a manifest onto its device, or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::devices::{Backing, Device};
use super::manifest::{Item, Manifest, Slot};
use super::placed::Placed;
use super::weights::{self, Halt, Task, Trouble, Watch, Weight, second_copy};
use crate::error::Error;
use crate::files::PositionedFile;
use crate::memory::Load;
use crate::model::ComponentId;
use crate::placement::Record;
use crate::runtime::KvType;
use crate::units::format_bytes;

/// How to load.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions<'a> {
    /// Threads that read and convert, shared by all devices; at least one.
    pub threads: usize,
    /// Lets candle repack matrices on the CPU: batches become several times as fast, and every matrix of
    /// q4_k, q6_k and q8_0 takes more than twice its bytes. No placement counts that; budgets and ledgers do.
    /// It multiplies on threads of candle's own, not on those of the device. Nothing changes elsewhere than on
    /// x86-64.
    pub cpu_repack: bool,
    /// Ends the load soon after it becomes true.
    pub stop: Option<&'a AtomicBool>,
}

/// What a placement says about running the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// Tokens per sequence that caches are made for.
    pub context: usize,
    /// Sequences at once.
    pub batch: usize,
    /// The type of keys and values.
    pub kv_type: KvType,
}

impl Running {
    /// As the placement says.
    ///
    /// # Errors
    /// More than this machine can count.
    pub fn of(record: &Record) -> Result<Self, Error> {
        let Load { context, batch, kv_type, .. } = record.scenario.load;
        let whole = |what: &str, number: u64| {
            usize::try_from(number)
                .map_err(|_| Error::new("use the placement").place(what).found(number.to_string()))
        };
        Ok(Self { context: whole("context", context)?, batch: whole("batch", batch)?, kv_type })
    }
}

/// Tensors of components, by what they are there.
type Weights = BTreeMap<(ComponentId, Slot), Weight>;

/// One of them, or why it is not there.
type Loaded = Result<((ComponentId, Slot), Weight), Trouble>;

/// Loads the model: all of it, every tensor on its device in its type, written down in the device's ledger
/// before memory is taken.
///
/// Before the first byte is read, everything is checked that can be known: that the manifest agrees with
/// itself, that the devices may hold what comes, that the files are there and as long as they were. Devices
/// are loaded side by side. Of what is read, floats that are no number and blocks whose scales are not finite
/// are refused.
///
/// # Errors
/// The first failure in the order of devices and items, of those that came about before everything stopped.
/// Whatever was loaded is dropped then. The ledgers still have it: the devices are of no more use.
pub fn load(
    manifest: &Manifest,
    devices: Arc<[Device]>,
    running: Running,
    options: &LoadOptions<'_>,
    watch: &dyn Watch,
) -> Result<Placed, Error> {
    check(manifest, &devices, options.cpu_repack)?;
    let files = open(manifest)?;
    let readers = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads.max(1))
        .thread_name(|index| format!("load-{index}"))
        .build()
        .map_err(|error| Error::new("start threads that load").found(error.to_string()))?;
    let loading = Loading {
        manifest,
        devices: &devices,
        files: &files,
        readers: &readers,
        repack: options.cpu_repack,
        halt: &Halt::new(options.stop),
        watch,
    };
    let loaded: Vec<Vec<Loaded>> = thread::scope(|scope| {
        let loading = &loading;
        let drive = |device| scope.spawn(move || loading.drive(device));
        let drivers: Vec<_> = devices.iter().map(drive).collect();
        let join = |driver: thread::ScopedJoinHandle<'_, _>| {
            driver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        drivers.into_iter().map(join).collect()
    });
    let weights = all(loaded.into_iter().flatten())?;
    let homes = manifest.items.iter().map(|item| (item.component, item.device)).collect();
    let Running { context, batch, kv_type } = running;
    let architecture = manifest.architecture.clone();
    Ok(Placed { devices, architecture, context, batch, kv_type, homes, weights })
}

/// What the drivers of all devices share.
struct Loading<'a> {
    manifest: &'a Manifest,
    devices: &'a [Device],
    files: &'a [PositionedFile],
    readers: &'a rayon::ThreadPool,
    repack: bool,
    halt: &'a Halt<'a>,
    watch: &'a dyn Watch,
}

impl Loading<'_> {
    /// Loads what goes to one device.
    ///
    /// Into CPU memory many items at once: each is read in pieces by all readers anyway, and nobody then waits
    /// for the last piece of an item. To a GPU one after the other, because each is whole in host memory first.
    fn drive(&self, device: &Device) -> Vec<Loaded> {
        let own = |item: &&Item| {
            let home = self.devices.get(item.device);
            home.is_some_and(|home| std::ptr::eq(home, device))
        };
        let own: Vec<&Item> = self.manifest.items.iter().filter(own).collect();
        let one = |item: &&Item| {
            let weight = self.halt.check().and_then(|()| weights::load(&self.task(item, device)));
            let weight = weight.inspect_err(|_| self.halt.fail())?;
            Ok(((item.component, item.slot), weight))
        };
        match device.backing {
            Backing::Cpu => self.readers.install(|| own.par_iter().map(one).collect()),
            Backing::Cuda(_) => own.iter().map(one).collect(),
        }
    }

    fn task<'b>(&'b self, item: &'b Item, device: &'b Device) -> Task<'b> {
        let Self { files, readers, repack, halt, watch, .. } = *self;
        let computed = &self.manifest.architecture.rope.divisors;
        Task { item, computed, files, device, readers, repack, halt, watch }
    }
}

/// Everything that was loaded, or the first failure that is not the consequence of another.
fn all(loaded: impl Iterator<Item = Loaded>) -> Result<Weights, Error> {
    let mut weights = Weights::new();
    let mut complete = true;
    for one in loaded {
        match one {
            Ok((key, weight)) => drop(weights.insert(key, weight)),
            Err(Trouble::Failed(error)) => return Err(error),
            Err(Trouble::Abandoned) => complete = false,
        }
    }
    complete.then_some(weights).ok_or_else(|| Error::new("load the model").found("it was left off"))
}

/// Whether the manifest agrees with itself and with what the devices may hold.
fn check(manifest: &Manifest, devices: &[Device], repack: bool) -> Result<(), Error> {
    let lengths: Vec<u64> = manifest.files.iter().map(|(_, bytes)| *bytes).collect();
    let mut homes = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for item in &manifest.items {
        let refuse = || Error::new("load").object(item.component.to_string());
        if item.device >= devices.len() {
            let found = format!("number {} of {}", item.device, devices.len());
            return Err(refuse().expected("a device of the placement").found(found));
        }
        if *homes.entry(item.component).or_insert(item.device) != item.device {
            return Err(refuse().expected("one device").found("two"));
        }
        if !seen.insert((item.component, item.slot)) {
            return Err(refuse().place(format!("{:?}", item.slot)).found("it is there twice"));
        }
        weights::check_item(item, &lengths, &manifest.architecture.rope.divisors)?;
    }
    let room = |(index, device)| check_room(manifest, index, device, repack);
    devices.iter().enumerate().try_for_each(room)
}

/// Whether the device may hold its weights, second copies with them, beside what is already there.
fn check_room(
    manifest: &Manifest,
    index: usize,
    device: &Device,
    repack: bool,
) -> Result<(), Error> {
    let balance = device.ledger.balance();
    let there = balance.weights_bytes().saturating_add(balance.kv_cache_bytes());
    let free = device.ledger.budget_bytes().saturating_sub(there);
    let own = || manifest.items.iter().filter(|item| item.device == index);
    let repack = repack && device.backing == Backing::Cpu;
    let bytes = |item: &Item| item.bytes.saturating_add(if repack { second_copy(item) } else { 0 });
    let wanted = own().fold(0_u64, |sum, item| sum.saturating_add(bytes(item)));
    if wanted <= free {
        return Ok(());
    }
    let mut sum = 0_u64;
    let fits_not = own().find(|item| {
        sum = sum.saturating_add(bytes(item));
        sum > free
    });
    let component = fits_not.map_or_else(String::new, |item| item.component.to_string());
    Err(Error::new("load the weights onto the device")
        .object(&device.id)
        .place(component)
        .expected(format!("room for {}", format_bytes(wanted)))
        .found(format!("{} free, {} missing", format_bytes(free), format_bytes(wanted - free)))
        .hint("solve again with what the device really has, or give it more with --budget"))
}

/// Opens every file and compares its length with that of when its header was read.
fn open(manifest: &Manifest) -> Result<Vec<PositionedFile>, Error> {
    let open = |(path, bytes): &(std::path::PathBuf, u64)| {
        let file = PositionedFile::open(path, "load from")?;
        if file.bytes() == *bytes {
            return Ok(file);
        }
        Err(Error::new("load from")
            .object(path.display().to_string())
            .expected(format!("{bytes} bytes, as when its header was read"))
            .found(format!("{} bytes", file.bytes()))
            .hint("wait until the file is complete, then try again"))
    };
    manifest.files.iter().map(open).collect()
}
