//! The command: golden texts of the incident, the promised JSON, and everything it must refuse.

use serde_json::Value;

use crate::binary::{Bench, golden};

fn incident(name: &str) -> String {
    format!("{}/tests/data/incident/{name}.yaml", env!("CARGO_MANIFEST_DIR"))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_incident_in_words() {
    let bench = Bench::new();
    for (file, options, text, code) in [
        ("hand-written-12-20", "", "simulate-hand-written.txt", 1),
        ("hand-written-12-20", "--advise", "simulate-advise.txt", 1),
        ("hand-written-12-20", "--allocator candle", "simulate-uncached.txt", 1),
        ("alternating-16-16", "", "simulate-alternating.txt", 0),
        ("apportion", "--advise", "simulate-ours.txt", 0),
    ] {
        let run = bench.line(&format!("simulate {} {options}", incident(file)));
        assert_eq!((run.code, run.stderr.as_str()), (code, ""), "{file}");
        let widest = run.stdout.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 80, "{text} is {widest} columns wide");
        golden(text, &run.stdout);
    }
}

/// The files of the incident are what `compare --write-maps` writes, and `check` finds what is wrong with each.
#[test]
fn the_files_of_the_incident_are_written_by_compare() {
    let bench = Bench::new();
    let run = bench.line(
        "compare mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB --runtime transformers \
         --write-maps maps",
    );
    assert_eq!(run.code, 0, "{run:?}");
    for (name, valid) in
        [("hand-written-12-20", false), ("alternating-16-16", true), ("apportion", true)]
    {
        let written = bench.read(&format!("maps/{name}.yaml"));
        let kept = std::fs::read_to_string(incident(name)).unwrap();
        // Nodes are the solver's effort.
        let same = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.contains("nodes: ")).map(str::to_owned).collect()
        };
        assert_eq!(same(&written), same(&kept), "{name}");
        let check = bench.line(&format!("check maps/{name}.yaml"));
        assert_eq!(check.code, i32::from(!valid), "{name}: {check:?}");
        if !valid {
            assert!(check.stdout.contains("gpu1: expected at most 15.60 GiB"), "{check:?}");
            assert_eq!(check.stdout.matches("\n  ").count(), 1, "nothing else is wrong: {check:?}");
        }
    }
    let maps = std::fs::read_dir(bench.path("maps")).unwrap().count();
    assert_eq!(maps, 6, "the optimum and five habits");
}

#[test]
fn simulate_json_has_the_promised_shape() {
    let bench = Bench::new();
    let run = bench.line(&format!("simulate {} --json --advise", incident("hand-written-12-20")));
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    let answer = run.json();
    assert_eq!(
        keys(&answer),
        [
            "status",
            "model",
            "quantization",
            "context",
            "batch",
            "runtime",
            "staging",
            "allocator",
            "order",
            "warm_up",
            "decode",
            "steps",
            "steps_in_all",
            "phases",
            "failure",
            "devices",
            "advice"
        ]
    );
    let failure = &answer["failure"];
    assert_eq!(
        keys(failure),
        [
            "device",
            "request_bytes",
            "asked_of_device_bytes",
            "reason",
            "at",
            "staged_bytes",
            "passing_bytes",
            "free_bytes",
            "largest_free_block_bytes"
        ]
    );
    // The packed copy of a matrix finds no room beside its 16-bit original: 112 MiB and statistics.
    assert_eq!(failure["device"], "gpu1");
    assert_eq!(failure["request_bytes"], 4096 * 14336 / 2);
    assert_eq!(failure["staged_bytes"], 2 * 4096 * 14336);
    assert_eq!(failure["passing_bytes"], 4096 * 14336 / 64 * 4);
    assert_eq!(failure["reason"]["purpose"], "weights");
    assert!(failure["free_bytes"].as_u64() < failure["asked_of_device_bytes"].as_u64());
    let device = &answer["devices"][1];
    assert_eq!(
        keys(device),
        [
            "id",
            "kind",
            "usable_bytes",
            "planned_bytes",
            "requests",
            "peak_bytes",
            "peak",
            "peak_reason",
            "end",
            "timeline"
        ]
    );
    assert!(device["timeline"].as_array().unwrap().len() <= 512);
    assert!(device["planned_bytes"].as_u64() > device["usable_bytes"].as_u64());
    assert_eq!(answer["advice"]["too_large"][0], "gpu1");
    assert_eq!(answer["advice"]["tried"], 24);
}

#[test]
fn the_picture_says_what_failed() {
    let bench = Bench::new();
    let run = bench.line(&format!("simulate {} -o m.svg", incident("hand-written-12-20")));
    assert_eq!(run.code, 1);
    let picture = bench.read("m.svg");
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    assert!(picture.contains("no room for 28.00 MiB: layers."));
    assert!(picture.len() < 200_000);
    for open in ["<svg", "<text", "<path", "<g "] {
        assert!(picture.contains(open), "{open}");
    }
    let refuses = |name: &str| {
        bench.line(&format!("simulate {} -o {name}", incident("apportion"))).refuses(&[".svg"]);
    };
    refuses("picture.png");
    refuses("picture");
}

#[test]
fn every_runtime_replays() {
    let bench = Bench::new();
    for (runtime, quant, options) in [
        ("candle", "q4_k_m", "--cpu 64GiB"),
        ("llama.cpp", "q4_k_m", "--cpu 64GiB"),
        ("llama.cpp", "q4_k_m", ""),
        ("vllm", "gptq-4bit", ""),
        ("transformers", "int8", "--cpu 64GiB"),
    ] {
        let solve = format!(
            "solve mixtral-8x7b --quant {quant} --gpu 30GiB --gpu 30GiB {options} --runtime \
             {runtime} -o p.yaml"
        );
        assert_eq!(bench.line(&solve).code, 0, "{solve}");
        let run = bench.line("simulate p.yaml");
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{runtime}: {run:?}");
        assert!(run.stdout.starts_with("fits: "), "{run:?}");
        // The least that can be had: something is asked of every GPU, and the first request fails.
        let run = bench.line("simulate p.yaml --usable gpu1=1MiB");
        assert_eq!((run.code, run.stderr.as_str()), (1, ""), "{runtime}: {run:?}");
        assert!(run.stdout.starts_with("fails: gpu1 has no room"), "{run:?}");
    }
}

#[test]
fn bad_input_is_refused() {
    let bench = Bench::new();
    let map = incident("hand-written-12-20");
    let refuses = |options: &str, words: &[&str]| {
        bench.line(&format!("simulate {map} {options}")).refuses(words);
    };
    refuses("--usable gpu2=8GiB", &["gpu2", "`gpu0`, `gpu1`"]);
    refuses("--usable gpu0", &["NAME=SIZE"]);
    refuses("--usable gpu0=16GiB", &["16750372454", "what the placement says it has", "hint: "]);
    refuses("--usable gpu0=-1GiB", &["negative"]);
    refuses("--usable gpu0=0", &["1 to 16750372454"]);
    refuses("--usable gpu0=lots", &["lots"]);
    refuses("--order backwards", &["backwards", "checkpoint"]);
    refuses("--allocator jemalloc", &["jemalloc", "torch"]);
    refuses("--staging moon", &["moon", "device"]);
    refuses("--runtime moon", &["moon", "transformers"]);
    refuses("--decode 4096", &["4096", "at most 4095"]);
    refuses("--decode 100000", &["100000", "at most"]);
    refuses("--decode x", &["expected a whole number"]);
    refuses("--warm-up --allocator candle", &["torch", "candle"]);
    bench.line("simulate missing.yaml").refuses(&["missing.yaml"]);
    bench.write("empty.yaml", "version: 1\n");
    bench.line("simulate empty.yaml").refuses(&["empty.yaml"]);
}

/// A placement whose bytes are those of a checkpoint's headers is nothing without them.
#[test]
fn a_placement_of_a_checkpoint_needs_the_checkpoint() {
    let bench = Bench::new();
    let files = format!("{}/tests/data/oracle/tiny-mixtral", env!("CARGO_MANIFEST_DIR"));
    let solved = bench.line(&format!("solve {files} --gpu 1GiB --gpu 1GiB -o p.yaml"));
    assert_eq!(solved.code, 0, "{solved:?}");
    bench.line("simulate p.yaml").refuses(&["checkpoint", "none given", "--model FILES"]);
    let run = bench.line(&format!("simulate p.yaml --model {files}"));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
}
