//! PENDING, to be deleted: the shapes of what other rooms bring, so that the commands compile without them.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::devices::{Backing, Device};
use super::generate::{RoutingCounts, Runs, Transfers};
use super::manifest::Manifest;
use super::placed::Placed;
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::model::{ComponentId, Model};
use crate::placement::Record;
use crate::runtime::KvType;
use crate::verify::DeviceUse;

fn absent<T>(what: &str) -> Result<T, Error> {
    Err(Error::new(what).found("PENDING: that part is not in this branch"))
}

/// See devices/wishes.rs.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The name.
    pub device: String,
    /// What it is.
    pub backing: Backing,
}

/// See devices/wishes.rs.
#[derive(Clone, Debug)]
pub struct Budget {
    /// The name.
    pub device: String,
    /// Bytes.
    pub bytes: u64,
}

impl FromStr for Binding {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        absent(&format!("read the binding `{text}`"))
    }
}

impl FromStr for Budget {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        absent(&format!("read the budget `{text}`"))
    }
}

/// See devices/bind.rs.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// What devices are.
    pub bindings: Vec<Binding>,
    /// What they may hold.
    pub budgets: Vec<Budget>,
    /// Threads of each.
    pub threads: usize,
}

/// See devices/bind.rs.
#[derive(Clone, Debug)]
pub struct Bound {
    /// All of them.
    pub devices: Arc<[Device]>,
    /// Sentences.
    pub notices: Vec<String>,
}

/// See devices/planned.rs.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The name.
    pub id: String,
    /// By purpose.
    pub on_it: DeviceUse,
}

impl Planned {
    /// See devices/planned.rs.
    pub fn of(_record: &Record) -> Result<Vec<Self>, Error> {
        Ok(Vec::new())
    }
}

/// See devices/bind.rs.
pub fn bind(_planned: &[Planned], _wishes: &Wishes) -> Result<Bound, Error> {
    absent("bind devices")
}

/// See notices.rs.
pub fn notices(_manifest: &Manifest, _devices: &[Device]) -> Vec<String> {
    Vec::new()
}

impl Manifest {
    /// See manifest/mod.rs.
    pub fn new(_record: &Record, _checkpoint: &Checkpoint, _files: &Model) -> Result<Self, Error> {
        absent("list what is to be loaded")
    }
}

/// See weights/progress.rs.
pub trait Watch: Sync {
    /// So many more bytes.
    fn loaded(&self, device: usize, bytes: u64);
}

/// See loader.rs.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions<'a> {
    /// Readers.
    pub threads: usize,
    /// Second copies.
    pub cpu_repack: bool,
    /// Ends it.
    pub stop: Option<&'a AtomicBool>,
}

/// See loader.rs.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// Tokens.
    pub context: usize,
    /// Sequences.
    pub batch: usize,
    /// Type.
    pub kv_type: KvType,
}

/// See loader.rs.
pub fn load(
    _manifest: &Manifest,
    _devices: Arc<[Device]>,
    _running: Running,
    _options: &LoadOptions<'_>,
    _watch: &dyn Watch,
) -> Result<Placed, Error> {
    absent("load")
}

/// See tally.rs.
#[derive(Clone, Debug)]
pub struct Tally {
    /// In order.
    pub devices: Vec<DeviceTally>,
}

/// See tally.rs.
#[derive(Clone, Debug)]
pub struct DeviceTally {
    /// Its components.
    pub components: BTreeMap<ComponentId, Bytes>,
    /// Repacked.
    pub second_copy_bytes: u64,
    /// Staged.
    pub peak_staged_bytes: u64,
}

/// See tally.rs.
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// By the manifest.
    pub planned: u64,
    /// In memory.
    pub measured: u64,
}

impl Tally {
    /// See tally.rs.
    pub fn of(_manifest: &Manifest, _placed: &Placed) -> Self {
        Self { devices: Vec::new() }
    }
}

/// See decoder/.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One device after the other.
    Sequential,
    /// At the same time.
    Concurrent,
}

/// See decoder/.
#[derive(Debug)]
pub struct Decoder {
    placed: Placed,
}

impl Decoder {
    /// See decoder/.
    pub fn new(placed: Placed, _mode: Mode) -> Result<Self, Error> {
        Ok(Self { placed })
    }

    /// See decoder/.
    pub fn routing(&self) -> Option<&RoutingCounts> {
        None
    }
}

impl Runs for Decoder {
    fn forward(&mut self, _sequence: usize, _tokens: &[u32]) -> Result<Vec<f32>, Error> {
        absent("run the model")
    }

    fn reset(&mut self, _sequence: usize) {}

    fn context(&self) -> usize {
        self.placed.context
    }

    fn vocabulary(&self) -> usize {
        self.placed.architecture.vocabulary
    }

    fn transfers(&self) -> Transfers {
        Transfers::default()
    }
}
