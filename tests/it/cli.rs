//! The commands, run as a user runs them.

use serde_json::{Value, json};

use super::binary::{Bench, golden};

const INCIDENT: &str = "mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB --context 4096";

/// What the solver did (nodes, seconds) differs between versions and machines; the answer does not.
fn without_effort(text: &str) -> String {
    let effort = |line: &str| match (line.find(" ("), line.starts_with("optimal:")) {
        (Some(at), true) => format!("{} (effort)", &line[..at]),
        _ => line.to_owned(),
    };
    text.lines().map(|line| effort(line) + "\n").collect::<Vec<_>>().concat()
}

/// The keys of an object, in order.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn help_has_an_example_everywhere() {
    let bench = Bench::new();
    let top = bench.line("--help");
    assert_eq!(top.code, 0);
    assert!(top.stdout.contains("Example:"));
    let mut commands = vec![
        "models",
        "inspect",
        "solve",
        "check",
        "ci",
        "evaluate",
        "export",
        "compare",
        "diff",
        "fit",
        "sweep",
        "frontier",
        "simulate",
        "report",
        "rebalance",
        "watch",
        "explain",
        "schema",
        "completions",
        "man",
    ];
    if cfg!(feature = "candle") {
        golden("help.txt", &top.stdout);
        commands.extend(["load", "generate", "profile", "calibrate"]);
    }
    for command in commands {
        let help = bench.run(&[command, "--help"]);
        assert_eq!(help.code, 0, "{command}");
        assert!(help.stdout.contains(&format!("apportion {command} ")), "{command}");
        golden(&format!("help-{command}.txt"), &help.stdout);
    }
    assert_eq!(bench.line("").code, 2, "no command is no answer");
    assert_eq!(bench.line("--version").code, 0);
}

#[test]
fn texts_for_people() {
    let bench = Bench::new();
    for (name, line, code) in [
        ("models.txt", "models".to_owned(), 0),
        ("quants.txt", "models --quants".to_owned(), 0),
        ("hardware.txt", "models --hardware".to_owned(), 0),
        ("inspect.txt", "inspect mixtral-8x7b --quant q4_k_m".to_owned(), 0),
        ("solve.txt", format!("solve {INCIDENT}"), 0),
        ("compare.txt", format!("compare {INCIDENT}"), 0),
        ("infeasible.txt", "solve mixtral-8x7b --quant nf4-dq --gpu 8GiB --gpu 8GiB".to_owned(), 1),
    ] {
        let run = bench.line(&line);
        assert_eq!((run.code, run.stderr.as_str()), (code, ""), "{line}");
        let widest = run.stdout.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 80, "{name} is {widest} columns wide");
        golden(name, &without_effort(&run.stdout));
    }
}

#[test]
fn inspect_lists_every_tensor_when_asked() {
    let run = Bench::new().line("inspect mixtral-8x7b --quant nf4 --tensors");
    assert_eq!(run.code, 0);
    assert!(run.stdout.contains("model.layers.31.block_sparse_moe.experts.7.w2.weight"));
}

#[test]
fn solve_json_has_the_promised_shape() {
    let run = Bench::new().line(&format!("solve {INCIDENT} --json"));
    assert_eq!(run.code, 0, "{run:?}");
    let answer = run.json();
    assert_eq!(
        keys(&answer),
        ["status", "objectives", "devices", "traffic", "placement", "solver"]
    );
    assert_eq!(answer["status"], "optimal");
    let objective = ["name", "value", "optimum", "bound", "gap", "tolerance", "cap"];
    assert_eq!(keys(&answer["objectives"][0]), objective);
    let device = [
        "id",
        "capacity_bytes",
        "headroom_bytes",
        "used_bytes",
        "weights_bytes",
        "rounding_bytes",
        "kv_cache_bytes",
        "workspace_bytes",
        "reserve_bytes",
        "staging_bytes",
        "utilization",
    ];
    assert_eq!(keys(&answer["devices"][0]), device);
    let traffic = ["hand_overs", "remote_experts", "expected_transfers_per_token"];
    assert_eq!(keys(&answer["traffic"]), traffic);
    assert_eq!(keys(&answer["solver"]), ["name", "nodes", "seconds"]);
    let placement = answer["placement"].as_object().unwrap();
    assert_eq!(placement.keys().filter(|id| id.contains(".experts.")).count(), 256);
    assert_eq!(placement.len(), 1 + 32 * 10 + 2);
    assert_eq!(placement["embedding"], "gpu0");
    let weights = answer["devices"].as_array().unwrap().iter();
    let weights: u64 = weights.map(|device| device["weights_bytes"].as_u64().unwrap()).sum();
    assert_eq!(weights, 24_482_994_048);
}

#[test]
fn spilled_bytes_come_first_where_there_is_a_cpu() {
    let run = Bench::new()
        .line("solve mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB --cpu 64GiB --json");
    let answer = run.json();
    assert_eq!(answer["objectives"][0]["name"], "spill_bytes");
    assert_eq!(answer["objectives"][0]["value"], json!(0));
    assert_eq!(answer["devices"][2]["used_bytes"], json!(0));
}

#[test]
fn inspect_json_has_the_promised_shape() {
    let run = Bench::new().line("inspect mixtral-8x7b --quant q4_k_m --json");
    assert_eq!(run.code, 0);
    let answer = run.json();
    let shape = [
        "model",
        "family",
        "quantization",
        "quantization_overrides",
        "parameters",
        "elements",
        "weights_bytes",
        "bits_per_weight",
        "kv_cache_bytes",
        "state_bytes",
        "layer_kinds",
        "purposes",
        "largest_tensors",
        "largest_components",
        "terms",
        "components",
        "tensors",
    ];
    assert_eq!(keys(&answer), shape);
    assert_eq!(answer["weights_bytes"], json!(28_447_727_616_u64));
    let component = ["id", "kind", "layer", "expert", "weights_bytes", "kv_cache_bytes"];
    assert_eq!(keys(&answer["components"][0]), component);
    assert_eq!(answer["components"][0]["layer"], Value::Null);
    let tensor = ["name", "shape", "type", "bytes", "parts", "parts_of"];
    assert_eq!(keys(&answer["tensors"][0]), tensor);
    let sum = |list: &str| -> u64 {
        let items = answer[list].as_array().unwrap().iter();
        let field = if list == "tensors" { "bytes" } else { "weights_bytes" };
        items.map(|item| item[field].as_u64().unwrap()).sum()
    };
    assert_eq!(sum("components"), 28_447_727_616);
    assert_eq!(sum("tensors"), 28_447_727_616);
    assert_eq!(sum("purposes"), 28_447_727_616);
    // 8 x 28447727616 / 46702792704.
    assert_eq!(answer["bits_per_weight"], json!(4.8730));
    let kinds = answer["layer_kinds"].as_array().unwrap();
    let layers = kinds.iter().flat_map(|kind| kind["layers"].as_array().unwrap());
    assert_eq!((kinds.len(), layers.count()), (2, 32));
}

#[test]
fn what_experts_share_is_listed_once_with_its_parts() {
    let bench = Bench::new();
    let list = |rest: &str| {
        let run = bench.line(&format!("inspect mixtral-8x7b --quant q4_k_m --json {rest}"));
        run.json()["tensors"].as_array().unwrap().clone()
    };
    let all = list("");
    let merged: Vec<&Value> = all.iter().filter(|tensor| tensor["parts_of"] == json!(8)).collect();
    assert_eq!((all.len(), merged.len()), (3 + 32 * 10, 32 * 3));
    assert!(merged.iter().all(|tensor| tensor["parts"] == json!(8)));
    assert_eq!(merged[0]["shape"], json!([8, 14336, 4096]));
    let one = list("--component layers.3.experts.[05]");
    assert_eq!(one.len(), 3);
    for tensor in &one {
        let whole = all.iter().find(|other| other["name"] == tensor["name"]).unwrap();
        assert_eq!((&tensor["parts"], &tensor["parts_of"]), (&json!(2), &json!(8)));
        assert_eq!(tensor["bytes"].as_u64().unwrap() * 4, whole["bytes"].as_u64().unwrap());
    }
    let text = bench.line("inspect mixtral-8x7b --quant q4_k_m --component layers.3.experts.0");
    assert!(text.stdout.contains("1 of 8"), "{text:?}");
    let line = "inspect mixtral-8x7b --quant q4_k_m --component";
    bench.line(&format!("{line} layer.3.*")).refuses(&["layer.3.*", "no match"]);
    bench.line(&format!("{line} [")).refuses(&["--component"]);
}

#[test]
fn bits_per_weight_are_those_that_llama_cpp_prints() {
    // 8 x bytes / elements of the published file (tests/data/SOURCES.md names it).
    let run = Bench::new().line("inspect llama-3.1-8b --quant q4_k_m --json");
    assert_eq!(run.json()["bits_per_weight"], json!(4.8944));
}

#[test]
fn infeasible_is_an_answer_with_ways_out() {
    let bench = Bench::new();
    let run = bench.line("solve mixtral-8x7b --quant nf4-dq --gpu 8GiB --gpu 8GiB --json");
    assert_eq!(run.code, 1, "{run:?}");
    let answer = run.json();
    let shape = [
        "status",
        "shortfalls",
        "conflict",
        "conflict_undecided",
        "remedies",
        "not_enough",
        "undecided",
    ];
    assert_eq!(keys(&answer), shape);
    assert_eq!(answer["status"], "infeasible");
    assert!(answer["shortfalls"][0]["missing_bytes"].as_u64().unwrap() > 0);
    let remedies = answer["remedies"].as_array().unwrap();
    assert!(!remedies.is_empty());
    assert!(remedies.iter().all(|r| r["kind"].is_string() && r["text"].is_string()));
    // The cheapest addition on one device holds when tried, and a MiB less does not.
    let add = remedies.iter().find(|r| r["kind"] == "add_bytes").unwrap();
    let bytes = add["bytes"].as_u64().unwrap();
    assert_eq!(add["device"], "gpu0");
    let solve = |extra: u64| {
        let first = ((8_u64 << 30) + extra).to_string();
        bench.run(&["solve", "mixtral-8x7b", "--quant", "nf4-dq", "--gpu", &first, "--gpu", "8GiB"])
    };
    assert_eq!(solve(bytes).code, 0);
    assert_eq!(solve(bytes - (1 << 20)).code, 1);
}

#[test]
fn a_pin_that_does_not_fit_is_named() {
    let run = Bench::new().run(&[
        "solve",
        "mixtral-8x7b",
        "--quant",
        "nf4-dq",
        "--gpu",
        "15.60GiB",
        "--gpu",
        "15.60GiB",
        "--pin",
        "layers.*=gpu1",
        "--json",
    ]);
    assert_eq!(run.code, 1, "{run:?}");
    let answer = run.json();
    let pin =
        json!({ "kind": "rule", "rule": "--pin layers.*=gpu1", "default": false, "fixed": false });
    let capacity = json!({ "kind": "capacity", "device": "gpu1", "bytes": 16_750_372_454_u64,
        "reserve_bytes": 0 });
    assert_eq!(answer["conflict"], json!([pin, capacity]));
    let kinds = answer["remedies"].as_array().unwrap().iter();
    assert!(kinds.clone().any(|r| r["kind"] == "release_rule"), "{answer}");
}

#[test]
fn a_peak_that_was_spent_on_traffic_is_said_to_be() {
    let line = "compare qwen3-30b-a3b --quant nf4-dq --gpu 24GiB --gpu 24GiB";
    let text = Bench::new().line(line).stdout;
    assert!(text.contains("apportion: the lowest peak is "), "{text}");
    let answer = Bench::new().line(&format!("{line} --json")).json();
    let peak = &answer["rows"][0]["objectives"][0];
    let lowest = peak["optimum"].as_f64().unwrap();
    let rows = answer["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["peak"].as_f64().is_none_or(|peak| peak >= lowest)));
}

#[test]
fn compare_puts_habits_beside_the_optimum() {
    let run = Bench::new().line(&format!("compare {INCIDENT} --json"));
    assert_eq!(run.code, 0, "{run:?}");
    let answer = run.json();
    let rows = answer["rows"].as_array().unwrap();
    let shape = [
        "name",
        "fits",
        "first_misfit",
        "peak",
        "hand_overs",
        "remote_experts",
        "expected_transfers_per_token",
        "devices",
    ];
    assert!(rows.iter().all(|row| keys(row)[..8] == shape));
    let row = |word: &str| {
        let found = rows.iter().find(|row| row["name"].as_str().unwrap().contains(word));
        found.unwrap_or_else(|| panic!("no row `{word}`"))
    };
    let optimum = row("apportion");
    let misfit = &row("12/20")["first_misfit"];
    assert_eq!(row("12/20")["fits"], false);
    assert_eq!(
        keys(misfit),
        ["component", "device", "required_bytes", "limit_bytes", "capacity_bytes"]
    );
    assert_eq!(misfit["device"], "gpu1");
    let alternating = row("alternating");
    assert_eq!(alternating["fits"], true);
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap();
    assert!(number(optimum, "peak") <= number(alternating, "peak"));
    let transfers = "expected_transfers_per_token";
    assert!(number(optimum, transfers) * 10.0 < number(alternating, transfers));
}

#[test]
fn the_same_input_gives_the_same_file_on_any_number_of_threads() {
    let bench = Bench::new();
    for run in 0..10 {
        let threads = 1 + run % 2;
        let line = format!("solve {INCIDENT} --threads {threads} -o {run}.yaml");
        assert_eq!(bench.line(&line).code, 0);
        assert_eq!(bench.read(&format!("{run}.yaml")), bench.read("0.yaml"));
    }
    assert_eq!(bench.files().len(), 10, "no temporary file is left");
}

#[test]
fn a_file_of_the_model_gives_the_placement_of_the_catalogue() {
    let bench = Bench::new();
    let config =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/configs/mixtral-8x7b/config.json");
    bench.write("config.json", std::fs::read(config).unwrap());
    let machine = "--quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB";
    for (model, file) in [("mixtral-8x7b", "a.yaml"), ("config.json", "b.yaml"), (".", "c.yaml")] {
        let run = bench.line(&format!("solve {model} {machine} -o {file}"));
        assert_eq!(run.code, 0, "{run:?}");
    }
    assert_eq!(bench.read("a.yaml"), bench.read("b.yaml"));
    assert_eq!(bench.read("a.yaml"), bench.read("c.yaml"));
}

#[test]
fn models_json_lists_models_families_and_quantizations() {
    let answer = Bench::new().line("models --json").json();
    assert_eq!(keys(&answer), ["models", "families", "quantizations", "devices", "links"]);
    let names: Vec<_> =
        answer["models"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    for name in ["mixtral-8x7b", "mixtral-8x22b", "llama-3.1-8b", "llama-3.1-70b", "mistral-7b"] {
        assert!(names.contains(&name), "{name}");
    }
    let quantizations = answer["quantizations"].as_array().unwrap();
    assert!(quantizations.len() > 80, "{}", quantizations.len());
    assert_eq!(keys(&quantizations[0]), ["name", "kind", "description"]);
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_failure() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_apportion"))
        .args(["inspect", "mixtral-8x7b", "--quant", "f16", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // More than a pipe holds is written, so the writer sees the closed end.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
