//! Which of a folder's files are its checkpoint.

use std::fs;

use apportion::checkpoint::{Checkpoint, Format};

use super::Shelf;
use super::build::{Gguf, index, of_floats};

fn opened(shelf: &Shelf) -> Vec<String> {
    let file = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    shelf.open("").files.iter().map(|f| file(&f.path)).collect()
}

#[test]
fn an_index_goes_before_single_files_and_safetensors_before_gguf() {
    let shelf = Shelf::new();
    shelf.put("x.gguf", Gguf::new().file()).put("notes.txt", "");
    assert_eq!(opened(&shelf), ["x.gguf"]);
    shelf.put("consolidated.safetensors", of_floats(&[("c", 1)]));
    assert_eq!(opened(&shelf), ["consolidated.safetensors"]);
    shelf.put("weights.safetensors", of_floats(&[("w", 1)]));
    assert_eq!(opened(&shelf), ["weights.safetensors"], "consolidated is a copy");
    shelf.put("model.safetensors", of_floats(&[("m", 1)]));
    assert_eq!(opened(&shelf), ["model.safetensors"]);
    shelf.put("w.safetensors.index.json", index(&[("w", "weights.safetensors")]));
    assert_eq!(opened(&shelf), ["weights.safetensors"]);
}

#[test]
fn several_checkpoints_in_a_folder_are_listed() {
    let shelf = Shelf::new();
    for name in ["a.gguf", "b-00001-of-00002.gguf", "b-00002-of-00002.gguf"] {
        shelf.put(name, Gguf::new().file());
    }
    shelf.refuses(
        "",
        &["one checkpoint", "found `a.gguf`, `b-00001-of-00002.gguf`", "name the file"],
    );
    shelf.put("a.safetensors", "").put("b.safetensors", "");
    shelf.refuses("", &["found `a.safetensors`, `b.safetensors`"]);
    shelf.put("a.safetensors.index.json", "").put("b.safetensors.index.json", "");
    shelf.refuses("", &["found `a.safetensors.index.json`, `b.safetensors.index.json`"]);
}

#[test]
fn a_folder_or_file_without_weights_says_what_was_looked_for() {
    let shelf = Shelf::new();
    shelf.put("config.json", "{}").put(".hidden.gguf", "").put("model.bin", "PK");
    shelf.refuses("", &[".safetensors", ".gguf", "found 2 other entries"]);
    shelf.refuses("config.json", &["a name that ends with", "found `config.json`"]);
    shelf.refuses("model.bin", &["found `model.bin`", "convert the PyTorch file"]);
    shelf.refuses("none", &["none", "no such file"]);
    shelf.refuses("none.gguf", &["none.gguf", "no such file"]);
}

#[test]
fn paths_to_checkpoints_are_known_by_their_names() {
    let shelf = Shelf::new();
    let is = |name: &str| Checkpoint::is_checkpoint_path(&shelf.path(name));
    assert!(is("x.gguf") && is("x.safetensors") && is("m.safetensors.index.json"));
    assert!(!is("mixtral-8x7b") && !is("config.json") && !is(""));
    shelf.put("x.gguf", "");
    assert!(is(""), "a folder that holds one");
}

#[test]
fn the_config_beside_the_weights_is_read_and_never_needed() {
    let shelf = Shelf::new();
    shelf.put("model.safetensors", of_floats(&[("m", 1)]));
    assert_eq!(shelf.open("").config_text, None);
    shelf.put("config.json", "{\"a\": 1}");
    let (path, text) = shelf.open("model.safetensors").config_text.unwrap();
    assert_eq!((path, &*text), (shelf.path("config.json").display().to_string(), "{\"a\": 1}"));
    shelf.put("config.json", vec![b' '; (4 << 20) + 1]);
    let found = shelf.open("");
    assert_eq!((found.config_text, found.format), (None, Format::Safetensors));
    assert!(found.notices[0].contains("config.json") && found.notices[0].contains("4.00 MiB"));
    fs::remove_file(shelf.path("config.json")).unwrap();
    fs::create_dir(shelf.path("config.json")).unwrap();
    assert!(shelf.open("").notices[0].contains("found a folder"));
}
