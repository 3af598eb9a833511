//! Headers of safetensors files that lie, one lie each.

use super::Shelf;
use super::build::safetensors;

/// The file is refused with its name and all `words`.
fn refuses(file: &[u8], words: &[&str]) {
    let shelf = Shelf::new();
    shelf.put("x.safetensors", file).refuses("x.safetensors", &["x.safetensors`, at "]);
    shelf.refuses("x.safetensors", words);
}

/// A header of these entries and so many bytes of data are refused with all `words`.
fn entries_refuse(entries: &str, data_bytes: usize, words: &[&str]) {
    refuses(&safetensors(&format!("{{{entries}}}"), data_bytes), words);
}

fn entry(name: &str, dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#""{name}": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}"#)
}

#[test]
fn lengths_beyond_the_file() {
    refuses(b"", &["byte 0", "8 bytes", "found a file of 0 bytes"]);
    refuses(b"1234567", &["byte 0", "8 bytes", "found a file of 7 bytes"]);
    let with_length = |length: u64| [&length.to_le_bytes()[..], b"{}"].concat();
    refuses(&with_length(3), &["byte 0", "at most 2", "found 3"]);
    refuses(&with_length(u64::MAX), &["byte 0", "at most 2", "found 18446744073709551615"]);
    refuses(&with_length(0), &["byte 8", "expected `{`", "an empty header"]);
    refuses(&with_length(1), &["byte 8", "EOF"]);
}

#[test]
fn a_length_within_a_huge_file_is_limited_and_costs_nothing() {
    let shelf = Shelf::new();
    let name = "x.safetensors";
    shelf.put_sparse(name, &100_000_001_u64.to_le_bytes(), 1 << 40);
    shelf.refuses(name, &[name, "byte 0", "at most 100000000", "found 100000001"]);
    shelf.put_sparse(name, &100_000_000_u64.to_le_bytes(), 1 << 40);
    shelf.refuses(name, &[name, "byte 8", "expected `{`", "found 0x00"]);
}

#[test]
fn headers_of_all_shards_together_are_limited() {
    let shelf = Shelf::new();
    for number in 1..=3 {
        let name = format!("m-{number:05}-of-00003.safetensors");
        shelf.put_sparse(&name, &99_000_000_u64.to_le_bytes(), 1 << 40);
    }
    shelf.refuses("", &["m-00003-of-00003", "at most 256.00 MiB in all"]);
}

#[test]
fn other_files_under_this_name_are_recognised() {
    refuses(b"version https://git-lfs.github.com/spec/v1\n", &["byte 0", "Git LFS pointer"]);
    refuses(b"GGUF\x03\0\0\0\0\0\0\0", &["byte 0", "this is a GGUF file"]);
    refuses(b"PK\x03\x04\0\0\x08\x08", &["byte 0", "PyTorch"]);
}

#[test]
fn json_that_is_no_listing() {
    refuses(&safetensors("[]", 0), &["byte 8", "expected `{`", "found 0x5b"]);
    refuses(&safetensors(" {}", 0), &["byte 8", "expected `{`", "found 0x20"]);
    refuses(&safetensors("{}{", 0), &["byte 10", "trailing characters"]);
    refuses(&safetensors("{\n\n\"a\": 1}", 0), &["byte 16", "in key `a`", "integer `1`"]);
    refuses(&safetensors("{}\0", 0), &["byte 10", "trailing characters"]);
    let mut file = safetensors("{\"aa\": 1}", 0);
    file[11] = 0xff;
    refuses(&file, &["byte 11", "expected a header in UTF-8", "found 0xff"]);
    entries_refuse(r#""a": {"dtype": "F32", "shape": []}"#, 0, &["`a`", "missing field"]);
    entries_refuse(&entry("a", "F32", "[-1]", "[0, 4]"), 4, &["`a`", "integer `-1`"]);
    entries_refuse(&entry("a", "F32", "[1.0]", "[0, 4]"), 4, &["`a`", "floating point `1.0`"]);
    entries_refuse(&entry("a", "F32", "[1]", "[0, 4, 8]"), 4, &["`a`", "byte "]);
    entries_refuse(&entry("a", "F32", "[1]", "[0]"), 4, &["`a`", "invalid length 1"]);
    entries_refuse(
        &entry("a", "F32", "[18446744073709551616]", "[0, 4]"),
        4,
        &["`a`", "1.8446744073709552e+19"],
    );
    entries_refuse(r#""__metadata__": {"a": 1}"#, 0, &["`__metadata__`", "expected a string"]);
    let deep = format!("{{\"a\": {}", "[".repeat(1_000_000));
    refuses(&safetensors(&deep, 0), &["`a`", "invalid type: sequence"]);
    let deep = format!(r#"{{"a": {{"x": {}"#, "[".repeat(1_000_000));
    refuses(&safetensors(&deep, 0), &["`a`", "EOF"]);
    let long = format!("[{}1]", "1,".repeat(100));
    entries_refuse(&entry("a", "F32", &long, "[0, 4]"), 4, &["`a`", "at most 64 dimensions"]);
}

#[test]
fn names_twice() {
    let entries = [entry("a", "F32", "[1]", "[0, 4]"), entry("a", "F32", "[1]", "[4, 8]")];
    entries_refuse(&entries.join(","), 8, &["key `a`", "every tensor once", "the same name twice"]);
    let escaped = [entry("a", "F32", "[1]", "[0, 4]"), entry(r"\u0061", "F32", "[1]", "[4, 8]")];
    entries_refuse(&escaped.join(","), 8, &["key `a`", "the same name twice"]);
    let twice = r#""__metadata__": {}, "__metadata__": {}"#;
    entries_refuse(twice, 0, &["`__metadata__` appears twice"]);
    let within = r#""__metadata__": {"x": "1", "x": "2"}"#;
    entries_refuse(within, 0, &["`__metadata__`", "`x` appears twice"]);
    let field = r#""a": {"dtype": "F32", "dtype": "F16", "shape": [1], "data_offsets": [0, 4]}"#;
    entries_refuse(field, 4, &["`a`", "duplicate field `dtype`"]);
}

#[test]
fn unknown_types() {
    let words = ["key `a`", "expected one of BOOL, ", "found `F33`"];
    entries_refuse(&entry("a", "F33", "[1]", "[0, 4]"), 4, &words);
    entries_refuse(&entry("a", "f32", "[1]", "[0, 4]"), 4, &["key `a`", "found `f32`"]);
}

#[test]
fn shapes_that_are_not_their_bytes() {
    let words = ["key `a`", "expected data_offsets 8 bytes apart, for F32 [2]", "found [0, 4]"];
    entries_refuse(&entry("a", "F32", "[2]", "[0, 4]"), 4, &words);
    entries_refuse(&entry("a", "F32", "[1]", "[4, 0]"), 4, &["key `a`", "found [4, 0]"]);
    let fits = "a shape whose bytes are whole and fit in 64 bits";
    let overflow = "[4294967296, 4294967296]";
    entries_refuse(&entry("a", "F32", overflow, "[0, 0]"), 0, &["key `a`", fits, overflow]);
    let bytes = "[4611686018427387904]";
    entries_refuse(&entry("a", "F32", bytes, "[0, 0]"), 0, &["key `a`", fits, bytes]);
    entries_refuse(&entry("a", "F4", "[3]", "[0, 1]"), 1, &["key `a`", fits, "F4 [3]"]);
    let far = "[18446744073709551614, 18446744073709551615]";
    entries_refuse(&entry("a", "U8", "[1]", far), 1, &["key `a`", "within the file", far]);
}

#[test]
fn data_that_overlap_or_leave_holes() {
    let second = |offsets: &str| {
        [entry("a", "F32", "[2]", "[0, 8]"), entry("b", "F32", "[1]", offsets)].join(",")
    };
    let words = ["key `b`", "data_offsets from 8 on, where `a` ends"];
    entries_refuse(&second("[4, 8]"), 8, &words);
    entries_refuse(&second("[4, 8]"), 8, &["found an overlap: from 4 on"]);
    entries_refuse(&second("[12, 16]"), 16, &words);
    entries_refuse(&second("[12, 16]"), 16, &["found a hole: from 12 on"]);
    let first = entry("a", "F32", "[1]", "[4, 8]");
    entries_refuse(&first, 8, &["key `a`", "from 0 on, where the header ends", "a hole"]);
}

#[test]
fn data_that_are_not_the_rest_of_the_file() {
    let entry = entry("a", "F32", "[2]", "[0, 8]");
    let header = format!("{{{entry}}}");
    let end = header.len() + 16;
    let place = format!("byte {end}");
    let short = format!("found a file of {} bytes", end - 1);
    refuses(&safetensors(&header, 7), &[&place, &short, "may not be complete"]);
    let long = format!("found a file of {} bytes", end + 1);
    refuses(&safetensors(&header, 9), &[&place, "end of the last tensor", &long]);
    refuses(&safetensors("{}", 1), &["byte 10", "found a file of 11 bytes"]);
}

#[test]
fn names_cannot_drive_the_terminal() {
    let unknown = |name: &str| entry(name, "F33", "[1]", "[0, 4]");
    entries_refuse(&unknown(r"\u001b[2J"), 4, &["key `\\u{1b}[2J`"]);
    let long = "n".repeat(100_000);
    entries_refuse(&unknown(&long), 4, &["nnn..."]);
}

#[test]
fn what_is_odd_and_right_is_read() {
    let entries = [
        entry("late", "F32", "[1]", "[4, 8]"),
        entry("none", "F32", "[0, 7]", "[4, 4]"),
        entry("scalar", "F32", "[]", "[0, 4]"),
        r#""__metadata__": null"#.to_owned(),
    ];
    let shelf = Shelf::new();
    let header = format!("{{{}}}   ", entries.join(","));
    shelf.put("x.safetensors", safetensors(&header, 8));
    let found = shelf.open("x.safetensors");
    let names: Vec<&str> = found.tensors.iter().map(|tensor| &*tensor.name).collect();
    assert_eq!(names, ["scalar", "none", "late"], "by offset");
    shelf.put("x.safetensors", safetensors("{}", 0));
    assert!(shelf.open("x.safetensors").tensors.is_empty());
}
