//! The embedded profiles, corrections, and files that must be refused.

use super::*;

fn read(text: &str) -> Result<Profile, Error> {
    Profile::from_yaml(text, "mine.yaml")
}

#[test]
fn every_profile_is_complete_and_every_rule_has_its_source() {
    for (name, text) in NAMES.iter().zip(TEXTS) {
        let profile = read(text).unwrap();
        assert_eq!(profile.name(), *name);
        assert_eq!(profile.rules.len(), rules::RULES.len());
        for (rule, _) in rules::RULES {
            assert!(!profile.source(rule).is_empty(), "{name}: {rule}");
            assert!(!profile.source(rule).starts_with("stated in"), "{name}: {rule}");
        }
        assert_eq!(profile, Profile::named(name).unwrap());
        assert!(profile.differences().is_empty());
        assert!(!profile.about().is_empty());
    }
    assert!(Profile::default().is_default());
    assert!(!Profile::named("vllm").unwrap().is_default());
}

#[test]
fn the_default_adds_nothing_to_an_estimate() {
    let rules = Profile::default().rules().clone();
    assert_eq!((rules.kv_cells_multiple, rules.micro_batch_tokens, rules.mask_bytes), (1, 512, 2));
    assert_eq!(rules.driver_context_bytes + rules.blas_workspace_bytes, 0);
    assert_eq!((rules.graph_copies, rules.usable_fraction), (1, crate::units::Ratio::new(1, 1)));
    assert_eq!((rules.rounding, rules.workspace), (Rounding::None, Activations::Reference));
    assert!(!rules.embedding_on_host && rules.staging.is_none());
}

#[test]
fn a_correction_changes_what_it_names_and_says_where_from() {
    let text = "version: 1\nbased_on: llama.cpp\nrules:\n  \
                driver_context_bytes: {value: 430MiB, source: nvidia-smi}\n  \
                micro_batch_tokens: 2048\n  kv_types: [q8_0, f16]\n  flash_attention: false\n";
    let profile = read(text).unwrap();
    let llama = Profile::named("llama.cpp").unwrap();
    assert_eq!(profile.rules().driver_context_bytes, 430 << 20);
    assert_eq!(profile.rules().kv_types, [KvType::F16, KvType::Q8_0]);
    assert!(!profile.rules().flash_attention);
    assert_eq!(profile.source("driver_context_bytes"), "nvidia-smi");
    assert_eq!(profile.source("micro_batch_tokens"), "stated in mine.yaml");
    assert_eq!(profile.source("rounding"), llama.source("rounding"));
    assert_eq!(profile.rules().graph_copies, llama.rules().graph_copies);
    let differences = profile.differences();
    let names: Vec<&str> = differences.iter().map(|row| row.0).collect();
    let corrected = ["driver_context_bytes", "flash_attention", "kv_types", "micro_batch_tokens"];
    assert_eq!(names, corrected);
    // What a placement file records is the profile again, apart from the sources.
    let recorded: BTreeMap<String, String> =
        differences.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    let again = Profile::recorded(profile.name(), &recorded).unwrap();
    assert_eq!(again.rules(), profile.rules());
    assert_eq!(again.differences(), differences);
}

#[test]
fn a_runtime_of_ones_own_states_every_rule() {
    let text = TEXTS[0].replace("runtime: candle", "runtime: my-engine");
    let profile = read(&text).unwrap();
    assert!(!profile.is_default());
    assert_eq!(profile.differences().len(), rules::RULES.len());
    let recorded: BTreeMap<String, String> =
        profile.differences().iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    assert_eq!(Profile::recorded("my-engine", &recorded).unwrap().rules(), profile.rules());
    let fewer: BTreeMap<_, _> = recorded.into_iter().skip(1).collect();
    assert!(Profile::recorded("my-engine", &fewer).unwrap_err().to_string().contains("no activ"));
}

#[test]
fn hostile_files_are_refused_and_the_message_says_where() {
    let based = |rules: &str| format!("version: 1\nbased_on: candle\nrules: {{{rules}}}\n");
    for (text, says) in [
        (based("driver_contxt_bytes: 1"), "did you mean `driver_context_bytes`"),
        (based("kv_cells_multiple: 0"), "from 1 to 65536"),
        (based("kv_cells_multiple: 18446744073709551615"), "from 1 to 65536"),
        (based("micro_batch_tokens: -1"), "line"),
        (based("micro_batch_tokens: 1.5"), "line"),
        (based("micro_batch_tokens: {value: {value: 1}}"), "line"),
        (based("micro_batch_tokens: {value: 1, sauce: x}"), "sauce"),
        (based("micro_batch_tokens: {source: x}"), "value"),
        (based("driver_context_bytes: 2TiB"), "at most 1 TiB"),
        (based("driver_context_bytes: much"), "a size such as"),
        (based("rounding: torhc"), "did you mean `torch`"),
        (based("embedding: true"), "one of anywhere, host"),
        (based("kv_types: [f16, f16]"), "each type once"),
        (based("kv_types: []"), "one of f32"),
        (based("kv_types: [f17]"), "one of f32"),
        (based("usable_fraction: 11/10"), "at most 1/1"),
        (based("usable_fraction: 0/10"), "at most 1/1"),
        (based("usable_fraction: 1/0"), "at most 1/1"),
        (based("usable_fraction: 1/18446744073709551616"), "at most 1/1"),
        (based("graph_copies: 17"), "from 1 to 16"),
        (based("graph_copies: 1, graph_copies: 2"), "twice"),
        (based(&format!("rounding: {{value: none, source: {}}}", "x".repeat(700))), "600 bytes"),
        ("version: 2\nbased_on: candle\nrules: {}".to_owned(), "expected 1, found 2"),
        ("version: 1\nbased_on: lama.cpp\nrules: {}".to_owned(), "did you mean `llama.cpp`"),
        ("version: 1\nrules: {}".to_owned(), "`based_on`, or `runtime`"),
        ("version: 1\nruntime: own\nrules: {rounding: none}".to_owned(), "no kv_types"),
        ("version: 1\nruntime: \"a\\nb\"\nbased_on: vllm\nrules: {}".to_owned(), "1 to 64"),
        ("version: 1\nbased_on: vllm\nrules: {}\nmore: 1".to_owned(), "more"),
        ("version: 1\nbased_on: vllm\nrules: []".to_owned(), "line"),
        ("version: 1\nbased_on: vllm\nrules: {rounding: &a none}".to_owned(), "plain YAML"),
        ("rules".to_owned(), "keys of a runtime profile"),
    ] {
        let error = read(&text).unwrap_err();
        let message = format!("{error} {}", error.hint_text().unwrap_or_default());
        assert!(message.contains(says), "{text}\n{message}");
        assert!(message.len() < 1200, "{}", message.len());
    }
}
