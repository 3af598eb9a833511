//! The formats there are, by name: which module sizes their tensors, and in which layout.

use std::sync::Arc;

use super::bitsandbytes::Bitsandbytes;
use super::gguf::Gguf;
use super::plain::Plain;
use super::{Staging, Storage, StoredTensor};
use crate::error::Error;
use crate::model::{Layout, Model, Tensor};
use crate::nearest::did_you_mean;

const OPERATION: &str = "read the quantization";

/// A format of weights; options included, so that its name says all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One float type for everything.
    Plain(Plain),
    /// Quantized by bitsandbytes while loading.
    Bitsandbytes(Bitsandbytes),
    /// A GGUF file made by llama.cpp's quantizer.
    Gguf(Gguf),
    /// What the checkpoint's headers list.
    Stored,
}

/// Every format without options, each kind of runtime together, widest first.
pub(super) fn all() -> Vec<Format> {
    let plain = Plain::ALL.into_iter().map(Format::Plain);
    let bitsandbytes = Bitsandbytes::ALL.into_iter().map(Format::Bitsandbytes);
    plain.chain(bitsandbytes).chain(Gguf::all().map(Format::Gguf)).collect()
}

impl Format {
    /// Reads `NAME` or `NAME:OPTION,OPTION`; case does not matter, and in names `-` and `_` are the same.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let lower = text.trim().to_lowercase();
        let (base, options) = lower.split_once(':').unwrap_or((&lower, ""));
        let base = base.replace('-', "_");
        let options: Vec<&str> =
            options.split(',').map(str::trim).filter(|option| !option.is_empty()).collect();
        if let Some(gguf) = Gguf::parse(&base, &options).map_err(|e| e.place(text))? {
            return Ok(Self::Gguf(gguf));
        }
        let plain = |format: &Self| format.name().replace('-', "_") == base;
        let known =
            all().into_iter().chain([Self::Stored]).find(plain).ok_or_else(|| unknown(text))?;
        match options.first() {
            Some(option) => Err(Error::new(OPERATION)
                .object(text)
                .expected(format!("`{}` without options", known.name()))
                .found(format!("`{option}`"))),
            None => Ok(known),
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::Plain(plain) => plain.name().to_owned(),
            Self::Bitsandbytes(format) => format.name().to_owned(),
            Self::Gguf(gguf) => gguf.name(),
            Self::Stored => "stored".to_owned(),
        }
    }

    pub(super) fn description(self) -> String {
        match self {
            Self::Plain(plain) => plain.description().to_owned(),
            Self::Bitsandbytes(format) => format.description().to_owned(),
            Self::Gguf(gguf) => gguf.description(),
            Self::Stored => "as the checkpoint holds it, byte for byte".to_owned(),
        }
    }

    pub(super) fn default_staging(self) -> Staging {
        match self {
            Self::Bitsandbytes(_) => Staging::Device,
            Self::Plain(_) | Self::Gguf(_) | Self::Stored => Staging::None,
        }
    }

    /// The formats the same runtime can hold, this one included, widest first.
    pub(super) fn alternatives(self) -> Vec<Self> {
        let kind = std::mem::discriminant(&self);
        let all = all().into_iter().chain([Self::Stored]);
        all.filter(|other| std::mem::discriminant(other) == kind).collect()
    }

    /// What each tensor of the model takes, in the layout that holds it.
    pub(super) fn store(self, model: &Model) -> Result<Storage, Error> {
        let Some(layout) = self.layout() else { return stored(model) };
        let tensors = model.layout(layout)?;
        let stored: Vec<StoredTensor> = match self {
            Self::Plain(plain) => tensors.iter().map(|tensor| plain.store(tensor)).collect(),
            Self::Bitsandbytes(format) => {
                tensors.iter().map(|tensor| format.store(tensor)).collect()
            }
            Self::Gguf(gguf) => gguf.store(model, &tensors)?,
            Self::Stored => return stored(model),
        };
        Ok(Storage { tensors, stored })
    }

    /// The layout its files or runtime have; `None` for that of the checkpoint.
    fn layout(self) -> Option<Layout> {
        match self {
            Self::Plain(_) | Self::Bitsandbytes(_) => Some(Layout::Published),
            Self::Gguf(gguf) => Some(Layout::Gguf(gguf.recipe.era.number())),
            Self::Stored => None,
        }
    }

    /// What one tensor takes when this format is asked for it by name, or why it cannot have it.
    pub(super) fn store_one(self, tensor: &Tensor) -> Result<StoredTensor, String> {
        match self {
            Self::Plain(plain) => Ok(plain.store(tensor)),
            Self::Bitsandbytes(format) => Ok(format.store(tensor)),
            Self::Gguf(_) | Self::Stored => {
                Err("no type of a single tensor; name one that is".to_owned())
            }
        }
    }
}

/// What the headers list.
fn stored(model: &Model) -> Result<Storage, Error> {
    let found = model.found.as_ref().ok_or_else(|| {
        Error::new("size the weights of")
            .object(&model.name)
            .expected("a checkpoint, for `stored`")
            .found("a config only")
            .hint("give the checkpoint's files, or a quantization: `apportion models --quants`")
    })?;
    let stored = found
        .stored
        .iter()
        .map(|&(type_name, bytes)| StoredTensor { type_name, bytes, staged_bytes: 0 })
        .collect();
    Ok(Storage { tensors: Arc::clone(&found.tensors), stored })
}

fn unknown(text: &str) -> Error {
    let names: Vec<String> = all().into_iter().map(Format::name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let error = Error::new(OPERATION)
        .object(text)
        .expected(format!("one of {}", names.join(", ")))
        .found("another name");
    match did_you_mean(text, names) {
        Some(hint) => error.hint(hint),
        None => error.hint("`apportion models --quants` says what each is"),
    }
}
