//! Which types weights can be held in, and which items can be loaded at all.

use candle_core::quantized::GgmlDType;

use crate::dtype::GgmlType;
use crate::error::Error;
use crate::load::manifest::{HELD_TYPES, Item, Piece, Slot};

/// Whether the runtime can hold and multiply weights of that type.
pub fn holdable(kind: GgmlType) -> bool {
    HELD_TYPES.contains(&kind)
}

/// Whether elements are floats of their own.
pub(super) fn is_float(kind: GgmlType) -> bool {
    matches!(kind, GgmlType::F32 | GgmlType::F16 | GgmlType::Bf16)
}

/// candle's name of a quantized type that has kernels.
pub(in crate::load) fn of_candle(kind: GgmlType) -> Option<GgmlDType> {
    Some(match kind {
        GgmlType::Q4_0 => GgmlDType::Q4_0,
        GgmlType::Q4_1 => GgmlDType::Q4_1,
        GgmlType::Q5_0 => GgmlDType::Q5_0,
        GgmlType::Q5_1 => GgmlDType::Q5_1,
        GgmlType::Q8_0 => GgmlDType::Q8_0,
        GgmlType::Q2K => GgmlDType::Q2K,
        GgmlType::Q3K => GgmlDType::Q3K,
        GgmlType::Q4K => GgmlDType::Q4K,
        GgmlType::Q5K => GgmlDType::Q5K,
        GgmlType::Q6K => GgmlDType::Q6K,
        _ => return None,
    })
}

/// The most that candle 0.11.1 keeps beside a matrix it repacks; 0 for one it never repacks.
///
/// Source: the tiles of `quantized/repack_x86.rs`, for 16 rows and 256 columns (Q8_0: 32): 3072 bytes of
/// Q4_K, with 5120 more where the CPU has AMX; 5120 of Q6_K; 544 of Q8_0. Elsewhere than on x86-64 matrices
/// are not given to it.
pub(super) fn repacked_bytes(kind: GgmlType, rows: usize, columns: usize) -> u64 {
    let is_cut = cfg!(target_arch = "x86_64") && rows.is_multiple_of(16);
    if !is_cut || !columns.is_multiple_of(256) {
        return 0;
    }
    let (tile_columns, tile_bytes) = match kind {
        GgmlType::Q4K => (256, 3072 + 5120),
        GgmlType::Q6K => (256, 5120),
        GgmlType::Q8_0 => (32, 544),
        _ => return 0,
    };
    let tiles = (rows / 16).checked_mul(columns / tile_columns);
    let tiles = tiles.and_then(|tiles| u64::try_from(tiles).ok());
    tiles.and_then(|tiles| tiles.checked_mul(tile_bytes)).unwrap_or(u64::MAX)
}

/// Whether an item says of itself what can be so: types that can be held and made of each other, bytes that
/// are those of its elements, pieces inside their files. `files` are the lengths of the files in bytes.
///
/// # Errors
/// The first thing that is not so.
pub(in crate::load) fn check_item(
    item: &Item,
    files: &[u64],
    computed: &[f32],
) -> Result<(), Error> {
    let name = item.pieces.first().map_or("", |piece| piece.tensor.as_str());
    let refuse = || Error::new("load the tensor").object(name).place(item.component.to_string());
    if !holdable(item.held) {
        return Err(refuse()
            .expected(format!("one of {}", HELD_TYPES.map(GgmlType::name).join(", ")))
            .found(item.held.name())
            .hint("solve with another --quant, or take a file of one of these types"));
    }
    if bytes(item.held, item.rows, item.columns) != Some(item.bytes) || item.bytes == 0 {
        let columns = item.held.block_elements();
        return Err(refuse()
            .expected(format!("rows of whole blocks of {columns}, at least one"))
            .found(format!(
                "{} bytes of {} in {} rows of {}",
                item.bytes,
                item.held.name(),
                item.rows,
                item.columns
            )));
    }
    if is_computed(item) && (item.rows, item.columns) == (1, computed.len()) {
        return Ok(());
    }
    // candle's dot products of these take two blocks at a time; it asserts so in debug builds.
    let pairs = matches!(item.held, GgmlType::Q4_1 | GgmlType::Q5_0 | GgmlType::Q5_1);
    if pairs && !item.columns.is_multiple_of(64) {
        return Err(refuse()
            .expected(format!("rows of a multiple of 64 in {}", item.held.name()))
            .found(item.columns.to_string())
            .hint("solve with another --quant, such as q4_0 or q8_0"));
    }
    let rows = item.pieces.iter().try_fold(0_usize, |sum, piece| sum.checked_add(piece.rows));
    if rows != Some(item.rows) {
        let found = rows.map_or_else(|| "more than there can be".to_owned(), |n| n.to_string());
        return Err(refuse().expected(format!("{} rows", item.rows)).found(found));
    }
    item.pieces.iter().try_for_each(|piece| check_piece(item, piece, files))
}

/// Whether an item is not in the files but follows from the config.
pub(super) fn is_computed(item: &Item) -> bool {
    item.pieces.is_empty() && item.slot == Slot::RopeFactors && item.held == GgmlType::F32
}

fn check_piece(item: &Item, piece: &Piece, files: &[u64]) -> Result<(), Error> {
    let refuse =
        || Error::new("load the tensor").object(&piece.tensor).place(item.component.to_string());
    if piece.stored != item.held && !is_float(piece.stored) {
        return Err(refuse()
            .expected(format!("{} as it is stored", piece.stored.name()))
            .found(format!("{} asked for", item.held.name()))
            .hint(
                "what is quantized is not quantized anew; solve with the checkpoint's own types",
            ));
    }
    if bytes(piece.stored, piece.rows, item.columns) != Some(piece.bytes) {
        return Err(refuse()
            .expected(format!("{} rows of {} {}", piece.rows, item.columns, piece.stored.name()))
            .found(format!("{} bytes", piece.bytes)));
    }
    let Some(file_bytes) = files.get(piece.file) else {
        return Err(refuse().expected("a file of the checkpoint").found("no such file"));
    };
    if piece.offset.checked_add(piece.bytes).is_none_or(|end| end > *file_bytes) {
        return Err(refuse()
            .expected(format!("to end within the {file_bytes} bytes of its file"))
            .found(format!("{} bytes from byte {} on", piece.bytes, piece.offset)));
    }
    Ok(())
}

/// Bytes of rows of whole blocks; `None` when rows are not, or there are more than can be counted.
pub(super) fn bytes(kind: GgmlType, rows: usize, columns: usize) -> Option<u64> {
    let row = kind.bytes(u64::try_from(columns).ok()?)?;
    row.checked_mul(u64::try_from(rows).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::weights::blocks::has_kernels;

    #[test]
    fn what_plans_may_ask_for_is_what_there_are_kernels_for() {
        for kind in GgmlType::ALL {
            assert_eq!(holdable(kind), is_float(kind) || has_kernels(kind), "{}", kind.name());
            assert_eq!(of_candle(kind).is_some(), has_kernels(kind), "{}", kind.name());
        }
    }
}
