//! Routing statistics: what others published is read, what was written reads back, what cannot be is refused.

use std::fs;
use std::path::{Path, PathBuf};

use apportion::model::Model;
use apportion::routing::Statistics;
use serde_json::{Value, json};

fn published() -> Vec<PathBuf> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ground-truth/mixtral-routing");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert_eq!(paths.len(), 6);
    paths
}

#[test]
fn published_figures_are_read_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    for path in published() {
        let statistics = Statistics::read(&path).unwrap();
        let raw: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((statistics.counts.len(), statistics.experts(), statistics.top_k), (32, 8, 2));
        assert_eq!(json!(statistics.counts), raw["counts"]);
        assert_eq!(json!(statistics.pair_counts), raw["pair_counts"]);

        let copy = folder.path().join("copy.json");
        statistics.write(&copy).unwrap();
        assert_eq!(Statistics::read(&copy).unwrap(), statistics);
        let written: Value = serde_json::from_str(&fs::read_to_string(&copy).unwrap()).unwrap();
        assert_eq!(written["version"], 1);
        for (key, value) in raw.as_object().unwrap() {
            assert_eq!(&written[key], value, "{key} of {}", path.display());
        }
    }
    let pairs =
        published().iter().filter(|p| Statistics::read(p).unwrap().pair_counts.is_some()).count();
    assert_eq!(pairs, 1);
}

/// Two tokens through two layers of three experts and a dense one between them, two experts a token.
fn small() -> Value {
    json!({
        "version": 1, "model": "m", "text": "t", "tokens": 2, "top_k": 2,
        "counts": [[2, 1, 1], [], [0, 2, 2]],
        "pair_counts": [[[0, 2, 2], [0, 1, 1], [0, 1, 1]], []],
    })
}

#[test]
fn layers_without_experts_have_empty_rows() {
    let statistics = Statistics::from_json(&small().to_string(), "x").unwrap();
    assert_eq!(Statistics::from_json(&statistics.to_json(), "x").unwrap(), statistics);
}

#[test]
fn sets_of_experts_are_read_back() {
    let mut file = small();
    file["set_counts"] = json!([[[[0, 1], 1], [[0, 2], 1]], [], [[[1, 2], 2]]]);
    let statistics = Statistics::from_json(&file.to_string(), "x").unwrap();
    let sets = statistics.set_counts.clone().unwrap();
    assert_eq!(sets, [vec![(vec![0, 1], 1), (vec![0, 2], 1)], vec![], vec![(vec![1, 2], 2)]]);
    assert_eq!(Statistics::from_json(&statistics.to_json(), "x").unwrap(), statistics);
    let written: Value = serde_json::from_str(&statistics.to_json()).unwrap();
    assert_eq!(written, file, "nothing is lost or added");
}

#[test]
fn statistics_are_held_against_the_model() {
    let read = |name: &str| {
        let path = published().into_iter().find(|path| path.ends_with(name)).unwrap();
        Statistics::read(&path).unwrap()
    };
    let mixtral = read("machine_learning.json");
    mixtral.fits(&Model::from_catalogue("mixtral-8x7b").unwrap()).unwrap();
    let wrong = |statistics: &Statistics, model: &str| {
        let error = statistics.fits(&Model::from_catalogue(model).unwrap()).unwrap_err();
        assert!(error.hint_text().unwrap().contains("apportion profile"));
        error.to_string()
    };
    assert!(wrong(&mixtral, "mixtral-8x22b").contains("at counts: expected 56 layers, found 32"));
    assert!(wrong(&mixtral, "llama-3.1-8b").contains("`llama-3.1-8b`, which is dense"));
    let mut other = mixtral.clone();
    other.counts[3].clear();
    assert!(wrong(&other, "mixtral-8x7b").contains("at layer 3: expected 8 experts, found 0"));
    other = Statistics { top_k: 3, ..mixtral };
    assert!(wrong(&other, "mixtral-8x7b").contains("at top_k: expected 2 experts for a token"));

    // Three dense layers, then 58 of 256 experts.
    let model = Model::from_catalogue("deepseek-v3").unwrap();
    let mut counts = vec![vec![]; 3];
    counts.resize(61, vec![1; 256]);
    let text = json!({"model": "m", "text": "t", "tokens": 32, "top_k": 8, "counts": counts});
    let even = Statistics::from_json(&text.to_string(), "x").unwrap();
    even.fits(&model).unwrap();
    other = even;
    other.counts[2] = vec![1; 256];
    assert!(wrong(&other, "deepseek-v3").contains("at layer 2: expected 0 experts, found 256"));
}

/// The small file with one key changed is refused with these words.
#[track_caller]
fn refused(key: &str, value: Value, words: &str) {
    let mut file = small();
    file[key] = value;
    let error = Statistics::from_json(&file.to_string(), "r.json").unwrap_err();
    let message = error.to_string();
    assert!(message.contains(words), "{key}: {message}");
    assert!(message.contains("`r.json`"), "{message}");
}

#[test]
fn sets_that_cannot_be_are_refused_with_their_place() {
    for (key, value, words) in [
        ("set_counts", json!([[], []]), "at set_counts: expected 3 entries"),
        ("set_counts", json!([[[[0, 1]]], [], []]), "a set and its count, as in `[[0, 1], 7]`"),
        ("set_counts", json!([[[[0, 1], -1]], [], []]), "integer `-1`, expected u64"),
        ("set_counts", json!([[[[0, 1], 0.5]], [], []]), "floating point `0.5`, expected u64"),
        (
            "set_counts",
            json!([[[[0, 1, 2], 1]], [], []]),
            "2 experts of 0 to 2, ascending, found [0, 1, 2]",
        ),
        ("set_counts", json!([[[[0, 3], 1]], [], []]), "found [0, 3]"),
        ("set_counts", json!([[[[1, 0], 1]], [], []]), "ascending, found [1, 0]"),
        ("set_counts", json!([[[[1, 1], 1]], [], []]), "ascending, found [1, 1]"),
        (
            "set_counts",
            json!([[[[0, 1], 1], [[0, 1], 1]], [], []]),
            "at set_counts, layer 0: expected each set once, found [0, 1] twice",
        ),
        ("set_counts", json!([[[[0, 1], 1]], [], []]), "expected a sum of 2, the tokens, found 1"),
        (
            "set_counts",
            json!([[[[0, 1], 2]], [], []]),
            "at set_counts, layer 0, expert 1: expected a sum of 1, its count, found 2",
        ),
        (
            "set_counts",
            json!([[[[0, 1], 1], [[0, 2], 1]], [[[0, 1], 2]], []]),
            "layer 1: expected no set, as the layer has no experts",
        ),
        ("set_counts", json!([vec![json!([[0, 1], 0]); 4097], []]), "at most 4096 entries"),
    ] {
        refused(key, value, words);
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    for (key, value, words) in [
        ("version", json!(2), "at version: expected 1, found 2"),
        ("tokens", json!(0), "at tokens: expected at least 1 and"),
        ("tokens", json!(-1), "expected u64"),
        ("tokens", json!(1.5), "floating point `1.5`, expected u64"),
        ("tokens", json!(u64::MAX), "at most 4294967296, found 18446744073709551615"),
        ("top_k", json!(4), "at top_k: expected 1 to 3"),
        ("top_k", json!(0), "at top_k"),
        ("counts", json!([]), "at top_k: expected 1 to 0"),
        ("counts", json!([[2, 1, 1], [], [0, 2, 1]]), "at counts, layer 2: expected a sum of 4"),
        ("counts", json!([[2, 1, 1], [], [2, 2]]), "at counts, layer 2: expected 3 experts"),
        ("counts", json!([[3, 1, 0], [], [0, 2, 2]]), "at most 2 tokens for an expert, found 3"),
        ("counts", json!([[2.5, 1, 1]]), "expected u64"),
        ("counts", json!([vec![0; 5000]]), "at most 4096 entries"),
        ("pair_counts", json!([[], []]), "pair_counts, layer 0: expected 3 x 3 counts, found 0"),
        ("pair_counts", json!([[]]), "at pair_counts: expected 2 entries"),
        (
            "pair_counts",
            json!([[[0, 2, 2], [0, 1, 1], [0, 1, 1]], [[1]]]),
            "layer 1: expected 0 x 0 counts, found 1",
        ),
        (
            "pair_counts",
            json!([[[0, 2, 2], [0, 2, 0], [0, 1, 1]], []]),
            "layer 0, expert 1: expected a sum of 4, its count x top_k, found 5",
        ),
        ("pair_counts", json!([[[0, 2, 2], [0, 1]], []]), "rows as long as there are rows"),
        ("pair_counts", json!([[[1], [1]], []]), "rows as long as there are rows"),
        ("pair_counts", json!([[[], []], []]), "rows as long as there are rows"),
        ("pair_counts", json!([[[1, 2]], []]), "rows as long as there are rows"),
        ("layers", json!(3), "unknown field `layers`"),
        ("model", json!(3), "expected a string"),
    ] {
        refused(key, value, words);
    }
    let twice = small().to_string().replacen('{', "{\"tokens\": 2, ", 1);
    let message = Statistics::from_json(&twice, "x").unwrap_err().to_string();
    assert!(message.contains("duplicate field `tokens`"), "{message}");
    let cut = &small().to_string()[..40];
    assert!(Statistics::from_json(cut, "x").unwrap_err().to_string().contains("line 1:"));
    assert!(Statistics::from_json(&"[".repeat(100_000), "x").is_err());
}
