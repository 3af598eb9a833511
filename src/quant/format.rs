//! The formats there are, by name: which module sizes their tensors, and in which layout.

use super::bitsandbytes::Bitsandbytes;
use super::plain::Plain;
use super::{Staging, Storage, StoredTensor, choose, ggml};
use crate::error::Error;
use crate::model::{Layout, Model, Tensor};

/// A format of weights; options included, so that its name says all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One float type for everything.
    Plain(Plain),
    /// Quantized by bitsandbytes while loading.
    Bitsandbytes(Bitsandbytes),
    /// A GGUF file made by llama.cpp's quantizer.
    Gguf(ggml::FileType),
}

/// Each kind of runtime together, widest first.
pub(super) const ALL: [Format; 11] = [
    Format::Plain(Plain::F32),
    Format::Plain(Plain::F16),
    Format::Plain(Plain::Bf16),
    Format::Bitsandbytes(Bitsandbytes::Int8),
    Format::Bitsandbytes(Bitsandbytes::Nf4),
    Format::Bitsandbytes(Bitsandbytes::Nf4Dq),
    Format::Gguf(ggml::FileType::Q8_0),
    Format::Gguf(ggml::FileType::Q6K),
    Format::Gguf(ggml::FileType::Q5KM),
    Format::Gguf(ggml::FileType::Q4KM),
    Format::Gguf(ggml::FileType::Q4_0),
];

impl Format {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        choose(text, "read the quantization", &ALL, Self::plain_name)
    }

    fn plain_name(self) -> &'static str {
        match self {
            Self::Plain(plain) => plain.name(),
            Self::Bitsandbytes(format) => format.name(),
            Self::Gguf(file_type) => file_type.name(),
        }
    }

    pub(super) fn name(self) -> String {
        self.plain_name().to_owned()
    }

    pub(super) fn description(self) -> String {
        match self {
            Self::Plain(plain) => plain.description().to_owned(),
            Self::Bitsandbytes(format) => format.description().to_owned(),
            Self::Gguf(file_type) => file_type.description().to_owned(),
        }
    }

    pub(super) fn default_staging(self) -> Staging {
        match self {
            Self::Bitsandbytes(_) => Staging::Device,
            Self::Plain(_) | Self::Gguf(_) => Staging::None,
        }
    }

    /// The formats the same runtime can hold, this one included, widest first.
    pub(super) fn alternatives(self) -> Vec<Self> {
        let kind = std::mem::discriminant(&self);
        ALL.into_iter().filter(|other| std::mem::discriminant(other) == kind).collect()
    }

    /// What each tensor of the model takes, in the layout that holds it.
    pub(super) fn store(self, model: &Model) -> Result<Storage, Error> {
        let tensors = model.layout(self.layout())?;
        let stored: Vec<StoredTensor> = match self {
            Self::Plain(plain) => tensors.iter().map(|tensor| plain.store(tensor)).collect(),
            Self::Bitsandbytes(format) => {
                tensors.iter().map(|tensor| format.store(tensor)).collect()
            }
            Self::Gguf(file_type) => ggml::store(model, &tensors, file_type),
        };
        Ok(Storage { tensors, stored })
    }

    fn layout(self) -> Layout {
        match self {
            Self::Plain(_) | Self::Bitsandbytes(_) => Layout::Published,
            Self::Gguf(_) => Layout::Gguf(ggml::TODAY),
        }
    }

    /// What one tensor takes when this format is asked for it by name, or why it cannot have it.
    pub(super) fn store_one(self, tensor: &Tensor) -> Result<StoredTensor, String> {
        match self {
            Self::Plain(plain) => Ok(plain.store(tensor)),
            Self::Bitsandbytes(format) => Ok(format.store(tensor)),
            Self::Gguf(_) => Err("a recipe chooses among types; name one of them".to_owned()),
        }
    }
}
