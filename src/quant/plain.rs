//! Checkpoints that hold every tensor in one float type.

use super::StoredTensor;
use crate::model::Tensor;

/// The float types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    F32,
    F16,
    Bf16,
}

impl Plain {
    pub(super) const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::F32 => "32-bit floats",
            Self::F16 => "16-bit floats",
            Self::Bf16 => "16-bit brain floats",
        }
    }

    /// Bytes of one element.
    pub(super) fn width(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The tensor in this type, or in the 32 bit that it is published in whatever the rest is in.
    pub(super) fn store(self, tensor: &Tensor) -> StoredTensor {
        let plain = if tensor.published_f32 { Self::F32 } else { self };
        let bytes = plain.width() * tensor.elements();
        StoredTensor { type_name: plain.name(), bytes, staged_bytes: 0 }
    }
}
