//! `load`, `generate` and `profile` on a small random Mixtral, against what transformers makes of it.

use std::path::{Path, PathBuf};

use apportion::routing::Statistics;
use serde_json::{Value, json};

use super::super::binary::{Bench, Run};

fn weights() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/oracle/tiny-mixtral")
}

fn reference() -> Value {
    let text = std::fs::read_to_string(weights().join("reference.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A placement of the model in f32 on two devices, half of all experts on the second.
fn solved(context: u64) -> Bench {
    let bench = Bench::new();
    let weights = weights().display().to_string();
    let context = context.to_string();
    let run = bench.run(&[
        "solve",
        &weights,
        "--quant",
        "f32",
        "--context",
        &context,
        "--kv-type",
        "f32",
        "--gpu",
        "3MiB",
        "--gpu",
        "3MiB",
        "--pin",
        "layers.*.experts.{1,3,5,7}=gpu1",
        "--free-default-pins",
        "-o",
        "map.yaml",
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    bench
}

fn ids(tokens: &Value) -> String {
    let tokens: Vec<String> = tokens.as_array().unwrap().iter().map(ToString::to_string).collect();
    tokens.join(",")
}

fn run(bench: &Bench, command: &str, more: &[&str]) -> Run {
    let weights = weights().display().to_string();
    let devices = ["--device", "gpu0=cpu", "--device", "gpu1=cpu", "--threads", "1"];
    bench.run(&[&[command, "map.yaml", "--weights", &weights], &devices[..], more].concat())
}

/// `generate --json` of a prompt.
fn generated(bench: &Bench, prompt: &Value, more: &[&str]) -> Value {
    let ids = ids(prompt);
    let run = run(bench, "generate", &[&["--prompt-ids", &ids, "--json"], more].concat());
    assert_eq!(run.code, 0, "{run:?}");
    run.json()
}

#[test]
fn every_byte_is_where_it_was_planned() {
    let bench = solved(128);
    let text = run(&bench, "load", &[]);
    assert_eq!(text.code, 0, "{text:?}");
    assert!(text.stdout.ends_with("every component takes the bytes that were planned\n"));
    let answer = run(&bench, "load", &["--json"]).json();
    let keys: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["devices", "seconds", "bytes_per_second", "agrees"]);
    assert_eq!(answer["agrees"], json!(true));
    let mut weights_bytes = 0;
    for device in answer["devices"].as_array().unwrap() {
        for (planned, measured) in [
            ("planned_weights_bytes", "measured_weights_bytes"),
            ("planned_kv_cache_bytes", "measured_kv_cache_bytes"),
        ] {
            assert_eq!(device[planned], device[measured]);
        }
        let components = device["components"].as_array().unwrap().iter();
        let sum: u64 = components.map(|one| one["measured_bytes"].as_u64().unwrap()).sum();
        assert_eq!(json!(sum), device["measured_weights_bytes"]);
        assert_eq!(device["backing"], "cpu");
        weights_bytes += sum;
    }
    let parameters = reference()["params"].as_u64().unwrap();
    assert_eq!(weights_bytes, 4 * parameters);
}

#[test]

fn greedy_tokens_are_those_of_the_reference() {
    let (bench, reference) = (solved(128), reference());
    for mode in ["sequential", "concurrent"] {
        for (prompt, whole) in reference["prompts"]
            .as_array()
            .unwrap()
            .iter()
            .zip(reference["greedy"].as_array().unwrap())
        {
            let new = &whole.as_array().unwrap()[prompt.as_array().unwrap().len()..];
            let most = new.len().to_string();
            let answer = generated(&bench, prompt, &["--max-tokens", &most, "--mode", mode]);
            assert_eq!(answer["tokens"], json!(new), "{mode}");
            assert_eq!(answer["ended"], "max_tokens");
            assert_eq!(answer["prompt_tokens"], json!(prompt.as_array().unwrap().len()));
            assert!(answer["transfers"]["per_token_measured"].as_f64().unwrap() >= 2.0);
        }
    }
}

#[test]

fn tokens_without_text_are_printed_as_numbers() {
    let (bench, reference) = (solved(128), reference());
    let prompt = &reference["prompts"][1];
    let run = run(&bench, "generate", &["--prompt-ids", &ids(prompt), "--max-tokens", "3"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "139 226 72\n"));
    for words in ["prompt     5 tokens in", "decode     2 tokens in", "ended      max tokens"] {
        assert!(run.stderr.contains(words), "{run:?}");
    }
}

#[test]

fn a_full_context_ends_it_and_a_longer_prompt_is_refused() {
    let (bench, reference) = (solved(10), reference());
    let answer = generated(&bench, &reference["prompts"][0], &[]);
    assert_eq!(
        (&answer["ended"], &answer["tokens"]),
        (&json!("context_full"), &json!([34, 90, 82]))
    );
    let long = run(&bench, "generate", &["--prompt-ids", "1,2,3,4,5,6,7,8,9,10,11"]);
    long.refuses(&["at most 10 tokens", "found 11 tokens"]);
    let unknown = run(&bench, "generate", &["--prompt-ids", "1,256"]);
    unknown.refuses(&["token 2 of 2", "0 to 255, found 256"]);
}

#[test]

fn equal_seeds_draw_equal_tokens() {
    let (bench, reference) = (solved(128), reference());
    let draw = |seed: &str| {
        let more = ["--temperature", "2", "--top-p", "0.95", "--seed", seed, "--max-tokens", "12"];
        generated(&bench, &reference["prompts"][1], &more)["tokens"].clone()
    };
    assert_eq!(draw("1"), draw("1"));
    assert_ne!(draw("1"), draw("2"));
}

#[test]

fn experts_are_counted_as_in_the_reference() {
    let (bench, reference) = (solved(128), reference());
    let mut sums = vec![vec![0; 8]; 4];
    for prompt in reference["prompts"].as_array().unwrap() {
        let run = run(&bench, "profile", &["--prompt-ids", &ids(prompt), "-o", "r.json", "--json"]);
        assert_eq!(run.code, 0, "{run:?}");
        let statistics = Statistics::read(&bench.path("r.json")).unwrap();
        assert_eq!(run.json()["tokens"], json!(statistics.tokens));
        assert_eq!(json!(statistics.tokens), json!(prompt.as_array().unwrap().len()));
        for (sums, row) in sums.iter_mut().zip(&statistics.counts) {
            for (sum, count) in sums.iter_mut().zip(row) {
                *sum += count;
            }
        }
    }
    assert_eq!(json!(sums), reference["expert_hits"]);
}

#[test]

fn a_long_text_is_cut_into_chunks() {
    let bench = solved(4);
    let profile = |more: &[&str]| {
        run(&bench, "profile", &[&["--prompt-ids", "1,2,3,1,2", "-o", "r.json"], more].concat())
    };
    assert_eq!(profile(&["--context", "3"]).code, 0);
    let cut = Statistics::read(&bench.path("r.json")).unwrap();
    assert_eq!(cut.tokens, 5);
    assert_eq!(profile(&["--context", "4"]).code, 0);
    assert_ne!(Statistics::read(&bench.path("r.json")).unwrap(), cut, "another cut, other texts");
    profile(&["--context", "5"]).refuses(&["chunks of 1 to 4 tokens", "found 5"]);
    profile(&["--context", "0"]).refuses(&["chunks of 1 to 4 tokens", "found 0"]);
}

#[test]
fn a_budget_that_is_too_small_is_refused() {
    let bench = solved(128);
    run(&bench, "load", &["--budget", "gpu1=1MiB"]).refuses(&["gpu1", "missing"]);
    run(&bench, "load", &["--budget", "gpu7=1MiB"]).refuses(&["gpu7"]);
}
