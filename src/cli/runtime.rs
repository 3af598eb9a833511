//! From a placement file and weights to a model that runs, as `load`, `generate` and `profile` share it.

use std::panic;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use apportion::checkpoint::Checkpoint;
use apportion::error::{Error, printable};
use apportion::files::{is_folder, read_text};
use apportion::load::decoder::{Decoder, Mode};
use apportion::load::devices::{Device, DriverMemory, Planned, Wishes, bind};
use apportion::load::generate::{RoutingCounts, Tokenizer, panics_are_errors};
use apportion::load::manifest::Manifest;
use apportion::load::{DeviceTally, LoadOptions, Running, Tally, load};
use apportion::model::Model;
use apportion::placement::Record;
use apportion::report::{self, DriverBytes, LoadedDevice, Loading};

use super::args::{ModeArg, RuntimeArgs};
use super::bars::Bars;
use super::memlog::MemoryLog;
use super::moved::{self, OnTheWay};
use super::say;

/// A model on its devices.
pub struct Ready {
    pub record: Record,
    pub last_tokens: Vec<u32>,
    pub decoder: Decoder,
    pub loading: Loading,
    pub log: MemoryLog,
    /// The plan that the model is on the way of, as it was loaded.
    pub on_the_way: Option<OnTheWay>,
    /// Of each device in CPU memory.
    pub threads: usize,
}

impl Ready {
    /// The placement that the model is in; `None` on the way to another.
    pub fn placement(&self) -> Option<&Record> {
        match &self.on_the_way {
            None => Some(&self.record),
            Some(way) if way.done == 0 => Some(&way.plan.from),
            Some(way) if way.done == way.plan.steps.len() => Some(&way.plan.to),
            Some(_) => None,
        }
    }

    /// Counts of the experts the model will choose, none yet.
    pub fn routing_counts(&self) -> RoutingCounts {
        let architecture = &self.decoder.placed().architecture;
        let layers = whole(architecture.layers.into());
        RoutingCounts::new(layers, architecture.experts, architecture.experts_per_token)
    }
}

/// What is known before a weight is read.
pub struct Prepared {
    record: Record,
    pub model: Model,
    pub manifest: Manifest,
    planned: Vec<Planned>,
    devices: Arc<[Device]>,
    threads: usize,
    on_the_way: Option<OnTheWay>,
    log: MemoryLog,
}

impl Prepared {
    /// Tokens a sequence may have.
    pub fn context(&self) -> usize {
        whole(self.record.scenario.load.context)
    }
}

/// Reads the placement, verifies it, and holds it against the headers of the weights and the devices at
/// hand: what can be refused is refused here. `migrates` says that a journal is about to be written.
pub fn prepare(args: &RuntimeArgs, migrates: bool) -> Result<Prepared, Error> {
    let bindings = args.device.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let budgets = args.budget.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let threads = args.threads.map_or_else(cores, whole);
    let source = args.placement.display().to_string();
    let text = read_text(&args.placement, "read the placement")?;
    let checkpoint = Checkpoint::open(&args.weights)?;
    let model = Model::from_checkpoint(&checkpoint, &args.weights.display().to_string())?;
    let record = Record::from_yaml(&text, &source, Some(&model))?;
    for notice in &model.notices {
        say(&format!("note: {}", printable(notice)));
    }
    let mut planned = Planned::of(&record).map_err(|error| error.object(source))?;
    let mut manifest = Manifest::new(&record, &checkpoint, &model)?;
    let on_the_way = moved::on_the_way(args, migrates, &record, &model)?;
    if let Some(on_the_way) = &on_the_way {
        planned = on_the_way.apply(&mut manifest)?;
    }
    let mut log = MemoryLog::begin(args.memory_log.as_deref())?;
    log.note("bind before", &[])?;
    let bound = bind(&planned, &Wishes { bindings, budgets, threads })?;
    log.note("bind after", &bound.devices)?;
    for notice in bound.notices.iter().chain(&manifest.notices) {
        say(&format!("note: {}", printable(notice)));
    }
    let devices = bound.devices;
    Ok(Prepared { record, model, manifest, planned, devices, threads, on_the_way, log })
}

/// Loads the weights and makes the decoder; `None` when `stop` ended it.
pub fn start(
    prepared: Prepared,
    args: &RuntimeArgs,
    stop: &AtomicBool,
) -> Result<Option<Ready>, Error> {
    let started = Instant::now();
    let loaded = place(prepared, args, stop, started);
    // What an interrupted load says went wrong is that it was interrupted.
    if loaded.is_err() && stop.load(Ordering::Relaxed) { Ok(None) } else { loaded.map(Some) }
}

fn place(
    prepared: Prepared,
    args: &RuntimeArgs,
    stop: &AtomicBool,
    started: Instant,
) -> Result<Ready, Error> {
    let Prepared { record, manifest, planned, devices, threads, on_the_way, mut log, .. } =
        prepared;
    let running = Running::of(&record)?;
    let options = LoadOptions { threads, cpu_repack: args.cpu_repack, stop: Some(stop) };
    let bars = Bars::new(
        devices.iter().map(|device| (device.id.clone(), read_bytes(&manifest, device.index))),
    );
    let before: Vec<Option<DriverMemory>> = devices.iter().map(Device::driver_memory).collect();
    log.note("load before", &devices)?;
    let placed = load(&manifest, Arc::clone(&devices), running, &options, &bars)?;
    drop(bars);
    let elapsed = started.elapsed();
    let tally = Tally::of(&manifest, &placed);
    let mode = match args.mode {
        ModeArg::Sequential => Mode::Sequential,
        ModeArg::Concurrent => Mode::Concurrent,
    };
    let last_tokens = placed.architecture.last_tokens.clone();
    let decoder = Decoder::new(placed, mode)?;
    log.note("load after", &devices)?;
    let mut loading = loading(&devices, &planned, &tally, elapsed);
    for ((row, device), before) in loading.devices.iter_mut().zip(devices.iter()).zip(before) {
        row.driver = before.zip(device.driver_memory()).map(|(before, after)| DriverBytes {
            free_before_bytes: before.free_bytes,
            free_after_bytes: after.free_bytes,
            total_bytes: after.total_bytes,
        });
    }
    Ok(Ready { record, last_tokens, decoder, loading, log, on_the_way, threads })
}

/// Bytes of the files that go to a device.
fn read_bytes(manifest: &Manifest, device: usize) -> u64 {
    let there = manifest.items.iter().filter(|item| item.device == device);
    let pieces = there.flat_map(|item| &item.pieces);
    pieces.fold(0, |sum, piece| sum.saturating_add(piece.bytes))
}

/// Planned by the placement, against what is in memory and in the ledgers.
fn loading(devices: &[Device], planned: &[Planned], tally: &Tally, elapsed: Duration) -> Loading {
    let rows = devices.iter().zip(planned).zip(&tally.devices);
    let devices = rows.map(|((device, planned), tally)| loaded(device, planned, tally));
    Loading { devices: devices.collect(), elapsed }
}

fn loaded(device: &Device, planned: &Planned, tally: &DeviceTally) -> LoadedDevice {
    let bytes = |planned_bytes, measured_bytes| report::Planned { planned_bytes, measured_bytes };
    let components = tally.components.iter();
    let components = components.map(|(id, b)| (id.to_string(), bytes(b.planned, b.measured)));
    let components: Vec<_> = components.collect();
    let weights = components.iter().fold(0_u64, |sum, (_, b)| sum.saturating_add(b.measured_bytes));
    let balance = device.ledger.balance();
    LoadedDevice {
        id: device.id.clone(),
        backing: device.backing.to_string(),
        budget_bytes: device.ledger.budget_bytes(),
        weights: bytes(planned.on_it.weights_bytes, weights),
        kv_cache: bytes(planned.on_it.kv_cache_bytes, balance.kv_cache_bytes()),
        staging: bytes(planned.on_it.staging_bytes, tally.peak_staged_bytes),
        second_copy_bytes: tally.second_copy_bytes,
        driver: None,
        components,
    }
}

/// The tokenizer that was named, else the one beside the weights if there is one.
pub fn tokenizer(named: Option<&Path>, weights: &Path) -> Result<Option<Tokenizer>, Error> {
    quiet_where_panics_are_errors();
    if let Some(path) = named {
        return Tokenizer::read(path).map(Some);
    }
    let path = beside(weights);
    if apportion::files::is_missing(&path) { Ok(None) } else { Tokenizer::read(&path).map(Some) }
}

/// As [`tokenizer`], where text cannot be read without one.
pub fn tokenizer_for_text(named: Option<&Path>, weights: &Path) -> Result<Tokenizer, Error> {
    tokenizer(named, weights)?.ok_or_else(|| {
        Error::new("cut the text into tokens")
            .object(beside(weights).display().to_string())
            .expected("a tokenizer beside the weights")
            .found("none")
            .hint("name one with --tokenizer, or give token numbers with --prompt-ids")
    })
}

/// A panic that becomes an error is told once, as that error.
fn quiet_where_panics_are_errors() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !panics_are_errors() {
            usual(info);
        }
    }));
}

fn beside(weights: &Path) -> PathBuf {
    const NAME: &str = "tokenizer.json";
    if is_folder(weights) { weights.join(NAME) } else { weights.with_file_name(NAME) }
}

/// Threads this machine has cores for.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Numbers beyond what this machine can count are refused by whoever gets them.
pub fn whole(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
