//! What `load`, `generate` and `profile` refuse before any work.

use super::super::binary::{Bench, Run};

/// A bench with files that are never read, so that what is refused is refused by the words alone.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("map.yaml", "version: 1\n");
    bench.write("text.txt", "some text\n");
    bench
}

/// Runs `generate` on them with more words.
fn generate(bench: &Bench, more: &[&str]) -> Run {
    bench.run(&[&["generate", "map.yaml", "--weights", "w.gguf"], more].concat())
}

#[test]
fn a_prompt_is_text_or_numbers_and_exactly_one() {
    let bench = bench();
    generate(&bench, &[]).refuses(&["--prompt <TEXT>", "--prompt-ids <IDS>"]);
    generate(&bench, &["--prompt", "a", "--prompt-ids", "1"]).refuses(&["cannot be used with"]);
    for ids in ["1,x", "-1", "1,,2", "4294967296", "1.5", ""] {
        let ids = format!("--prompt-ids={ids}");
        generate(&bench, &[&ids])
            .refuses(&["expected the number of a token, from 0 to 4294967295"]);
    }
    let line = "profile map.yaml --weights w.gguf -o r.json";
    bench.line(line).refuses(&["--text <FILE>", "--prompt-ids <IDS>"]);
    let both = bench.line(&format!("{line} --text text.txt --prompt-ids 1"));
    both.refuses(&["cannot be used with"]);
}

#[test]
fn sampling_out_of_range_is_refused() {
    let bench = bench();
    let ids = ["--prompt-ids", "1"];
    for (option, value, words) in [
        ("--temperature", "-1", "at temperature: expected a number from 0 up, found -1"),
        ("--temperature", "inf", "at temperature"),
        ("--temperature", "NaN", "at temperature"),
        ("--temperature", "warm", "invalid value"),
        ("--max-tokens", "-1", "expected a whole number"),
    ] {
        let option = format!("{option}={value}");
        generate(&bench, &[ids[0], ids[1], &option]).refuses(&[words]);
    }
    for share in ["0", "1.5", "-0.1", "NaN"] {
        let share = format!("--top-p={share}");
        let run = generate(&bench, &[ids[0], ids[1], "--temperature=1", &share]);
        run.refuses(&["at top-p: expected a share above 0 and at most 1"]);
    }
    for unused in ["--top-p=0.9", "--seed=3"] {
        generate(&bench, &[ids[0], ids[1], unused]).refuses(&["--temperature <T>"]);
    }
}

#[test]
fn text_needs_a_tokenizer() {
    let bench = bench();
    let missing = ["a tokenizer beside the weights", "--tokenizer", "--prompt-ids"];
    generate(&bench, &["--prompt", "a"]).refuses(&missing);
    let profile = bench.line("profile map.yaml --weights w.gguf --text text.txt -o r.json");
    profile.refuses(&missing);
    generate(&bench, &["--prompt", "a", "--tokenizer", "none.json"])
        .refuses(&["none.json", "no such"]);
    bench.write("tokenizer.json", "{\"model\": 3}");
    let broken = ["read the tokenizer", "tokenizer.json", "expected a tokenizer.json"];
    generate(&bench, &["--prompt", "a"]).refuses(&broken);
    generate(&bench, &["--prompt-ids", "1"]).refuses(&broken);
    // Its own rules name a token that they do not have.
    let token = r#"{"SpecialToken": {"id": "<s>", "type_id": 0}}"#;
    let contradiction = format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "decoder": null, "post_processor": {{"type": "TemplateProcessing",
        "single": [{token}], "pair": [{token}], "special_tokens": {{}}}},
        "model": {{"type": "BPE", "vocab": {{"a": 0}}, "merges": []}}}}"#
    );
    bench.write("tokenizer.json", contradiction);
    generate(&bench, &["--prompt", "a"]).refuses(&["tokenizer.json", "contradict each other"]);
}

#[test]
fn files_that_are_not_there_are_named() {
    let bench = bench();
    bench.line("load none.yaml --weights w.gguf").refuses(&["none.yaml", "no such file"]);
    bench.line("load map.yaml --weights w.gguf").refuses(&["w.gguf", "no such file"]);
    let run = bench.line("profile map.yaml --weights w.gguf --prompt-ids 1 -o none/r.json");
    run.refuses(&["none/r.json", "a folder around it that exists"]);
    let run = bench.line("profile map.yaml --weights w.gguf --text none.txt -o r.json");
    run.refuses(&["none.txt", "no such file"]);
    bench.line("load map.yaml").refuses(&["--weights <PATH>"]);
    bench.line("load map.yaml --weights w.gguf --mode both").refuses(&["sequential, concurrent"]);
    bench.line("load map.yaml --weights w.gguf --threads x").refuses(&["expected a whole number"]);
    assert_eq!(bench.files(), ["map.yaml", "text.txt"], "nothing was written");
}
