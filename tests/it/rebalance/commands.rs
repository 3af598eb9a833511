//! `rebalance` and `check` of its plans, run as a user runs them.

use serde_json::{Value, json};

use super::super::binary::{Bench, golden};

/// A folder with Mixtral on two GPUs of 15 GiB.
fn bench() -> Bench {
    let bench = Bench::new();
    let solve = "solve mixtral-8x7b --quant nf4-dq --gpu 15GiB --gpu 15GiB -o placement.yaml";
    assert_eq!(bench.line(solve).code, 0);
    bench
}

#[test]
fn a_loss_is_answered_ordered_written_and_checked() {
    let bench = bench();
    let run =
        bench.line("rebalance placement.yaml --usable gpu0=9GiB -o next.yaml --plan plan.yaml");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let text: String = run
        .stdout
        .lines()
        .map(|line| match (line.starts_with("optimal:"), line.find(" (")) {
            (true, Some(at)) => format!("{} (effort)\n", &line[..at]),
            _ => format!("{line}\n"),
        })
        .collect();
    golden("rebalance.txt", &text);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    golden("plan.yaml", &bench.read("plan.yaml"));
    let checked = bench.line("check plan.yaml");
    assert_eq!(checked.code, 0);
    assert!(checked.stdout.starts_with("valid: `plan.yaml`, every step replayed"));
    let listed = checked.stdout.split_once("\n\n").unwrap().1;
    assert!(text.ends_with(listed), "the same moves: {listed}");
    assert_eq!(bench.line("check next.yaml").code, 0);
    // What it advises is so.
    let advice = text.lines().find_map(|line| line.trim().strip_prefix("--objective ")).unwrap();
    let more = bench
        .line(&format!("rebalance placement.yaml --usable gpu0=9GiB --objective {advice} --json"));
    let more: Value = serde_json::from_str(&more.stdout).unwrap();
    assert_eq!(more["traffic"]["remote_experts"], 0);
}

#[test]
fn what_a_memory_log_says_can_be_used_is_used() {
    let bench = bench();
    let head = json!({ "apportion": "memory-log", "version": 1 });
    let device = |id: &str, weights: u64, free: Option<u64>| {
        json!({
            "id": id, "backing": "cuda:0", "weights_bytes": weights, "kv_cache_bytes": 1 << 28,
            "staged_bytes": 0, "peak_bytes": weights, "budget_bytes": 15_u64 << 30,
            "driver": free.map(|free| json!({ "free_bytes": free, "total_bytes": 15_u64 << 30 })),
        })
    };
    let moment = |free: u64| {
        let devices = [device("gpu0", 8 << 30, Some(free)), device("gpu1", 11 << 30, None)];
        json!({ "ms": 5, "label": "decode", "devices": devices })
    };
    // The last moment counts: 8 GiB and a quarter are there, three quarters more are free.
    let log = format!("{head}\n{}\n{}\n", moment(5 << 30), moment(3 << 28));
    bench.write("memory.jsonl", &log);
    let by = |arguments: &str| {
        let run = bench.line(&format!("rebalance placement.yaml {arguments} --json"));
        assert_eq!(run.code, 0, "{}", run.stderr);
        let value: Value = serde_json::from_str(&run.stdout).unwrap();
        value["plan"]["devices"][0]["limit_bytes"].as_u64().unwrap()
    };
    assert_eq!(by("--measured memory.jsonl"), 9 << 30);
    assert_eq!(by("--measured memory.jsonl --usable gpu0=10GiB"), 10 << 30);
    bench.write("cut.jsonl", &log[..log.len() - 5]);
    let run = bench.line("rebalance placement.yaml --measured cut.jsonl");
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("cut.jsonl"), "{}", run.stderr);
    bench.write("others.jsonl", log.replace("gpu", "tpu"));
    let run = bench.line("rebalance placement.yaml --measured others.jsonl");
    assert!(run.stderr.contains("devices of the placement"), "{}", run.stderr);
}

#[test]
fn json_says_the_same() {
    let bench = bench();
    let run = bench.line("rebalance placement.yaml --usable gpu0=9GiB --plan plan.yaml --json");
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(value["objectives"][0]["name"], "migration");
    let plan = &value["plan"];
    let steps = plan["steps"].as_array().unwrap();
    let sum: u64 = steps
        .iter()
        .map(|s| s["weights_bytes"].as_u64().unwrap() + s["kv_cache_bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(plan["moved_bytes"], sum);
    assert_eq!(plan["devices"][0]["limit_bytes"], 9_u64 << 30);
    assert_eq!((&plan["whole"], &plan["host_bytes"]), (&json!(true), &json!(0)));
    let checked = bench.line("check plan.yaml --json");
    let checked: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!((&checked["status"], &checked["plan"]), (&json!("valid"), plan));
}

#[test]
fn a_plan_that_is_not_so_is_refused() {
    let bench = bench();
    bench.line("rebalance placement.yaml --usable gpu0=9GiB --plan plan.yaml");
    let text = bench.read("plan.yaml");
    let line = text.lines().find(|line| line.contains(" -> ")).unwrap();
    bench.write("short.yaml", text.replacen(&format!("{line}\n"), "", 1));
    let run = bench.line("check short.yaml");
    assert_eq!(run.code, 1);
    assert!(run.stdout.starts_with("refused: `short.yaml`\n"), "{}", run.stdout);
    bench.write("cut.yaml", &text[..text.len() / 2]);
    let run = bench.line("check cut.yaml");
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("cut off"), "{}", run.stderr);
    assert_eq!(bench.line("check plan.yaml --certificate proof.yaml").code, 2);
    assert_eq!(bench.line("check plan.yaml --model llama-3.1-8b").code, 1);
    // A plan is no placement.
    assert_eq!(bench.line("rebalance plan.yaml").code, 2);
}

#[test]
fn what_cannot_be_is_named() {
    let bench = bench();
    for (arguments, code, words) in [
        ("--usable gpu0=16GiB", 2, "at most its 15.00 GiB, found 16.00 GiB"),
        ("--usable gpu0=-1GiB", 2, "a negative number"),
        ("--usable gpu0=0", 2, "--lose gpu0"),
        ("--usable gpu0", 2, "a device and a size"),
        ("--usable gpu7=1GiB", 2, "expected a device of the machine, found `gpu7`"),
        ("--usable gpu0=9GiB --usable gpu0=8GiB", 2, "each device once, found it twice"),
        ("--usable gpu1=9GiB --lose gpu1", 2, "each device once, found it twice"),
        ("--lose gpu0 --lose gpu1", 2, "at least one GPU, found none"),
        ("--add rtx-40900", 2, "did you mean"),
        ("--context 0", 2, "expected 1 to"),
        ("--quant-override layers.*=q9_9", 2, "q9_9"),
        ("--horizon 100", 2, "expected a bandwidth, found none"),
        ("--objective traffic", 2, "`migration` among them"),
        ("--max-move 1GiB --horizon 5", 2, "cannot be used with"),
        ("--max-move much", 2, "--max-move"),
        ("--usable gpu0=8GiB --usable gpu1=8GiB", 1, "infeasible"),
        ("--lose gpu1", 1, "infeasible"),
        ("--usable gpu0=9GiB --max-move 1MiB", 1, "infeasible"),
    ] {
        let run = bench.line(&format!("rebalance placement.yaml {arguments} -o next.yaml"));
        let said = format!("{}{}", run.stdout, run.stderr);
        assert_eq!(run.code, code, "{arguments}: {said}");
        assert!(said.contains(words), "{arguments}: {said}");
        assert!(!bench.files().contains(&"next.yaml".to_owned()), "{arguments} wrote something");
    }
}
