//! What must be loaded: for every component its tensors, where their bytes are, and on which device they
//! go in which type. Made from a placement and the headers of a checkpoint; nothing is read but headers.
//!
//! ```text
//!  placement ──► wanted: every tensor of the plan, its type and shape ─┐
//!                                                                     ├─► pieces: rows of files
//!  headers ────► sources: every tensor of the files by component ─────┘
//! ```
//!
//! The plan and the files may have different layouts: experts each for themselves or stacked, gate and up
//! apart or in one matrix. They meet in [`Slot`]s.

mod architecture;
mod missing;
mod pieces;
mod same;
mod slot;
mod sources;
mod wanted;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::checkpoint::Checkpoint;
use crate::dtype::GgmlType;
use crate::error::Error;
use crate::model::{ComponentId, Model};
use crate::placement::Record;
use crate::units::format_bytes;

pub use architecture::{Architecture, Rope};
pub use slot::Slot;
pub use wanted::HELD_TYPES;

use sources::Sources;
use wanted::Wanted;

/// Completes "cannot ..." where files do not fit the plan.
const OPERATION: &str = "load the checkpoint";

/// Everything a placement wants from a checkpoint.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The files of the checkpoint with their lengths in bytes; pieces say which.
    pub files: Vec<(PathBuf, u64)>,
    /// The tensors, in component order.
    pub items: Vec<Item>,
    /// What the decoder must know beside them.
    pub architecture: Architecture,
    /// What a user should know about the files, as sentences; often nothing.
    pub notices: Vec<String>,
}

/// One tensor of one component as it is to be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The component it belongs to.
    pub component: ComponentId,
    /// What it is there.
    pub slot: Slot,
    /// The device it goes to, as an index into the placement's hardware.
    pub device: usize,
    /// The type it is held in.
    pub held: GgmlType,
    /// Rows and columns; one row for vectors.
    pub rows: usize,
    /// See [`rows`](Self::rows).
    pub columns: usize,
    /// Its bytes in that type, exactly.
    pub bytes: u64,
    /// Where its rows are, in order. Only [`Slot::RopeFactors`] may have none, when the files have no such
    /// tensor: its elements are then [`Rope::divisors`].
    pub pieces: Vec<Piece>,
}

/// Whole rows of an item, side by side in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The tensor's name in the file, for messages.
    pub tensor: String,
    /// The file, as an index into [`Manifest::files`].
    pub file: usize,
    /// Where they begin, in bytes from the start of the file.
    pub offset: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The type they are stored in: the item's own, or a float type from which it can be made.
    pub stored: GgmlType,
    /// How many rows.
    pub rows: usize,
}

impl Manifest {
    /// What the placement in `record` wants from `checkpoint`; `files` is the model read from that very
    /// checkpoint ([`Model::from_checkpoint`]).
    ///
    /// Everything that can be wrong is found here, before a weight is read: afterwards every item has all
    /// its rows, in types that become the planned one.
    ///
    /// # Errors
    /// In this order: a planned type that cannot be held; a model the decoder does not run; files of another
    /// shape than the placement was solved for, or, where it was solved for the files themselves, others than
    /// those; tensors that are missing or that the plan does not have; shapes and types that do not fit.
    pub fn new(record: &Record, checkpoint: &Checkpoint, files: &Model) -> Result<Self, Error> {
        let scenario = &record.scenario;
        let homes: BTreeMap<ComponentId, usize> = record.homes.iter().copied().collect();
        let storage = wanted::storage(scenario)?;
        let mut architecture = Architecture::of(checkpoint, files)?;
        same::check(scenario, checkpoint, files)?;
        let wanted = wanted::of(scenario, &storage)?;
        let sources = Sources::of(checkpoint, files)?;
        let wanted = with_unplanned(wanted, &homes, &sources, &architecture)?;
        missing::check(&wanted, &sources, files, &architecture)?;
        let cut = |wanted: &Wanted| {
            let device = wanted::home(&homes, wanted.component, &scenario.hardware)?;
            pieces::item(wanted, device, &sources, &architecture)
        };
        let mut items = wanted.iter().map(cut).collect::<Result<Vec<_>, Error>>()?;
        items.sort_by_key(|item| (item.component, item.slot));
        architecture.tied_head = !items.iter().any(|item| item.slot == Slot::Head);
        Ok(Self {
            files: checkpoint.files.iter().map(|file| (file.path.clone(), file.bytes)).collect(),
            items,
            architecture,
            notices: left_out(files),
        })
    }

    /// Takes every component to the device that a later map says, as an index that may be behind the placement's own
    /// devices.
    pub fn rehome(&mut self, homes: &BTreeMap<ComponentId, usize>) {
        for item in &mut self.items {
            item.device = homes.get(&item.component).copied().unwrap_or(item.device);
        }
    }

    /// The bytes of all items on a device.
    pub fn bytes_on(&self, device: usize) -> u64 {
        let there = self.items.iter().filter(|item| item.device == device);
        there.fold(0, |sum, item| sum.saturating_add(item.bytes))
    }
}

/// What a plan leaves out of its tensors although the decoder needs it: a copy of a tied embedding for the
/// head, which is a component without tensors, and scaled rotary frequencies, which only some layouts have
/// as a tensor.
fn with_unplanned(
    mut wanted: Vec<Wanted>,
    homes: &BTreeMap<ComponentId, usize>,
    sources: &Sources<'_>,
    architecture: &Architecture,
) -> Result<Vec<Wanted>, Error> {
    let has = |wanted: &[Wanted], slot: Slot| wanted.iter().any(|one| one.slot == slot);
    if homes.contains_key(&ComponentId::OutputHead) && !has(&wanted, Slot::Head) {
        let embedding = wanted.iter().find(|one| one.slot == Slot::Embedding).cloned();
        wanted.extend(embedding.map(|embedding| Wanted {
            component: ComponentId::OutputHead,
            slot: Slot::Head,
            ..embedding
        }));
    }
    if !has(&wanted, Slot::RopeFactors) {
        wanted.extend(sources.rope_factors(architecture.head_width)?);
    }
    Ok(wanted)
}

/// What the files hold and nobody loads.
fn left_out(files: &Model) -> Vec<String> {
    let left_out = files.found.as_ref().map_or(&[][..], |found| &found.left_out);
    let Some(first) = left_out.first() else { return Vec::new() };
    let bytes = left_out.iter().fold(0_u64, |sum, one| sum.saturating_add(one.bytes));
    vec![format!(
        "{} tensors of the files are not loaded ({}): `{}` first, {}",
        left_out.len(),
        format_bytes(bytes),
        crate::error::printable(&first.name),
        first.why
    )]
}
