//! Placement and headers become rows of files.

mod architecture;
mod gguf;
mod layouts;
mod refusals;

use std::path::Path;

use apportion::checkpoint::Checkpoint;
use apportion::dtype::GgmlType;
use apportion::load::devices::Planned;
use apportion::load::manifest::{Item, Manifest, Slot};
use apportion::model::ComponentId;

use super::files::{Files, llama, open, oracle, qwen3_moe, record, scenario};

/// Every byte of every tensor is a piece of one item, and nothing else is.
fn covers(manifest: &Manifest, checkpoint: &Checkpoint) {
    let mut pieces: Vec<(u64, u64, u64)> = manifest
        .items
        .iter()
        .flat_map(|item| &item.pieces)
        .map(|piece| (u64::try_from(piece.file).unwrap(), piece.offset, piece.bytes))
        .collect();
    pieces.sort_unstable();
    let mut joined: Vec<(u64, u64, u64)> = Vec::new();
    for (file, offset, bytes) in pieces {
        match joined.last_mut() {
            Some(last) if last.0 == file && last.1 + last.2 >= offset => {
                assert_eq!(last.1 + last.2, offset, "bytes are taken twice");
                last.2 += bytes;
            }
            _ => joined.push((file, offset, bytes)),
        }
    }
    let mut expected: Vec<(u64, u64, u64)> = Vec::new();
    for tensor in &checkpoint.tensors {
        let file = u64::from(tensor.file);
        match expected.last_mut() {
            Some(last) if last.0 == file && last.1 + last.2 == tensor.offset => {
                last.2 += tensor.bytes;
            }
            _ => expected.push((file, tensor.offset, tensor.bytes)),
        }
    }
    assert_eq!(joined, expected);
}

/// Rows, types and bytes of every item fit together.
fn is_sound(manifest: &Manifest) {
    for item in &manifest.items {
        let columns = u64::try_from(item.columns).unwrap();
        let rows: usize = item.pieces.iter().map(|piece| piece.rows).sum();
        assert_eq!(rows, item.rows, "{item:?}");
        let bytes = |kind: GgmlType, rows: usize| {
            kind.bytes(columns).unwrap() * u64::try_from(rows).unwrap()
        };
        assert_eq!(item.bytes, bytes(item.held, item.rows), "{item:?}");
        for piece in &item.pieces {
            assert_eq!(piece.bytes, bytes(piece.stored, piece.rows), "{item:?}");
            assert!(piece.offset + piece.bytes <= manifest.files[piece.file].1, "{item:?}");
        }
    }
}

/// Plans the files, and holds what is to be loaded against plan and files.
fn loads(path: &Path, quant: &str) -> Manifest {
    let (checkpoint, files) = open(path);
    let record = record(&scenario(&files, quant));
    let manifest = Manifest::new(&record, &checkpoint, &files).unwrap();
    covers(&manifest, &checkpoint);
    is_sound(&manifest);
    for (index, planned) in Planned::of(&record).unwrap().iter().enumerate() {
        assert_eq!(manifest.bytes_on(index), planned.on_it.weights_bytes, "{quant}");
    }
    for item in &manifest.items {
        assert!(record.homes.contains(&(item.component, item.device)), "{item:?}");
    }
    manifest
}

/// The item of that slot.
fn item<'a>(manifest: &'a Manifest, component: &str, slot: Slot) -> &'a Item {
    let component: ComponentId = component.parse().unwrap();
    let found = manifest.items.iter().find(|i| (i.component, i.slot) == (component, slot));
    found.unwrap_or_else(|| panic!("{component} has {slot:?}"))
}

/// Offset in the file, bytes and rows of an item that is in one piece.
fn piece(manifest: &Manifest, component: &str, slot: Slot) -> (u64, u64, usize) {
    let item = item(manifest, component, slot);
    let [piece] = &item.pieces[..] else { panic!("{item:?} is in one piece") };
    (piece.offset, piece.bytes, piece.rows)
}

#[test]
fn every_scheme_takes_every_byte_of_floats_once() {
    // Rows of 64 and 128 are too short for blocks of 256.
    for quant in ["f32", "f16", "bf16", "q8_0", "q4_0", "stored"] {
        let manifest = loads(&oracle("tiny-mixtral"), quant);
        // 4 layers of 8 experts: 3 matrices an expert, 6 tensors of attention and a router a layer, 3 more.
        assert_eq!(manifest.items.len(), 4 * (8 * 3 + 6 + 1) + 3, "{quant}");
        assert_eq!(manifest.files.len(), 6, "{quant}");
    }
    for quant in ["f32", "bf16", "q8_0", "q4_k_m", "q4_0", "q2_k", "q3_k_m", "q5_k_m", "q6_k"] {
        let manifest = loads(&oracle("tiny-mixtral-gguf"), quant);
        assert_eq!(manifest.items.len(), 2 * (4 * 3 + 6 + 1) + 3, "{quant}");
    }
}

#[test]
fn files_that_are_quantized_are_taken_as_they_are() {
    for (file, quant) in [
        ("tk-f32.gguf", "stored"),
        ("tk-Q8_0.gguf", "stored"),
        ("tk-Q4_K_M.gguf", "stored"),
        // What llama.cpp makes is what is planned for its recipes.
        ("tk-Q8_0.gguf", "q8_0"),
        ("tk-Q4_K_M.gguf", "q4_k_m"),
        ("tk-f32.gguf", "q5_0"),
    ] {
        let manifest = loads(&oracle("tiny-mixtral-gguf").join(file), quant);
        assert_eq!(manifest.items.len(), 2 * (4 * 3 + 6 + 1) + 3, "{file}");
        let floats = file == "tk-f32.gguf";
        let as_they_are = manifest.items.iter().all(|item| item.held == item.pieces[0].stored);
        assert_eq!(as_they_are, !floats || quant == "stored", "{file}");
    }
}

#[test]
fn what_the_plan_keeps_in_f32_is_held_so() {
    let manifest = loads(&oracle("tiny-mixtral-gguf"), "q4_k_m");
    for slot in [Slot::AttentionNorm, Slot::FeedForwardNorm] {
        let norm = item(&manifest, "layers.0.attention", slot);
        assert_eq!((norm.held, norm.pieces[0].stored), (GgmlType::F32, GgmlType::Bf16));
        assert_eq!((norm.rows, norm.columns, norm.bytes), (1, 256, 1024));
    }
    assert_eq!(item(&manifest, "layers.0.router", Slot::Router).held, GgmlType::F32);
    assert_eq!(item(&manifest, "layers.0.attention", Slot::Query).held, GgmlType::Q4K);
}

#[test]
fn dense_models_and_those_with_some_dense_layers_load_too() {
    let dense = Files::of(llama()).write();
    let mixed = Files::of(qwen3_moe()).write();
    for quant in ["f32", "f16", "bf16", "q8_0", "q4_0", "stored"] {
        let manifest = loads(dense.path(), quant);
        assert_eq!(manifest.items.len(), 2 * (6 + 3) + 3, "{quant}");
        assert_eq!(manifest.architecture.experts, 0);
        let manifest = loads(mixed.path(), quant);
        // Norms of queries and keys; a layer with an mlp, one with a router and 3 experts.
        assert_eq!(manifest.items.len(), 2 * 8 + 3 + (1 + 3 * 3) + 3, "{quant}");
        assert_eq!(item(&manifest, "layers.1.attention", Slot::QueryNorm).columns, 16);
        let down = item(&manifest, "layers.1.experts.2", Slot::Down);
        assert_eq!((down.rows, down.columns), (64, 32));
    }
}
