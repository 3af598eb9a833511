//! What a checkpoint really holds, by component.

use std::sync::Arc;

use super::Tensor;
use crate::checkpoint::Format;

/// The tensors of a checkpoint's headers, grouped into the components of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The format of its files.
    pub format: Format,
    /// Every tensor of the model that runs, merged ones as the parts of their experts, in component
    /// order.
    pub tensors: Arc<[Tensor]>,
    /// Type and bytes of each of them, in the same order.
    pub stored: Vec<(&'static str, u64)>,
    /// What else the files hold.
    pub left_out: Vec<LeftOut>,
    /// What a GGUF file says of how it was made: `general.file_type`, and whether metadata of an
    /// importance matrix are there.
    pub file_type: Option<u32>,
    /// See [`file_type`](Self::file_type).
    pub has_imatrix: bool,
    /// SHA-256 over names, shapes, types and bytes, in hex.
    pub fingerprint: String,
}

/// A tensor of the files that no component has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name in the file.
    pub name: String,
    /// Its bytes in the file.
    pub bytes: u64,
    /// Why it is not loaded.
    pub why: &'static str,
}
