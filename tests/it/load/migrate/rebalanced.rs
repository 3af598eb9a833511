//! Other placements while text is generated, where circumstances ask for them.

use serde_json::{Value, json};

use super::super::super::binary::Bench;
use super::runs::{generated, planned, run, weights};

/// A placement where attention fills the first device and leaves room for few experts: which ones matters.
fn crowded() -> Bench {
    let bench = Bench::new();
    let weights = weights();
    let solve = [
        "solve",
        &weights,
        "--quant",
        "f32",
        "--context",
        "512",
        "--kv-type",
        "f32",
        "--gpu",
        "3.4MiB",
        "--gpu",
        "4MiB",
        "--free-default-pins",
        "--pin",
        "layers.*.attention=gpu0",
        "--pin",
        "embedding=gpu0",
        "-o",
        "map.yaml",
    ];
    let run = bench.run(&solve);
    assert_eq!(run.code, 0, "{run:?}");
    bench
}

fn migrations(answer: &Value) -> Vec<Value> {
    answer["migrations"].as_array().cloned().unwrap_or_default()
}

#[test]
fn memory_that_shrinks_moves_what_no_longer_fits() {
    let bench = planned();
    let still = generated(&bench, &["--max-tokens", "60"]);
    bench.write("usable", "# now\ngpu0=1.4MiB\n\n");
    let more =
        ["--max-tokens", "60", "--rebalance-when", "usable=usable", "--rebalance-every", "8"];
    let answer = generated(&bench, &more);
    assert_eq!(answer["tokens"], still["tokens"]);
    let moved = migrations(&answer);
    assert_eq!(moved.len(), 1, "{moved:?}");
    assert_eq!(moved[0]["steps_done"], moved[0]["steps"]);
    assert!(moved[0]["why"].as_str().unwrap().contains("gpu0 may use 1.40 MiB"), "{moved:?}");
    assert!(moved[0]["solving_seconds"].as_f64().unwrap() > 0.0);
    let budget = moved[0]["devices"][0]["budget_bytes"].as_u64().unwrap();
    assert!(budget <= 1_468_007, "{budget}");
    // What it was made for calls for nothing.
    bench.write("usable", "gpu0=3MiB\n");
    let answer = generated(&bench, &more);
    assert_eq!((answer["tokens"].clone(), migrations(&answer)), (still["tokens"].clone(), vec![]));
}

#[test]
fn routing_that_drifted_moves_experts_where_that_gains_enough() {
    let bench = crowded();
    let still = generated(&bench, &["--max-tokens", "480"]);
    let when = |gain: &str, drift: &str| {
        let drift = format!("drift={drift}");
        let more = [
            "--max-tokens",
            "480",
            "--rebalance-when",
            &drift,
            "--rebalance-every",
            "64",
            "--rebalance-gain",
            gain,
        ];
        let answer = generated(&bench, &more);
        assert_eq!(answer["tokens"], still["tokens"]);
        migrations(&answer)
    };
    let moved = when("5%", "0.1");
    assert!((1..=4).contains(&moved.len()), "{moved:?}");
    let why = moved[0]["why"].as_str().unwrap();
    assert!(why.starts_with("routing drifted by 0.") && why.contains("traffic from"), "{why}");
    assert_eq!(moved[0]["stopped"], json!(null));
    assert!(when("99%", "0.1").is_empty(), "nothing gains so much");
    assert!(when("5%", "0.99").is_empty(), "nothing drifts so far");
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let bench = planned();
    let generate =
        |more: &[&str]| run(&bench, "generate", &[&["--prompt-ids", "1,5"], more].concat());
    generate(&["--rebalance-when", "mood=bad"]).refuses(&["`drift=0.2` or `usable=FILE`"]);
    generate(&["--rebalance-when", "drift=2"]).refuses(&["at most 1"]);
    generate(&["--rebalance-when", "usable=none"]).refuses(&["none", "no such file"]);
    generate(&["--rebalance-gain", "1%"]).refuses(&["--rebalance-when <WHAT>"]);
    generate(&["--rebalance-when", "drift=0.1", "--rebalance-gain", "lots"])
        .refuses(&["--rebalance-gain", "a share such as"]);
    generate(&["--rebalance-when", "drift=0.1", "--migrate", "plan.yaml"])
        .refuses(&["cannot be used with"]);
    bench.write("usable", "gpu9=1GiB\n");
    generate(&["--rebalance-when", "usable=usable"]).refuses(&["gpu9"]);
    bench.write("usable", "gpu0\n");
    generate(&["--rebalance-when", "usable=usable"]).refuses(&["gpu0=9GiB"]);
}
