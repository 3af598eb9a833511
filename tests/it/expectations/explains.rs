//! Red, with the right reason.

use super::super::binary::{Bench, Run};
use super::{change, ci, filled, solved};

/// What is said to be the reason, class by class.
#[track_caller]
fn red(bench: &Bench) -> (Run, Vec<(String, String)>) {
    let run = ci(bench, &[]);
    assert_eq!(run.code, 1, "{run:?}");
    let json = ci(bench, &["--json"]).json();
    let cases = json["cases"].as_array().unwrap();
    let reasons = cases.iter().filter_map(|case| case["reasons"].as_array()).flatten();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let reasons = reasons.map(|reason| (text(&reason["class"]), text(&reason["text"]))).collect();
    (run, reasons)
}

#[track_caller]
fn only(reasons: &[(String, String)], class: &str) {
    assert!(!reasons.is_empty());
    assert!(reasons.iter().all(|(of, _)| of == class), "{reasons:?}");
}

#[track_caller]
fn says(reasons: &[(String, String)], words: &str) {
    assert!(reasons.iter().any(|(_, text)| text.contains(words)), "no `{words}` in {reasons:?}");
}

#[test]
fn a_changed_dimension_of_the_model() {
    let bench = filled();
    change(
        &bench,
        "small/config.json",
        "\"intermediate_size\": 8192",
        "\"intermediate_size\": 8448",
    );
    let (run, reasons) = red(&bench);
    only(&reasons, "estimate changed");
    says(&reasons, "config key `intermediate_size` from 8192 to 8448");
    // 256 columns of three matrices of 2048 rows in blocks of 34 bytes for 32 weights.
    says(
        &reasons,
        "mlp: weights from 816.00 MiB to 841.50 MiB (+25.50 MiB), +1.59 MiB, 1671168 bytes each of 16",
    );
    assert!(run.stdout.contains("devices.gpu0.weights: expected "), "{run:?}");
    assert!(run.stdout.contains("\nFAIL small\n"), "{run:?}");
    assert!(!run.stdout.contains("\nFAIL mixtral\n"), "{run:?}");
    assert!(run.stdout.contains("why: estimate changed: "), "{run:?}");
}

#[test]
fn a_changed_context() {
    let bench = filled();
    change(
        &bench,
        "expectations.yaml",
        "    quantization: q8_0\n",
        "    quantization: q8_0\n    context: 8192\n",
    );
    let (_, reasons) = red(&bench);
    only(&reasons, "estimate changed");
    says(&reasons, "context from 4096 to 8192");
    says(&reasons, "attention: kv cache from ");
}

#[test]
fn a_changed_reserve() {
    let bench = filled();
    change(
        &bench,
        "expectations.yaml",
        "    gpus: [1GiB, 1GiB]\n",
        "    gpus: [1GiB, 1GiB]\n    reserve: 64MiB\n",
    );
    let (_, reasons) = red(&bench);
    only(&reasons, "constraint changed");
    says(&reasons, "reserve of gpu0 from 0 B to 64.00 MiB (+64.00 MiB)");
    says(&reasons, "reserve of gpu1 from 0 B to 64.00 MiB");
}

#[test]
fn a_changed_capacity_a_new_pin_and_a_device_that_is_gone() {
    let bench = filled();
    change(
        &bench,
        "expectations.yaml",
        "    gpus: [1GiB, 1GiB]\n",
        "    gpus: [1GiB, 1GiB]\n    pins: [layers.15.mlp=gpu0]\n",
    );
    let (_, reasons) = red(&bench);
    says(&reasons, "added: --pin layers.15.mlp=gpu0");
    only(&reasons, "constraint changed");
    let bench = filled();
    change(&bench, "expectations.yaml", "    gpus: [1GiB, 1GiB]\n", "    gpus: [1GiB, 1152MiB]\n");
    says(&red(&bench).1, "capacity of gpu1 from 1.00 GiB to 1.13 GiB");
    let bench = filled();
    change(&bench, "expectations.yaml", "    gpus: [1GiB, 1GiB]\n", "    gpus: [2GiB]\n");
    let (run, reasons) = red(&bench);
    only(&reasons, "constraint changed");
    says(&reasons, "device gpu1 is gone");
    assert!(run.stdout.contains("devices.gpu1: expected 8"), "{run:?}");
}

#[test]
fn a_changed_objective() {
    let bench = filled();
    change(
        &bench,
        "expectations.yaml",
        "[\"peak_utilization:1%\", traffic]",
        "[traffic, \"peak_utilization:2%\"]",
    );
    let (_, reasons) = red(&bench);
    only(&reasons, "objective changed");
    says(&reasons, "tolerance of peak_utilization from 1/100 to 1/50");
    says(&reasons, "order from peak_utilization, traffic to traffic, peak_utilization");
    let bench = filled();
    change(&bench, "expectations.yaml", "[\"peak_utilization:1%\", traffic]", "[traffic]");
    let (run, reasons) = red(&bench);
    only(&reasons, "objective changed");
    says(&reasons, "peak_utilization is no longer minimised");
    assert!(run.stdout.contains("objectives.peak_utilization: expected"), "{run:?}");
}

/// As if another of the equally good maps had been found when it was recorded.
#[test]
fn another_map_of_the_same_values() {
    let bench = filled();
    let text = bench.read("expectations.yaml");
    let digest = text.lines().find(|line| line.starts_with("      map: \"")).unwrap();
    let forged = format!("      map: \"{}\"", "0".repeat(64));
    change(&bench, "expectations.yaml", digest, &forged);
    change(
        &bench,
        "expectations.yaml",
        "layers.0-15.experts.0-7: gpu0",
        "layers.0-14.experts.0-7: gpu0",
    );
    change(
        &bench,
        "expectations.yaml",
        "layers.16-31.experts.0-7: gpu1",
        "layers.15-31.experts.0-7: gpu1",
    );
    let (run, reasons) = red(&bench);
    only(&reasons, "tie broken otherwise");
    says(&reasons, "layers.15.experts.0-7 from gpu1 to gpu0");
    assert!(run.stdout.contains("why: tie broken otherwise: "), "{run:?}");
}

#[test]
fn another_search() {
    let bench = filled();
    change(&bench, "expectations.yaml", "        nodes: 53\n", "        nodes: 5\n");
    change(&bench, "expectations.yaml", "      nodes_at_most: 106\n", "      nodes_at_most: 10\n");
    let (run, reasons) = red(&bench);
    only(&reasons, "solver effort changed");
    says(&reasons, "nodes from 5 to 53");
    assert!(run.stdout.contains("nodes_at_most: expected at most 10, is 53"), "{run:?}");
}

#[test]
fn an_edited_expectation_and_one_without_facts() {
    let bench = filled();
    let text = bench.read("expectations.yaml");
    let traffic = "        traffic: 8/8\n";
    assert_eq!(text.matches(traffic).count(), 1);
    bench.write(
        "expectations.yaml",
        text.replace(traffic, "        traffic: {at_least: 2, at_most: 3.5}\n"),
    );
    let (run, reasons) = red(&bench);
    only(&reasons, "expectation edited");
    assert!(
        run.stdout.contains("objectives.traffic.at_least: expected at least 2, is 1"),
        "{run:?}"
    );
    bench.write(
        "expectations.yaml",
        "version: 1\ncases: [{name: x, model: mixtral-8x7b, quantization: nf4-dq, machine: 2x15.60GiB, expect: {objectives: {traffic: 2}}}]\n",
    );
    only(&red(&bench).1, "reason not recorded");
}

#[test]
fn bounds_hold_and_do_not() {
    let bench = filled();
    let expect = |what: &str| {
        bench.write(
            "expectations.yaml",
            format!("version: 1\ncases: [{{name: x, model: mixtral-8x7b, quantization: nf4-dq, machine: 2x15.60GiB, expect: {what}}}]\n"),
        );
        ci(&bench, &[]).code
    };
    for held in [
        "{status: optimal}",
        "{objectives: {peak_utilization: {at_most: 76%, at_least: 0.75, gap_at_most: 0.0001, bound_at_least: 75%}, traffic: {value: 1, optimum: 8/8}}}",
        "{devices: {gpu0: 12644146112, gpu1: {used: 12644154304, reserve: 0, rounding: 0B}}}",
        "{nodes_at_most: 1000}",
    ] {
        assert_eq!(expect(held), 0, "{held}");
    }
    for wrong in [
        "{status: infeasible}",
        "{objectives: {peak_utilization: {at_most: 75%}}}",
        "{objectives: {peak_utilization: {at_least: 76%}}}",
        "{objectives: {peak_utilization: {bound_at_least: 76%}}}",
        "{objectives: {traffic: {optimum: 2}}}",
        "{objectives: {spill_bytes: 0}}",
        "{devices: {gpu0: 12GiB}}",
        "{devices: {gpu7: 0}}",
        "{nodes_at_most: 1}",
        "{problem: \"00\"}",
    ] {
        assert_eq!(expect(wrong), 1, "{wrong}");
    }
}

/// A placement file states its question once; what it says of its map tells which part of it was changed.
#[test]
fn a_changed_question_of_a_placement_file() {
    let text = solved().read("map.yaml");
    for (from, to, class, words) in [
        (
            "reserve_bytes: 0",
            "reserve_bytes: 1048576",
            "constraint changed",
            "reserve of gpu0 from 0 to",
        ),
        (
            "capacity_bytes: 16750372454",
            "capacity_bytes: 17179869184",
            "constraint changed",
            "capacity",
        ),
        (
            "tolerance: 1/100",
            "tolerance: 1/50",
            "objective changed",
            "the cap of peak_utilization from",
        ),
        ("context: 4096", "context: 8192", "estimate changed", "another problem"),
    ] {
        let bench = solved();
        assert!(text.contains(from), "{from} in {text}");
        // Both cards get the capacity; the reserve is said once more of the map, and stays there.
        let times = if from.starts_with("capacity") { 2 } else { 1 };
        bench.write("map.yaml", text.replacen(from, to, times));
        let (run, reasons) = red(&bench);
        only(&reasons, class);
        says(&reasons, words);
        // No line says the same thing twice.
        for id in ["gpu0", "gpu1"] {
            let twice = |key: &str| run.stdout.contains(&format!("  devices.{id}.{key}: "));
            assert!(!(twice("used") && twice("used_bytes")), "{run:?}");
        }
        assert!(run.stdout.matches("\n  status: ").count() <= 1, "{run:?}");
    }
}

#[test]
fn a_value_above_its_cap_and_a_bound_above_the_value() {
    let bench = solved();
    let text = bench.read("map.yaml");
    // A lower optimum than that of the map, its bound as it was.
    let line = text.lines().find(|line| line.contains("optimum: 12644154304/")).unwrap();
    let forged = line.split_once(':').unwrap().0.to_owned() + ": 1/2";
    bench.write("map.yaml", text.replacen(line, &forged, 1));
    let (run, reasons) = red(&bench);
    only(&reasons, "expectation edited");
    let said = run.stdout.replace("\n  ", " ");
    for key in ["value", "bound"] {
        let words = format!("objectives.peak_utilization.{key}: expected at most ");
        assert!(said.contains(&words), "{run:?}");
    }
    assert!(!said.contains("is at most"), "{run:?}");
}

#[test]
fn another_device_is_one_reason() {
    let bench = filled();
    change(
        &bench,
        "expectations.yaml",
        "    gpus: [1GiB, 1GiB]\n",
        "    gpus: [1GiB, 1GiB, 1GiB]\n",
    );
    let (_, reasons) = red(&bench);
    says(&reasons, "device gpu2 is new");
    assert!(!reasons.iter().any(|(_, text)| text.contains("may be where")), "{reasons:?}");
}
