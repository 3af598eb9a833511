//! From a planned tensor to the rows of files it is made of.

use super::sources::{Part, Sources};
use super::wanted::Wanted;
use super::{Architecture, Item, OPERATION, Piece, Slot};
use crate::dtype::GgmlType;
use crate::error::Error;

/// Types from which every other can be made.
const FLOATS: [GgmlType; 3] = [GgmlType::F32, GgmlType::F16, GgmlType::Bf16];

/// The item, all of whose rows are in the files.
///
/// # Errors
/// Other shapes than planned, and types that cannot become the planned one.
pub(super) fn item(
    wanted: &Wanted,
    device: usize,
    sources: &Sources<'_>,
    architecture: &Architecture,
) -> Result<Item, Error> {
    let parts = sources.parts_of(wanted.component, wanted.slot);
    if parts.is_empty() {
        check_computed(wanted, architecture)?;
    } else {
        check_shape(wanted, &parts, sources)?;
    }
    let pieces = parts.iter().map(|part| piece(wanted, part, sources));
    let too_large = || refuse(wanted).expected("sizes that fit in memory").found("larger ones");
    Ok(Item {
        component: wanted.component,
        slot: wanted.slot,
        device,
        held: wanted.held,
        rows: usize::try_from(wanted.rows).map_err(|_| too_large())?,
        columns: usize::try_from(wanted.columns).map_err(|_| too_large())?,
        bytes: wanted.bytes,
        pieces: pieces.collect::<Result<_, _>>()?,
    })
}

fn refuse(wanted: &Wanted) -> Error {
    Error::new(OPERATION).place(format!("planned tensor `{}`", wanted.name))
}

fn refuse_part(part: &Part<'_, '_>, sources: &Sources<'_>) -> Error {
    Error::new(OPERATION)
        .object(sources.path_of(part.source.tensor))
        .place(format!("tensor `{}`", part.source.tensor.name))
}

/// Rotary factors that no file has are computed, one per pair.
fn check_computed(wanted: &Wanted, architecture: &Architecture) -> Result<(), Error> {
    let pairs = u64::try_from(architecture.rope.divisors.len()).unwrap_or(u64::MAX);
    let right = wanted.slot == Slot::RopeFactors && (wanted.rows, wanted.columns) == (1, pairs);
    if right && wanted.held == GgmlType::F32 {
        return Ok(());
    }
    Err(refuse(wanted).expected("a tensor in the files").found("none"))
}

fn check_shape(
    wanted: &Wanted,
    parts: &[Part<'_, '_>],
    sources: &Sources<'_>,
) -> Result<(), Error> {
    let rows = parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.rows));
    let other = parts.iter().find(|part| part.source.columns != wanted.columns);
    let other = other.or_else(|| parts.first().filter(|_| rows != Some(wanted.rows)));
    let Some(part) = other else { return Ok(()) };
    let (rows, columns) = (part.rows, part.source.columns);
    Err(refuse_part(part, sources)
        .expected(format!(
            "{} rows of {} elements, as planned for `{}`",
            wanted.rows, wanted.columns, wanted.name
        ))
        .found(format!("{rows} of {columns}"))
        .hint("the config is another model's, or the placement; solve again for these files"))
}

fn piece(wanted: &Wanted, part: &Part<'_, '_>, sources: &Sources<'_>) -> Result<Piece, Error> {
    let source = part.source;
    let stored = convertible(wanted, part, sources)?;
    let bytes = stored.bytes(source.columns).and_then(|row| row.checked_mul(part.rows));
    let (Some(bytes), Some(offset)) = (bytes, source.offset_of(part.first_row)) else {
        return Err(refuse_part(part, sources)
            .expected(format!("whole rows of {}", stored.name()))
            .found(format!("{} bytes of shape {:?}", source.tensor.bytes, source.tensor.shape)));
    };
    let too_large =
        || refuse_part(part, sources).expected("sizes that fit in memory").found("larger ones");
    Ok(Piece {
        tensor: source.tensor.name.clone(),
        file: usize::try_from(source.tensor.file).map_err(|_| too_large())?,
        offset,
        bytes,
        stored,
        rows: usize::try_from(part.rows).map_err(|_| too_large())?,
    })
}

/// The type the part is stored in, when the planned one can be had from it: the same, or from floats.
fn convertible(
    wanted: &Wanted,
    part: &Part<'_, '_>,
    sources: &Sources<'_>,
) -> Result<GgmlType, Error> {
    let stored = part.source.stored();
    if let Some(stored) = stored.filter(|kind| FLOATS.contains(kind) || *kind == wanted.held) {
        return Ok(stored);
    }
    let held = wanted.held.name();
    let error = refuse_part(part, sources)
        .expected(format!("{held}, as planned, or f32, f16 or bf16 to make it from"))
        .found(part.source.tensor.dtype.name());
    let quantized = stored.is_some_and(|kind| kind.block_elements() > 1);
    Err(if quantized {
        error.hint(
            "what is quantized already is not quantized again: solve for the files themselves \
             (`--quant stored`), or load files of floats",
        )
    } else {
        error
    })
}
