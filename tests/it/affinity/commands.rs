//! The command line: what it answers with replicated attention, what it records, what it refuses.

use std::path::Path;

use serde_json::Value;

use crate::binary::{Bench, Run};

/// Counts of real tokens.
fn counts() -> String {
    let path = "tests/data/ground-truth/mixtral-routing/humaneval-pairs.json";
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

const MIXTRAL: &str = "mixtral-8x7b --quant q4_k_m --gpu 24GiB --gpu 24GiB --attention replicated";

fn replicated(bench: &Bench, command: &str, more: &[&str]) -> Run {
    let counts = counts();
    let mut words: Vec<&str> = vec![command];
    words.extend(MIXTRAL.split(' '));
    words.extend(["--routing", &counts]);
    words.extend(more);
    bench.run(&words)
}

#[test]
fn mixtral_is_divided_recorded_and_checked() {
    let bench = Bench::new();
    let run = replicated(&bench, "solve", &["-o", "placement.yaml", "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let answer = run.json();
    assert_eq!(answer["status"], "optimal");
    let objectives: Vec<&Value> = answer["objectives"].as_array().unwrap().iter().collect();
    assert_eq!(objectives[0]["name"], "crossings");
    assert_eq!(objectives[1]["name"], "peak_utilization");
    let of = |key: &str| answer["crossings"]["others"][key].as_f64().unwrap();
    let value = answer["crossings"]["value"].as_f64().unwrap();
    // 2 experts per token, 31 steps, half of them on the other device.
    assert!((of("random") - 31.0).abs() < 1e-9);
    assert!(value < of("greedy_packer") && of("greedy_packer") < of("random"), "{answer}");
    assert_eq!(answer["placement"].as_object().unwrap().len(), 256);

    let file = bench.read("placement.yaml");
    assert!(file.contains("  attention: replicated\n"));
    assert!(
        file.contains("\naffinity:\n  tokens: 333\n  top_k: 2\n  pair_counts:\n    - [[32,8,3,")
    );
    let check = bench.line("check placement.yaml");
    assert_eq!(check.code, 0, "{check:?}");
    assert!(check.stdout.contains("crossings per token: "), "{}", check.stdout);
    // Another count is another problem, and another value.
    bench.write("placement.yaml", file.replacen("[[32,8,3,", "[[31,9,3,", 1));
    let check = bench.line("check placement.yaml");
    assert_eq!(check.code, 1);
    assert!(check.stdout.contains("problem: the file says"), "{}", check.stdout);
    // One that cannot be.
    bench.write("placement.yaml", file.replacen("[[32,8,3,", "[[32,9,3,", 1));
    let check = bench.line("check placement.yaml");
    assert_eq!(check.code, 2);
    assert!(check.stderr.contains("sum to tokens x top_k x top_k"), "{}", check.stderr);
}

#[test]
fn the_answer_for_people_has_the_others_beside_it() {
    let bench = Bench::new();
    let run = replicated(&bench, "solve", &[]);
    assert_eq!(run.code, 0);
    assert!(run.stdout.contains("attention on every device, experts divided evenly"));
    assert!(run.stdout.contains("; divided at random 31, contiguous "), "{}", run.stdout);
    let run = replicated(&bench, "compare", &[]);
    assert_eq!(run.code, 0);
    assert!(run.stdout.contains("crossings/token") && run.stdout.contains("greedy packer"));
}

#[test]
fn without_counts_the_peak_is_left() {
    let bench = Bench::new();
    let run = bench.line(&format!("solve {MIXTRAL} --json"));
    assert_eq!(run.code, 0, "{run:?}");
    let answer = run.json();
    assert_eq!(answer["objectives"].as_array().unwrap().len(), 1);
    assert_eq!(answer["objectives"][0]["name"], "peak_utilization");
    assert!(answer.get("crossings").is_none() && answer.get("traffic").is_none());
}

#[test]
fn what_has_no_meaning_is_refused_by_name() {
    let bench = Bench::new();
    for (more, words) in [
        ("--objective traffic", "minimise traffic: expected crossings"),
        ("--objective decode_latency", "prices attention with one home"),
        ("--objective migration", "prices attention with one home"),
        ("--cpu 64GiB", "expected GPUs only"),
        ("--sends per-device", "--sends"),
        ("--max-devices 1", "expected all 2 devices"),
        ("--formulation textbook", "without integer programs"),
        ("--explain", "--attention replicated"),
        ("--certificate c.yaml", "--attention replicated"),
        ("--pin embedding=gpu0", "expected a pattern that matches a component"),
    ] {
        let run = replicated(&bench, "solve", &more.split(' ').collect::<Vec<_>>());
        assert_eq!(run.code, 2, "{more}: {run:?}");
        assert!(run.stderr.contains(words), "{more}: {}", run.stderr);
    }
    for (line, words) in [
        ("solve llama-3.1-8b --quant q8_0 --gpu 24GiB --attention replicated", "routed experts"),
        (
            "solve mixtral-8x7b --quant q4_k_m --gpu 48GiB --objective crossings",
            "attention with one home",
        ),
        (
            "solve mixtral-8x7b --quant q4_k_m --gpu 48GiB --attention replicated --objective crossings",
            "`--routing FILE` with `pair_counts`",
        ),
        (
            "frontier mixtral-8x7b --quant q4_k_m --gpu 48GiB --gpu 48GiB --attention replicated",
            "--attention replicated",
        ),
    ] {
        let run = bench.line(line);
        assert_eq!(run.code, 2, "{line}: {run:?}");
        assert!(run.stderr.contains(words), "{line}: {}", run.stderr);
    }
    let counts = counts();
    let other = format!(
        "solve deepseek-v3 --quant fp8 --gpu 900GiB --attention replicated --routing {counts}"
    );
    let run = bench.line(&other);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("experts per token"), "{}", run.stderr);
}

#[test]
fn what_does_not_fit_says_so_and_offers_ways_out() {
    let bench = Bench::new();
    let run = bench
        .line("solve mixtral-8x7b --quant q4_k_m --gpu 24GiB --gpu 8GiB --attention replicated");
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.starts_with("infeasible"), "{}", run.stdout);
    assert!(run.stdout.contains("gpu1"), "{}", run.stdout);
}
