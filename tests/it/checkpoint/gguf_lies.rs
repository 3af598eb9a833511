//! Headers of GGUF files that lie about lengths, counts and values, one lie each.

use super::Shelf;
use super::build::{Gguf, kind, list, text};

/// The file is refused with its name, a byte, and all `words`.
fn refuses(file: &[u8], words: &[&str]) {
    let shelf = Shelf::new();
    shelf.put("x.gguf", file).refuses("x.gguf", &["x.gguf`, at byte "]);
    shelf.refuses("x.gguf", words);
}

fn value_refuses(kind: u32, content: &[u8], words: &[&str]) {
    refuses(&Gguf::new().value("a.key", kind, content).file(), words);
}

#[test]
fn other_formats_and_versions() {
    let magic = |magic: &[u8; 4]| Gguf { magic: *magic, ..Gguf::new() }.file();
    refuses(&magic(b"\x7fELF"), &["byte 0", "expected the magic `GGUF`", "found `\\x7fELF`"]);
    refuses(&magic(b"tjgg"), &["byte 0", "before GGUF"]);
    refuses(&magic(b"FUGG"), &["byte 0", "big-endian"]);
    refuses(b"version https://git-lfs.github.com/spec/v1\n", &["byte 0", "Git LFS pointer"]);
    let version = |version: u32| Gguf { version, ..Gguf::new() }.file();
    let expected = "expected version 2 or 3, little-endian";
    refuses(&version(1), &["byte 4", expected, "found version 1", "convert the model again"]);
    refuses(&version(0), &["byte 4", expected, "found version 0"]);
    refuses(&version(4), &["byte 4", expected, "found version 4"]);
    refuses(&version(3_u32.swap_bytes()), &["byte 4", expected, "found version 3, big-endian"]);
}

#[test]
fn files_that_end_within_the_header() {
    let gguf = Gguf::new()
        .value("general.name", kind::TEXT, &text("x"))
        .value("a.list", kind::LIST, &list(kind::TEXT, 1, &text("y")))
        .tensor("t", &[1], 0, 0)
        .data(4);
    let (whole, header) = (gguf.file(), 24 + gguf.values.len() + gguf.infos.len());
    for length in 0..header {
        refuses(&whole[..length], &["byte ", "expected ", "found "]);
    }
    refuses(b"GGU", &["byte 0", "the magic `GGUF` within the file", "found 4 bytes, 3 before"]);
    let words = ["tensor `t`", "its data within the file", "may not be complete"];
    refuses(&whole[..whole.len() - 1], &words);
}

#[test]
fn counts_beyond_the_file() {
    let tensors = |count| Gguf { tensor_count: Some(count), ..Gguf::new() }.file();
    let values = |count| Gguf { value_count: Some(count), ..Gguf::new() }.file();
    for count in [1, u64::from(u32::MAX), u64::MAX / 2 + 1, u64::MAX] {
        let found = format!("found {count}");
        refuses(&tensors(count), &["byte 8", "at most 0 tensors", "room", &found]);
        refuses(&values(count), &["byte 16", "at most 0 key-values", "room", &found]);
    }
    let shelf = Shelf::new();
    shelf.put_sparse("x.gguf", &tensors((1 << 20) + 1), 1 << 40);
    shelf.refuses("x.gguf", &["byte 8", "at most 1048576 tensors", "found 1048577"]);
    shelf.put_sparse("x.gguf", &values(65_537), 1 << 40);
    shelf.refuses("x.gguf", &["byte 16", "at most 65536 key-values", "found 65537"]);
    // A hole in the file is read as zeros, which are no tensors.
    shelf.put_sparse("x.gguf", &tensors(1 << 20), 1 << 40);
    shelf.refuses("x.gguf", &["byte 32, tensor ``", "1 to 4 dimensions", "found 0"]);
}

#[test]
fn texts_beyond_the_file_or_a_limit() {
    let long = |length: u64| length.to_le_bytes();
    let words = ["byte 41", "a text within the file", "found 1000 bytes, 15 before the end"];
    value_refuses(kind::TEXT, &long(1000), &words);
    let words =
        ["byte 49", "a text within the file", "found 18446744073709551615 bytes, 15 before"];
    value_refuses(kind::TEXT, &long(u64::MAX), &words);
    let shelf = Shelf::new();
    let gguf = Gguf::new().value("a.key", kind::TEXT, &long(1 << 39));
    shelf.put_sparse("x.gguf", &gguf.file(), 1 << 40);
    shelf.refuses("x.gguf", &["byte 49", "a header of at most 134217728 bytes"]);
    let mut gguf = Gguf { value_count: Some(1), ..Gguf::new() };
    gguf.values.extend(long(u64::MAX));
    gguf.values.resize(100, 0);
    refuses(&gguf.file(), &["byte 24", "a key, of at most 65535 bytes"]);
    let name = "n".repeat(1025);
    let gguf = Gguf::new().tensor(&name, &[1], 0, 0).data(4);
    refuses(&gguf.file(), &["byte 24", "a tensor's name, of at most 1024 bytes", "1025"]);
}

#[test]
fn texts_that_are_not_utf_8() {
    let words = ["byte 50", "a text in UTF-8", "found 0xff"];
    value_refuses(kind::TEXT, b"\x02\0\0\0\0\0\0\0a\xff", &words);
    let mut file = Gguf::new().value("a.key", kind::BOOL, &[0]).file();
    file[32] = 0xc0;
    refuses(&file, &["byte 32", "a key in UTF-8", "found 0xc0"]);
    let mut file = Gguf::new().tensor("t", &[1], 0, 0).data(4).file();
    file[32] = 0x80;
    refuses(&file, &["byte 32", "a tensor's name in UTF-8", "found 0x80"]);
}

#[test]
fn values_of_no_type() {
    let words = ["byte 37, key `a.key`", "expected a value type from 0 to 12", "found 13"];
    value_refuses(13, &[0; 8], &words);
    value_refuses(u32::MAX, &[0; 8], &["byte 37", "found 4294967295"]);
    let words = ["byte 41, key `a.key`", "expected 0 or 1", "found 2"];
    value_refuses(kind::BOOL, &[2], &words);
}

#[test]
fn lists_of_lists() {
    let words = ["byte 41, key `a.key`", "a list of plain values", "found a list of lists"];
    value_refuses(kind::LIST, &list(kind::LIST, 1, &list(kind::U32, 0, &[])), &words);
    let deep = list(kind::LIST, 1, &[]).repeat(100_000);
    value_refuses(kind::LIST, &deep, &words);
}

#[test]
fn lists_beyond_the_file_or_a_limit() {
    let words = ["byte 45, key `a.key`", "items, for which the file has room"];
    for kind_of_items in [kind::TEXT, kind::U32, kind::BOOL, kind::F32] {
        for items in [1000, 1 << 61, u64::MAX] {
            let content = list(kind_of_items, items, &[]);
            value_refuses(kind::LIST, &content, &words);
            value_refuses(kind::LIST, &content, &[&format!("found {items}")]);
        }
    }
    let lying = list(kind::TEXT, 1, &u64::MAX.to_le_bytes());
    value_refuses(kind::LIST, &lying, &["byte 61", "a list's text within the file"]);
    let shelf = Shelf::new();
    let endless = |kind_of_items| {
        let gguf = Gguf::new().value("a", kind::LIST, &list(kind_of_items, 1 << 36, &[]));
        shelf.put_sparse("x.gguf", &gguf.file(), 1 << 40);
        shelf.refuses("x.gguf", &["x.gguf`, at byte", "a header of at most 134217728 bytes"]);
    };
    endless(kind::TEXT);
    endless(kind::U64);
}

#[test]
fn keys_twice() {
    let gguf = Gguf::new().value("a", kind::BOOL, &[0]).value("a", kind::BOOL, &[0]);
    refuses(&gguf.file(), &["byte 38, key `a`", "every key once", "the same key twice"]);
}

#[test]
fn more_text_than_anyone_keeps() {
    let mut gguf = Gguf::new();
    let megabyte = text(&"x".repeat(1 << 20));
    for number in 0..16 {
        gguf = gguf.value(&format!("k{number}"), kind::TEXT, &megabyte);
    }
    refuses(&gguf.file(), &["key `k15`", "at most 16777216 bytes to keep"]);
}

#[test]
fn alignments_that_are_none() {
    for (kind_of_value, content) in [
        (kind::U32, &0_u32.to_le_bytes()[..]),
        (kind::U32, &4_u32.to_le_bytes()),
        (kind::U32, &48_u32.to_le_bytes()),
        (kind::U32, &(1_u32 << 31).to_le_bytes()),
        (kind::U64, &(1_u64 << 63).to_le_bytes()),
        (kind::I32, &(-32_i32).to_le_bytes()),
        (kind::F32, &32_f32.to_le_bytes()),
    ] {
        let file = Gguf::new().value("general.alignment", kind_of_value, content).file();
        refuses(&file, &["byte 24, key `general.alignment`", "a power of two from 8 to 1048576"]);
    }
}
