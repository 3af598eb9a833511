//! Two placements side by side.

use serde_json::json;

use super::binary::{Bench, golden};

const TWO: &str = "solve mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB";

fn solved(bench: &Bench, name: &str, line: &str) {
    let run = bench.line(&format!("{line} -o {name}"));
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn what_is_the_same_is_no_difference() {
    let bench = Bench::new();
    solved(&bench, "a.yaml", TWO);
    bench.write("b.yaml", bench.read("a.yaml"));
    let run = bench.line("diff a.yaml b.yaml");
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (0, "no difference: `a.yaml` and `b.yaml` ask the same and answer the same\n")
    );
    let json = bench.line("diff a.yaml b.yaml --json").json();
    assert_eq!((&json["same"], &json["moved_bytes"]), (&json!(true), &json!(0)));
}

#[test]
fn a_pin_is_priced_under_both_questions() {
    let bench = Bench::new();
    solved(&bench, "a.yaml", TWO);
    solved(&bench, "b.yaml", &format!("{TWO} --pin layers.14.experts.[0-3]=gpu1"));
    let run = bench.line("diff a.yaml b.yaml");
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    golden("diff-pin.txt", &run.stdout);
    let back = bench.line("diff b.yaml a.yaml --json").json();
    let traffic = back["objectives"].as_array().unwrap();
    let traffic = traffic.iter().find(|o| o["name"] == "traffic").unwrap();
    assert_eq!(
        traffic,
        &json!({"name": "traffic", "before": 3.0, "before_asked_as_after": 3.0, "after": 1.0})
    );
}

#[test]
fn what_moved_weighs_what_migration_counts() {
    let bench = Bench::new();
    solved(&bench, "a.yaml", TWO);
    let line = format!("{TWO} --pin layers.9.attention=gpu1 --migrate-from a.yaml");
    solved(&bench, "b.yaml", &format!("{line} --objective peak_utilization:5%,migration"));
    let json = bench.line("diff a.yaml b.yaml --json").json();
    let objectives = json["objectives"].as_array().unwrap();
    let migration = objectives.iter().find(|o| o["name"] == "migration").unwrap();
    assert_eq!(migration["after"], json["moved_bytes"]);
    assert!(json["moved_bytes"].as_u64().unwrap() > 0);
    let moved = json["moved"].as_array().unwrap();
    let sum: u64 = moved.iter().map(|one| one["weights_bytes"].as_u64().unwrap()).sum();
    assert_eq!(json["moved_bytes"], sum);
    let changes: i64 = json["devices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["after_bytes"].as_i64().unwrap() - d["before_bytes"].as_i64().unwrap())
        .sum();
    assert_eq!(changes, 0, "what one device loses the other gains, workspace being the same");
}

#[test]
fn other_machines_and_other_models_are_named() {
    let bench = Bench::new();
    solved(&bench, "a.yaml", TWO);
    let three = "solve mixtral-8x7b --quant q4_k_m --gpu 15.60GiB --gpu 24GiB --cpu 32GiB";
    solved(&bench, "c.yaml", &format!("{three} --context 32768"));
    let run = bench.line("diff a.yaml c.yaml");
    assert_eq!(run.code, 1);
    golden("diff-machine.txt", &run.stdout);
    let small = "solve llama-3.2-1b --quant bf16 --gpu 15.60GiB --gpu 15.60GiB";
    solved(&bench, "d.yaml", small);
    let json = bench.line("diff a.yaml d.yaml --json").json();
    let places: Vec<&str> = json["question"]
        .as_array()
        .unwrap()
        .iter()
        .map(|changed| changed["place"].as_str().unwrap())
        .collect();
    assert!(places.contains(&"model.name") && places.contains(&"quantization"), "{places:?}");
    assert!(bench.line("diff a.yaml d.yaml").stdout.contains("of 339"), "16 dense mlps more");
    let gone = json["moved"].as_array().unwrap();
    let gone = gone.iter().filter(|one| one["to"].is_null()).count();
    // Experts and routers of 32 layers, attention of the 16 layers that Llama has not, and its tied head.
    assert_eq!(gone, 32 * 8 + 32 + 16 + 1);
    assert!(json["objectives"][0]["before_asked_as_after"].is_null(), "{json}");
}

#[test]
fn what_does_not_hold_is_said_first() {
    let bench = Bench::new();
    solved(&bench, "a.yaml", TWO);
    let map = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/incident/hand-written-12-20.yaml");
    bench.write("old.yaml", std::fs::read(map).unwrap());
    let run = bench.line("diff old.yaml a.yaml");
    assert_eq!(run.code, 1);
    let first = "`old.yaml` does not hold:\n  gpu1: expected at most 15.60 GiB";
    assert!(run.stdout.starts_with(first), "{}", run.stdout);
    bench.line("diff a.yaml a.yaml --model llama-3.2-1b").refuses(&[
        "compare the placements `a.yaml`",
        "`llama-3.2-1b`",
        "`mixtral-8x7b`",
    ]);
    bench.line("diff a.yaml missing.yaml").refuses(&["missing.yaml", "no such file"]);
    bench.write("bad.yaml", "version: 7\n");
    bench.line("diff bad.yaml a.yaml").refuses(&["bad.yaml"]);
}
