//! The tensor infos of a GGUF header, and whether the data they speak of are in the file.

use std::io::{Read, Seek};

use super::super::FoundTensor;
use super::super::names::Names;
use super::cursor::Cursor;
use crate::dtype::{Dtype, GgmlType};
use crate::error::Error;

/// llama.cpp keeps 63 bytes, others twice that.
const NAME_BYTES_MAX: u64 = 1024;

const DIMENSIONS_MAX: u32 = 4;

/// The infos read so far.
pub struct Infos {
    /// Their offsets count from the start of the data.
    tensors: Vec<FoundTensor>,
    alignment: u64,
}

impl Infos {
    /// None yet; data are aligned to `alignment` bytes.
    pub fn new(alignment: u64) -> Self {
        Self { tensors: Vec::new(), alignment }
    }

    /// Reads one more.
    pub fn read<R: Read + Seek>(&mut self, cursor: &mut Cursor<'_, R>) -> Result<(), Error> {
        let name = cursor.text(NAME_BYTES_MAX, "a tensor's name")?;
        let shape_at = cursor.at();
        let mut shape = dimensions(cursor, &name)?;
        let type_at = cursor.at();
        let id = cursor.u32("a tensor's type")?;
        let Some(kind) = GgmlType::from_id(id) else {
            return Err(cursor
                .refuse_within(type_at, &named(&name))
                .expected("the number of a ggml type")
                .found(id.to_string()));
        };
        let offset_at = cursor.at();
        let offset = cursor.u64("a tensor's offset")?;
        let bytes = bytes(kind, &shape).map_err(|expected| {
            let found = format!("{} {shape:?}", kind.name());
            cursor.refuse_within(shape_at, &named(&name)).expected(expected).found(found)
        })?;
        self.check_offset(offset, bytes).map_err(|expected| {
            cursor
                .refuse_within(offset_at, &named(&name))
                .expected(expected)
                .found(offset.to_string())
        })?;
        shape.reverse();
        self.tensors.push(FoundTensor {
            name,
            dtype: Dtype::Ggml(kind),
            shape,
            bytes,
            file: 0,
            offset,
        });
        Ok(())
    }

    /// Data are aligned and in the order of the list, without overlap; or what was expected.
    fn check_offset(&self, offset: u64, bytes: u64) -> Result<(), String> {
        if !offset.is_multiple_of(self.alignment) {
            return Err(format!("an offset that is a multiple of {}", self.alignment));
        }
        if offset.checked_add(bytes).is_none() {
            return Err("an offset within the file".to_owned());
        }
        match self.tensors.last() {
            Some(last) if offset < last.offset + last.bytes => {
                let end = last.offset + last.bytes;
                Err(format!("an offset of at least {end}, where `{}` ends", last.name))
            }
            _ => Ok(()),
        }
    }

    /// All tensors with their offsets in the file, behind the bytes of the header.
    pub fn finish<R: Read + Seek>(
        mut self,
        cursor: &Cursor<'_, R>,
    ) -> Result<(u64, Vec<FoundTensor>), Error> {
        let names = Names::new(self.tensors.iter().map(|tensor| &*tensor.name));
        let repeated = names.first_repeated();
        drop(names);
        // Headers are far shorter than 2^64 bytes: this cannot overflow.
        let data_start = cursor.at().next_multiple_of(self.alignment);
        for tensor in &mut self.tensors {
            let offset = data_start.checked_add(tensor.offset);
            let end = offset.and_then(|offset| offset.checked_add(tensor.bytes));
            let Some(offset) = offset.filter(|_| end.is_some_and(|end| end <= cursor.file_bytes()))
            else {
                return Err(beyond(cursor, tensor, data_start));
            };
            tensor.offset = offset;
        }
        if let Some((again, _)) = repeated {
            let FoundTensor { name, offset, .. } = &self.tensors[again];
            return Err(cursor
                .refuse_within(*offset, &named(name))
                .expected("every tensor once")
                .found("the same name twice"));
        }
        // A file of key-values alone may end without padding.
        Ok((data_start.min(cursor.file_bytes()), self.tensors))
    }
}

fn named(name: &str) -> String {
    format!("tensor `{name}`")
}

fn beyond<R: Read + Seek>(cursor: &Cursor<'_, R>, tensor: &FoundTensor, data_start: u64) -> Error {
    let FoundTensor { name, offset, bytes, .. } = tensor;
    let start = u128::from(data_start) + u128::from(*offset);
    let end = start + u128::from(*bytes);
    cursor
        .refuse_within(cursor.file_bytes(), &named(name))
        .expected(format!("its data within the file, {} bytes", cursor.file_bytes()))
        .found(format!("{start} to {end}"))
        .hint("the file may not be complete")
}

/// Dimensions as in the file, innermost first.
fn dimensions<R: Read + Seek>(cursor: &mut Cursor<'_, R>, name: &str) -> Result<Vec<u64>, Error> {
    let at = cursor.at();
    let count = cursor.u32("the number of a tensor's dimensions")?;
    if !(1..=DIMENSIONS_MAX).contains(&count) {
        let expected = format!("1 to {DIMENSIONS_MAX} dimensions");
        return Err(cursor
            .refuse_within(at, &named(name))
            .expected(expected)
            .found(count.to_string()));
    }
    (0..count).map(|_| cursor.u64("a dimension")).collect()
}

/// The bytes of a tensor with these dimensions, innermost first; or what was expected.
fn bytes(kind: GgmlType, dimensions: &[u64]) -> Result<u64, String> {
    let block = kind.block_elements();
    if !dimensions.first().is_some_and(|row| row.is_multiple_of(block)) {
        return Err(format!("rows of whole blocks, {block} elements each"));
    }
    let elements = dimensions.iter().try_fold(1, |product: u64, &n| product.checked_mul(n));
    elements
        .and_then(|elements| kind.bytes(elements))
        .ok_or_else(|| "a shape whose bytes fit in 64 bits".to_owned())
}
