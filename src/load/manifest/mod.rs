//! What must be loaded: for every component its tensors, where their bytes are, and on which device they
//! go in which type. Made from a placement and the headers of a checkpoint; nothing is read but headers.

mod architecture;
mod slot;

use std::path::PathBuf;

use crate::dtype::GgmlType;
use crate::model::ComponentId;

pub use architecture::{Architecture, Rope};
pub use slot::Slot;

/// Everything a placement wants from a checkpoint.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The files of the checkpoint with their lengths in bytes; pieces say which.
    pub files: Vec<(PathBuf, u64)>,
    /// The tensors, in component order.
    pub items: Vec<Item>,
    /// What the decoder must know beside them.
    pub architecture: Architecture,
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
    /// Where its rows are, in order.
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
    /// The type they are stored in.
    pub stored: GgmlType,
    /// How many rows.
    pub rows: usize,
}
