//! Predicted against found: what a model's facts say a checkpoint holds, and what its headers list.
//!
//! The unit is a weight as a file names it. What quantizers store beside a weight (scales, zero points,
//! tables) counts with it, because that is how schemes count.

use std::collections::BTreeMap;

use crate::checkpoint::Format;
use crate::dtype::GgmlType;
use crate::error::Error;
use crate::model::{Found, LeftOut, Model, Tensor, unwrapped, weights_of};
use crate::quant::{Explanation, FoundType, Scheme, explain, from_config};

/// The comparison, tensor by tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    /// The name of the scheme the prediction is for.
    pub scheme: String,
    /// Tensors whose shape, type and bytes are as predicted.
    pub equal: u64,
    /// The others, by name.
    pub differences: Vec<Difference>,
    /// All predicted bytes.
    pub predicted_bytes: u64,
    /// All bytes found, without what is left out.
    pub found_bytes: u64,
    /// What the files hold beside the model that runs.
    pub left_out: Vec<LeftOut>,
}

/// A tensor that is not as predicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub name: String,
    /// What was predicted; `None` when the files have it unexpectedly.
    pub predicted: Option<Entry>,
    /// What was found; `None` when the files lack it.
    pub found: Option<Entry>,
}

/// A tensor as predicted or found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its dimensions in the file, outermost first.
    pub shape: Vec<u64>,
    /// Its storage type; of the weight itself where several tensors hold it.
    pub type_name: String,
    /// Bytes, of everything that is stored about it.
    pub bytes: u64,
    /// How many tensors of the files hold it.
    pub tensors: u64,
}

impl Reconciliation {
    /// Whether everything is as predicted.
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }
}

/// The scheme the files most likely have: for GGUF the recipe that explains their tensors best, else what
/// their config says, else the float type of most of their bytes.
///
/// # Errors
/// Files that say nothing, and a quantization that is not understood.
pub fn likely_scheme(model: &Model, files: &Model) -> Result<Scheme, Error> {
    let refuse = || {
        Error::new("find out how the files are quantized")
            .object(&model.name)
            .expected("a float type for most of the weights")
            .hint("say it with --quant")
    };
    let found = files.found.as_ref().ok_or_else(refuse)?;
    if let Some(explanation) = explained(model, found) {
        return Ok(explanation.scheme);
    }
    if let Some(stated) = from_config(&files.published_quantization)? {
        return Ok(stated);
    }
    let mut bytes_of: BTreeMap<&str, u64> = BTreeMap::new();
    for (type_name, bytes) in &found.stored {
        *bytes_of.entry(type_name).or_default() += bytes;
    }
    let (name, _) = bytes_of.into_iter().max_by_key(|row| row.1).ok_or_else(refuse)?;
    Scheme::parse(name).map_err(|_| refuse().found(name))
}

/// The recipe that explains the tensors of a GGUF file best.
fn explained(model: &Model, found: &Found) -> Option<Explanation> {
    let shapes: Vec<Vec<u64>> = found.tensors.iter().map(Tensor::file_shape).collect();
    let tensors: Option<Vec<FoundType<'_>>> = found
        .tensors
        .iter()
        .zip(&shapes)
        .zip(&found.stored)
        .filter(|((tensor, _), _)| tensor.is_first_part())
        .map(|((tensor, shape), (name, _))| {
            Some(FoundType { name: &tensor.name, shape, kind: GgmlType::from_name(name)? })
        })
        .collect();
    let gguf = found.format == Format::Gguf;
    explain(model, &tensors.filter(|_| gguf)?, found.file_type, found.has_imatrix)
}

/// Compares what `scheme` makes of `predicted` with the headers in `found`.
///
/// # Errors
/// What [`Scheme::store`] refuses.
pub fn reconcile(
    predicted: &Model,
    scheme: &Scheme,
    found: &Found,
) -> Result<Reconciliation, Error> {
    let storage = scheme.store(predicted)?;
    let mut expected: BTreeMap<String, Entry> = BTreeMap::new();
    for (tensor, stored) in storage.tensors.iter().zip(&storage.stored) {
        add(&mut expected, &tensor.name, tensor, stored.type_name, stored.bytes);
    }
    let mut there: BTreeMap<String, Entry> = BTreeMap::new();
    for (tensor, (type_name, bytes)) in found.tensors.iter().zip(&found.stored) {
        let name = home(&expected, &tensor.name);
        add(&mut there, &name, tensor, type_name, *bytes);
    }
    let predicted_bytes = expected.values().map(|entry| entry.bytes).sum();
    let found_bytes = there.values().map(|entry| entry.bytes).sum();
    let (equal, differences) = compare(expected, there);
    Ok(Reconciliation {
        scheme: scheme.name(),
        equal,
        differences,
        predicted_bytes,
        found_bytes,
        left_out: found.left_out.clone(),
    })
}

/// Adds a tensor, or an expert's part of one, to what is known under a name.
fn add(
    entries: &mut BTreeMap<String, Entry>,
    name: &str,
    tensor: &Tensor,
    type_name: &str,
    bytes: u64,
) {
    // The parts of a merged tensor share a name; the first expert's stands for its shape and count.
    let first = tensor.merged.is_none() || tensor.component.expert() == Some(0);
    let is_weight = tensor.name == *name || tensor.name.ends_with(name);
    let Some(entry) = entries.get_mut(name) else {
        let (shape, type_name) = (tensor.file_shape(), type_name.to_owned());
        entries
            .insert(name.to_owned(), Entry { shape, type_name, bytes, tensors: u64::from(first) });
        return;
    };
    entry.bytes = entry.bytes.saturating_add(bytes);
    entry.tensors += u64::from(first);
    if is_weight {
        entry.shape = tensor.file_shape();
        type_name.clone_into(&mut entry.type_name);
    }
}

/// The predicted tensor that a found one belongs to; its own name when there is none.
fn home(expected: &BTreeMap<String, Entry>, name: &str) -> String {
    let bare = unwrapped(name);
    let own = [name.to_owned(), bare.clone()].into_iter();
    let mut candidates = own.chain(weights_of(&bare));
    candidates.find(|name| expected.contains_key(name)).unwrap_or_else(|| name.to_owned())
}

fn compare(
    mut expected: BTreeMap<String, Entry>,
    there: BTreeMap<String, Entry>,
) -> (u64, Vec<Difference>) {
    let mut equal = 0;
    let mut differences = Vec::new();
    for (name, found) in there {
        let predicted = expected.remove(&name);
        if predicted.as_ref().is_some_and(|predicted| is_equal(predicted, &found)) {
            equal += 1;
        } else {
            differences.push(Difference { name, predicted, found: Some(found) });
        }
    }
    let missing = expected.into_iter();
    differences.extend(missing.map(|(name, entry)| Difference {
        name,
        predicted: Some(entry),
        found: None,
    }));
    differences.sort_by(|a, b| a.name.cmp(&b.name));
    (equal, differences)
}

/// A weight that several tensors hold has no shape or type of its own in the files.
fn is_equal(predicted: &Entry, found: &Entry) -> bool {
    let plain = found.tensors == 1 && predicted.tensors == 1;
    predicted.bytes == found.bytes
        && (!plain || predicted.shape == found.shape && predicted.type_name == found.type_name)
}
