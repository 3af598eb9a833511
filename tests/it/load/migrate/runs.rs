//! What `generate` and `load` do with plans.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::super::binary::{Bench, Run};

pub fn weights() -> String {
    let weights: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/oracle/tiny-mixtral");
    weights.display().to_string()
}

/// A placement on two devices, and a plan to one where the first may use less.
pub fn planned() -> Bench {
    planned_for("1.4MiB")
}

fn planned_for(usable: &str) -> Bench {
    let bench = Bench::new();
    let weights = weights();
    let solve = [
        "solve",
        &weights,
        "--quant",
        "f32",
        "--context",
        "128",
        "--kv-type",
        "f32",
        "--gpu",
        "3MiB",
        "--gpu",
        "3MiB",
        "-o",
        "map.yaml",
    ];
    let run = bench.run(&solve);
    assert_eq!(run.code, 0, "{run:?}");
    let map = bench.read("map.yaml");
    assert!(map.contains("gpu1"), "{map}");
    let rebalance =
        format!("rebalance map.yaml --usable gpu0={usable} -o next.yaml --plan plan.yaml");
    let run = bench.line(&rebalance);
    assert_eq!(run.code, 0, "{run:?}");
    bench
}

pub fn run(bench: &Bench, command: &str, more: &[&str]) -> Run {
    let weights = weights();
    let devices = ["--device", "gpu0=cpu", "--device", "gpu1=cpu", "--threads", "1"];
    bench.run(&[&[command, "map.yaml", "--weights", &weights], &devices[..], more].concat())
}

const PROMPT: [&str; 3] = ["--prompt-ids", "1,5,17,200,33,91,4,150", "--json"];

pub fn generated(bench: &Bench, more: &[&str]) -> Value {
    let run = run(bench, "generate", &[&PROMPT[..], more].concat());
    assert_eq!(run.code, 0, "{run:?}");
    run.json()
}

fn steps(bench: &Bench) -> usize {
    bench.read("plan.yaml").lines().filter(|line| line.contains(" -> ")).count()
}

#[test]
fn text_goes_on_while_components_move_and_the_next_program_goes_on_from_there() {
    let bench = planned();
    let still = generated(&bench, &["--max-tokens", "40"]);
    let steps = steps(&bench);
    assert!((3..39).contains(&steps), "{steps}");
    assert!(still.get("migrations").is_none());
    let moving = ["--max-tokens", "40", "--migrate", "plan.yaml", "--migrate-after", "2"];
    let moved =
        generated(&bench, &[&moving[..], &["--journal", "j", "--memory-log", "log"]].concat());
    assert_eq!(moved["tokens"], still["tokens"]);
    assert_eq!(moved["transfers"]["planned_per_token"], Value::Null);
    assert_eq!(moved["transfers"]["per_token_measured"], moved["transfers"]["routed_per_token"]);
    let migration = &moved["migrations"][0];
    assert_eq!(migration["steps"], json!(steps));
    assert_eq!(migration["steps_done"], json!(steps));
    assert_eq!(migration["stopped"], Value::Null);
    assert!(migration["moved_bytes"].as_u64().unwrap() > 0);
    for device in migration["devices"].as_array().unwrap() {
        let bytes = |key: &str| device[key].as_u64().unwrap();
        // The first device may hold less from now on than it does.
        let most = bytes("budget_bytes").max(bytes("start_bytes"));
        assert!(bytes("peak_bytes") <= most, "{device}");
    }
    // A model loaded as it was before is not where the journal is.
    let again = run(&bench, "generate", &[&PROMPT[..], &moving[..], &["--journal", "j"]].concat());
    again.refuses(&["apply the migration plan", "as the journal says", "found one that 0 steps"]);
    let on = ["--plan", "plan.yaml", "--journal", "j"];
    let after = generated(&bench, &[&["--max-tokens", "40"], &on[..]].concat());
    assert_eq!(after["tokens"], still["tokens"]);
    assert!(after["transfers"]["planned_per_token"].is_number());
    let loaded = run(&bench, "load", &[&on[..], &["--json"]].concat());
    assert_eq!(loaded.code, 0, "{loaded:?}");
    assert!(loaded.json()["devices"][0]["measured_weights_bytes"].as_u64().unwrap() < 1_500_000);
    let labels = bench.read("log");
    for label in [
        "bind after",
        "load before",
        "load after",
        "prefill before",
        "decode after",
        "migrate after",
    ] {
        assert!(labels.contains(&format!("\"label\":\"{label}")), "{label}");
    }
    assert!(labels.ends_with("}\n") && labels.lines().last().unwrap().contains("\"end\""));
}

#[test]
fn a_migration_in_three_programs() {
    let bench = planned();
    let still = generated(&bench, &["--max-tokens", "30"]);
    let steps = steps(&bench);
    let part = |more: &[&str], tokens: &str| {
        let migrate = ["--migrate", "plan.yaml", "--journal", "j", "--max-tokens", tokens];
        generated(&bench, &[&migrate[..], more].concat())["migrations"][0].clone()
    };
    assert_eq!(part(&[], "3")["steps_done"], json!(2));
    let second = part(&["--plan", "plan.yaml"], "2");
    assert_eq!((&second["steps_before"], &second["steps_done"]), (&json!(2), &json!(3)));
    let on = ["--plan", "plan.yaml", "--journal", "j", "--max-tokens", "30"];
    assert_eq!(generated(&bench, &on)["tokens"], still["tokens"]);
    let last = part(&["--plan", "plan.yaml"], "40");
    assert_eq!((&last["steps_before"], &last["steps_done"]), (&json!(3), &json!(steps)));
    let all = generated(&bench, &on);
    assert_eq!(all["tokens"], still["tokens"]);
}

#[test]
fn a_step_that_is_refused_ends_the_migration_and_not_the_text() {
    let bench = planned_for("1.2MiB");
    let still = generated(&bench, &["--max-tokens", "20"]);
    let loaded = run(&bench, "load", &["--json"]).json();
    let there = |key: &str| loaded["devices"][1][key].as_u64().unwrap();
    let both = there("measured_weights_bytes") + there("measured_kv_cache_bytes");
    let budget = format!("gpu1={}B", both + 400_000);
    let more =
        ["--max-tokens", "20", "--migrate", "plan.yaml", "--journal", "j", "--budget", &budget];
    let run = run(&bench, "generate", &[&PROMPT[..], &more].concat());
    assert_eq!(run.code, 1, "{run:?}");
    let answer = run.json();
    assert_eq!(answer["tokens"], still["tokens"]);
    let stopped = answer["migrations"][0]["stopped"].as_str().unwrap();
    assert!(stopped.contains("on the device `gpu1`"), "{stopped}");
    assert!(answer["migrations"][0]["steps_done"].as_u64().unwrap() >= 1);
}

#[test]
fn plans_and_journals_that_do_not_belong_are_refused() {
    let bench = planned();
    let generate = |more: &[&str]| {
        run(&bench, "generate", &[&["--prompt-ids", "1,5", "--max-tokens", "2"], more].concat())
    };
    generate(&["--migrate", "none.yaml"]).refuses(&["none.yaml", "no such file"]);
    generate(&["--migrate", "map.yaml"]).refuses(&["map.yaml"]);
    generate(&["--migrate-after", "3"]).refuses(&["--migrate <PLAN>"]);
    generate(&["--journal", "j"]).refuses(&["--journal", "--plan"]);
    generate(&["--plan", "plan.yaml", "--journal", "j"]).refuses(&["`j`", "no such file"]);
    bench.write("j", "{}\n{}\n");
    generate(&["--plan", "plan.yaml", "--journal", "j"])
        .refuses(&["the head of a migration journal"]);
    let weights = weights();
    let next = bench.run(&[
        "generate",
        "next.yaml",
        "--weights",
        &weights,
        "--prompt-ids",
        "1",
        "--plan",
        "plan.yaml",
    ]);
    next.refuses(&["one that begins with the placement", "one that begins with another"]);
    let next = bench.run(&[
        "generate",
        "next.yaml",
        "--weights",
        &weights,
        "--prompt-ids",
        "1",
        "--migrate",
        "plan.yaml",
        "--device",
        "gpu0=cpu",
        "--device",
        "gpu1=cpu",
        "--threads",
        "1",
    ]);
    next.refuses(&["apply the migration plan"]);
}
