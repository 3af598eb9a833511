//! Names that lead to something else than a regular file, and files with holes.

use std::fs;

use super::Shelf;
use super::build::{Gguf, of_floats, safetensors};

#[test]
fn folders_named_like_files_are_refused() {
    let shelf = Shelf::new();
    for name in ["x.safetensors", "y.gguf", "z.safetensors.index.json"] {
        fs::create_dir(shelf.path(name)).unwrap();
        shelf.refuses(name, &[name, "found 0 other entries"]);
    }
    shelf.refuses("", &["z.safetensors.index.json", "expected a regular file", "found a folder"]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_circles_refused() {
    use std::os::unix::fs::symlink;
    let shelf = Shelf::new();
    shelf.put("blob", of_floats(&[("x", 1)]));
    symlink("blob", shelf.path("model.safetensors")).unwrap();
    assert_eq!(shelf.open("").tensors.len(), 1, "as caches of downloads do");
    symlink("b.gguf", shelf.path("a.gguf")).unwrap();
    symlink("a.gguf", shelf.path("b.gguf")).unwrap();
    shelf.refuses("a.gguf", &["a.gguf", "symbolic links"]);
    symlink("gone", shelf.path("dangling.safetensors")).unwrap();
    shelf.refuses("dangling.safetensors", &["dangling.safetensors", "no such file"]);
    symlink("circle", shelf.path("circle")).unwrap();
    shelf.refuses("circle", &["circle", "symbolic links"]);
    let inside = Shelf::new();
    symlink(".", inside.path("again")).unwrap();
    inside.put("model.gguf", Gguf::new().file());
    assert!(inside.open("again/again/again").tensors.is_empty());
}

#[cfg(unix)]
#[test]
fn pipes_do_not_block() {
    let shelf = Shelf::new();
    for name in ["x.gguf", "y.safetensors", "config.json", "z.safetensors.index.json"] {
        let made = std::process::Command::new("mkfifo").arg(shelf.path(name)).status().unwrap();
        assert!(made.success());
        shelf.refuses(name, &[name, "expected a regular file", "pipe"]);
    }
}

#[test]
fn the_weights_are_never_read() {
    const BYTES: u64 = 100 << 30;
    let shelf = Shelf::new();
    let header =
        format!(r#"{{"x": {{"dtype": "U8", "shape": [{BYTES}], "data_offsets": [0, {BYTES}]}}}}"#);
    let beginning = safetensors(&header, 0);
    let bytes = u64::try_from(beginning.len()).unwrap() + BYTES;
    shelf.put_sparse("x.safetensors", &beginning, bytes);
    assert_eq!(shelf.open("x.safetensors").tensor_bytes(), BYTES);
    let beginning = Gguf::new().tensor("x", &[BYTES], 24, 0).file();
    let bytes = u64::try_from(beginning.len()).unwrap() + BYTES;
    shelf.put_sparse("y.gguf", &beginning, bytes);
    assert_eq!(shelf.open("y.gguf").tensor_bytes(), BYTES);
}
