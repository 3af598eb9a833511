//! Tensors that depart from their scheme: a pattern over names, and the type what it matches gets.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

use super::format::Format;
use super::{Staging, Storage, StoredTensor};
use crate::dtype::GgmlType;
use crate::error::Error;
use crate::model::Tensor;

const OPERATION: &str = "read the quantization override";
/// The type of whatever the scheme does not quantize.
const SKIP: &str = "skip";

/// `layers.*.experts.*=q3_k`: everything the pattern matches is stored as that type.
///
/// The pattern is compared with a tensor's component (`layers.3.experts.5`) and with its name in the
/// scheme's files (`blk.3.ffn_down_exps.weight`); `*` stands for anything, dots included. The type is
/// what files of the scheme can hold: a ggml type in GGUF files, else a float type or a format of the
/// same kind, such as `nf4` beside `int8`; `skip` leaves it in 16 bit. A `?` after the type says that the
/// pattern may match nothing.
#[derive(Clone, Debug)]
pub struct Override {
    pattern: String,
    wanted: String,
    optional: bool,
    matcher: GlobMatcher,
}

impl PartialEq for Override {
    fn eq(&self, other: &Self) -> bool {
        (&self.pattern, &self.wanted, self.optional)
            == (&other.pattern, &other.wanted, other.optional)
    }
}

impl Eq for Override {}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let optional = if self.optional { "?" } else { "" };
        write!(f, "{}={}{optional}", self.pattern, self.wanted)
    }
}

impl Override {
    /// Reads `PATTERN=TYPE` or `PATTERN=TYPE?`.
    ///
    /// # Errors
    /// Text without `=`, and what is no pattern.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = || {
            Error::new(OPERATION)
                .object(text)
                .expected("PATTERN=TYPE, such as `layers.*.experts.*=q3_k`")
        };
        // Options of a type have a `=` too, names of components and tensors never.
        let (pattern, wanted) = text.split_once('=').ok_or_else(refuse)?;
        let (pattern, wanted) = (pattern.trim().to_owned(), wanted.trim().to_lowercase());
        let (wanted, optional) = match wanted.strip_suffix('?') {
            Some(wanted) => (wanted.trim_end().to_owned(), true),
            None => (wanted, false),
        };
        if pattern.is_empty() || wanted.is_empty() {
            return Err(refuse());
        }
        let glob = GlobBuilder::new(&pattern).build();
        let matcher = glob.map_err(|why| refuse().found(why.to_string()))?.compile_matcher();
        Ok(Self { pattern, wanted, optional, matcher })
    }

    /// Whether files of `base` can hold its type.
    pub(super) fn check(&self, base: Format) -> Result<(), Error> {
        self.target(base).map(|_| ())
    }

    /// Where its type is staged beside `base`.
    pub(super) fn staging(&self, base: Format) -> Option<Staging> {
        match self.target(base).ok()? {
            Target::Whole(format) => Some(format.default_staging()),
            Target::Block(_) => None,
        }
    }

    fn target(&self, base: Format) -> Result<Target, Error> {
        let refuse = |expected: String| {
            Error::new(OPERATION).object(self.to_string()).expected(expected).found("another type")
        };
        if let Format::Gguf(_) = base {
            let wanted = if self.wanted == SKIP { "f16" } else { &self.wanted };
            let kinds = || GgmlType::ALL.map(GgmlType::name).join(", ");
            let kind = GgmlType::from_name(&wanted.replace('-', "_"));
            return kind
                .map(Target::Block)
                .ok_or_else(|| refuse(format!("a type that GGUF files hold: {}", kinds())));
        }
        if self.wanted == SKIP {
            return Ok(Target::Whole(Format::Plain(base.rest())));
        }
        let format = Format::parse(&self.wanted).map_err(|error| error.object(self.to_string()))?;
        let plain = |format| matches!(format, Format::Plain(_));
        let mixes = plain(format) || plain(base) || base.is_like(format);
        let same_layout = plain(format) || base.layout() == format.layout();
        if matches!(format, Format::Gguf(_)) || !mixes || !same_layout {
            return Err(refuse(format!("a type that can live beside {}", base.name())));
        }
        Ok(Target::Whole(format))
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
    fn store(&self, tensor: &Tensor, hidden: u64) -> Result<StoredTensor, String> {
        match self {
            Self::Whole(format) => format.store_one(tensor, hidden),
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

/// Stores what the overrides match as they say, in a model whose residual stream is `hidden` wide.
pub(super) fn apply(
    overrides: &[Override],
    base: Format,
    hidden: u64,
    storage: &mut Storage,
) -> Result<(), Error> {
    if overrides.is_empty() {
        return Ok(());
    }
    let target = |one| Override::target(one, base);
    let targets = overrides.iter().map(target).collect::<Result<Vec<_>, Error>>()?;
    let mut matched = vec![false; overrides.len()];
    for (tensor, stored) in storage.tensors.iter().zip(&mut storage.stored) {
        // Vectors are too small to quantize and no runtime does.
        if tensor.shape.len() < 2 {
            continue;
        }
        let component = tensor.component.to_string();
        let mut last = None;
        for (at, one) in overrides.iter().enumerate() {
            if one.matches(tensor, &component) {
                matched[at] = true;
                last = Some((one, &targets[at]));
            }
        }
        if let Some((one, target)) = last {
            *stored = target.store(tensor, hidden).map_err(|why| {
                Error::new("store").object(&tensor.name).place(one.to_string()).found(why)
            })?;
        }
    }
    let missed = overrides.iter().zip(matched).find(|(one, matched)| !matched && !one.optional);
    match missed {
        None => Ok(()),
        Some((one, _)) => Err(Error::new("use the quantization override")
            .object(one.to_string())
            .expected("a pattern that matches a component or a tensor")
            .found("one that matches none")
            .hint("`apportion inspect MODEL --tensors` lists both")),
    }
}
