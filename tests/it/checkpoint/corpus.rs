//! The readers on the inputs that fuzzing kept, and on every file that is one byte off.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use apportion::checkpoint::{Header, read_gguf, read_index, read_safetensors};
use apportion::error::Error;
use apportion::model::Model;

use super::build::{Gguf, kind, list, of_floats, text};

type Reader = fn(&[u8], u64) -> Result<Header, Error>;

/// The inputs of one fuzz target.
fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests", "fuzz", "corpus", target].iter().collect();
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 2, "{target}");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn texts(target: &str) -> impl Iterator<Item = String> {
    inputs(target).into_iter().filter_map(|input| String::from_utf8(input).ok())
}

fn safetensors(file: &[u8], bytes: u64) -> Result<Header, Error> {
    let header = read_safetensors(file, bytes, "x")?;
    let end = header.tensors.iter().fold(header.header_bytes, |end, tensor| {
        assert_eq!(tensor.offset, end);
        end + tensor.bytes
    });
    assert_eq!(end, bytes, "tensors cover the file");
    Ok(header)
}

fn gguf(file: &[u8], bytes: u64) -> Result<Header, Error> {
    let header = read_gguf(Cursor::new(file), bytes, "x")?;
    let end = header.tensors.iter().fold(header.header_bytes, |end, tensor| {
        assert!(tensor.offset >= end, "tensors do not overlap");
        tensor.offset + tensor.bytes
    });
    assert!(end <= bytes, "tensors lie within the file");
    Ok(header)
}

/// The first byte says by how many KiB the file is longer than the rest.
fn split(input: &[u8]) -> (&[u8], u64) {
    let Some((kibibytes, file)) = input.split_first() else { return (input, 0) };
    (file, u64::try_from(file.len()).unwrap() + (u64::from(*kibibytes) << 10))
}

/// How many of the results are right, and how many are refused by name.
fn judged(results: impl Iterator<Item = Result<(), Error>>) -> (usize, usize) {
    let (mut right, mut refused) = (0, 0);
    for result in results {
        match result {
            Ok(()) => right += 1,
            Err(error) => {
                let message = error.to_string();
                assert!(message.starts_with("cannot ") && message.contains("`x`"), "{message}");
                refused += 1;
            }
        }
    }
    (right, refused)
}

#[test]
fn what_fuzzing_kept_is_read_or_refused() {
    let read = |input: &Vec<u8>| {
        let (file, bytes) = split(input);
        safetensors(file, bytes).map(drop)
    };
    let (right, refused) = judged(inputs("safetensors").iter().map(read));
    assert!(right > 0 && refused > 0, "{right} {refused}");
    let read = |input: &Vec<u8>| {
        let (file, bytes) = split(input);
        gguf(file, bytes).map(drop)
    };
    let (right, refused) = judged(inputs("gguf").iter().map(read));
    assert!(right > 0 && refused > 0, "{right} {refused}");
    let read = |text: String| read_index(&text, "x").map(drop);
    let (right, refused) = judged(texts("index").map(read));
    assert!(right > 0 && refused > 0, "{right} {refused}");
    let read = |text: String| Model::from_config_json(&text, "x").map(drop);
    let (right, refused) = judged(texts("config").map(read));
    assert!(right > 0 && refused > 0, "{right} {refused}");
}

#[test]
fn files_one_byte_off_are_read_or_refused() {
    let reads: [(Vec<u8>, Reader); 2] = [
        (of_floats(&[("a", 2), ("b", 1), ("c", 3)]), safetensors),
        (
            Gguf::new()
                .value("general.alignment", kind::U32, &32_u32.to_le_bytes())
                .value("x.list", kind::LIST, &list(kind::TEXT, 1, &text("y")))
                .value("x.layers", kind::LIST, &list(kind::BOOL, 2, &[0, 1]))
                .tensor("a", &[8, 2], 0, 0)
                .tensor("b", &[32], 8, 64)
                .data(98)
                .file(),
            gguf,
        ),
    ];
    for (file, read) in reads {
        let bytes = u64::try_from(file.len()).unwrap();
        let header_bytes = read(&file, bytes).unwrap().header_bytes;
        let mut changed = file.clone();
        let mut refused = 0;
        for at in 0..file.len() {
            for byte in [0, 1, 9, 0x22, 0x39, 0x5b, 0x7f, 0x80, 0xff] {
                changed[at] = byte;
                refused += usize::from(read(&changed, bytes).is_err());
            }
            changed[at] = file[at];
        }
        assert!(refused > 100, "{refused}");
        for end in 0..bytes {
            let cut = &file[..usize::try_from(end).unwrap()];
            assert!(read(cut, end).is_err(), "cut at {end}");
            // A longer file of which this is all that can be read; padding is not read.
            assert!(read(cut, bytes).is_err() || end + 32 > header_bytes, "cut at {end}");
        }
    }
}
