//! Whether the tensors a safetensors header lists are what the rest of the file can be.

use super::super::names::Names;
use super::super::{FoundTensor, OPERATION};
use super::listing::Listed;
use crate::dtype::{Dtype, SafeType};
use crate::error::Error;

/// The tensors in the order of their data, which fill the file from `data_start` to its end.
pub fn tensors(
    listed: Vec<Listed<'_>>,
    data_start: u64,
    file_bytes: u64,
    shown: &str,
) -> Result<Vec<FoundTensor>, Error> {
    let names = Names::new(listed.iter().map(|tensor| &*tensor.name));
    if let Some((again, _)) = names.first_repeated() {
        return Err(at_key(shown, &listed[again].name)
            .expected("every tensor once")
            .found("the same name twice"));
    }
    drop(names);
    let mut tensors = listed
        .into_iter()
        .map(|tensor| checked(tensor, data_start, shown))
        .collect::<Result<Vec<_>, _>>()?;
    // Tensors without elements share their offset with the next one.
    tensors.sort_by(|a, b| (a.offset, a.bytes, &a.name).cmp(&(b.offset, b.bytes, &b.name)));
    check_cover(&tensors, data_start, file_bytes, shown)?;
    Ok(tensors)
}

fn at_key(shown: &str, name: &str) -> Error {
    Error::new(OPERATION).object(shown).place(format!("key `{name}`"))
}

/// One tensor alone: its type is known and its bytes are those of its shape.
fn checked(listed: Listed<'_>, data_start: u64, shown: &str) -> Result<FoundTensor, Error> {
    let Listed { name, dtype: type_name, shape, data_offsets: (start, end) } = listed;
    let refuse = || at_key(shown, &name);
    let Some(dtype) = SafeType::from_header(&type_name) else {
        let known = SafeType::header_names().collect::<Vec<_>>().join(", ");
        return Err(refuse().expected(format!("one of {known}")).found(format!("`{type_name}`")));
    };
    let elements = shape.iter().try_fold(1, |product: u64, &n| product.checked_mul(n));
    let Some(bytes) = elements.and_then(|elements| dtype.bytes(elements)) else {
        let expected = "a shape whose bytes are whole and fit in 64 bits";
        return Err(refuse().expected(expected).found(format!("{type_name} {shape:?}")));
    };
    if end.checked_sub(start) != Some(bytes) {
        let expected = format!("data_offsets {bytes} bytes apart, for {type_name} {shape:?}");
        return Err(refuse().expected(expected).found(format!("[{start}, {end}]")));
    }
    let Some(offset) = data_start.checked_add(start).filter(|at| at.checked_add(bytes).is_some())
    else {
        let found = format!("[{start}, {end}]");
        return Err(refuse().expected("data_offsets within the file").found(found));
    };
    let dtype = Dtype::Safe(dtype);
    Ok(FoundTensor { name: name.into_owned(), dtype, shape, bytes, file: 0, offset })
}

/// Each tensor begins where the last one ended, and the last one ends with the file.
fn check_cover(
    tensors: &[FoundTensor],
    data_start: u64,
    file_bytes: u64,
    shown: &str,
) -> Result<(), Error> {
    let (mut end, mut before) = (data_start, None::<&FoundTensor>);
    for tensor in tensors {
        if tensor.offset != end {
            let wanted = end - data_start;
            let after = before.map_or("the header".to_owned(), |t| format!("`{}`", t.name));
            let kind = if tensor.offset < end { "an overlap" } else { "a hole" };
            return Err(at_key(shown, &tensor.name)
                .expected(format!("data_offsets from {wanted} on, where {after} ends"))
                .found(format!("{kind}: from {} on", tensor.offset - data_start)));
        }
        // It was checked that this fits in 64 bits.
        end = tensor.offset.saturating_add(tensor.bytes);
        before = Some(tensor);
    }
    if end == file_bytes {
        return Ok(());
    }
    let error = Error::new(OPERATION)
        .object(shown)
        .place(format!("byte {end}"))
        .expected(format!("the end of the last tensor to be the end of the file, {end} bytes"))
        .found(format!("a file of {file_bytes} bytes"));
    Err(if file_bytes < end { error.hint("the file may not be complete") } else { error })
}
