//! Several files that are one checkpoint, and shards that do not belong together.

use std::fs;

use super::Shelf;
use super::build::{index, of_floats};

const A: &str = "model-00001-of-00002.safetensors";
const B: &str = "model-00002-of-00002.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Two shards, `x` in the first, `y` and `z` in the second.
fn two() -> Shelf {
    let shelf = Shelf::new();
    shelf.put(A, of_floats(&[("x", 1)])).put(B, of_floats(&[("y", 2), ("z", 3)]));
    shelf
}

#[test]
fn an_index_may_name_its_shards_as_it_likes() {
    let shelf = Shelf::new();
    for (name, tensor) in [("part10", "t"), ("part9", "n"), ("part1", "o")] {
        shelf.put(&format!("{name}.safetensors"), of_floats(&[(tensor, 1)]));
    }
    let map = [("t", "part10.safetensors"), ("n", "part9.safetensors"), ("o", "part1.safetensors")];
    shelf.put(INDEX, index(&map));
    let found = shelf.open(INDEX);
    let tensors: Vec<_> = found.tensors.iter().map(|t| (&*t.name, t.file)).collect();
    assert_eq!(tensors, [("o", 0), ("n", 1), ("t", 2)], "numbers compare as numbers");
}

#[test]
fn a_missing_shard_is_named() {
    let shelf = two();
    shelf.put(INDEX, index(&[("x", A), ("y", B), ("z", B)]));
    fs::remove_file(shelf.path(B)).unwrap();
    for name in ["", A, INDEX] {
        shelf.refuses(name, &[B, INDEX, "expected a shard", "no such file"]);
    }
    fs::remove_file(shelf.path(INDEX)).unwrap();
    for name in ["", A] {
        shelf.refuses(name, &[B, "expected shard 2 of 2", "no such file"]);
    }
    shelf.put("model-00003-of-00002.safetensors", of_floats(&[("q", 1)]));
    shelf.refuses("model-00003-of-00002.safetensors", &["a shard from 1 to 2", "found 3"]);
    shelf.put("m-00000-of-00000.safetensors", of_floats(&[("q", 1)]));
    shelf.refuses("m-00000-of-00000.safetensors", &["a count of shards", "found 00000"]);
}

#[test]
fn a_count_of_shards_beyond_all_files_ends_at_the_first_that_is_missing() {
    let shelf = Shelf::new();
    let name = "m-00000001-of-99999999.safetensors";
    shelf.put(name, of_floats(&[("x", 1)]));
    shelf.refuses(name, &["m-00000002-of-99999999", "shard 2 of 99999999"]);
}

#[test]
fn an_index_that_disagrees_with_its_shards_is_refused() {
    let shelf = two();
    let disagrees = |map: &[(&str, &str)], words: &[&str]| {
        shelf.put(INDEX, index(map)).refuses("", words);
    };
    disagrees(
        &[("x", A), ("y", A), ("z", B)],
        &[INDEX, "tensor `y`", &format!("expected in `{A}`"), &format!("found in `{B}`")],
    );
    disagrees(
        &[("x", A), ("y", B), ("z", B), ("w", B)],
        &[INDEX, "tensor `w`", &format!("expected in `{B}`"), "found in none of the shards"],
    );
    disagrees(
        &[("x", A), ("z", B)],
        &[INDEX, "tensor `y`", "expected no such tensor", &format!("found in `{B}`")],
    );
    // Of several the first by name is told, whatever the order of comparison.
    disagrees(&[("x", B), ("y", A), ("z", A)], &["tensor `x`"]);
    shelf.put(INDEX, index(&[("x", A)])).refuses(B, &[INDEX, B, "found other shards", A]);
}

#[test]
fn a_total_that_is_wrong_is_only_a_notice() {
    let shelf = two();
    let with = |total: &str| {
        let map = index(&[("x", A), ("y", B), ("z", B)]);
        shelf.put(INDEX, map.replace("\"metadata\":{}", &format!("\"metadata\":{total}")));
        shelf.open("")
    };
    assert_eq!(with("{\"total_size\":24}").notices, Vec::<String>::new());
    assert_eq!(with("{\"total_size\":2.4e1}").notices, Vec::<String>::new());
    assert_eq!(with("null").notices, Vec::<String>::new());
    let found = with("{\"total_size\":25,\"more\":[1]}");
    assert_eq!(found.tensor_bytes(), 24);
    let [notice] = &found.notices[..] else { panic!("{:?}", found.notices) };
    assert!(notice.contains("total_size 25, its tensors have 24 bytes"), "{notice}");
}

#[test]
fn a_shard_doubled_is_refused() {
    let shelf = two();
    shelf.put(B, of_floats(&[("w", 1), ("x", 1)]));
    let words = [B, "tensor `x`", "expected every tensor in one file", "the same name in", A];
    shelf.refuses("", &words);
    shelf.put(INDEX, index(&[("x", A), ("w", B)]));
    shelf.refuses("", &words);
}

#[test]
fn the_first_bad_shard_is_told_whatever_the_threads() {
    let shelf = Shelf::new();
    for number in 1..=40 {
        let name = format!("m-{number:05}-of-00040.safetensors");
        let content = of_floats(&[(&format!("t{number}"), 1)]);
        let bad = number >= 17;
        shelf.put(&name, if bad { &content[..content.len() - 1] } else { &content[..] });
    }
    for _ in 0..20 {
        shelf.refuses("", &["m-00017-of-00040.safetensors"]);
    }
}
