//! Every way out that an infeasible answer offers is typed in and holds.

use serde_json::Value;

use super::binary::{Bench, Run};

/// The words of a question, changeable as a user would change them.
#[derive(Clone)]
struct Question(Vec<String>);

impl Question {
    fn of(line: &str) -> Self {
        Self(line.split_whitespace().map(ToOwned::to_owned).collect())
    }

    fn run(&self, bench: &Bench, more: &[&str]) -> Run {
        let words = self.0.iter().map(String::as_str).chain(more.iter().copied());
        bench.run(&words.collect::<Vec<_>>())
    }

    /// Without an option and its value, wherever it stands.
    fn without(&self, option: &str, value: Option<&str>) -> Self {
        let mut words = Vec::new();
        let mut rest = self.0.iter();
        while let Some(word) = rest.next() {
            if word != option {
                words.push(word.clone());
                continue;
            }
            let found = rest.next().unwrap();
            if value.is_some_and(|value| value != found) {
                words.extend([word.clone(), found.clone()]);
            }
        }
        Self(words)
    }

    /// With these options in place of what was said about the same.
    fn with(&self, options: &str) -> Self {
        let words: Vec<&str> = options.split(' ').collect();
        let mut question = self.clone();
        for option in words.iter().filter(|word| word.starts_with("--")) {
            if *option != "--free-default-pins" {
                question = question.without(option, None);
            }
        }
        question.0.extend(words.into_iter().map(ToOwned::to_owned));
        question
    }
}

/// Types each remedy in; gives back their kinds and those of what was not enough.
fn try_all(question: &str) -> (Vec<String>, Vec<String>) {
    let bench = Bench::new();
    let question = Question::of(question);
    let run = question.run(&bench, &["--json"]);
    assert_eq!(run.code, 1, "{run:?}");
    let answer = run.json();
    for remedy in answer["remedies"].as_array().unwrap() {
        let changed = match (remedy["options"].as_str(), remedy["rule"].as_str()) {
            (Some(options), _) => question.with(options),
            (None, Some(rule)) => {
                let (option, value) = rule.split_once(' ').unwrap();
                question.without(option, Some(value))
            }
            (None, None) => panic!("nothing to type: {remedy}"),
        };
        let run = changed.run(&bench, &[]);
        assert_eq!(run.code, 0, "{remedy}: {run:?}");
    }
    let text = question.run(&bench, &[]).stdout;
    let kinds = |list: &str| -> Vec<String> {
        let entries = answer[list].as_array().unwrap();
        for entry in entries {
            let said = entry["options"].as_str().or(entry["text"].as_str()).unwrap();
            assert!(text.contains(said), "no {said} in {text}");
        }
        entries.iter().map(|entry| text_of(&entry["kind"])).collect()
    };
    (kinds("remedies"), kinds("not_enough"))
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn what_is_offered_holds_when_typed() {
    let two = "--gpu 15.60GiB --gpu 15.60GiB";
    for (question, expected, in_vain) in [
        ("--quant nf4-dq --gpu 8GiB --gpu 8GiB".to_owned(), "add_device", "quantization"),
        ("--quant q4_k_m --gpu 8GiB --gpu 8GiB".to_owned(), "add_bytes_each", "context"),
        (format!("--quant nf4-dq --context 200000 {two}"), "context", "add_device"),
        (format!("--quant nf4-dq --batch 64 {two}"), "batch", "add_device"),
        (format!("--quant q8_0 {two}"), "quantization", "context"),
        (format!("--quant int8 {two}"), "quantization", "context"),
        (format!("--quant nf4-dq --forbid *=gpu0 {two}"), "release_rule", "context"),
        (format!("--quant nf4-dq --headroom 40% {two}"), "headroom", "context"),
        (format!("--quant nf4-dq --max-devices 1 {two}"), "devices_max", "context"),
        (
            "--quant nf4-dq --gpu 500MiB --gpu 40GiB".to_owned(),
            "release_default_pins",
            "quantization",
        ),
        ("--quant nf4 --gpu 4GiB --gpu 5GiB --cpu 10GiB".to_owned(), "add_bytes", "context"),
        (
            "--quant nf4-dq --gpu 14GiB --gpu 12GiB --pin layers.*=gpu1".to_owned(),
            "release_rule",
            "context",
        ),
    ] {
        let (remedies, not_enough) = try_all(&format!("solve mixtral-8x7b {question}"));
        assert!(remedies.iter().any(|kind| kind == expected), "{question}: {remedies:?}");
        assert!(not_enough.iter().any(|kind| kind == in_vain), "{question}: {not_enough:?}");
    }
}

#[test]
fn what_is_not_enough_says_what_was_tried() {
    let run = Bench::new().line("solve mixtral-8x7b --quant int8 --gpu 4GiB --gpu 4GiB");
    assert_eq!(run.code, 1, "{run:?}");
    for line in [
        "no shorter context fits (tried down to 256 tokens)",
        "no lighter quantization of this runtime fits (tried nf4, nf4-dq)",
        "no pin is to blame",
    ] {
        assert!(run.stdout.contains(line), "no {line} in {}", run.stdout);
    }
    let run = Bench::new().line("solve mixtral-8x7b --quant nf4-dq --gpu 8GiB --gpu 8GiB");
    assert!(run.stdout.contains("no quantization of this runtime is lighter than nf4-dq"));
}

#[test]
fn a_machine_from_a_file_is_answered_in_its_names() {
    let bench = Bench::new();
    bench.write(
        "box.yaml",
        "version: 1\nnodes:\n  - id: box\n    devices:\n      - {id: left, kind: cuda, memory: 8GiB}\n",
    );
    let run = bench.line("solve mixtral-8x7b --quant nf4-dq --hardware box.yaml --json");
    assert_eq!(run.code, 1, "{run:?}");
    let answer = run.json();
    let remedies = answer["remedies"].as_array().unwrap();
    let more = remedies.iter().find(|remedy| remedy["kind"] == "add_bytes").unwrap();
    assert!(more["options"].is_null() && text_of(&more["text"]).ends_with("more on left"));
}
