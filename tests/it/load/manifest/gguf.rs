//! GGUF files as candle writes them: old names of experts, tables of rotary factors, metadata that differ.

use std::fs::File;

use apportion::dtype::GgmlType;
use apportion::error::Error;
use apportion::load::manifest::{Manifest, Rope, Slot};
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use tempfile::TempDir;

use super::super::files::manifest;
use super::{is_sound, item, loads};

/// A Mixtral of 2 layers of 2 experts, hidden 64, width 96, as files were before experts were stacked, its
/// matrices of one type; with more metadata, or other, and more vectors of F32.
fn old(stored: GgmlDType, more: &[(&str, Value)], vectors: &[(&str, usize)]) -> TempDir {
    let mut tensors: Vec<(String, QTensor)> = Vec::new();
    let mut add = |name: String, rows: usize, columns: usize, kind: GgmlDType| {
        let shape = if rows == 1 { vec![columns] } else { vec![rows, columns] };
        let zeros = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        tensors.push((name, QTensor::quantize(&zeros, kind).unwrap()));
    };
    let plain = GgmlDType::F32;
    add("token_embd.weight".to_owned(), 32, 64, stored);
    add("output_norm.weight".to_owned(), 1, 64, plain);
    add("output.weight".to_owned(), 32, 64, stored);
    for layer in 0..2 {
        for (name, rows, columns, kind) in [
            ("attn_norm", 1, 64, plain),
            ("ffn_norm", 1, 64, plain),
            ("attn_q", 64, 64, stored),
            ("attn_k", 32, 64, stored),
            ("attn_v", 32, 64, stored),
            ("attn_output", 64, 64, stored),
            ("ffn_gate_inp", 2, 64, plain),
            ("ffn_gate.0", 96, 64, stored),
            ("ffn_gate.1", 96, 64, stored),
            ("ffn_up.0", 96, 64, stored),
            ("ffn_up.1", 96, 64, stored),
            ("ffn_down.0", 64, 96, stored),
            ("ffn_down.1", 64, 96, stored),
        ] {
            add(format!("blk.{layer}.{name}.weight"), rows, columns, kind);
        }
    }
    for (name, elements) in vectors {
        add((*name).to_owned(), 1, *elements, plain);
    }
    let mut metadata = vec![
        ("general.architecture", Value::String("llama".to_owned())),
        ("llama.block_count", Value::U32(2)),
        ("llama.embedding_length", Value::U32(64)),
        ("llama.feed_forward_length", Value::U32(96)),
        ("llama.attention.head_count", Value::U32(4)),
        ("llama.attention.head_count_kv", Value::U32(2)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("llama.expert_count", Value::U32(2)),
        ("llama.expert_used_count", Value::U32(1)),
        ("llama.vocab_size", Value::U32(32)),
    ];
    metadata.retain(|(key, _)| more.iter().all(|(other, _)| other != key));
    let metadata: Vec<(&str, &Value)> =
        metadata.iter().chain(more).map(|(key, value)| (*key, value)).collect();
    let tensors: Vec<(&str, &QTensor)> =
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut file = File::create(folder.path().join("old.gguf")).unwrap();
    gguf_file::write(&mut file, &metadata, &tensors).unwrap();
    folder
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// Of a file in F32 with more metadata, planned in f16.
fn planned(more: &[(&str, Value)]) -> Result<Manifest, Error> {
    manifest(&old(GgmlDType::F32, more, &[]).path().join("old.gguf"), "f16")
}

#[test]
fn experts_with_names_of_their_own_are_found() {
    for (kind, quant) in [
        (GgmlDType::F32, "f16"),
        (GgmlDType::F32, "q8_0"),
        (GgmlDType::Q8_0, "stored"),
        (GgmlDType::Q8_0, "q8_0"),
    ] {
        let folder = old(kind, &[], &[]);
        let manifest = loads(&folder.path().join("old.gguf"), quant);
        let down = item(&manifest, "layers.1.experts.1", Slot::Down);
        assert_eq!(down.pieces[0].tensor, "blk.1.ffn_down.1.weight");
        assert_eq!((down.rows, down.columns), (64, 96));
        let architecture = &manifest.architecture;
        assert!(architecture.rope.interleaved && architecture.normalize_chosen);
        assert!((architecture.rope.theta - 1e4).abs() < 1e-9 && architecture.window.is_none());
        assert_eq!((architecture.first_token, &architecture.last_tokens[..]), (None, &[][..]));
    }
}

#[test]
fn a_table_of_rotary_factors_is_loaded_whether_planned_or_not() {
    let folder = old(GgmlDType::F32, &[], &[("rope_freqs.weight", 8)]);
    let path = folder.path().join("old.gguf");
    for quant in ["stored", "f16"] {
        let manifest = manifest(&path, quant).unwrap();
        is_sound(&manifest);
        let table = item(&manifest, "embedding", Slot::RopeFactors);
        assert_eq!((table.held, table.rows, table.columns), (GgmlType::F32, 1, 8));
        assert_eq!((table.bytes, table.pieces.len()), (32, 1), "{quant}");
        assert!(manifest.architecture.rope.divisors.is_empty(), "they are in the table");
    }
    let folder = old(GgmlDType::F32, &[], &[("rope_freqs.weight", 6)]);
    let error = manifest(&folder.path().join("old.gguf"), "f16").unwrap_err().to_string();
    assert!(error.contains("a divisor for each of 8 rotated pairs"), "{error}");
}

#[test]
fn metadata_say_how_positions_tokens_and_windows_are() {
    let found = planned(&[
        ("llama.rope.freq_base", Value::F32(1e6)),
        ("llama.rope.dimension_count", Value::U32(16)),
        ("llama.rope.scaling.type", text("linear")),
        ("llama.rope.scaling.factor", Value::F32(2.0)),
        ("llama.attention.sliding_window", Value::U32(24)),
        ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ("tokenizer.ggml.eot_token_id", Value::U32(7)),
    ]);
    let found = found.unwrap().architecture;
    assert_eq!(found.rope, Rope { theta: 1e6, interleaved: true, divisors: vec![2.0; 8] });
    assert_eq!((found.window, found.first_token), (Some(24), Some(1)));
    assert_eq!(found.last_tokens, [2, 7]);
    let found = planned(&[
        ("llama.rope.scaling.type", text("none")),
        ("llama.rope.scaling.factor", Value::F32(2.0)),
        ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ("tokenizer.ggml.add_bos_token", Value::Bool(false)),
    ]);
    let found = found.unwrap().architecture;
    assert_eq!((found.rope.divisors.len(), found.first_token), (0, None));
    let found = planned(&[("llama.rope.scale_linear", Value::F32(4.0))]).unwrap().architecture;
    assert_eq!(found.rope.divisors, [4.0; 8], "the key's older name");
}

#[test]
fn metadata_that_the_decoder_does_not_run_are_refused_by_name() {
    let epsilon = "llama.attention.layer_norm_rms_epsilon";
    for (key, value, words) in [
        ("llama.rope.scaling.type", text("yarn"), "default, linear or llama3, found `yarn`"),
        ("llama.rope.scaling.factor", Value::F32(f32::NAN), "a finite factor above 0, found NaN"),
        ("llama.rope.dimension_count", Value::U32(8), "16: all of a head is rotated, found 8"),
        ("llama.rope.freq_base", Value::F32(f32::INFINITY), "a finite number above 0, found inf"),
        ("llama.rope.freq_base", text("10000"), "a number, found `10000`"),
        (epsilon, Value::F32(f32::NAN), "a number above 0 and up to 1, found NaN"),
        (epsilon, Value::Bool(true), "a number, found true"),
        ("llama.attention.sliding_window", Value::I32(-1), "a whole number, found -1"),
        ("tokenizer.ggml.eos_token_id", Value::U32(32), "the vocabulary of 32, found 32"),
    ] {
        let error = planned(&[(key, value)]).unwrap_err().to_string();
        let starts = error.starts_with("cannot run the model `") && error.contains("old.gguf");
        assert!(starts && error.contains(words), "{words} in {error}");
    }
}
