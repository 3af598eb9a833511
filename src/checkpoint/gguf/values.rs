//! The key-values of a GGUF header.

use std::io::{Read, Seek};

use super::super::{MetaValue, Metadata};
use super::cursor::Cursor;
use crate::error::Error;

/// The format's own limit on keys, in bytes.
const KEY_BYTES_MAX: u64 = 65_535;

/// Longer texts are skipped, in bytes: chat templates have tens of thousands, but the format has a key
/// for a whole tokenizer.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// All keys and values that are kept may not take more, in bytes.
const KEPT_BYTES_MAX: u64 = 16 << 20;

/// Longer lists are skipped: lists per layer are kept, vocabularies are not.
const INTEGERS_MAX: u64 = 4096;

/// What the data are aligned to unless the header says otherwise, in bytes.
const ALIGNMENT_DEFAULT: u64 = 32;

const ALIGNMENT_MAX: u64 = 1 << 20;

/// The key-values, and the one the layout depends on.
pub struct Values {
    pub metadata: Metadata,
    /// Bytes.
    pub alignment: u64,
}

/// The types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    List,
    U64,
    I64,
    F64,
}

/// By their number in files.
const KINDS: [Kind; 13] = [
    Kind::U8,
    Kind::I8,
    Kind::U16,
    Kind::I16,
    Kind::U32,
    Kind::I32,
    Kind::F32,
    Kind::Bool,
    Kind::Text,
    Kind::List,
    Kind::U64,
    Kind::I64,
    Kind::F64,
];

impl Kind {
    /// Bytes of one value, at least.
    fn bytes_min(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Text => 8,
            Self::List => 12,
        }
    }

    fn is_whole(self) -> bool {
        !matches!(self, Self::F32 | Self::F64 | Self::Text | Self::List)
    }
}

/// Reads `count` key-values.
pub fn read<R: Read + Seek>(cursor: &mut Cursor<'_, R>, count: u64) -> Result<Values, Error> {
    let mut values = Values { metadata: Metadata::default(), alignment: ALIGNMENT_DEFAULT };
    let mut kept_bytes = 0_u64;
    for _ in 0..count {
        let at = cursor.at();
        let key = cursor.text(KEY_BYTES_MAX, "a key")?;
        let named = format!("key `{key}`");
        let kind = kind(cursor, &named)?;
        let value = value(cursor, kind, &named)?;
        kept_bytes += u64::try_from(key.len()).unwrap_or(u64::MAX) + size(&value);
        if kept_bytes > KEPT_BYTES_MAX {
            let expected = format!("key-values of at most {KEPT_BYTES_MAX} bytes to keep");
            return Err(cursor.refuse_within(at, &named).expected(expected).found("more"));
        }
        if key == "general.alignment" {
            values.alignment = alignment(&value).ok_or_else(|| {
                let expected = format!("a power of two from 8 to {ALIGNMENT_MAX}");
                cursor.refuse_within(at, &named).expected(expected).found(format!("{value:?}"))
            })?;
        }
        if !values.metadata.insert(key, value) {
            let error = cursor.refuse_within(at, &named);
            return Err(error.expected("every key once").found("the same key twice"));
        }
    }
    Ok(values)
}

fn alignment(value: &MetaValue) -> Option<u64> {
    match *value {
        MetaValue::Unsigned(bytes) if bytes.is_power_of_two() => {
            (8..=ALIGNMENT_MAX).contains(&bytes).then_some(bytes)
        }
        _ => None,
    }
}

fn kind<R: Read + Seek>(cursor: &mut Cursor<'_, R>, key: &str) -> Result<Kind, Error> {
    let at = cursor.at();
    let id = cursor.u32("a value's type")?;
    usize::try_from(id).ok().and_then(|id| KINDS.get(id)).copied().ok_or_else(|| {
        let expected = format!("a value type from 0 to {}", KINDS.len() - 1);
        cursor.refuse_within(at, key).expected(expected).found(id.to_string())
    })
}

/// What a value takes in memory beside its key, roughly, in bytes.
fn size(value: &MetaValue) -> u64 {
    let list = match value {
        MetaValue::Text(text) => text.len(),
        MetaValue::Integers(values) => values.len() * 8,
        _ => 0,
    };
    u64::try_from(list).unwrap_or(u64::MAX).saturating_add(64)
}

fn value<R: Read + Seek>(
    cursor: &mut Cursor<'_, R>,
    kind: Kind,
    key: &str,
) -> Result<MetaValue, Error> {
    match kind {
        Kind::F32 => {
            let value = f32::from_le_bytes(cursor.bytes("a number")?);
            Ok(MetaValue::Float(f64::from(value)))
        }
        Kind::F64 => Ok(MetaValue::Float(f64::from_le_bytes(cursor.bytes("a number")?))),
        Kind::Text => text(cursor),
        Kind::List => list(cursor, key),
        Kind::Bool => boolean(cursor, key).map(MetaValue::Bool),
        whole => Ok(match integer(cursor, whole, key)? {
            Ok(value) => MetaValue::Unsigned(value),
            Err(negative) => MetaValue::Negative(negative),
        }),
    }
}

fn text<R: Read + Seek>(cursor: &mut Cursor<'_, R>) -> Result<MetaValue, Error> {
    let at = cursor.at();
    let bytes = cursor.u64("the length of a text")?;
    if bytes <= TEXT_BYTES_MAX {
        return cursor.text_of(bytes, at, "a text").map(MetaValue::Text);
    }
    cursor.skip(bytes, "a text")?;
    Ok(MetaValue::LongText(bytes))
}

fn boolean<R: Read + Seek>(cursor: &mut Cursor<'_, R>, key: &str) -> Result<bool, Error> {
    let at = cursor.at();
    match cursor.bytes("true or false")? {
        [0] => Ok(false),
        [1] => Ok(true),
        [other] => {
            let error = cursor.refuse_within(at, key);
            Err(error.expected("0 or 1 for false or true").found(other.to_string()))
        }
    }
}

/// A whole number; the negative ones apart.
fn integer<R: Read + Seek>(
    cursor: &mut Cursor<'_, R>,
    kind: Kind,
    key: &str,
) -> Result<Result<u64, i64>, Error> {
    let what = "a whole number";
    let signed = match kind {
        Kind::U8 => return Ok(Ok(u64::from(u8::from_le_bytes(cursor.bytes(what)?)))),
        Kind::U16 => return Ok(Ok(u64::from(u16::from_le_bytes(cursor.bytes(what)?)))),
        Kind::U32 => return Ok(Ok(u64::from(cursor.u32(what)?))),
        Kind::U64 => return cursor.u64(what).map(Ok),
        Kind::Bool => return Ok(Ok(u64::from(boolean(cursor, key)?))),
        Kind::I8 => i64::from(i8::from_le_bytes(cursor.bytes(what)?)),
        Kind::I16 => i64::from(i16::from_le_bytes(cursor.bytes(what)?)),
        Kind::I32 => i64::from(i32::from_le_bytes(cursor.bytes(what)?)),
        _ => i64::from_le_bytes(cursor.bytes(what)?),
    };
    Ok(u64::try_from(signed).map_err(|_| signed))
}

fn list<R: Read + Seek>(cursor: &mut Cursor<'_, R>, key: &str) -> Result<MetaValue, Error> {
    let at = cursor.at();
    let kind = kind(cursor, key)?;
    if kind == Kind::List {
        let error = cursor.refuse_within(at, key);
        return Err(error.expected("a list of plain values").found("a list of lists"));
    }
    let at = cursor.at();
    let items = cursor.u64("the number of a list's items")?;
    let room = cursor.left() / kind.bytes_min();
    if items > room {
        let expected = format!("at most {room} items, for which the file has room");
        return Err(cursor.refuse_within(at, key).expected(expected).found(items.to_string()));
    }
    if kind == Kind::Text {
        for _ in 0..items {
            let length = cursor.u64("the length of a list's text")?;
            cursor.skip(length, "a list's text")?;
        }
        return Ok(MetaValue::List(items));
    }
    if !kind.is_whole() || items > INTEGERS_MAX {
        // It was checked that this is less than the file's length.
        cursor.skip(items * kind.bytes_min(), "a list's items")?;
        return Ok(MetaValue::List(items));
    }
    let (mut values, mut negative) = (Vec::new(), false);
    for _ in 0..items {
        match integer(cursor, kind, key)? {
            Ok(value) => values.push(value),
            Err(_) => negative = true,
        }
    }
    Ok(if negative { MetaValue::List(items) } else { MetaValue::Integers(values) })
}
