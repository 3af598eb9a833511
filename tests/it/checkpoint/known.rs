//! Headers that others wrote, held against the listings of others' readers.

use std::fs;
use std::path::PathBuf;

use apportion::checkpoint::{Checkpoint, Format, FoundTensor, MetaValue};
use apportion::dtype::{Dtype, GgmlType, SafeType};

use super::Shelf;

/// The length of each file and of its header, in bytes.
const SHARDS: [(u64, u64); 6] = [
    (330_016, 2208),
    (290_672, 2672),
    (290_672, 2672),
    (401_672, 3208),
    (285_096, 2344),
    (158_624, 1696),
];

const SMOLLM: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", "headers", name].iter().collect()
}

fn read(name: &str) -> Vec<u8> {
    fs::read(data(name)).unwrap()
}

fn lines(name: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(read(name)).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// `128x64` and so on, as the listings have it.
fn shape(tensor: &FoundTensor) -> String {
    tensor.shape.iter().map(u64::to_string).collect::<Vec<_>>().join("x")
}

/// The sharded checkpoint, its weights left out.
pub fn tiny_mixtral() -> Shelf {
    let shelf = Shelf::new();
    for (number, (bytes, _)) in (1..).zip(SHARDS) {
        let name = format!("model-{number:05}-of-00006.safetensors");
        shelf.put_sparse(&name, &read(&format!("tiny-mixtral/{name}.header")), bytes);
    }
    for name in ["config.json", "model.safetensors.index.json"] {
        shelf.put(name, read(&format!("tiny-mixtral/{name}")));
    }
    shelf
}

pub fn gguf(name: &str, bytes: u64) -> Checkpoint {
    let shelf = Shelf::new();
    shelf.put_sparse(name, &read(&format!("gguf/{name}.header")), bytes);
    shelf.open(name)
}

#[test]
fn shards_of_safetensors_hold_what_the_reference_reader_finds() {
    let shelf = tiny_mixtral();
    let found = shelf.open("");
    assert_eq!(found.format, Format::Safetensors);
    assert_eq!(found.files.iter().map(|f| (f.bytes, f.header_bytes)).collect::<Vec<_>>(), SHARDS);
    assert_eq!(found.tensors.len(), 127);
    assert_eq!(found.tensor_bytes(), 1_741_952, "the total of the index");
    assert_eq!(found.notices, Vec::<String>::new());
    assert_eq!(found.metadata.text("format"), Some("pt"));
    let (path, text) = found.config_text.clone().unwrap();
    assert!(path.ends_with("config.json") && text.contains("\"num_local_experts\": 8"));

    let file = |t: &FoundTensor| found.files[usize::try_from(t.file).unwrap()].path.clone();
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut rows: Vec<Vec<String>> = (found.tensors.iter())
        .map(|t| {
            let kind = t.dtype.name().to_uppercase();
            vec![name(file(t)), t.name.clone(), kind, shape(t), t.bytes.to_string()]
        })
        .collect();
    let mut expected = lines("tiny-mixtral/listing.csv");
    rows.sort();
    expected.sort();
    assert_eq!(rows, expected);
}

#[test]
fn every_way_to_a_sharded_checkpoint_is_the_same_checkpoint() {
    let shelf = tiny_mixtral();
    let folder = shelf.open("");
    assert_eq!(shelf.open("model.safetensors.index.json"), folder);
    assert_eq!(shelf.open("model-00001-of-00006.safetensors"), folder);
    assert_eq!(shelf.open("model-00006-of-00006.safetensors"), folder);
    fs::remove_file(shelf.path("model.safetensors.index.json")).unwrap();
    assert_eq!(shelf.open(""), folder, "the shards' names are enough");
    assert_eq!(shelf.open("model-00004-of-00006.safetensors"), folder);
}

#[test]
fn what_is_found_does_not_depend_on_threads() {
    let shelf = tiny_mixtral();
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| shelf.open(""))
    };
    assert_eq!(with(1), with(7));
}

#[test]
fn tensors_are_in_the_order_of_files_and_offsets_and_can_be_looked_up() {
    let found = tiny_mixtral().open("");
    assert!(found.tensors.is_sorted_by_key(|tensor| (tensor.file, tensor.offset)));
    let by_name = found.by_name();
    assert!(by_name.is_sorted_by_key(|tensor| &tensor.name));
    let at = by_name.binary_search_by_key(&"lm_head.weight", |tensor| &tensor.name).unwrap();
    assert_eq!(by_name[at].dtype, Dtype::Safe(SafeType::Bf16));
    assert_eq!((&by_name[at].shape[..], by_name[at].bytes), (&[256, 64][..], 32_768));
}

#[test]
fn gguf_files_hold_what_the_reference_reader_finds() {
    for (name, bytes, header_bytes) in [
        ("tk-Q4_K_M.gguf", 1_317_856, 9312),
        ("tk-Q8_0.gguf", 2_285_664, 9312),
        (SMOLLM, 98_362_432, 1_785_664),
    ] {
        let found = gguf(name, bytes);
        assert_eq!(found.format, Format::Gguf);
        assert_eq!((found.files[0].bytes, found.files[0].header_bytes), (bytes, header_bytes));
        let rows: Vec<Vec<String>> = (found.tensors.iter())
            .map(|t| {
                let (bytes, offset) = (t.bytes.to_string(), t.offset.to_string());
                vec![t.name.clone(), t.dtype.name().to_uppercase(), shape(t), bytes, offset]
            })
            .collect();
        assert_eq!(rows, lines(&format!("gguf/{name}.csv")), "{name}");
    }
}

#[test]
fn a_published_file_says_what_model_it_is() {
    let found = gguf(SMOLLM, 98_362_432);
    let metadata = &found.metadata;
    assert_eq!(metadata.text("general.architecture"), Some("llama"));
    assert_eq!(metadata.u64("general.file_type"), Some(3));
    assert_eq!(metadata.u64("llama.block_count"), Some(30));
    assert_eq!(metadata.u64("llama.attention.head_count_kv"), Some(3));
    assert_eq!(metadata.f64("llama.rope.freq_base"), Some(100_000.0));
    assert_eq!(metadata.f64("llama.block_count"), Some(30.0));
    assert_eq!(metadata.bool("tokenizer.ggml.add_bos_token"), Some(false));
    assert_eq!(metadata.len("tokenizer.ggml.tokens"), Some(49_152));
    assert_eq!(metadata.get("tokenizer.ggml.merges"), Some(&MetaValue::List(48_900)));
    assert_eq!(metadata.integers("tokenizer.ggml.token_type"), None, "too long to keep");
    assert_eq!(metadata.u64("general.architecture"), None);
    assert_eq!(metadata.get("no.such.key"), None);
    assert_eq!(metadata.iter().count(), 33);
    assert_eq!(found.tensor_bytes(), 96_576_768);
    assert_eq!(found.tensors[0].dtype, Dtype::Ggml(GgmlType::Q8_0));
}
