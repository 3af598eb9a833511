//! How many bytes a tensor takes under a quantization scheme, exactly, and what quantizing it stages.

mod awq;
mod bitsandbytes;
mod compressed_tensors;
mod config;
mod format;
mod fp8;
mod gguf;
mod gptq;
mod group;
mod guess;
mod hqq;
pub mod llama_cpp;
mod matrix;
mod mlx;
mod mxfp4;
mod notices;
mod overrides;
mod parts;
mod plain;
mod staging;
mod type_names;

use std::sync::Arc;

use crate::error::Error;
use crate::model::{Model, Tensor};
use crate::nearest::did_you_mean;

pub use config::from_config;
use format::Format;
pub use guess::{Explanation, FoundType, explain, explain_gguf};
pub use overrides::Override;
pub(crate) use parts::{Part, parts, unpacked};
pub use staging::Staging;
pub use type_names::type_names;

/// A quantization scheme: a format by the name its users write, and the tensors that depart from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    format: Format,
    overrides: Vec<Override>,
}

/// One tensor, or an expert's part of one, under a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// The storage type, e.g. `q6_k`, `nf4`, `f16`.
    pub type_name: &'static str,
    /// Resident bytes, statistics and tables included.
    pub bytes: u64,
    /// Bytes of the 16-bit matrix that exists while this tensor is being quantized; 0 when it is not.
    pub staged_bytes: u64,
}

/// A model under a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The tensors of the layout that the scheme's files or runtime have, in component order.
    pub tensors: Arc<[Tensor]>,
    /// What each of them takes, in the same order.
    pub stored: Vec<StoredTensor>,
}

impl Storage {
    /// All resident bytes.
    pub fn bytes(&self) -> u64 {
        self.stored.iter().map(|tensor| tensor.bytes).sum()
    }

    /// All elements, which may differ from the published ones by what the layout adds or leaves out.
    pub fn elements(&self) -> u64 {
        self.tensors.iter().map(Tensor::elements).sum()
    }
}

impl Scheme {
    /// The schemes that people ask for, without options, each kind of runtime together, widest first.
    pub fn all() -> Vec<Self> {
        format::all().into_iter().map(|format| Self { format, overrides: Vec::new() }).collect()
    }

    /// The name in files and on the command line, without the overrides.
    pub fn name(&self) -> String {
        self.format.name()
    }

    /// What a checkpoint holds, byte for byte.
    pub fn stored() -> Self {
        Self { format: Format::Stored, overrides: Vec::new() }
    }

    /// Whether it is [`Scheme::stored`], whose bytes only a checkpoint's headers say.
    pub fn is_stored(&self) -> bool {
        self.format == Format::Stored
    }

    /// What made it or runs it, e.g. `bitsandbytes`, `GGUF`.
    pub fn kind(&self) -> &'static str {
        self.format.kind()
    }

    /// One line for people.
    pub fn description(&self) -> String {
        self.format.description()
    }

    /// Reads a name; case does not matter, and `-` and `_` are the same.
    ///
    /// # Errors
    /// Another name, with the nearest.
    ///
    /// ```
    /// use apportion::quant::Scheme;
    /// assert_eq!(Scheme::parse("Q4_K_M").unwrap().name(), "q4_k_m");
    /// assert_eq!(Scheme::parse("gptq-4bit").unwrap().name(), "gptq-4bit-g128");
    /// assert!(Scheme::parse("q5_k_l").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self { format: Format::parse(text)?, overrides: Vec::new() })
    }

    /// The scheme with tensors that depart from it; of several that match a tensor the last counts.
    ///
    /// # Errors
    /// An override whose type files of this scheme cannot hold.
    pub fn with_overrides(self, overrides: Vec<Override>) -> Result<Self, Error> {
        for one in &overrides {
            one.check(self.format)?;
        }
        Ok(Self { overrides, ..self })
    }

    /// The tensors that depart from it.
    pub fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// What the model's tensors take, in the layout that files of this scheme have.
    ///
    /// The rules and their sources are in the module of each format.
    ///
    /// # Errors
    /// A total beyond [`crate::units::BYTES_MAX`], a model whose family has no such layout, and an
    /// override that matches nothing or does not fit what it matches.
    pub fn store(&self, model: &Model) -> Result<Storage, Error> {
        let mut storage = self.format.store(model)?;
        overrides::apply(&self.overrides, self.format, model.geometry.hidden, &mut storage)?;
        let total = storage
            .stored
            .iter()
            .try_fold(0_u64, |sum, tensor| sum.checked_add(tensor.bytes))
            .filter(|&sum| sum <= crate::units::BYTES_MAX);
        if total.is_none() {
            return Err(Error::new("size the weights of")
                .object(&model.name)
                .found("more than 1024 PiB"));
        }
        Ok(storage)
    }

    /// Where a runtime that uses this scheme stages what it quantizes, unless told otherwise.
    pub fn default_staging(&self) -> Staging {
        let targets = self.overrides.iter().filter_map(|one| one.staging(self.format));
        let first = [self.format.default_staging()].into_iter();
        // One matrix that waits on the device is enough for room to be needed there.
        if first.chain(targets).any(|staging| staging == Staging::Device) {
            return Staging::Device;
        }
        Staging::None
    }

    /// What a user should know about the model under this scheme, each a sentence; often nothing.
    ///
    /// # Errors
    /// The same as [`Scheme::store`].
    pub fn notices(&self, model: &Model) -> Result<Vec<String>, Error> {
        notices::of(self, model)
    }

    /// The schemes the same runtime can hold, this one included; with the options and overrides.
    pub fn alternatives(&self) -> Vec<Self> {
        let family = self.format.alternatives();
        family
            .into_iter()
            .map(|format| Self { format, overrides: self.overrides.clone() })
            .collect()
    }
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
