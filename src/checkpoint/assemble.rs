//! From the headers of the files to one checkpoint.

use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::index::{INDEX_BYTES_MAX, Index, read_index};
use super::locate::Located;
use super::names::Names;
use super::safetensors::{LENGTH_BYTES, header_length, read_safetensors};
use super::{Checkpoint, Format, FoundTensor, Header, HeaderFile, OPERATION, TENSORS_MAX, gguf};
use crate::error::Error;
use crate::files;
use crate::units::format_bytes;

/// The headers of all shards together may not be longer, in bytes: together with the limit on tensors this
/// is what bounds the memory. DeepSeek-V3's have 14 million.
const HEADERS_BYTES_MAX: u64 = 256 << 20;

/// Reads what was located.
pub(super) fn checkpoint(located: &Located) -> Result<Checkpoint, Error> {
    match located {
        Located::Safetensors(paths) => safetensors(paths, None),
        Located::Indexed { index: path, shard } => {
            let text = files::read_at_most(path, OPERATION, INDEX_BYTES_MAX)?;
            let index = read_index(&text, &shown(path))?;
            let paths = indexed(&index, path, shard.as_deref())?;
            safetensors(&paths, Some((&index, path)))
        }
        Located::Gguf(paths) => {
            let headers = gguf::read_parts(paths)?;
            joined(Format::Gguf, paths, headers, None)
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The shards of an index, all of which must be there.
fn indexed(index: &Index<'_>, path: &Path, shard: Option<&str>) -> Result<Vec<PathBuf>, Error> {
    if let Some(shard) = shard.filter(|shard| !index.shards.iter().any(|known| known == shard)) {
        return Err(Error::new(OPERATION)
            .object(shown(path))
            .place("key `weight_map`")
            .expected(format!("a tensor of shard `{shard}`, which lies beside it"))
            .found(format!("other shards, the first one `{}`", first_or_none(&index.shards))));
    }
    if index.shards.is_empty() {
        let error = Error::new(OPERATION).object(shown(path)).place("key `weight_map`");
        return Err(error.expected("at least one tensor").found("none"));
    }
    let paths = index.shards.iter().map(|name| path.with_file_name(name));
    let paths: Vec<PathBuf> = paths.collect();
    match paths.iter().find(|path| files::is_missing(path)) {
        Some(missing) => Err(Error::new(OPERATION)
            .object(shown(missing))
            .expected(format!("a shard that `{}` names", shown(path)))
            .found("no such file")),
        None => Ok(paths),
    }
}

fn first_or_none(names: &[String]) -> &str {
    names.first().map_or("none", String::as_str)
}

fn safetensors(paths: &[PathBuf], index: Option<(&Index<'_>, &Path)>) -> Result<Checkpoint, Error> {
    check_lengths(paths)?;
    // All are read before the first failure is chosen: which one that is must not depend on threads.
    let headers: Vec<Result<(Header, u64), Error>> =
        paths.par_iter().map(|path| read_shard(path)).collect();
    let headers = headers.into_iter().collect::<Result<Vec<_>, _>>()?;
    joined(Format::Safetensors, paths, headers, index)
}

/// One header, with the length of its file.
fn read_shard(path: &Path) -> Result<(Header, u64), Error> {
    let (file, bytes) = files::open_regular(path, OPERATION)?;
    Ok((read_safetensors(file, bytes, &shown(path))?, bytes))
}

/// The shards' headers together are within the limit, before any is read.
fn check_lengths(paths: &[PathBuf]) -> Result<(), Error> {
    let mut sum = 0_u64;
    for path in paths {
        let (mut file, bytes) = files::open_regular(path, OPERATION)?;
        sum += LENGTH_BYTES + header_length(&mut file.by_ref(), bytes, &shown(path))?;
        if sum > HEADERS_BYTES_MAX {
            let expected = format!("headers of at most {} in all", format_bytes(HEADERS_BYTES_MAX));
            return Err(Error::new(OPERATION)
                .object(shown(path))
                .expected(expected)
                .found(format!("{} up to and with this file", format_bytes(sum))));
        }
    }
    Ok(())
}

/// One checkpoint of all files, which are as the index says if there is one.
fn joined(
    format: Format,
    paths: &[PathBuf],
    headers: Vec<(Header, u64)>,
    index: Option<(&Index<'_>, &Path)>,
) -> Result<Checkpoint, Error> {
    let (mut files, mut tensors) = (Vec::new(), Vec::new());
    let mut metadata = None;
    for (number, (path, (header, bytes))) in paths.iter().zip(headers).enumerate() {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let found = header.tensors.into_iter();
        tensors.extend(found.map(|tensor| FoundTensor { file: number, ..tensor }));
        files.push(HeaderFile { path: path.clone(), bytes, header_bytes: header.header_bytes });
        metadata.get_or_insert(header.metadata);
        check_count(path, tensors.len())?;
    }
    let mut notices = Vec::new();
    let names = Names::new(tensors.iter().map(|tensor| &*tensor.name));
    check_doubled(&files, &tensors, &names)?;
    if let Some((index, path)) = index {
        index.check(&tensors, &names, &shown(path))?;
        notices.extend(total_notice(index, &tensors, path));
    }
    drop(names);
    let metadata = metadata.unwrap_or_default();
    let config_text = config_beside(paths, &mut notices);
    Ok(Checkpoint { format, files, tensors, metadata, config_text, notices })
}

pub(super) fn check_count(path: &Path, tensors: usize) -> Result<(), Error> {
    if tensors <= TENSORS_MAX {
        return Ok(());
    }
    let error = Error::new(OPERATION).object(shown(path));
    let found = format!("{tensors} up to and with this file");
    Err(error.expected(format!("at most {TENSORS_MAX} tensors in all")).found(found))
}

/// No tensor is in two files.
fn check_doubled(
    files: &[HeaderFile],
    tensors: &[FoundTensor],
    names: &Names<'_>,
) -> Result<(), Error> {
    let Some((again, before)) = names.first_repeated() else { return Ok(()) };
    let path = |tensor: &FoundTensor| {
        let file = usize::try_from(tensor.file).ok().and_then(|file| files.get(file));
        file.map_or(String::new(), |file| shown(&file.path))
    };
    let (again, before) = (&tensors[again], &tensors[before]);
    Err(Error::new(OPERATION)
        .object(path(again))
        .place(format!("byte {}, tensor `{}`", again.offset, again.name))
        .expected("every tensor in one file")
        .found(format!("the same name in `{}`", path(before))))
}

/// The index's total changes nothing, so that it is wrong is only worth a notice.
fn total_notice(index: &Index<'_>, tensors: &[FoundTensor], path: &Path) -> Option<String> {
    let said = index.total_bytes?;
    let found = tensors.iter().fold(0, |sum: u64, tensor| sum.saturating_add(tensor.bytes));
    (said != found).then(|| {
        format!("`{}` says total_size {said}, its tensors have {found} bytes", shown(path))
    })
}

/// The config.json in the folder of the weights. The headers are exact without it, so that it cannot be
/// read is only worth a notice.
fn config_beside(paths: &[PathBuf], notices: &mut Vec<String>) -> Option<(String, String)> {
    let path = paths.first()?.with_file_name("config.json");
    if files::is_missing(&path) {
        return None;
    }
    match files::read_text(&path, "read the config beside the weights") {
        Ok(text) => Some((shown(&path), text)),
        Err(error) => {
            notices.push(error.to_string());
            None
        }
    }
}
