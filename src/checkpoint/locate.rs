//! From a path to the files of one checkpoint.

use std::path::{Path, PathBuf};

use super::OPERATION;
use crate::error::Error;
use crate::files;

const INDEX: &str = ".safetensors.index.json";
const SAFETENSORS: &str = ".safetensors";
const GGUF: &str = ".gguf";

/// The files of a checkpoint, as names tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Located {
    /// One file, or shards that have no index.
    Safetensors(Vec<PathBuf>),
    /// Shards with their index.
    Indexed {
        /// The index.
        index: PathBuf,
        /// The shard that was asked for, which the index must know.
        shard: Option<String>,
    },
    /// One file, or all parts of a split one.
    Gguf(Vec<PathBuf>),
}

/// Whether a file of that name would be read as a checkpoint or a part of one.
pub(super) fn is_checkpoint_name(name: &str) -> bool {
    [INDEX, SAFETENSORS, GGUF].iter().any(|ending| name.ends_with(ending))
}

/// Finds the checkpoint that `path` names or holds.
pub(super) fn locate(path: &Path) -> Result<Located, Error> {
    if files::is_folder(path) { of_file(&in_folder(path)?) } else { of_file(path) }
}

fn of_file(path: &Path) -> Result<Located, Error> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.ends_with(INDEX) {
        return Ok(Located::Indexed { index: path.to_owned(), shard: None });
    }
    if name.ends_with(SAFETENSORS) {
        let Some(shard) = Numbered::parse(name, SAFETENSORS) else {
            return Ok(Located::Safetensors(vec![path.to_owned()]));
        };
        let index = path.with_file_name(format!("{}{INDEX}", shard.prefix));
        if files::is_missing(&index) {
            return Ok(Located::Safetensors(shard.siblings(path)?));
        }
        return Ok(Located::Indexed { index, shard: Some(name.to_owned()) });
    }
    if name.ends_with(GGUF) {
        return Ok(Located::Gguf(match Numbered::parse(name, GGUF) {
            Some(part) => part.siblings(path)?,
            None => vec![path.to_owned()],
        }));
    }
    // What cannot be opened is refused for that, before its name.
    files::open_regular(path, OPERATION)?;
    let error = Error::new(OPERATION)
        .object(path.display().to_string())
        .expected(format!("a name that ends with `{SAFETENSORS}`, `{INDEX}` or `{GGUF}`"))
        .found(format!("`{name}`"));
    let pickled = [".bin", ".pt", ".pth"].iter().any(|ending| name.ends_with(ending));
    Err(if pickled { error.hint("convert the PyTorch file to safetensors first") } else { error })
}

/// The name of one shard of several, e.g. `model-00003-of-00006.safetensors`.
struct Numbered<'a> {
    prefix: &'a str,
    number: &'a str,
    count: &'a str,
    ending: &'static str,
}

impl<'a> Numbered<'a> {
    fn parse(name: &'a str, ending: &'static str) -> Option<Self> {
        let (rest, count) = name.strip_suffix(ending)?.rsplit_once("-of-")?;
        let (prefix, number) = rest.rsplit_once('-')?;
        let shard = Self { prefix, number, count, ending };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let width = number.len() == count.len() && (2..=8).contains(&count.len());
        (width && digits(number) && digits(count)).then_some(shard)
    }

    /// All shards, which lie beside `path`.
    fn siblings(&self, path: &Path) -> Result<Vec<PathBuf>, Error> {
        let refuse = |path: &Path| Error::new(OPERATION).object(path.display().to_string());
        let (number, count) = (self.number.parse::<u32>(), self.count.parse::<u32>());
        let (Ok(number), Ok(count @ 1..)) = (number, count) else {
            return Err(refuse(path).expected("a count of shards").found(self.count));
        };
        if !(1..=count).contains(&number) {
            let expected = format!("a shard from 1 to {count}");
            return Err(refuse(path).expected(expected).found(number.to_string()));
        }
        let mut siblings = Vec::new();
        for number in 1..=count {
            let Self { prefix, count: digits, ending, .. } = self;
            let width = digits.len();
            let sibling =
                path.with_file_name(format!("{prefix}-{number:0width$}-of-{digits}{ending}"));
            if files::is_missing(&sibling) {
                let expected = format!("shard {number} of {count}");
                return Err(refuse(&sibling).expected(expected).found("no such file"));
            }
            siblings.push(sibling);
        }
        Ok(siblings)
    }
}

/// The one checkpoint of a folder; an index goes before single files, safetensors before GGUF.
fn in_folder(folder: &Path) -> Result<PathBuf, Error> {
    let names = files::names_in(folder, OPERATION)?;
    let refuse = || Error::new(OPERATION).object(folder.display().to_string());
    for ending in [INDEX, SAFETENSORS, GGUF] {
        let candidates = candidates(&names, ending);
        let preferred = format!("model{ending}");
        match candidates[..] {
            [] => {}
            [name] => return Ok(folder.join(name)),
            _ if candidates.contains(&&*preferred) => return Ok(folder.join(preferred)),
            _ => {
                let list = candidates.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
                return Err(refuse()
                    .expected("one checkpoint in the folder")
                    .found(list.join(", "))
                    .hint("name the file itself"));
            }
        }
    }
    let expected = format!("a `{INDEX}`, `{SAFETENSORS}` or `{GGUF}` file in it");
    Err(refuse().expected(expected).found(format!("{} other entries", names.len())))
}

/// The names with that ending, of several shards only the first.
fn candidates<'a>(names: &'a [String], ending: &'static str) -> Vec<&'a str> {
    let mut candidates: Vec<&str> = Vec::new();
    let mut sets: Vec<(&str, &str)> = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(ending)) {
        if let Some(Numbered { prefix, count, .. }) = Numbered::parse(name, ending) {
            // Names are sorted: shards of one set are neighbours or nearly so.
            if sets.iter().rev().any(|set| *set == (prefix, count)) {
                continue;
            }
            sets.push((prefix, count));
        }
        candidates.push(name);
    }
    // Mistral's repositories hold the same weights once more under this name.
    let copy = |name: &&str| name.starts_with("consolidated");
    if !candidates.iter().all(copy) {
        candidates.retain(|name| !copy(name));
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_s_candidates_are_sets_not_shards() {
        let names = [
            "a-00001-of-00002.gguf",
            "a-00002-of-00002.gguf",
            "b-00001-of-00002.gguf",
            "b-1-of-x.gguf",
            "c.gguf",
            "c.txt",
        ]
        .map(str::to_owned);
        assert_eq!(
            candidates(&names, GGUF),
            ["a-00001-of-00002.gguf", "b-00001-of-00002.gguf", "b-1-of-x.gguf", "c.gguf"]
        );
        let names = ["consolidated.safetensors".to_owned(), "model.safetensors".to_owned()];
        assert_eq!(candidates(&names, SAFETENSORS), ["model.safetensors"]);
        assert_eq!(candidates(&names[..1], SAFETENSORS), ["consolidated.safetensors"]);
    }

    #[test]
    fn numbered_names_have_two_numbers_of_one_width() {
        let parse = |name| Numbered::parse(name, GGUF).map(|n| (n.prefix, n.number, n.count));
        assert_eq!(parse("x-00001-of-00003.gguf"), Some(("x", "00001", "00003")));
        assert_eq!(parse("a-of-b-01-of-03.gguf"), Some(("a-of-b", "01", "03")));
        for name in ["x-1-of-3.gguf", "x-001-of-0003.gguf", "x-0a-of-03.gguf", "01-of-03.gguf"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
