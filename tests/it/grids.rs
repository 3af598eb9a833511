//! `fit` and `sweep`: what they claim is asked again with `solve`, one step beyond it too.

use apportion::sweep::NODE_LIMIT;
use serde_json::{Value, json};

use crate::binary::{Bench, Run, golden};

const TWO: &str = "--gpu 15.60GiB --gpu 15.60GiB";

/// The status of a question to `solve`.
fn solved(bench: &Bench, question: &str) -> String {
    let answer = bench.line(&format!("solve {question} --json")).json();
    answer["status"].as_str().unwrap().to_owned()
}

fn points(run: &Run) -> Vec<Value> {
    run.json()["points"].as_array().unwrap().clone()
}

#[test]
fn texts_for_people() {
    let bench = Bench::new();
    let grid = "sweep mixtral-8x7b --quants q5_k_m,q4_0 --contexts 4096,32768";
    for (name, line, code) in [
        ("fit-quant.txt", format!("fit mixtral-8x7b --find quant --quant q4_0 {TWO}"), 0),
        ("sweep.txt", format!("{grid} --machine 2x15.60GiB --machine old=24GiB+8GiB"), 0),
        ("sweep-none.txt", format!("{grid} --machine 8GiB --pin layers.1.*=gpu1"), 1),
    ] {
        let run = bench.line(&line);
        assert_eq!((run.code, run.stderr.as_str()), (code, ""), "{line}: {run:?}");
        let widest = run.stdout.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 80, "{name} is {widest} columns wide");
        let effort = |line: &str| match line.split_once(" (") {
            Some((before, _)) if line.starts_with("optimal:") => format!("{before} (effort)\n"),
            _ => format!("{line}\n"),
        };
        golden(name, &run.stdout.lines().map(effort).collect::<String>());
    }
}

#[test]
fn the_longest_context_fits_and_one_token_more_does_not() {
    let bench = Bench::new();
    let question = format!("mixtral-8x7b --quant nf4-dq {TWO}");
    let run = bench.line(&format!("fit {question} --find context --json -o at.yaml"));
    assert_eq!(run.code, 0, "{run:?}");
    let answer = run.json();
    assert_eq!((&answer["found"], &answer["proven"]), (&json!(true), &json!(true)));
    let tokens = answer["context"].as_u64().unwrap();
    assert_eq!(answer["infeasible_context"], json!(tokens + 1));
    assert!(tokens > 4096, "{tokens}");
    let status = |tokens: u64| solved(&bench, &format!("{question} --context {tokens}"));
    assert_ne!(status(tokens), "infeasible");
    assert_eq!(status(tokens + 1), "infeasible");
    assert_eq!(answer["at"]["placement"]["embedding"], "gpu0");
    assert_eq!(bench.line("check at.yaml").code, 0);
    assert!(bench.read("at.yaml").contains(&format!("context: {tokens}\n")));
}

#[test]
fn steps_and_bounds_of_contexts_are_kept() {
    let bench = Bench::new();
    let question = format!("fit mixtral-8x7b --quant nf4-dq {TWO} --find context --json");
    let exact = bench.line(&question).json()["context"].as_u64().unwrap();
    let stepped = bench.line(&format!("{question} --step 1000")).json();
    assert_eq!(stepped["context"], json!(exact / 1000 * 1000));
    assert_eq!(stepped["infeasible_context"], json!((exact / 1000 + 1) * 1000));
    let bounded = bench.line(&format!("{question} --max-context 5000 --step 300")).json();
    assert_eq!(bounded["context"], json!(4800));
    assert_eq!((&bounded["infeasible_context"], &bounded["proven"]), (&Value::Null, &json!(true)));
}

#[test]
fn the_best_quantization_fits_and_none_with_more_bits_does() {
    let bench = Bench::new();
    let question = format!("fit mixtral-8x7b --find quant --quants q4_0,q8_0,q6_k,q5_k_m {TWO}");
    let answer = bench.line(&format!("{question} --json")).json();
    let best = answer["quantization"].as_str().unwrap();
    let tried = answer["tried"].as_array().unwrap();
    let bits: Vec<f64> = tried.iter().map(|t| t["bits_per_weight"].as_f64().unwrap()).collect();
    assert!(bits.windows(2).all(|pair| pair[0] >= pair[1]), "{bits:?}");
    for trial in tried {
        let name = trial["quantization"].as_str().unwrap();
        let status = solved(&bench, &format!("mixtral-8x7b --quant {name} {TWO}"));
        assert_eq!(trial["fits"], json!(status != "infeasible"), "{name}");
        if name == best {
            break;
        }
        assert_eq!(status, "infeasible", "{name} has more bits than {best}");
    }
    assert_eq!(answer["proven"], json!(true));
}

#[test]
fn the_fewest_gpus_are_enough_and_one_fewer_is_not() {
    let bench = Bench::new();
    let line = "fit mixtral-8x7b --find gpus --quant q8_0 --gpu 12GiB --json -o at.yaml";
    let answer = bench.line(line).json();
    let gpus = answer["gpus"].as_u64().unwrap();
    assert_eq!(answer["infeasible_gpus"], json!(gpus - 1));
    let status = |count: u64| {
        let machine = " --gpu 12GiB".repeat(usize::try_from(count).unwrap());
        solved(&bench, &format!("mixtral-8x7b --quant q8_0{machine}"))
    };
    assert_ne!(status(gpus), "infeasible");
    assert_eq!(status(gpus - 1), "infeasible");
    assert_eq!(bench.line("check at.yaml").code, 0);
    // A pin asks for a third GPU whatever the bytes say.
    let pinned =
        "fit mistral-7b --find gpus --quant q4_0 --gpu 80GiB --pin output_head=gpu2 --json";
    let answer = bench.line(pinned).json();
    assert_eq!((&answer["gpus"], &answer["infeasible_gpus"]), (&json!(3), &Value::Null));
}

#[test]
fn nothing_fits_is_an_answer_with_ways_out() {
    let bench = Bench::new();
    for find in [
        "context --quant q4_0 --gpu 8GiB",
        "quant --quant q4_0 --gpu 4GiB --gpu 2GiB",
        "gpus --quant f16 --gpu 64MiB",
        "gpus --quant q4_0 --gpu 600MiB",
    ] {
        let run = bench.line(&format!("fit mixtral-8x7b --json -o no.yaml --find {find}"));
        assert_eq!(run.code, 1, "{find}: {run:?}");
        let answer = run.json();
        assert_eq!(answer["found"], json!(false), "{find}");
        assert_eq!(answer["at"]["status"], "infeasible", "{find}");
        assert!(!bench.path("no.yaml").exists());
    }
}

#[test]
fn a_sweep_answers_every_point_like_solve_does() {
    let bench = Bench::new();
    let line = "sweep mixtral-8x7b --quants q5_k_m,nf4-dq --contexts 2048,65536 \
                --machine a=2x18GiB --machine b=16GiB+8GiB+4GiB --json";
    let run = bench.line(line);
    assert_eq!(run.code, 0, "{run:?}");
    let points = points(&run);
    assert_eq!(points.len(), 8);
    let mut seen = Vec::new();
    for point in &points {
        let text = |key: &str| point[key].as_str().unwrap();
        let gpus = match text("machine") {
            "a" => "--gpu 18GiB --gpu 18GiB",
            _ => "--gpu 16GiB --gpu 8GiB --gpu 4GiB",
        };
        let quant = text("quantization");
        let question =
            format!("mixtral-8x7b --quant {quant} --context {} {gpus}", point["context"]);
        let answer = bench.line(&format!("solve {question} --node-limit {NODE_LIMIT} --json"));
        let answer = answer.json();
        assert_eq!(point["status"], answer["status"], "{question}");
        if text("status") == "infeasible" {
            let missing = answer["shortfalls"].as_array().unwrap().iter();
            let missing: u64 = missing.map(|s| s["missing_bytes"].as_u64().unwrap()).sum();
            assert_eq!(point["missing_bytes"], json!(missing), "{question}");
        } else {
            let transfers = "expected_transfers_per_token";
            assert_eq!(point[transfers], answer["traffic"][transfers], "{question}");
            let used = answer["devices"].as_array().unwrap().iter();
            let peak = used.map(|d| d["utilization"].as_f64().unwrap()).fold(0.0, f64::max);
            assert!((point["peak"].as_f64().unwrap() - peak).abs() < 1e-12, "{question}");
        }
        seen.push((quant.to_owned(), point["context"].clone(), text("machine").to_owned()));
    }
    assert_eq!(seen[1], ("q5_k_m".to_owned(), json!(2048), "b".to_owned()));
    assert_eq!(seen[6], ("nf4-dq".to_owned(), json!(65536), "a".to_owned()));
    let statuses: Vec<&Value> = points.iter().map(|point| &point["status"]).collect();
    assert!(statuses.contains(&&json!("infeasible")) && statuses.contains(&&json!("optimal")));
}

#[test]
fn a_sweep_is_the_same_on_any_number_of_threads() {
    let bench = Bench::new();
    let line = "sweep mixtral-8x7b --quant q4_0 --contexts 1024,65536 --machine 2x24GiB \
                --machine 16GiB+12GiB --machine 8GiB --csv --threads";
    let first = bench.line(&format!("{line} 1"));
    for threads in [1, 2, 3, 8] {
        assert_eq!(bench.line(&format!("{line} {threads}")).stdout, first.stdout);
    }
    assert_eq!(first.stderr, "", "no progress where nobody looks");
}

#[test]
fn machines_come_from_words_and_files_and_csv_quotes_their_names() {
    let bench = Bench::new();
    bench.write(
        "big box.yaml",
        "version: 1\nnodes:\n  - id: box\n    devices:\n\
         \x20     - {id: left, kind: cuda, memory: 24GiB}\n\
         \x20     - {id: right, kind: cuda, memory: 24GiB}\n",
    );
    let run = bench.run(&[
        "sweep",
        "mistral-7b",
        "--quants",
        "q4_0",
        "--csv",
        "--machine",
        "a \"b\", c=24GiB",
        "--hardware",
        "big box.yaml",
        "--pin",
        "output_head=right",
    ]);
    assert_eq!(run.code, 1, "{run:?}");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{run:?}");
    assert!(lines[0].starts_with("model,quantization,bits_per_weight,context,machine,status,"));
    assert!(lines[1].starts_with("mistral-7b,q4_0,"), "{run:?}");
    assert!(lines[1].contains(",4096,\"a \"\"b\"\", c\",refused,"), "{run:?}");
    assert!(lines[1].ends_with('"'), "the reason names devices, with commas or not: {run:?}");
    assert!(lines[2].contains(",4096,big box,optimal,"), "{run:?}");
}

#[test]
fn machines_of_named_devices_are_as_those_of_their_sizes() {
    let bench = Bench::new();
    let sweep = |machine: &str| {
        let line = format!("sweep mistral-7b --quants q4_0 --machine m={machine} --csv");
        let run = bench.line(&format!("{line} --link pcie-4-x16"));
        assert_eq!(run.code, 0, "{run:?}");
        run.stdout
    };
    assert_eq!(sweep("2xrtx-3060+l4:20GiB"), sweep("2x12GiB+20GiB"));
    let fit = |gpu: &str| {
        let line = format!("fit mixtral-8x7b --find gpus --quant q8_0 --gpu {gpu} -o {gpu}.yaml");
        assert_eq!(bench.line(&line).code, 0);
        bench.read(&format!("{gpu}.yaml"))
    };
    let found = fit("rtx-3060");
    let gpus = fit("12GiB").matches("kind: gpu").count();
    assert_eq!(found.matches("    bandwidth_bytes_per_second: 360000000000\n").count(), gpus);
}

#[test]
fn lists_that_make_no_grid_are_refused() {
    let bench = Bench::new();
    let sweep = |rest: &str| bench.line(&format!("sweep mistral-7b {rest}"));
    sweep("--machine 24GiB").refuses(&["--quant NAME"]);
    sweep("--quant q4_0").refuses(&["a machine at least"]);
    sweep("--quants q4_0,Q4-0 --machine 24GiB").refuses(&["--quants", "`q4_0` twice"]);
    sweep("--quants q4_0,,q8_0 --machine 24GiB").refuses(&["quantization"]);
    sweep("--quant q4_0 --contexts 4,8,4 --machine 24GiB").refuses(&["`4` twice"]);
    sweep("--quant q4_0 --machine 24GiB --machine 24GiB").refuses(&["`24GiB` twice"]);
    sweep("--quant q4_0 --machine 99999999999x24GiB").refuses(&["machine"]);
    let contexts: Vec<String> = (1..=15_000).map(|tokens| tokens.to_string()).collect();
    let machines = "--machine 1GiB --machine 2GiB --machine 3GiB --machine 4GiB";
    let many = format!("--quants q4_0,q8_0 --contexts {} {machines}", contexts.join(","));
    sweep(&many).refuses(&["at most 100000 points", "120000"]);
    let refused = sweep("--quant q4_0 --machine 24GiB --context 4096 --contexts 1");
    assert_eq!(refused.code, 2);
    // A context of nothing states no problem, and the others still have answers.
    let run = sweep("--quants q4_0 --contexts 0,4096 --machine 24GiB --json");
    let statuses: Vec<Value> = points(&run).iter().map(|p| p["status"].clone()).collect();
    assert_eq!((run.code, statuses), (1, vec![json!("refused"), json!("optimal")]));
}

#[test]
fn searches_that_cannot_be_made_are_refused() {
    let bench = Bench::new();
    let fit = |rest: &str| bench.line(&format!("fit mistral-7b {rest}"));
    let one = "--quant q4_0 --gpu 24GiB";
    fit("--find quant --gpu 24GiB").refuses(&["--quant NAME"]);
    fit(&format!("--find context {one} --step 0")).refuses(&["--step"]);
    fit(&format!("--find context {one} --max-context 0")).refuses(&["--max-context"]);
    fit(&format!("--find context {one} --max-context 9999999999")).refuses(&["--max-context"]);
    fit(&format!("--find gpus {one} --step 5")).refuses(&["--step", "--find context"]);
    fit(&format!("--find gpus {one} --quants q4_0")).refuses(&["--quants", "--find quant"]);
    fit(&format!("--find quant {one} --quants q8_0,q8_0")).refuses(&["`q8_0` twice"]);
    fit(&format!("--find gpus {one} --gpu 8GiB")).refuses(&["GPUs of one size", "gpu1"]);
    let named = "--quant q4_0 --gpu rtx-4090 --gpu rtx-3090";
    fit(&format!("--find gpus {named}")).refuses(&["size and speed", "gpu1"]);
    fit(&format!("--find gpus {one} --pin embedding=gpu99")).refuses(&["gpu99"]);
    fit("--find context --quant q4_0").refuses(&["at least one GPU"]);
    assert_eq!(fit(&format!("--find speed {one}")).code, 2);
}

#[test]
fn a_limit_that_hides_the_answer_is_said() {
    let bench = Bench::new();
    let line = "fit mixtral-8x7b --find context --quant q4_k_m --gpu 20GiB --gpu 11GiB --json";
    let known = bench.line(line).json();
    let hidden = bench.line(&format!("{line} --node-limit 1")).json();
    let tokens = |answer: &Value, key: &str| answer[key].as_u64();
    // A smaller budget may know less, never something else.
    let exact = tokens(&known, "context").unwrap();
    assert!(tokens(&hidden, "context").is_none_or(|found| found <= exact));
    assert!(tokens(&hidden, "infeasible_context").is_none_or(|misses| misses > exact));
    let next = tokens(&hidden, "context").unwrap_or(0) + 1;
    let proven = tokens(&hidden, "infeasible_context") == Some(next);
    assert_eq!(hidden["proven"], json!(proven));
}
