//! Where the rows of stacked, joined and renamed tensors are, by arithmetic done by hand.

use apportion::dtype::GgmlType;
use apportion::load::manifest::{Manifest, Slot};
use apportion::model::Model;
use apportion::runtime::Profile;
use apportion::scenario::Scenario;
use serde_json::json;
use tempfile::TempDir;

use super::super::files::{self, Files, llama, mixtral, open, oracle, record, scenario, with};
use super::{covers, is_sound, item, loads, piece};

/// The stacks begin where gguf-py says; an expert is 256 rows of 256: of 272 bytes in Q8_0.
#[test]
fn experts_of_a_gguf_file_are_cut_from_their_stack() {
    let path = oracle("tiny-mixtral-gguf").join("tk-Q8_0.gguf");
    let (checkpoint, _) = open(&path);
    let data = checkpoint.files[0].header_bytes;
    let manifest = loads(&path, "stored");
    for expert in 0..4 {
        let component = format!("layers.0.experts.{expert}");
        let size = 256 * 272;
        let at = |stack: u64| (data + stack + expert * size, size, 256);
        assert_eq!(piece(&manifest, &component, Slot::Down), at(385_024));
        assert_eq!(piece(&manifest, &component, Slot::Gate), at(663_552));
        assert_eq!(piece(&manifest, &component, Slot::Up), at(947_200));
    }
}

#[test]
fn experts_of_k_quants_are_cut_at_their_blocks() {
    let path = oracle("tiny-mixtral-gguf").join("tk-Q4_K_M.gguf");
    let (checkpoint, _) = open(&path);
    let manifest = loads(&path, "stored");
    for (layer, name, slot) in [
        (0, "blk.0.ffn_down_exps.weight", Slot::Down),
        (1, "blk.1.ffn_gate_exps.weight", Slot::Gate),
    ] {
        let stack = checkpoint.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        let component = format!("layers.{layer}.experts.3");
        // A row is one block: of 144 bytes in Q4_K, of 210 in Q6_K.
        let block = if item(&manifest, &component, slot).held == GgmlType::Q4K { 144 } else { 210 };
        let expected = (stack.offset + 3 * 256 * block, 256 * block, 256);
        assert_eq!(piece(&manifest, &component, slot), expected);
        assert_eq!(stack.bytes, 4 * 256 * block);
    }
}

/// As transformers 5 saves it: 2 experts, hidden 64, width 96, bf16.
fn fused() -> Files {
    let stacked = |layer: u32| {
        let name = |part: &str| format!("model.layers.{layer}.mlp.experts.{part}");
        [
            (name("gate_up_proj"), "BF16", vec![2, 192, 64]),
            (name("down_proj"), "BF16", vec![2, 64, 96]),
        ]
    };
    Files::of(mixtral()).with(|files| {
        files.tensors.retain(|tensor| !tensor.0.contains(".experts."));
        for tensor in &mut files.tensors {
            tensor.0 = tensor.0.replace("block_sparse_moe.gate", "mlp.gate");
        }
        files.tensors.extend((0..2).flat_map(stacked));
    })
}

#[test]
fn experts_fused_by_transformers_5_are_cut_into_gate_and_up() {
    let folder = fused().write();
    let (checkpoint, _) = open(folder.path());
    let stack = |name: &str| {
        let tensor = checkpoint.tensors.iter().find(|tensor| tensor.name.ends_with(name));
        tensor.unwrap().offset
    };
    let both = stack("layers.1.mlp.experts.gate_up_proj");
    let down = stack("layers.1.mlp.experts.down_proj");
    for quant in ["bf16", "q8_0", "f32"] {
        let manifest = loads(folder.path(), quant);
        // A half is 96 rows of 64 in 2 bytes each, an expert has two.
        let half = 96 * 64 * 2;
        for expert in 0..2 {
            let component = format!("layers.1.experts.{expert}");
            let gate = both + expert * 2 * half;
            assert_eq!(piece(&manifest, &component, Slot::Gate), (gate, half, 96), "{quant}");
            assert_eq!(piece(&manifest, &component, Slot::Up), (gate + half, half, 96), "{quant}");
            let at = (down + expert * half, half, 64);
            assert_eq!(piece(&manifest, &component, Slot::Down), at, "{quant}");
        }
    }
    let manifest = loads(folder.path(), "stored");
    let whole = item(&manifest, "layers.0.experts.1", Slot::GateUp);
    assert_eq!((whole.rows, whole.columns, whole.pieces.len()), (192, 64, 1));
}

#[test]
fn gate_and_up_apart_are_joined_where_the_plan_has_one_matrix() {
    let folder = Files::of(mixtral()).write();
    let (checkpoint, model) = open(folder.path());
    let plan = files::with_override(scenario(&model, "nf4:v5"), "*=f16");
    let manifest = Manifest::new(&record(&plan), &checkpoint, &model).unwrap();
    covers(&manifest, &checkpoint);
    is_sound(&manifest);
    let both = item(&manifest, "layers.0.experts.1", Slot::GateUp);
    assert_eq!((both.rows, both.columns, both.bytes), (192, 64, 192 * 64 * 2));
    let names: Vec<_> = both.pieces.iter().map(|piece| piece.tensor.as_str()).collect();
    let name = |part: &str| format!("model.layers.0.block_sparse_moe.experts.1.{part}.weight");
    assert_eq!(names, [name("w1"), name("w3")]);
    assert!(both.pieces.iter().all(|piece| piece.rows == 96));
}

#[test]
fn a_tied_head_is_the_embedding_unless_the_plan_has_a_copy() {
    let folder = Files::of(with(llama(), &json!({"tie_word_embeddings": true}))).write();
    let manifest = loads(folder.path(), "q8_0");
    assert!(manifest.architecture.tied_head);
    assert!(manifest.items.iter().all(|item| item.slot != Slot::Head));
    let (checkpoint, model) = open(folder.path());
    let mut plan = scenario(&model, "q8_0");
    plan.load.runtime = Profile::shared("llama.cpp").unwrap();
    plan = on_large_gpus(plan);
    let manifest = Manifest::new(&record(&plan), &checkpoint, &model).unwrap();
    is_sound(&manifest);
    assert!(!manifest.architecture.tied_head);
    let head = item(&manifest, "output_head", Slot::Head);
    let embedding = item(&manifest, "embedding", Slot::Embedding);
    assert_eq!((&head.pieces, head.held), (&embedding.pieces, embedding.held));
    assert_eq!(embedding.device, 2, "llama.cpp keeps it in host memory");
}

/// llama.cpp itself keeps hundreds of MiB on each GPU.
fn on_large_gpus(mut plan: Scenario) -> Scenario {
    for device in &mut plan.hardware.devices {
        device.capacity_bytes = 16 << 30;
    }
    plan
}

#[test]
fn files_without_a_head_give_the_embedding_to_a_plan_that_has_one() {
    let folder = Files::of(llama()).without("lm_head.weight").write();
    let (checkpoint, model) = open(folder.path());
    let solved_for = Model::from_config_json(&llama().to_string(), "config.json").unwrap();
    let plan = record(&scenario(&solved_for, "f16"));
    let manifest = Manifest::new(&plan, &checkpoint, &model).unwrap();
    let head = item(&manifest, "output_head", Slot::Head);
    assert_eq!(head.pieces, item(&manifest, "embedding", Slot::Embedding).pieces);
    assert!(!manifest.architecture.tied_head);
}

#[test]
fn scaled_frequencies_are_an_item_where_plan_or_files_have_them() {
    let scaling = json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}});
    let folder = Files::of(with(llama(), &scaling)).write();
    // GGUF files have a table, published checkpoints none.
    let manifest = loads_computed(&folder, "q8_0");
    let table = item(&manifest, "embedding", Slot::RopeFactors);
    assert_eq!((table.rows, table.columns, table.bytes), (1, 8, 32));
    assert!(table.pieces.is_empty());
    assert_eq!(manifest.architecture.rope.divisors.len(), 8);
    let manifest = loads(folder.path(), "f16");
    assert!(manifest.items.iter().all(|item| item.slot != Slot::RopeFactors));
    assert_eq!(manifest.architecture.rope.divisors.len(), 8);
}

fn loads_computed(folder: &TempDir, quant: &str) -> Manifest {
    let (checkpoint, model) = open(folder.path());
    let manifest = Manifest::new(&record(&scenario(&model, quant)), &checkpoint, &model).unwrap();
    covers(&manifest, &checkpoint);
    manifest
}
