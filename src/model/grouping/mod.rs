//! From the tensors of a checkpoint to the components of a model.
//!
//! A family's templates say which names belong where; statistics of quantized weights belong where the
//! weight does. Names that no template has go by the usual patterns, which is also how models of unknown
//! families are grouped.

mod matcher;
mod patterns;
mod pieces;

use patterns::role_of;

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::family::Family;
use super::found::{Found, LeftOut};
use super::{ComponentId, Tensor, TensorRole};
use crate::checkpoint::{Checkpoint, FoundTensor};
use crate::error::Error;
use matcher::Matcher;
use pieces::Piece;

/// Sizes of the model that decide what its components are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) layers: u32,
    pub(super) experts: u32,
    /// Whether the output head is the embedding.
    pub(super) tied_head: bool,
}

/// Where a tensor belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To one component.
    One(ComponentId),
    /// To all experts of a layer, stacked in front or below each other.
    AllExperts {
        /// The layer.
        layer: u32,
        /// Whether they lie below each other.
        as_rows: bool,
    },
}

/// A place, and what the tensor does there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Belongs {
    place: Place,
    role: TensorRole,
}

/// The place of a tensor of a model whose family is not known.
pub(super) fn usual_place(name: &str) -> Place {
    patterns::belongs(name).place
}

/// Groups what the headers list.
///
/// Returned beside it are notices: sentences about tensors that no template has.
pub(super) fn group(
    checkpoint: &Checkpoint,
    family: Option<&Family>,
    extent: Extent,
) -> Result<(Found, Vec<String>), Error> {
    let matcher = family.map(Matcher::new);
    let mut pieces: Vec<Piece<'_>> = Vec::with_capacity(checkpoint.tensors.len());
    let mut left_out = Vec::new();
    let mut unmatched: Vec<&FoundTensor> = Vec::new();
    for tensor in &checkpoint.tensors {
        let known = matcher.as_ref().and_then(|matcher| matcher.find(&tensor.name));
        let belongs = known.unwrap_or_else(|| {
            unmatched.push(tensor);
            let role = role_of(&tensor.name, tensor.shape.len());
            Belongs { role, ..patterns::belongs(&tensor.name) }
        });
        match why_left_out(belongs, &tensor.name, extent) {
            Some(why) => {
                left_out.push(LeftOut { name: tensor.name.clone(), bytes: tensor.bytes, why });
            }
            None => pieces::add(&mut pieces, tensor, belongs, extent.experts)?,
        }
    }
    // Stable: within a component tensors stay in file order.
    pieces.sort_by_key(|piece| piece.component);
    let notices = notices(family, &unmatched, &left_out);
    Ok((found(checkpoint, pieces, left_out), notices))
}

fn why_left_out(belongs: Belongs, name: &str, extent: Extent) -> Option<&'static str> {
    let (layer, expert, id) = match belongs.place {
        Place::One(id) => (id.layer(), id.expert(), Some(id)),
        Place::AllExperts { layer, .. } => (Some(layer), None, None),
    };
    if name.contains("rotary_emb.inv_freq") {
        return Some("a buffer that runtimes compute");
    }
    if layer.is_some_and(|layer| layer >= extent.layers) {
        return Some("a layer beyond the model's, for predicting several tokens");
    }
    if expert.is_some_and(|expert| expert >= extent.experts) {
        return Some("an expert beyond the model's");
    }
    (extent.tied_head && id == Some(ComponentId::OutputHead)).then_some("tied to the embedding")
}

fn found(checkpoint: &Checkpoint, pieces: Vec<Piece<'_>>, left_out: Vec<LeftOut>) -> Found {
    let mut hash = Sha256::new();
    let stored = pieces.iter().map(|piece| (piece.type_name, piece.bytes)).collect();
    let tensors: Vec<Tensor> = pieces.into_iter().map(Piece::into_tensor).collect();
    let of = |tensor: &FoundTensor| {
        let FoundTensor { name, shape, bytes, dtype, .. } = tensor;
        format!("{name} {shape:?} {} {bytes}\n", dtype.name())
    };
    // By name, so that it does not matter how a checkpoint is cut into files.
    for tensor in checkpoint.by_name() {
        hash.update(of(tensor));
    }
    let mut fingerprint = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(fingerprint, "{byte:02x}");
    }
    let metadata = &checkpoint.metadata;
    Found {
        format: checkpoint.format,
        tensors: tensors.into(),
        stored,
        left_out,
        file_type: metadata.u64("general.file_type").and_then(|number| u32::try_from(number).ok()),
        has_imatrix: metadata.iter().any(|(key, _)| key.starts_with("quantize.imatrix.")),
        fingerprint,
    }
}

fn notices(
    family: Option<&Family>,
    unmatched: &[&FoundTensor],
    left_out: &[LeftOut],
) -> Vec<String> {
    let mut notices = Vec::new();
    if let (Some(family), Some(first)) = (family, unmatched.first()) {
        notices.push(format!(
            "{} tensors are not in the templates of family {}, `{}` first; they are grouped by the usual \
             patterns of names",
            unmatched.len(),
            family.family,
            first.name
        ));
    }
    for run in left_out.chunk_by(|a, b| a.why == b.why) {
        let bytes = run.iter().fold(0_u64, |sum, tensor| sum.saturating_add(tensor.bytes));
        notices.push(format!(
            "left out: {} tensors from `{}` on, {} ({})",
            run.len(),
            run[0].name,
            crate::units::format_bytes(bytes),
            run[0].why
        ));
    }
    notices.truncate(NOTICES_MAX);
    notices
}

/// More say nothing more.
const NOTICES_MAX: usize = 8;
