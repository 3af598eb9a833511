//! What is really in a checkpoint: every tensor's name, type, shape and place, read from the headers.
//!
//! Weights are never read, so a checkpoint of hundreds of gigabytes is listed in milliseconds, and sparse
//! files will do. Facts only: this room knows no model, no quantization and no device.
//!
//! Headers are hostile input. Lengths and counts are held against the file before anything is allocated,
//! every refusal says file, place, what was expected and what was found, and the memory taken is bounded
//! by the limits below whatever a header says.

mod assemble;
mod gguf;
mod index;
mod locate;
mod metadata;
mod names;
mod safetensors;

use std::path::{Path, PathBuf};

pub use gguf::read_gguf;
pub use index::{Index, read_index};
pub use metadata::{MetaValue, Metadata};
pub use safetensors::read_safetensors;

use crate::dtype::Dtype;
use crate::error::Error;
use crate::files;

const OPERATION: &str = "read the checkpoint";

/// A checkpoint may not list more tensors: ten times what the largest published ones have.
pub const TENSORS_MAX: usize = 1 << 20;

/// What the headers of a checkpoint say.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The format of its files.
    pub format: Format,
    /// Its files, shards in their order.
    pub files: Vec<HeaderFile>,
    /// Its tensors, by file and then by offset.
    pub tensors: Vec<FoundTensor>,
    /// What the first file says of the model.
    pub metadata: Metadata,
    /// The path and text of the config.json beside the weights.
    pub config_text: Option<(String, String)>,
    /// Oddities that change no bytes, as sentences.
    pub notices: Vec<String>,
}

/// A format of checkpoint files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON header, then the tensors without gaps.
    Safetensors,
    /// A binary header with the model's metadata, then the tensors, aligned.
    Gguf,
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderFile {
    /// Where it was found.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Everything before the tensor data, padding included.
    pub header_bytes: u64,
}

/// One tensor as its header describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTensor {
    /// The name in the file.
    pub name: String,
    /// How its elements are stored.
    pub dtype: Dtype,
    /// Dimensions, outermost first in either format: a linear layer is `[out, in]`.
    pub shape: Vec<u64>,
    /// Its size in the file, without padding.
    pub bytes: u64,
    /// The file that holds it, as an index into [`Checkpoint::files`].
    pub file: u32,
    /// Where its data begin, in bytes from the start of the file.
    pub offset: u64,
}

/// What one file's header says; its tensors are by offset and of file 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Everything before the tensor data, padding included.
    pub header_bytes: u64,
    /// Its tensors.
    pub tensors: Vec<FoundTensor>,
    /// What it says of the model.
    pub metadata: Metadata,
}

impl Checkpoint {
    /// Reads the headers of the checkpoint at `path`: a .safetensors file, a .safetensors.index.json, any
    /// shard of several, a .gguf file, any part of a split one, or a folder that holds one of these.
    ///
    /// # Errors
    /// A path that is none of these, a folder that holds several, and any header that contradicts itself,
    /// its file, its index or the other shards.
    pub fn open(path: &Path) -> Result<Self, Error> {
        assemble::checkpoint(&locate::locate(path)?)
    }

    /// Whether `path` is meant as a checkpoint: by its name, or a folder by what it holds.
    pub fn is_checkpoint_path(path: &Path) -> bool {
        if files::is_folder(path) {
            return files::names_in(path, OPERATION)
                .is_ok_and(|names| names.iter().any(|name| locate::is_checkpoint_name(name)));
        }
        path.file_name().and_then(|name| name.to_str()).is_some_and(locate::is_checkpoint_name)
    }

    /// The sum of all tensors' bytes.
    pub fn tensor_bytes(&self) -> u64 {
        // Each tensor lies within its file, and no other there: a sum beyond 64 bits takes lengths of
        // files that no system has.
        self.tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.bytes))
    }

    /// The tensors by name, for looking many up.
    pub fn by_name(&self) -> Vec<&FoundTensor> {
        let mut tensors: Vec<&FoundTensor> = self.tensors.iter().collect();
        tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        tensors
    }
}
