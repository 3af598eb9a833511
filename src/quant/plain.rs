//! Checkpoints that hold every tensor in one float type.

use super::StoredTensor;
use crate::model::{Tensor, TensorRole};

/// The tensor at `width` bytes per element; tensors that only GGUF files have take nothing.
pub(super) fn store(tensor: &Tensor, type_name: &'static str, width: u64) -> StoredTensor {
    if tensor.role == TensorRole::RopeFrequencies {
        return StoredTensor { type_name: "absent", bytes: 0, staged_bytes: 0 };
    }
    StoredTensor { type_name, bytes: width * tensor.elements(), staged_bytes: 0 }
}
