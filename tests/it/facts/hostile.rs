//! Configs nobody should have written: each is refused with its place, and none is ever worked on long.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use apportion::model::Model;
use serde_json::{Value, json};

use super::data;

fn refusal(text: &str) -> String {
    let start = Instant::now();
    let error = Model::from_config_json(text, "config.json").unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5), "{text:.100}");
    format!("{error} ({})", error.hint_text().unwrap_or("no hint"))
}

fn changed(key: &str, value: &Value) -> String {
    let mut config: Value =
        serde_json::from_str(&data("configs/mixtral-8x7b/config.json")).unwrap();
    config[key] = value.clone();
    config.to_string()
}

#[test]
fn values_that_make_no_sense() {
    for (key, value, reason) in [
        ("hidden_size", json!("4096"), "key `hidden_size`: expected a whole number from 1 to"),
        ("hidden_size", json!(-4096), "found -4096"),
        ("hidden_size", json!(0), "found 0"),
        ("hidden_size", json!(4096.5), "found 4096.5"),
        ("hidden_size", json!(4096.0), "found 4096.0"),
        ("hidden_size", json!(u64::MAX), "found 18446744073709551615"),
        ("hidden_size", json!(1e300), "found 1e+300"),
        ("hidden_size", json!(true), "found true"),
        ("hidden_size", json!([4096]), "found a list"),
        ("hidden_size", json!({"a": 1}), "found an object"),
        ("hidden_size", json!(null), "expected a value, found null"),
        ("hidden_size", json!(4100), "4100 / 32 is not a whole number"),
        ("num_hidden_layers", json!(1001), "from 1 to 1000"),
        ("num_local_experts", json!(5000), "from 1 to 4096"),
        ("num_local_experts", json!(0), "found 0"),
        ("num_local_experts", json!(4096), "over 100000 in all"),
        ("num_experts_per_tok", json!(9), "9 of 8 experts per token"),
        ("num_experts_per_tok", json!(0), "found 0"),
        ("num_key_value_heads", json!(5), "do not share 5"),
        ("num_key_value_heads", json!(64), "do not share 64"),
        ("vocab_size", json!(1_u64 << 40), "from 1 to"),
        ("tie_word_embeddings", json!("no"), "expected true or false"),
        ("model_type", json!("mixtrall"), "did you mean `mixtral`"),
        ("model_type", json!("bert"), "mistral, mixtral, "),
        ("model_type", json!(7), "found 7"),
    ] {
        let message = refusal(&changed(key, &value));
        assert!(message.contains(reason), "{key} {value}: {message}");
    }
}

#[test]
fn a_model_too_large_to_be_true() {
    let mut config: Value =
        serde_json::from_str(&data("configs/mixtral-8x7b/config.json")).unwrap();
    for key in ["hidden_size", "intermediate_size", "vocab_size"] {
        config[key] = json!(1 << 20);
    }
    config["num_hidden_layers"] = json!(1000);
    let message = refusal(&config.to_string());
    assert!(message.contains("more than 2^50 parameters"), "{message}");
}

#[test]
fn a_missing_key_names_the_one_that_may_have_been_meant() {
    let text = data("configs/mixtral-8x7b/config.json").replace("hidden_size", "hiden_size");
    let message = refusal(&text);
    assert!(message.contains("key `hidden_size`"), "{message}");
    assert!(message.contains("did you mean `hiden_size`"), "{message}");
}

#[test]
fn texts_that_are_no_config() {
    let config = data("configs/mixtral-8x7b/config.json");
    let twice = config.replacen('{', "{\"hidden_size\": 1,", 1);
    let nested_twice = config.replacen('{', "{\"x\": [{\"a\": 1, \"a\": 2}],", 1);
    let escaped_twice = config.replacen('{', "{\"hidden\\u005fsize\": 1,", 1);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let large = " ".repeat(5 << 20);
    for (text, reason) in [
        ("", "an empty file"),
        (" \n", "an empty file"),
        ("{", "line 1:1"),
        ("[]", "expected a JSON object"),
        ("null", "expected a JSON object"),
        ("{}", "key `model_type`"),
        ("{\"model_type\": \"mixtral\"} x", "trailing characters"),
        ("{\"model_type\": NaN}", "line 1:"),
        ("{\"model_type\": null}", "found null"),
        (&twice, "the key `hidden_size` appears twice"),
        (&nested_twice, "the key `a` appears twice"),
        (&escaped_twice, "the key `hidden_size` appears twice"),
        (&deep, "recursion limit"),
        (&large, "at most 4 MiB of text"),
        ("{\"model_type\": \"llava\", \"text_config\": {}}", "several models in one"),
    ] {
        let message = refusal(text);
        assert!(message.contains(reason), "{text:.60}: {message}");
    }
}

#[test]
fn hostile_text_does_not_reach_the_terminal() {
    let missing =
        data("configs/mixtral-8x7b/config.json").replace("hidden_size", "hidden_siz\\u001b");
    for text in ["{\"model_type\": \"\\u001b[2Jmixtral\\u202e\"}", &missing] {
        let message = refusal(text);
        assert!(!message.chars().any(|c| c.is_control() || c == '\u{202e}'), "{message:?}");
    }
}

#[test]
fn facts_have_only_keys_of_the_family() {
    let good = Model::from_catalogue("mixtral-8x7b").unwrap().config;
    let mut extra = good.clone();
    extra.insert("hidden_sizes".to_owned(), json!(1));
    let message = Model::from_facts("mixtral", &extra).unwrap_err().to_string();
    assert!(message.contains("key `hidden_sizes`"), "{message}");
    assert!(Model::from_facts("mixtrall", &good).is_err());
    assert!(Model::from_facts("mixtral", &BTreeMap::new()).is_err());
}

fn resolve_refusal(argument: &str) -> String {
    let error = Model::resolve(argument).unwrap_err();
    format!("{error} ({})", error.hint_text().unwrap_or("no hint"))
}

#[test]
fn names_and_paths_that_lead_nowhere() {
    assert!(resolve_refusal("mixtral-8x7").contains("did you mean `mixtral-8x7b`?"));
    assert!(resolve_refusal("").contains("neither"));
    assert!(resolve_refusal("/no/such/config.json").contains("no such file"));
    assert!(resolve_refusal("nosuch.json").contains("no such file"));
    assert!(resolve_refusal("no such").contains("neither"));
    assert!(resolve_refusal(&"x".repeat(100_000)).len() < 1000);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(resolve_refusal(folder.path().to_str().unwrap()).contains("a folder without either"));
    for (name, bytes, reason) in [
        ("empty.json", Vec::new(), "an empty file"),
        ("latin.json", vec![b'{', 0xff], "expected UTF-8 text"),
        ("zeros.json", vec![0; 100], "a zero byte"),
        ("large.json", vec![b' '; (4 << 20) + 1], "at most 4.00 MiB"),
    ] {
        std::fs::write(path(name), bytes).unwrap();
        let message = resolve_refusal(path(name).to_str().unwrap());
        assert!(message.contains(reason), "{name}: {message}");
    }
    std::fs::create_dir_all(path("odd/config.json")).unwrap();
    assert!(resolve_refusal(path("odd").to_str().unwrap()).contains("a folder"));
}

#[cfg(unix)]
#[test]
fn devices_and_pipes_are_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("config.json");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for path in ["/dev/zero", pipe.to_str().unwrap(), folder.path().to_str().unwrap()] {
        assert!(resolve_refusal(path).contains("a pipe, socket or device"), "{path}");
    }
}
