//! The formats there are, by name: which module sizes their tensors, and in which layout.

use std::sync::Arc;

use super::awq::Awq;
use super::bitsandbytes::Bitsandbytes;
use super::compressed_tensors::CompressedTensors;
use super::fp8::Fp8;
use super::gguf::Gguf;
use super::gptq::Gptq;
use super::hqq::Hqq;
use super::matrix::{Quantizer, pack, store};
use super::mlx::Mlx;
use super::mxfp4::Mxfp4;
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
    Gptq(Gptq),
    Awq(Awq),
    Hqq(Hqq),
    /// 8-bit floats in blocks, as transformers has them.
    Fp8(Fp8),
    /// As gpt-oss publishes it.
    Mxfp4(Mxfp4),
    CompressedTensors(CompressedTensors),
    Mlx(Mlx),
    /// A GGUF file made by llama.cpp's quantizer.
    Gguf(Gguf),
    /// What the checkpoint's headers list.
    Stored,
}

/// The formats that people ask for, without options, each kind of runtime together, widest first.
pub(super) fn all() -> Vec<Format> {
    let plain = Plain::ALL.into_iter().map(Format::Plain);
    plain
        .chain(Bitsandbytes::all().map(Format::Bitsandbytes))
        .chain(Gptq::all().map(Format::Gptq))
        .chain(Awq::all().map(Format::Awq))
        .chain(Hqq::all().map(Format::Hqq))
        .chain(Fp8::all().map(Format::Fp8))
        .chain([Format::Mxfp4(Mxfp4)])
        .chain(CompressedTensors::all().map(Format::CompressedTensors))
        .chain(Mlx::all().map(Format::Mlx))
        .chain(Gguf::all().map(Format::Gguf))
        .collect()
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
        if let Some(format) = Self::with_options(&base, &options) {
            return format.map_err(|expected| {
                let error = Error::new(OPERATION).object(text).place("its options");
                error.expected(expected).found("another option")
            });
        }
        let known = Self::without_options(&base).ok_or_else(|| unknown(text))?;
        match options.first() {
            Some(option) => Err(Error::new(OPERATION)
                .object(text)
                .expected(format!("`{}` without options", known.name()))
                .found(format!("`{option}`"))),
            None => Ok(known),
        }
    }

    fn with_options(base: &str, options: &[&str]) -> Option<Result<Self, String>> {
        let bitsandbytes = Bitsandbytes::parse(base, options).map(|f| f.map(Self::Bitsandbytes));
        bitsandbytes
            .or_else(|| Awq::parse(base, options).map(|f| f.map(Self::Awq)))
            .or_else(|| Fp8::parse(base, options).map(|f| f.map(Self::Fp8)))
    }

    fn without_options(base: &str) -> Option<Self> {
        let plain = Plain::ALL.into_iter().find(|plain| plain.name() == base).map(Self::Plain);
        plain
            .or_else(|| Gptq::parse(base).map(Self::Gptq))
            .or_else(|| Hqq::parse(base).map(Self::Hqq))
            .or_else(|| (base == "mxfp4").then_some(Self::Mxfp4(Mxfp4)))
            .or_else(|| CompressedTensors::parse(base).map(Self::CompressedTensors))
            .or_else(|| Mlx::parse(base).map(Self::Mlx))
            .or_else(|| (base == "stored").then_some(Self::Stored))
    }

    pub(super) fn name(self) -> String {
        match (self, self.quantizer()) {
            (_, Some(quantizer)) => quantizer.name(),
            (Self::Gguf(gguf), None) => gguf.name(),
            (Self::Stored, None) => "stored".to_owned(),
            (_, None) => self.rest().name().to_owned(),
        }
    }

    pub(super) fn description(self) -> String {
        match (self, self.quantizer()) {
            (_, Some(quantizer)) => quantizer.description(),
            (Self::Gguf(gguf), None) => gguf.description(),
            (Self::Stored, None) => "as the checkpoint holds it, byte for byte".to_owned(),
            (_, None) => self.rest().description().to_owned(),
        }
    }

    /// What runs it or made it, for lists.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Plain(_) => "not quantized",
            Self::Bitsandbytes(_) => "bitsandbytes",
            Self::Gptq(_) => "GPTQ",
            Self::Awq(_) => "AWQ",
            Self::Hqq(_) => "HQQ",
            Self::Fp8(_) => "FP8",
            Self::Mxfp4(_) => "MXFP4",
            Self::CompressedTensors(_) => "compressed-tensors",
            Self::Mlx(_) => "MLX",
            Self::Gguf(_) => "GGUF",
            Self::Stored => "checkpoint",
        }
    }

    /// What sizes its matrices, if each is sized by itself.
    pub(super) fn quantizer(&self) -> Option<&dyn Quantizer> {
        match self {
            Self::Plain(_) | Self::Gguf(_) | Self::Stored => None,
            Self::Bitsandbytes(format) => Some(format),
            Self::Gptq(format) => Some(format),
            Self::Awq(format) => Some(format),
            Self::Hqq(format) => Some(format),
            Self::Fp8(format) => Some(format),
            Self::Mxfp4(format) => Some(format),
            Self::CompressedTensors(format) => Some(format),
            Self::Mlx(format) => Some(format),
        }
    }

    /// The type of what it leaves alone.
    pub(super) fn rest(self) -> Plain {
        match self {
            Self::Plain(plain) => plain,
            _ => self.quantizer().map_or(Plain::F16, Quantizer::rest),
        }
    }

    pub(super) fn default_staging(self) -> Staging {
        match self.quantizer() {
            Some(quantizer) if quantizer.stages() => Staging::Device,
            _ => Staging::None,
        }
    }

    /// Whether both are of one kind, so that one runtime holds both.
    pub(super) fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }

    /// The formats the same runtime can hold, this one included, with its options.
    pub(super) fn alternatives(self) -> Vec<Self> {
        let mut formats: Vec<Self> = match self {
            Self::Bitsandbytes(format) => format.alternatives().map(Self::Bitsandbytes).collect(),
            Self::Awq(format) => format.alternatives().map(Self::Awq).collect(),
            _ => all().into_iter().filter(|&other| self.is_like(other)).collect(),
        };
        if !formats.contains(&self) {
            formats.insert(0, self);
        }
        formats
    }

    /// What each tensor of the model takes, in the layout that holds it.
    pub(super) fn store(self, model: &Model) -> Result<Storage, Error> {
        let Some(layout) = self.layout() else { return stored(model) };
        let tensors = model.layout(layout)?;
        let stored: Vec<StoredTensor> = if let Self::Gguf(gguf) = self {
            gguf.store(model, &tensors)?
        } else {
            let one = |tensor| self.store_as_usual(tensor, model);
            tensors.iter().map(one).collect::<Result<_, _>>()?
        };
        Ok(Storage { tensors, stored })
    }

    fn store_as_usual(self, tensor: &Tensor, model: &Model) -> Result<StoredTensor, Error> {
        let adapted = match self {
            Self::Mlx(mlx) => Self::Mlx(mlx.of(tensor, model)),
            _ => self,
        };
        let Some(quantizer) = adapted.quantizer() else { return Ok(self.rest().store(tensor)) };
        store(quantizer, tensor, model.geometry.hidden).map_err(|why| {
            Error::new(format!("store as {}", self.name()))
                .object(&tensor.name)
                .found(why)
                .hint("--quant-override leaves single tensors in 16 bit: NAME=skip")
        })
    }

    /// The layout its files or runtime have; `None` for that of the checkpoint.
    pub(super) fn layout(self) -> Option<Layout> {
        match self {
            Self::Bitsandbytes(format) => Some(format.layout()),
            Self::Gguf(gguf) => Some(Layout::Gguf(gguf.recipe.era.number())),
            Self::Stored => None,
            _ => Some(Layout::Published),
        }
    }

    /// What one tensor takes when this format is asked for it by name, or why it cannot have it.
    pub(super) fn store_one(self, tensor: &Tensor, hidden: u64) -> Result<StoredTensor, String> {
        match (self, self.quantizer()) {
            (Self::Gguf(_) | Self::Stored, _) => {
                Err("no type of a single tensor; name one that is".to_owned())
            }
            (_, Some(quantizer)) => pack(quantizer, tensor, hidden),
            (_, None) => Ok(self.rest().store(tensor)),
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
    let hint = did_you_mean(text, names);
    Error::new(OPERATION)
        .object(text)
        .expected(
            "a name that `apportion models --quants` lists, such as q4_k_m, nf4 or gptq-4bit-g128",
        )
        .found("another name")
        .hint(hint.unwrap_or_else(|| "`apportion models --quants` says what each is".to_owned()))
}
