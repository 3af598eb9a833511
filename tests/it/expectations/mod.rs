//! What is held fixed: green while nothing changes, red with the reason where something does, rewritten in
//! place.

mod catalogue;
mod explains;
mod formats;
mod lies;
mod updates;

use super::binary::{Bench, Run};

/// A small model whose config file is beside the expectations.
const CONFIG: &str = include_str!("../../data/configs/llama-3.2-1b/config.json");

/// Two cases, one with experts and one by its config file, filled by `--update`.
const CASES: &str = "\
# What we run.
version: 1
defaults:
  node_limit: 200

cases:
  # Two cards.
  - name: mixtral
    model: mixtral-8x7b
    quantization: nf4-dq
    gpus: [15.60GiB, 15.60GiB]
    expect: {}   # by --update

  - name: small
    model: small/config.json
    quantization: q8_0
    gpus: [1GiB, 1GiB]
    objectives: [\"peak_utilization:1%\", traffic]
    expect: {}
";

fn ci(bench: &Bench, options: &[&str]) -> Run {
    let mut words = vec!["ci", "expectations.yaml"];
    words.extend(options);
    bench.run(&words)
}

/// A folder with the two cases as they hold now.
fn filled() -> Bench {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("small")).unwrap();
    bench.write("small/config.json", CONFIG);
    bench.write("expectations.yaml", CASES);
    let update = ci(&bench, &["--update"]);
    assert_eq!(update.code, 0, "{update:?}");
    bench
}

/// A folder with a placement file as its only case.
fn solved() -> Bench {
    let bench = Bench::new();
    let line = "solve mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB -o map.yaml";
    assert_eq!(bench.line(line).code, 0);
    bench.write("expectations.yaml", "version: 1\ncases: [{name: map, placement: map.yaml}]\n");
    bench
}

/// Replaces what must be there once.
fn change(bench: &Bench, file: &str, from: &str, to: &str) {
    let text = bench.read(file);
    assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
    bench.write(file, text.replace(from, to));
}

#[test]
fn nothing_changed_is_green_and_the_same_on_any_number_of_threads() {
    let bench = filled();
    let run = ci(&bench, &[]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(run.stdout.starts_with("PASS: 2 of 2 cases hold\n"), "{run:?}");
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80));
    let json = ci(&bench, &["--json"]).json();
    assert_eq!(
        (&json["passed"], &json["failed"], &json["errors"]),
        (&2.into(), &0.into(), &0.into())
    );
    assert_eq!(json["cases"][0]["now"]["status"], "optimal");
    let one = std::process::Command::new(env!("CARGO_BIN_EXE_apportion"))
        .args(["ci", "expectations.yaml"])
        .current_dir(bench.path(""))
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(one.stdout).unwrap(), run.stdout);
}

#[test]
fn what_expects_nothing_yet_is_red() {
    let bench = Bench::new();
    bench.write("expectations.yaml", CASES);
    std::fs::create_dir(bench.path("small")).unwrap();
    bench.write("small/config.json", CONFIG);
    let run = ci(&bench, &[]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("nothing is expected yet; `apportion ci --update` fills it"));
}

#[test]
fn only_what_was_chosen_is_asked_and_rewritten() {
    let bench = filled();
    bench.write("expectations.yaml", CASES);
    let update = ci(&bench, &["--update", "--only", "mix*"]);
    assert_eq!(update.code, 0, "{update:?}");
    let text = bench.read("expectations.yaml");
    assert!(text.contains("expect:   # by --update\n      status: optimal\n"), "{text}");
    assert!(text.ends_with("    expect: {}\n"), "{text}");
    assert_eq!(ci(&bench, &["--only", "mixtral"]).code, 0);
    assert_eq!(ci(&bench, &["--only", "small"]).code, 1);
    // A name that is a pattern of other names.
    change(&bench, "expectations.yaml", "name: mixtral\n", "name: mixtral[1]\n");
    let run = ci(&bench, &["--only", "mixtral[1]"]);
    assert!(run.stdout.contains("  mixtral[1]  "), "{run:?}");
    ci(&bench, &["--only", "mixtrall"]).refuses(&["mixtrall", "did you mean `mixtral[1]`"]);
}

#[test]
fn a_placement_file_is_a_case_too() {
    let bench = solved();
    let run = ci(&bench, &[]);
    assert_eq!(run.code, 0, "{run:?}");
    // Two components exchange their places: as good, and not what solving gives.
    let solved = bench.read("map.yaml");
    change(&bench, "map.yaml", "layers.0-15.experts.0-7: gpu0", "layers.0-14.experts.0-7: gpu0");
    change(&bench, "map.yaml", "layers.16-31.experts.0-7: gpu1", "layers.15-31.experts.0-7: gpu1");
    let run = ci(&bench, &[]);
    assert_eq!(run.code, 1, "{run:?}");
    for words in
        ["devices.gpu0.used_bytes: expected", "\n  map: expected ", "why: expectation edited: "]
    {
        assert!(run.stdout.contains(words), "{run:?}");
    }
    assert_eq!(ci(&bench, &["--update"]).code, 0);
    assert_eq!(bench.read("map.yaml"), solved);
    bench.write("map.yaml", "version: 1\n");
    let run = ci(&bench, &[]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stdout.contains("key `placement` of case `map`"), "{run:?}");
}

#[test]
fn every_key_of_a_question_is_the_commands() {
    let bench = Bench::new();
    bench.write(
        "box.yaml",
        "version: 1\ndevices: [{id: a, kind: gpu, memory: 16GiB}, {id: b, kind: gpu, memory: 16GiB}]\n",
    );
    let solved = |line: &str| {
        let run = bench.line(&format!("solve {line} -o map.yaml"));
        assert_eq!(run.code, 0, "{run:?}");
        let text = bench.read("map.yaml");
        let problem = text.lines().find(|line| line.starts_with("problem: ")).unwrap();
        problem.trim_start_matches("problem: ").trim_matches('"').to_owned()
    };
    let asked = |case: &str| {
        bench.write(
            "expectations.yaml",
            format!("version: 1\ncases: [{{name: x, {case}, expect: {{}}}}]\n"),
        );
        let run = ci(&bench, &["--json"]);
        assert_eq!(run.code, 1, "{case}: {run:?}");
        run.json()["cases"][0]["now"]["problem"]
            .as_str()
            .unwrap_or_else(|| panic!("{run:?}"))
            .to_owned()
    };
    let two = "--gpu 16GiB --gpu 16GiB";
    for (line, case) in [
        (format!("mixtral-8x7b --quant nf4 {two}"), "model: mixtral-8x7b, quantization: nf4, machine: 2x16GiB"),
        (
            "mixtral-8x7b --quant nf4 --hardware box.yaml --pin layers.3.experts.*=b --forbid output_head=a".to_owned(),
            "model: mixtral-8x7b, quantization: nf4, hardware: box.yaml, pins: \"layers.3.experts.*=b\", forbids: [output_head=a]",
        ),
        (
            "mixtral-8x7b --quant nf4 --hardware box.yaml".to_owned(),
            "model: mixtral-8x7b, quantization: nf4, hardware: {version: 1, devices: [{id: a, kind: gpu, memory: 16GiB}, {id: b, kind: gpu, memory: 16GiB}]}",
        ),
        (
            format!("mixtral-8x7b --quant q4_0 --quant-override layers.*.experts.0=q8_0 --context 8192 --batch 2 --kv-type q8_0 --staging host --runtime llama.cpp {two} --cpu 64GiB --reserve 1GiB --link pcie-4-x16"),
            "model: mixtral-8x7b, quantization: q4_0, quantization_overrides: [\"layers.*.experts.0=q8_0\"], context: 8192, batch: 2, kv_type: q8_0, staging: host, runtime: llama.cpp, gpus: [16GiB, 16GiB], cpu: 64GiB, reserve: 1GiB, link: pcie-4-x16",
        ),
        (
            "mixtral-8x7b --quant nf4 --gpu rtx-4090 --gpu rtx-4090 --link pcie-4-x16 --free-default-pins --headroom 5% --max-devices 2 --sends per-device --layer-devices concurrent --granularity experts --objective decode_latency,peak_utilization:2% --node-limit 50".to_owned(),
            "model: mixtral-8x7b, quantization: nf4, gpus: [rtx-4090, rtx-4090], link: pcie-4-x16, default_pins: false, headroom: 5%, max_devices: 2, sends: per-device, layer_devices: concurrent, granularity: experts, objectives: [decode_latency, \"peak_utilization:2%\"], node_limit: 50",
        ),
        (
            format!("mixtral-8x7b --quant nf4 {two} --attention replicated"),
            "model: mixtral-8x7b, quantization: nf4, gpus: [16GiB, 16GiB], attention: replicated",
        ),
    ] {
        assert_eq!(solved(&line), asked(case), "{line}");
    }
}
