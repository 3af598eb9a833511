//! `--update`: what holds now in place of what did, and everything else as it stands.

use std::fmt::Write;

use apportion::expectations::Expectations;

use super::super::binary::Bench;
use super::super::support::Random;
use super::{CASES, change, ci, filled, solved};

#[test]
fn an_update_after_an_update_changes_nothing() {
    let bench = filled();
    let before = bench.read("expectations.yaml");
    let modified =
        || std::fs::metadata(bench.path("expectations.yaml")).unwrap().modified().unwrap();
    let when = modified();
    let run = ci(&bench, &["--update"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.starts_with("updated: 0 of 2 cases\n"), "{run:?}");
    assert_eq!(bench.read("expectations.yaml"), before);
    assert_eq!(modified(), when, "it must not be written at all");
    // All that was there before is still there, line by line.
    let mut lines = before.lines();
    for line in CASES.lines().map(|line| line.replace(" {}", "")) {
        assert!(lines.any(|written| written == line), "{line}");
    }
}

#[test]
fn only_what_no_longer_holds_is_another() {
    let bench = filled();
    // Bounds and spellings of a person.
    change(
        &bench,
        "expectations.yaml",
        "        traffic: 8/8\n",
        "        traffic: {at_most: 3, value: 1.0}  # mine\n",
    );
    let before = bench.read("expectations.yaml");
    change(
        &bench,
        "expectations.yaml",
        "    gpus: [15.60GiB, 15.60GiB]\n",
        "    gpus: [15.60GiB, 15.60GiB]\n    reserve: 512MiB\n",
    );
    assert_eq!(ci(&bench, &[]).code, 1);
    assert_eq!(ci(&bench, &["--update"]).code, 0);
    assert_eq!(ci(&bench, &[]).code, 0);
    let after = bench.read("expectations.yaml");
    assert!(after.contains("        traffic: {at_most: 3, value: 1.0}  # mine\n"), "{after}");
    let changed = before.lines().filter(|line| !after.lines().any(|other| other == *line)).count();
    assert!((4..=10).contains(&changed), "{changed} lines: {after}");
    // A bound that no longer holds is what is so now.
    change(&bench, "expectations.yaml", "{at_most: 3, value: 1.0}", "{at_least: 3}");
    assert_eq!(ci(&bench, &["--update"]).code, 0);
    assert!(bench.read("expectations.yaml").contains("        traffic: {at_least: 8/8}  # mine\n"));
}

#[test]
fn what_there_is_no_longer_is_taken_away_and_what_is_new_added() {
    let bench = filled();
    let original = bench.read("expectations.yaml");
    change(
        &bench,
        "expectations.yaml",
        "    gpus: [1GiB, 1GiB]\n",
        "    machine: 2GiB+1GiB+512MiB\n",
    );
    change(
        &bench,
        "expectations.yaml",
        "[\"peak_utilization:1%\", traffic]",
        "[devices_used, traffic]",
    );
    assert_eq!(ci(&bench, &["--update"]).code, 0);
    assert_eq!(ci(&bench, &[]).code, 0);
    let text = bench.read("expectations.yaml");
    let small = text.split("- name: small").nth(1).unwrap();
    assert!(small.contains("      objectives:\n        traffic: "), "{small}");
    assert!(small.contains("        devices_used: 1\n"), "{small}");
    assert!(small.contains("\n        gpu2: {used: "), "{small}");
    // Nothing fits: nothing is left to expect but that.
    change(&bench, "expectations.yaml", "    machine: 2GiB+1GiB+512MiB\n", "    machine: 512MiB\n");
    assert_eq!(ci(&bench, &["--update"]).code, 0);
    let text = bench.read("expectations.yaml");
    let small = text.split("- name: small").nth(1).unwrap();
    assert!(small.contains("      status: infeasible\n      problem: "), "{small}");
    // And back again.
    change(&bench, "expectations.yaml", "    machine: 512MiB\n", "    gpus: [1GiB, 1GiB]\n");
    change(
        &bench,
        "expectations.yaml",
        "[devices_used, traffic]",
        "[\"peak_utilization:1%\", traffic]",
    );
    assert_eq!(ci(&bench, &["--update"]).code, 0);
    assert_eq!(ci(&bench, &[]).code, 0);
    assert!(
        bench
            .read("expectations.yaml")
            .starts_with(original.split("- name: small").next().unwrap())
    );
}

/// Comments of every kind anywhere: those on lines of their own and those behind values all survive, the
/// answer is the same, and a second update is none.
#[test]
fn random_comments_survive() {
    let bench = filled();
    let text = bench.read("expectations.yaml");
    let folder = bench.path("");
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut commented = String::new();
        let mut comments = 0;
        for line in text.lines() {
            let line = match random.below(6) {
                // As after a change: an older value.
                0 if line.starts_with("        gpu") && line.contains("weights: ") => {
                    line.replacen("used: 1", "used: 9", 1)
                }
                1 if line.contains("nodes: ") => line.replace("nodes: ", "nodes: 1"),
                _ => line.to_owned(),
            };
            match random.below(5) {
                0 if !line.is_empty() => {
                    comments += 1;
                    writeln!(commented, "{line}  # behind: {comments} \"'{{").unwrap();
                }
                1 => {
                    comments += 1;
                    let blanks = " ".repeat(usize::try_from(random.below(12)).unwrap());
                    writeln!(commented, "{blanks}# above: {comments} [\n{line}").unwrap();
                }
                2 => writeln!(commented, "\n{line}").unwrap(),
                _ => writeln!(commented, "{line}").unwrap(),
            }
        }
        let read = |text: &str| {
            Expectations::from_yaml(text.to_owned(), "x.yaml", folder.clone()).unwrap()
        };
        let expectations = read(&commented);
        let updated = expectations.update(&expectations.run(&|| ())).unwrap();
        let fresh = updated.text.unwrap_or_else(|| commented.clone());
        let all = |text: &str| {
            let found = text
                .split_inclusive('\n')
                .filter_map(|line| line.find("# ").map(|at| line[at..].to_owned()));
            found.collect::<Vec<_>>()
        };
        assert_eq!(all(&fresh), all(&commented), "seed {seed}");
        assert_eq!(fresh.lines().count(), commented.lines().count(), "seed {seed}");
        let again = read(&fresh);
        let outcomes = again.run(&|| ());
        assert_eq!(again.update(&outcomes).unwrap().text, None, "seed {seed}");
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome.verdict, apportion::expectations::Verdict::Holds))
        );
    }
}

/// A placement file that nothing written would make right: its question has no answer any more, or the case
/// demands another model.
#[test]
fn what_cannot_be_written_is_no_success() {
    let bench = solved();
    let text = bench.read("map.yaml");
    bench.write(
        "map.yaml",
        text.replace("capacity_bytes: 16750372454", "capacity_bytes: 1000000000"),
    );
    let edited = bench.read("map.yaml");
    assert_ne!(edited, text);
    let unwritable = |bench: &Bench| {
        let before = bench.read("map.yaml");
        let run = ci(bench, &["--update"]);
        assert_eq!(run.code, 1, "{run:?}");
        let head = "updated: 0 of 1 case, 1 cannot be made to hold by writing\n";
        assert!(run.stdout.starts_with(head), "{run:?}");
        assert!(run.stdout.contains("\nFAIL    map"), "{run:?}");
        assert!(run.stdout.contains("\nFAIL map\n"), "{run:?}");
        assert!(!run.stdout.contains("WRITTEN"), "{run:?}");
        assert_eq!(bench.read("map.yaml"), before);
        assert_eq!(ci(bench, &[]).code, 1);
    };
    unwritable(&bench);
    bench.write("map.yaml", text);
    bench.write(
        "expectations.yaml",
        "version: 1\ncases: [{name: map, placement: map.yaml, model: llama-3.1-8b}]\n",
    );
    unwritable(&bench);
}

#[test]
fn what_holds_nothing_is_filled() {
    for empty in
        ["{objectives: {}}", "{objectives: {peak_utilization: {}}}", "{devices: {}, facts: {}}"]
    {
        let bench = Bench::new();
        let case = "{name: x, model: mixtral-8x7b, quantization: nf4-dq, machine: 2x15.60GiB}";
        let case = case.replace('}', &format!(", expect: {empty}}}"));
        bench.write("expectations.yaml", format!("version: 1\ncases:\n  - {case}\n"));
        let run = ci(&bench, &[]);
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stdout.contains("nothing is expected yet"), "{run:?}");
        assert_eq!(ci(&bench, &["--update"]).code, 0);
        assert_eq!(ci(&bench, &[]).code, 0);
        assert!(bench.read("expectations.yaml").contains("status: optimal"));
    }
}
