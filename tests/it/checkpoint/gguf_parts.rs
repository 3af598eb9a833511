//! Split GGUF files, and parts that do not belong together.

use std::fs;

use super::Shelf;
use super::build::{Gguf, kind, text};

fn name(number: u16) -> String {
    format!("m-{number:05}-of-00003.gguf")
}

/// A part that says it is number `number`, counted from 0, of `count`, and all have `tensors` tensors.
fn part(number: u16, count: u16, tensors: i32) -> Gguf {
    Gguf::new()
        .value("split.no", kind::U16, &number.to_le_bytes())
        .value("split.count", kind::U16, &count.to_le_bytes())
        .value("split.tensors.count", kind::I32, &tensors.to_le_bytes())
}

/// Three parts; the first holds key-values alone, as the splitter can write it.
fn three() -> Shelf {
    let shelf = Shelf::new();
    let first = part(0, 3, 3).value("general.architecture", kind::TEXT, &text("llama"));
    shelf.put(&name(1), first.file());
    let second = part(1, 3, 3).tensor("a", &[8], 0, 0).tensor("b", &[8], 0, 32);
    shelf.put(&name(2), second.data(64).file());
    shelf.put(&name(3), part(2, 3, 3).tensor("c", &[4], 0, 0).data(16).file());
    shelf
}

#[test]
fn any_part_stands_for_all() {
    let shelf = three();
    let found = shelf.open("");
    let tensors: Vec<_> = found.tensors.iter().map(|t| (&*t.name, t.file, t.bytes)).collect();
    assert_eq!(tensors, [("a", 1, 32), ("b", 1, 32), ("c", 2, 16)]);
    assert_eq!(found.metadata.text("general.architecture"), Some("llama"));
    for number in 1..=3 {
        assert_eq!(shelf.open(&name(number)), found);
    }
}

#[test]
fn a_missing_part_is_named() {
    let shelf = three();
    fs::remove_file(shelf.path(&name(1))).unwrap();
    shelf.refuses(&name(2), &[&name(1), "expected shard 1 of 3", "no such file"]);
}

#[test]
fn parts_that_say_they_are_others_are_refused() {
    let refuses = |number: u16, file: Gguf, words: &[&str]| {
        let shelf = three();
        shelf.put(&name(number), file.file()).refuses("", &[&name(number)]);
        shelf.refuses("", words);
    };
    refuses(3, part(1, 3, 3), &["key `split.no`", "expected 2", "found 1"]);
    refuses(2, part(1, 4, 3), &["key `split.count`", "expected 3", "found 4"]);
    refuses(1, Gguf::new(), &["key `split.count`", "expected 3", "found no such number"]);
    refuses(1, part(0, 3, 4), &["key `split.tensors.count`", "expected 3,", "found 4"]);
    let doubled = part(2, 3, 3).tensor("a", &[4], 0, 0).data(16);
    refuses(3, doubled, &["tensor `a`", "every tensor in one file", &name(2)]);
}

#[test]
fn a_part_under_another_name_is_refused() {
    let shelf = Shelf::new();
    shelf.put("first.gguf", part(0, 3, 3).file());
    let words = ["first.gguf", "key `split.count`", "found 3", "NAME-00001-of-0000N.gguf"];
    shelf.refuses("first.gguf", &words);
    shelf.put("whole.gguf", part(0, 1, 0).file());
    assert!(shelf.open("whole.gguf").tensors.is_empty());
}
