//! Schemas of file formats against the files there are and against the readers.

use std::fs;
use std::path::{Path, PathBuf};

use apportion::expectations::Expectations;
use apportion::hardware::Hardware;
use apportion::placement::Record;
use apportion::runtime::Profile;
use apportion::schema::{FORMATS, format};
use jsonschema::Validator;
use serde_json::{Value, json};

use super::binary::Bench;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap()
}

fn yaml(text: &str) -> Value {
    apportion::yaml::from_str(text, "read", "test").unwrap()
}

fn validator(name: &str) -> Validator {
    let schema: Value = serde_json::from_str(format(name).unwrap().schema).unwrap();
    jsonschema::meta::validate(&schema).unwrap_or_else(|e| panic!("{name} is no schema: {e}"));
    jsonschema::draft7::new(&schema).unwrap()
}

#[track_caller]
fn holds(name: &str, value: &Value, what: &str) {
    let errors: Vec<String> = validator(name)
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path))
        .collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}");
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

#[test]
fn every_file_in_the_repository_holds() {
    holds("placement", &yaml(&text("tests/golden/placement.yaml")), "placement.yaml");
    for path in files("tests/data/incident", "yaml") {
        holds("placement", &yaml(&fs::read_to_string(&path).unwrap()), &path.display().to_string());
    }
    for path in files("tests/data/machines", "yaml") {
        let text = fs::read_to_string(&path).unwrap();
        let name = if text.contains("\nmap:") { "placement" } else { "hardware" };
        holds(name, &yaml(&text), &path.display().to_string());
    }
    for path in files("src/runtime/profiles", "yaml") {
        let text = fs::read_to_string(&path).unwrap();
        holds("runtime-profile", &yaml(&text), &path.display().to_string());
    }
    for path in files("models", "yaml") {
        let name = if path.ends_with("catalogue.yaml") { "catalogue" } else { "family" };
        holds(name, &yaml(&fs::read_to_string(&path).unwrap()), &path.display().to_string());
    }
    for path in files("tests/data/ground-truth/mixtral-routing", "json") {
        let value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        holds("routing", &value, &path.display().to_string());
    }
    for path in ["tests/expectations/catalogue.yaml", "tests/data/expectations/example.yaml"] {
        holds("expectations", &yaml(&text(path)), path);
    }
    let plan = text("tests/golden/plan.yaml");
    let parts: Vec<&str> = plan.split("\n--- #").collect();
    assert_eq!(parts.len(), 3);
    holds("plan", &yaml(parts[0]), "plan.yaml");
    for part in &parts[1..] {
        holds("placement", &yaml(part.split_once('\n').unwrap().1), "a placement of plan.yaml");
    }
}

#[test]
fn every_line_of_a_trace_holds() {
    let validator = validator("trace");
    for path in files("tests/data/torch-traces", "jsonl") {
        // The first events are of every kind; the end is another.
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().take(300).chain(text.lines().last());
        for (number, line) in lines.enumerate() {
            let value: Value = serde_json::from_str(line).unwrap();
            assert!(validator.is_valid(&value), "{}, {number}: {line}", path.display());
        }
    }
}

#[test]
fn what_commands_write_holds() {
    let bench = Bench::new();
    let two = "solve mixtral-8x7b --quant q4_k_m --gpu rtx-4090=20GiB --gpu rtx-4090=12GiB --cpu 64GiB --link pcie-4-x16";
    let more = "--headroom gpu0=1GiB --max-devices 3 --granularity experts --pin layers.3.*=gpu1";
    let run = bench.line(&format!("{two} {more} -o a.yaml --certificate a.cert"));
    assert_eq!(run.code, 0, "{run:?}");
    holds("placement", &yaml(&bench.read("a.yaml")), "a.yaml");
    holds("certificate", &yaml(&bench.read("a.cert")), "a.cert");
    let routing = root("tests/data/ground-truth/mixtral-routing/machine_learning.json");
    let routed = format!("{two} --routing {}", routing.display());
    let run = bench.line(&format!(
        "{routed} --migrate-from a.yaml --objective peak_utilization:10%,migration -o b.yaml"
    ));
    assert_eq!(run.code, 0, "{run:?}");
    holds("placement", &yaml(&bench.read("b.yaml")), "b.yaml");
    let before = bench.line("solve mixtral-8x7b --quant nf4-dq --gpu 16GiB --gpu 16GiB -o d.yaml");
    assert_eq!(before.code, 0, "{before:?}");
    let run = bench.line("rebalance d.yaml --usable gpu0=11GiB --plan plan.yaml -o e.yaml");
    assert_eq!(run.code, 0, "{run:?}");
    let plan = bench.read("plan.yaml");
    holds("plan", &yaml(plan.split("\n--- #").next().unwrap()), "plan.yaml");
}

/// Every variation of a value that leaves a key out, or puts an unknown one in.
fn variations(value: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut paths = vec![String::new()];
    while let Some(path) = paths.pop() {
        match value.pointer(&path).unwrap() {
            Value::Object(map) => {
                let mut with = value.clone();
                with.pointer_mut(&path).unwrap()["no_such_key"] = json!(1);
                all.push((format!("{path} with an unknown key"), with));
                for key in map.keys() {
                    let mut without = value.clone();
                    let inner = without.pointer_mut(&path).unwrap().as_object_mut().unwrap();
                    inner.shift_remove(key);
                    all.push((format!("{path} without {key}"), without));
                    paths.push(format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")));
                }
            }
            // Entries of a list are alike.
            Value::Array(list) if !list.is_empty() => paths.push(format!("{path}/0")),
            _ => {}
        }
    }
    all
}

/// A schema refuses nothing that the reader takes, and all that the reader calls a matter of keys.
#[track_caller]
fn agrees(name: &str, value: &Value, read: impl Fn(&str) -> Result<(), String>) {
    let validator = validator(name);
    let mut refused = 0;
    for (what, varied) in variations(value) {
        // JSON is YAML, as this program reads it.
        let answer = read(&varied.to_string());
        let valid = validator.is_valid(&varied);
        assert!(valid || answer.is_err(), "{name}{what}: only the schema refuses it");
        if let Err(message) = answer {
            let keys = message.contains("missing field") || message.contains("unknown field");
            assert!(!valid || !keys, "{name}{what}: only the reader refuses it: {message}");
            refused += usize::from(!valid);
        }
    }
    assert!(refused > 5, "{name}: {refused}");
}

#[test]
fn schemas_and_readers_agree() {
    let message = |error: apportion::error::Error| error.to_string();
    let placement = yaml(&text("tests/golden/placement.yaml"));
    agrees("placement", &placement, |text| {
        Record::from_yaml(text, "test", None).map(drop).map_err(message)
    });
    let host = yaml(&text("tests/data/machines/host-placement.yaml"));
    agrees("placement", &host, |text| {
        Record::from_yaml(text, "test", None).map(drop).map_err(message)
    });
    let machine = yaml(&text("tests/data/machines/pairs.yaml"));
    agrees("hardware", &machine, |text| {
        Hardware::from_yaml(text, "test").map(drop).map_err(message)
    });
    // Only the keys of the file itself: what is wrong within a case is said when it is asked.
    let expectations = json!({"version": 1, "defaults": {"quantization": "q4_k_m", "gpus": ["8GiB"]},
        "cases": [{"name": "one", "model": "llama-3.2-1b", "expect": {}}]});
    let validator = validator("expectations");
    assert!(validator.is_valid(&expectations));
    for (what, varied) in variations(&expectations) {
        let read = Expectations::from_yaml(varied.to_string(), "test", PathBuf::new());
        assert!(
            validator.is_valid(&varied) || read.is_err() || what.contains("/cases/0"),
            "{what}"
        );
        assert!(!validator.is_valid(&varied) || read.is_ok(), "{what}: {read:?}");
    }
    let profile = yaml(&text("src/runtime/profiles/llama.cpp.yaml"));
    agrees("runtime-profile", &profile, |text| {
        Profile::from_yaml(text, "test").map(drop).map_err(message)
    });
}

#[test]
fn they_are_printed_and_listed() {
    let bench = Bench::new();
    let list = bench.line("schema");
    let names: Vec<&str> =
        list.stdout.lines().skip(1).map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, FORMATS.map(|format| format.name));
    for format in FORMATS {
        let run = bench.run(&["schema", format.name]);
        assert_eq!((run.code, run.json()["title"].is_string()), (0, true), "{}", format.name);
    }
    bench
        .line("schema placment")
        .refuses(&["schema `placment`", "did you mean `placement` or `plan`?"]);
}
