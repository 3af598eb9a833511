//! How many bytes a tensor takes under a quantization scheme, exactly, and what quantizing it stages.

mod bitsandbytes;
mod ggml;
pub mod llama_cpp;
mod plain;

use crate::error::Error;
use crate::model::{Model, Tensor};
use crate::nearest::did_you_mean;

/// A quantization scheme, by the name its users write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each name says it")]
pub enum Scheme {
    F32,
    F16,
    Bf16,
    /// bitsandbytes 8 bit.
    Int8,
    /// bitsandbytes 4 bit NormalFloat.
    Nf4,
    /// bitsandbytes 4 bit NormalFloat, statistics quantized once more.
    Nf4Dq,
    Q4_0,
    Q8_0,
    Q4KM,
    Q5KM,
    Q6K,
}

/// One tensor under a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// The storage type, e.g. `q6_k`, `nf4`, `f16`.
    pub type_name: &'static str,
    /// Resident bytes, statistics and tables included.
    pub bytes: u64,
    /// Bytes of the 16-bit matrix that exists while this tensor is being quantized; 0 when it is not.
    pub staged_bytes: u64,
}

/// Where the 16-bit matrix lives while its quantized copy is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Staging {
    /// On the device that gets the weights, as bitsandbytes does.
    Device,
    /// In host memory.
    Host,
    /// Nowhere: the file already holds quantized weights.
    None,
}

impl Staging {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Device, Self::Host, Self::None];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Host => "host",
            Self::None => "none",
        }
    }

    /// Reads a name; case does not matter.
    ///
    /// # Errors
    /// Another name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        choose(text, "read the staging", &Self::ALL, Self::name)
    }
}

impl Scheme {
    /// Every scheme, each kind of runtime together, widest first.
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Int8,
        Self::Nf4,
        Self::Nf4Dq,
        Self::Q8_0,
        Self::Q6K,
        Self::Q5KM,
        Self::Q4KM,
        Self::Q4_0,
    ];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Nf4 => "nf4",
            Self::Nf4Dq => "nf4-dq",
            Self::Q4_0 => "q4_0",
            Self::Q8_0 => "q8_0",
            Self::Q4KM => "q4_k_m",
            Self::Q5KM => "q5_k_m",
            Self::Q6K => "q6_k",
        }
    }

    /// One line for people.
    pub fn description(self) -> &'static str {
        match self {
            Self::F32 => "32-bit floats",
            Self::F16 => "16-bit floats",
            Self::Bf16 => "16-bit brain floats",
            Self::Int8 => "bitsandbytes 8 bit; embeddings, norms and head in 16 bit",
            Self::Nf4 => "bitsandbytes 4-bit NormalFloat; embeddings, norms and head in 16 bit",
            Self::Nf4Dq => "bitsandbytes 4-bit NormalFloat with double quantization",
            Self::Q4_0 => "GGUF Q4_0, no importance matrix",
            Self::Q8_0 => "GGUF Q8_0",
            Self::Q4KM => "GGUF Q4_K_M",
            Self::Q5KM => "GGUF Q5_K_M",
            Self::Q6K => "GGUF Q6_K",
        }
    }

    /// Reads a name; case does not matter, and `-` and `_` are the same.
    ///
    /// # Errors
    /// Another name, with all names and the nearest.
    ///
    /// ```
    /// use apportion::quant::Scheme;
    /// assert_eq!(Scheme::parse("Q4_K_M").unwrap(), Scheme::Q4KM);
    /// assert!(Scheme::parse("q5_k_l").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, Error> {
        choose(text, "read the quantization", &Self::ALL, Self::name)
    }

    /// What each of the model's tensors takes, in the order of [`Model::tensors`].
    ///
    /// The rules and their sources are in the modules `plain`, `bitsandbytes` and `ggml`.
    ///
    /// # Errors
    /// A total beyond [`crate::units::BYTES_MAX`], which no model that was read can reach.
    pub fn store(self, model: &Model) -> Result<Vec<StoredTensor>, Error> {
        let store: Box<dyn Fn(&Tensor) -> StoredTensor> = match self {
            Self::F32 => Box::new(|t| plain::store(t, "f32", 4)),
            Self::F16 => Box::new(|t| plain::store(t, "f16", 2)),
            Self::Bf16 => Box::new(|t| plain::store(t, "bf16", 2)),
            Self::Int8 => Box::new(|t| bitsandbytes::store(t, bitsandbytes::Format::Int8)),
            Self::Nf4 => Box::new(|t| bitsandbytes::store(t, bitsandbytes::Format::Nf4)),
            Self::Nf4Dq => Box::new(|t| bitsandbytes::store(t, bitsandbytes::Format::Nf4Dq)),
            Self::Q4_0 => recipe(model, &ggml::Q4_0),
            Self::Q8_0 => recipe(model, &ggml::Q8_0),
            Self::Q4KM => recipe(model, &ggml::Q4_K_M),
            Self::Q5KM => recipe(model, &ggml::Q5_K_M),
            Self::Q6K => recipe(model, &ggml::Q6_K),
        };
        let stored: Vec<StoredTensor> = model.tensors.iter().map(store).collect();
        stored
            .iter()
            .try_fold(0_u64, |sum, tensor| sum.checked_add(tensor.bytes))
            .filter(|&sum| sum <= crate::units::BYTES_MAX)
            .ok_or_else(|| {
                Error::new("size the weights of").object(&model.name).found("more than 1024 PiB")
            })?;
        Ok(stored)
    }

    /// Where a runtime that uses this scheme stages what it quantizes, unless told otherwise.
    pub fn default_staging(self) -> Staging {
        match self {
            Self::Int8 | Self::Nf4 | Self::Nf4Dq => Staging::Device,
            _ => Staging::None,
        }
    }

    /// The schemes the same runtime can hold, this one included, widest first.
    pub fn alternatives(self) -> &'static [Self] {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => &[Self::F32, Self::F16, Self::Bf16],
            Self::Int8 | Self::Nf4 | Self::Nf4Dq => &[Self::Int8, Self::Nf4, Self::Nf4Dq],
            Self::Q8_0 | Self::Q6K | Self::Q5KM | Self::Q4KM | Self::Q4_0 => {
                &[Self::Q8_0, Self::Q6K, Self::Q5KM, Self::Q4KM, Self::Q4_0]
            }
        }
    }
}

fn recipe<'a>(
    model: &'a Model,
    recipe: &'static ggml::Recipe,
) -> Box<dyn Fn(&Tensor) -> StoredTensor + 'a> {
    let facts = ggml::Facts::of(model);
    Box::new(move |tensor| ggml::store(tensor, recipe, &facts))
}

/// The one of `all` that is called `text`; case does not matter, and `-` and `_` are the same.
pub(crate) fn choose<T: Copy>(
    text: &str,
    operation: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, Error> {
    let plain = |text: &str| text.trim().to_lowercase().replace('-', "_");
    let wanted = plain(text);
    all.iter().copied().find(|&item| plain(name(item)) == wanted).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|&item| name(item)).collect();
        let error = Error::new(operation)
            .object(text)
            .expected(format!("one of {}", names.join(", ")))
            .found("another name");
        match did_you_mean(text, names) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}
