//! Checkpoints against what is predicted for them, through the command line.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::binary::Bench;

/// Puts a file of its true length behind a header of another program's file; the weights are a hole.
fn sparse(bench: &Bench, header: &str, bytes: u64) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/headers").join(header);
    let path = bench.path(Path::new(header).file_stem().unwrap().to_str().unwrap());
    fs::copy(&source, &path).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    // Copies keep the permissions of fixtures, which may be read-only.
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file of this test alone")]
    permissions.set_readonly(false);
    fs::set_permissions(&path, permissions).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(bytes).unwrap();
    path
}

/// Writes a safetensors file of these tensors, without their data.
fn safetensors(bench: &Bench, name: &str, tensors: &[(String, &str, Vec<u64>)]) {
    let mut header = Map::new();
    let mut end = 0;
    for (tensor, dtype, shape) in tensors {
        let width = match *dtype {
            "F32" | "I32" => 4,
            "BF16" | "F16" => 2,
            _ => 1,
        };
        let start = end;
        end += shape.iter().product::<u64>() * width;
        header.insert(
            tensor.clone(),
            json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] }),
        );
    }
    let text = Value::Object(header).to_string();
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bench.write(name, &bytes);
    let file = File::options().write(true).open(bench.path(name)).unwrap();
    file.set_len(bytes.len() as u64 + end).unwrap();
}

#[test]
fn files_of_llama_cpp_hold_what_their_metadata_promise() {
    let bench = Bench::new();
    for (header, bytes, scheme, tensors) in [
        ("gguf/SmolLM2-135M-Instruct.Q4_1.gguf.header", 98_362_432, "q4_1", 272),
        ("gguf/tk-Q4_K_M.gguf.header", 1_317_856, "q4_k_m", 23),
        ("gguf/tk-Q8_0.gguf.header", 2_285_664, "q8_0", 23),
    ] {
        let path = sparse(&bench, header, bytes);
        let run = bench.line(&format!("reconcile {} --json", path.display()));
        assert_eq!(run.code, 0, "{run:?}");
        let answer = run.json();
        assert_eq!(answer["quantization"], scheme);
        assert_eq!(answer["equal"], json!(tensors));
        assert_eq!(answer["differences"], json!([]));
        assert_eq!(answer["predicted_bytes"], answer["found_bytes"]);
    }
}

/// A small Llama of two layers as a checkpoint in 16 bit.
fn tiny_llama(bench: &Bench) -> Vec<(String, &'static str, Vec<u64>)> {
    let config = json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 256,
    });
    bench.write("config.json", config.to_string());
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), "BF16", vec![256, 64]),
        ("model.norm.weight".to_owned(), "BF16", vec![64]),
        ("lm_head.weight".to_owned(), "BF16", vec![256, 64]),
    ];
    for layer in 0..2 {
        for (name, shape) in [
            ("input_layernorm", vec![64]),
            ("post_attention_layernorm", vec![64]),
            ("self_attn.q_proj", vec![64, 64]),
            ("self_attn.k_proj", vec![32, 64]),
            ("self_attn.v_proj", vec![32, 64]),
            ("self_attn.o_proj", vec![64, 64]),
            ("mlp.gate_proj", vec![128, 64]),
            ("mlp.up_proj", vec![128, 64]),
            ("mlp.down_proj", vec![64, 128]),
        ] {
            tensors.push((format!("model.layers.{layer}.{name}.weight"), "BF16", shape));
        }
    }
    tensors
}

#[test]
fn a_difference_is_named_and_is_no() {
    let bench = Bench::new();
    let mut tensors = tiny_llama(&bench);
    safetensors(&bench, "model.safetensors", &tensors);
    assert_eq!(bench.line("reconcile .").code, 0);
    // A matrix of another width, one that is missing, one too many, and a layer that only predicts ahead.
    tensors[3 + 7].2 = vec![130, 64];
    tensors.remove(3 + 3);
    tensors.push(("model.layers.1.mlp.extra.weight".to_owned(), "F32", vec![8]));
    tensors.push(("model.layers.2.eh_proj.weight".to_owned(), "BF16", vec![64, 128]));
    safetensors(&bench, "model.safetensors", &tensors);
    let run = bench.line("reconcile . --json");
    assert_eq!(run.code, 1, "{run:?}");
    let answer = run.json();
    let names: Vec<&str> = answer["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["name"].as_str().unwrap())
        .collect();
    let expected = [
        "model.layers.0.mlp.up_proj.weight",
        "model.layers.0.self_attn.k_proj.weight",
        "model.layers.1.mlp.extra.weight",
    ];
    assert_eq!(names, expected);
    assert_eq!(answer["left_out"][0]["bytes"], json!(64 * 128 * 2));
    assert!(run.stderr.contains("model.layers.1.mlp.extra.weight"), "{}", run.stderr);
    let text = bench.line("reconcile .");
    assert!(text.stdout.contains("bf16 130x64"), "{}", text.stdout);
}

#[test]
fn files_without_one_of_the_layers_are_refused() {
    let bench = Bench::new();
    let mut tensors = tiny_llama(&bench);
    tensors.retain(|(name, ..)| !name.starts_with("model.layers.0."));
    safetensors(&bench, "model.safetensors", &tensors);
    for line in ["inspect .", "solve . --gpu 1GiB", "reconcile ."] {
        let run = bench.line(line);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains("expected tensors of all 2 layers, found none of layer 0"));
    }
}

#[test]
fn a_config_that_the_files_contradict_is_said() {
    let bench = Bench::new();
    let tensors = tiny_llama(&bench);
    safetensors(&bench, "model.safetensors", &tensors);
    let mut config: Value = serde_json::from_str(&bench.read("config.json")).unwrap();
    config["vocab_size"] = json!(512);
    bench.write("config.json", config.to_string());
    let run = bench.line("inspect .");
    assert!(run.stderr.contains("2 tensors have other shapes"), "{}", run.stderr);
    // The same model inside one of several: its names have a prefix, its config is a part.
    config["vocab_size"] = json!(256);
    bench.write("config.json", json!({ "model_type": "llava", "text_config": config }).to_string());
    let wrapped = tensors
        .into_iter()
        .map(|(name, dtype, shape)| (format!("language_model.{name}"), dtype, shape));
    safetensors(&bench, "model.safetensors", &wrapped.collect::<Vec<_>>());
    let run = bench.line("reconcile .");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(run.stdout.contains("(llama), predicted as bf16"), "{}", run.stdout);
}

#[test]
fn statistics_count_with_their_weight() {
    let bench = Bench::new();
    let plain = tiny_llama(&bench);
    let mut config: Value = serde_json::from_str(&bench.read("config.json")).unwrap();
    config["quantization_config"] = json!({ "quant_method": "gptq", "bits": 4, "group_size": 32 });
    bench.write("config.json", config.to_string());
    let mut tensors = Vec::new();
    for (name, _, shape) in plain {
        let matrix = name.contains("_proj");
        let Some(stem) = name.strip_suffix(".weight").filter(|_| matrix) else {
            tensors.push((name, "F16", shape));
            continue;
        };
        let (out, inner) = (shape[0], shape[1]);
        tensors.push((format!("{stem}.qweight"), "I32", vec![inner / 8, out]));
        tensors.push((format!("{stem}.qzeros"), "I32", vec![inner / 32, out / 8]));
        tensors.push((format!("{stem}.scales"), "F16", vec![inner / 32, out]));
        tensors.push((format!("{stem}.g_idx"), "I32", vec![inner]));
    }
    safetensors(&bench, "model.safetensors", &tensors);
    let run = bench.line("reconcile . --json");
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.json()["quantization"], "gptq-4bit-g32");
}

#[test]
fn a_model_of_no_known_family_is_placed_by_its_headers() {
    let bench = Bench::new();
    let mut tensors = tiny_llama(&bench);
    fs::remove_file(bench.path("config.json")).unwrap();
    for expert in 0..4 {
        tensors.push((
            format!("model.layers.1.mlp.experts.{expert}.w2.weight"),
            "BF16",
            vec![64, 32],
        ));
    }
    safetensors(&bench, "model.safetensors", &tensors);
    let bytes: u64 = tensors.iter().map(|row| row.2.iter().product::<u64>() * 2).sum();
    let answer = bench.line("inspect . --json");
    assert_eq!(answer.json()["weights_bytes"], json!(bytes));
    assert!(answer.stderr.contains("no family of this program serves"), "{}", answer.stderr);
    assert_eq!(bench.line("solve . --gpu 4MiB --gpu 4MiB --context 16 -o map.yaml").code, 0);
    bench.line("check map.yaml").refuses(&["model.checkpoint", "--model FILES"]);
    assert_eq!(bench.line("check map.yaml --model .").code, 0);
    // The same names with another matrix are another checkpoint.
    tensors[2].2 = vec![512, 64];
    safetensors(&bench, "model.safetensors", &tensors);
    bench.line("check map.yaml --model .").refuses(&["a checkpoint with the headers"]);
}
