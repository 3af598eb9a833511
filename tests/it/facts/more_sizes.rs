//! Sizes of published files beyond those of the first list, to the byte or to all digits shown.

use std::collections::BTreeMap;

use apportion::memory::{Demand, Load};
use apportion::model::Model;
use apportion::quant::Scheme;
use serde_json::json;

use super::{data, model};

/// A line of `more-gguf-sizes.csv`.
struct Published {
    model: String,
    quant: String,
    repository: String,
    kind: String,
    value: String,
}

/// Only the last column is quoted, and it is read by people.
fn published() -> Vec<Published> {
    let text = data("ground-truth/more-gguf-sizes.csv");
    let rows: Vec<Published> = text.lines().skip(1).map(row).collect();
    assert!(rows.len() > 150);
    rows
}

fn row(line: &str) -> Published {
    let columns: Vec<&str> = line.splitn(6, ',').collect();
    let [model, quant, repository, kind, value, _source] = columns[..] else {
        panic!("{line}");
    };
    Published {
        model: model.to_owned(),
        quant: quant.replace(';', ","),
        repository: repository.to_owned(),
        kind: kind.to_owned(),
        value: value.to_owned(),
    }
}

fn bytes(model: &Model, quant: &str) -> u64 {
    let scheme = Scheme::parse(quant).unwrap_or_else(|error| panic!("{quant}: {error}"));
    Demand::of(model, &scheme, &Load::default()).unwrap().weights_bytes()
}

/// A catalogue name, after `;` with what the config of the repository says otherwise.
fn described(description: &str) -> Model {
    let Some((name, change)) = description.split_once(';') else {
        return model(description);
    };
    let (key, value) = change.split_once('=').unwrap();
    let model = model(name);
    let mut config = json!(model.config);
    config["model_type"] = json!(model.family);
    config[key] = serde_json::from_str(value).unwrap();
    // It follows from `vocab_size`, so it is read anew.
    config.as_object_mut().unwrap().remove("gguf_vocab_size");
    Model::from_config_json(&config.to_string(), "test").unwrap()
}

fn of_kind(kind: &str) -> Vec<Published> {
    let rows: Vec<Published> = published().into_iter().filter(|row| row.kind == kind).collect();
    assert!(!rows.is_empty(), "{kind}");
    rows
}

#[test]
fn files_of_a_repository_differ_from_their_tensors_by_one_header() {
    let mut headers: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    for row in of_kind("file") {
        let file: u64 = row.value.parse().unwrap();
        let tensors = bytes(&described(&row.model), &row.quant);
        let header = file.checked_sub(tensors).unwrap_or_else(|| panic!("{}", row.repository));
        headers.entry(row.repository).or_default().push((row.quant, header));
    }
    for (repository, files) in &headers {
        let header = files[0].1;
        println!("{repository}: header of {header} bytes, {} files", files.len());
        assert!(files.iter().all(|(_, other)| *other == header), "{repository}: {files:?}");
        // Tokens, their scores and merges; the largest tokenizer here has 262,144 entries.
        assert!((500_000..14_000_000).contains(&header), "{repository}: {header}");
    }
    assert!(headers.len() > 40, "{}", headers.len());
}

#[test]
fn sizes_in_gib_agree_in_all_digits() {
    for row in of_kind("gib") {
        // Hundredths of a GiB, rounded half up as printf does away from ties.
        let tensors = u128::from(bytes(&described(&row.model), &row.quant));
        let hundredths = (tensors * 200 + (1 << 30)) >> 31;
        let ours = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        assert_eq!(ours, row.value, "{} {}", row.model, row.quant);
    }
}

#[test]
fn indexes_of_checkpoints_state_the_same_total() {
    for row in of_kind("index") {
        let ours = bytes(&described(&row.model), &row.quant);
        assert_eq!(ours.to_string(), row.value, "{} {}", row.model, row.quant);
    }
}
