//! Tensors that depart from their scheme: a pattern over names, and the type what it matches gets.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

use super::format::Format;
use super::{Storage, StoredTensor};
use crate::dtype::GgmlType;
use crate::error::Error;
use crate::model::Tensor;

const OPERATION: &str = "read the quantization override";

/// `layers.*.experts.*=q3_k`: everything the pattern matches is stored as that type.
///
/// The pattern is compared with a tensor's component (`layers.3.experts.5`) and with its name in the
/// scheme's files (`blk.3.ffn_down_exps.weight`); `*` stands for anything, dots included.
#[derive(Clone, Debug)]
pub struct Override {
    pattern: String,
    wanted: String,
    matcher: GlobMatcher,
}

impl PartialEq for Override {
    fn eq(&self, other: &Self) -> bool {
        (&self.pattern, &self.wanted) == (&other.pattern, &other.wanted)
    }
}

impl Eq for Override {}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.pattern, self.wanted)
    }
}

impl Override {
    /// Reads `PATTERN=TYPE`.
    ///
    /// # Errors
    /// Text without `=`, and what is no pattern.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = || {
            Error::new(OPERATION)
                .object(text)
                .expected("PATTERN=TYPE, such as `layers.*.experts.*=q3_k`")
        };
        let (pattern, wanted) = text.rsplit_once('=').ok_or_else(refuse)?;
        let (pattern, wanted) = (pattern.trim().to_owned(), wanted.trim().to_lowercase());
        if pattern.is_empty() || wanted.is_empty() {
            return Err(refuse());
        }
        let glob = GlobBuilder::new(&pattern).build();
        let matcher = glob.map_err(|why| refuse().found(why.to_string()))?.compile_matcher();
        Ok(Self { pattern, wanted, matcher })
    }

    /// Whether files of `base` can hold its type.
    pub(super) fn check(&self, base: Format) -> Result<(), Error> {
        self.target(base).map(|_| ())
    }

    fn target(&self, base: Format) -> Result<Target, Error> {
        let refuse = |expected: String| {
            Error::new(OPERATION).object(self.to_string()).expected(expected).found("another type")
        };
        if let Format::Gguf(_) = base {
            let kinds = || GgmlType::ALL.map(GgmlType::name).join(", ");
            let kind = GgmlType::from_name(&self.wanted.replace('-', "_"));
            return kind
                .map(Target::Block)
                .ok_or_else(|| refuse(format!("a type that GGUF files hold: {}", kinds())));
        }
        match Format::parse(&self.wanted).map_err(|error| error.object(self.to_string()))? {
            Format::Gguf(_) => Err(refuse(format!("a type that can live beside {}", base.name()))),
            format => Ok(Target::Whole(format)),
        }
    }

    fn matches(&self, tensor: &Tensor, component: &str) -> bool {
        self.matcher.is_match(component) || self.matcher.is_match(&tensor.name)
    }
}

/// What an override makes of a tensor.
enum Target {
    Block(GgmlType),
    Whole(Format),
}

impl Target {
    fn store(&self, tensor: &Tensor) -> Result<StoredTensor, String> {
        match self {
            Self::Whole(format) => format.store_one(tensor),
            Self::Block(kind) => {
                let row = tensor.shape.last().copied().unwrap_or(1);
                let whole = row.is_multiple_of(kind.block_elements());
                let bytes = kind.bytes(tensor.elements()).filter(|_| whole).ok_or_else(|| {
                    format!("rows of {row} elements, not of blocks of {}", kind.block_elements())
                })?;
                Ok(StoredTensor { type_name: kind.name(), bytes, staged_bytes: 0 })
            }
        }
    }
}

/// Stores what the overrides match as they say.
pub(super) fn apply(
    overrides: &[Override],
    base: Format,
    storage: &mut Storage,
) -> Result<(), Error> {
    for one in overrides {
        let target = one.target(base)?;
        let mut matched = false;
        for (tensor, stored) in storage.tensors.iter().zip(&mut storage.stored) {
            // Vectors are too small to quantize and no runtime does.
            if tensor.shape.len() < 2 || !one.matches(tensor, &tensor.component.to_string()) {
                continue;
            }
            matched = true;
            *stored = target.store(tensor).map_err(|why| {
                Error::new("store").object(&tensor.name).place(one.to_string()).found(why)
            })?;
        }
        if !matched {
            return Err(Error::new("use the quantization override")
                .object(one.to_string())
                .expected("a pattern that matches a component or a tensor")
                .found("one that matches none")
                .hint("`apportion inspect MODEL --tensors` lists both"));
        }
    }
    Ok(())
}
