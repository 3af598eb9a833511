//! Index files that lie, one lie each.

use super::Shelf;
use super::build::index;

const INDEX: &str = "model.safetensors.index.json";

fn refuses(text: impl AsRef<[u8]>, words: &[&str]) {
    let shelf = Shelf::new();
    shelf.put(INDEX, text).refuses(INDEX, &[INDEX]);
    shelf.refuses("", words);
}

#[test]
fn shards_elsewhere() {
    for name in [
        "../model.safetensors",
        "/etc/model.safetensors",
        "a/model.safetensors",
        "a\\model.safetensors",
        "c:model.safetensors",
        "..",
        "",
        ".model.safetensors",
        "model.bin",
        "a\nb.safetensors",
        &["n".repeat(244), ".safetensors".to_owned()].concat(),
    ] {
        let words = ["key `weight_map`, key `x`", "expected the plain name of a .safetensors file"];
        refuses(index(&[("x", name)]), &words);
    }
    refuses(index(&[("x", "../y.safetensors")]), &["found `../y.safetensors`"]);
}

#[test]
fn names_twice() {
    let twice = r#"{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}"#;
    refuses(twice, &["key `weight_map`, key `a`", "every tensor once", "the same name twice"]);
    let map = r#"{"weight_map": {}, "weight_map": {}}"#;
    refuses(map, &["line 1:31", "duplicate field `weight_map`"]);
    let total = r#"{"metadata": {"total_size": 1, "total_size": 2}, "weight_map": {}}"#;
    refuses(total, &["line 1:", "duplicate field `total_size`"]);
}

#[test]
fn text_that_is_no_index() {
    let expected = "expected an index: a JSON object with a `weight_map`";
    refuses("{}", &["line 1:2", expected, "missing field `weight_map`"]);
    refuses("[]", &["line 1:", expected]);
    refuses("{\n\"weight_map\": 3}", &["line 2:", expected, "integer `3`"]);
    refuses(r#"{"weight_map": {"a": 1}}"#, &["line 1:", expected]);
    refuses(r#"{"weight_map": {}}"#, &["key `weight_map`", "at least one tensor", "found none"]);
    refuses("", &["empty file"]);
    refuses(b"{\"weight_map\": {\"\xff\"", &["UTF-8", "other bytes from byte 17 on"]);
    refuses(format!("{{\"metadata\": {}", "[".repeat(1_000_000)), &["line 1:", expected]);
    refuses(format!("{{\"x\": {}", "[".repeat(1_000_000)), &["line 1:", expected]);
}

#[test]
fn an_index_is_limited_in_size_and_files() {
    let shelf = Shelf::new();
    shelf.put_sparse(INDEX, b"{", (64 << 20) + 1);
    shelf.refuses("", &[INDEX, "at most 64.00 MiB", "a larger file"]);
    let entries: Vec<String> =
        (0..=10_000).map(|n| format!(r#""t{n}": "s{n}.safetensors""#)).collect();
    let text = format!(r#"{{"weight_map": {{{}}}}}"#, entries.join(","));
    refuses(text, &["line 1:", "more than 10000 files"]);
}
