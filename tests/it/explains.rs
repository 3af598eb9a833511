//! Words that are explained, as a user asks for them.

use super::binary::{Bench, golden};

#[test]
fn every_word_has_a_line_and_a_page_of_its_own() {
    let bench = Bench::new();
    let list = bench.line("explain");
    assert_eq!((list.code, list.stderr.as_str()), (0, ""));
    let widest = list.stdout.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 80, "{widest} columns");
    golden("explain-list.txt", &list.stdout);
    let names: Vec<String> = bench.line("explain --json").json()["terms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|term| term["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(names.len() > 60, "{names:?}");
    for name in names {
        let run = bench.run(&["explain", &name]);
        assert_eq!(run.code, 0, "{name}");
        assert!(run.stdout.starts_with(&name), "{name}: {}", run.stdout);
        let widest = run.stdout.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 80, "{name} is {widest} columns wide");
    }
}

#[test]
fn a_rule_says_what_each_runtime_does_and_where_that_comes_from() {
    let bench = Bench::new();
    golden("explain-driver-context.txt", &bench.line("explain driver_context").stdout);
    golden("explain-traffic.txt", &bench.line("explain --json traffic").stdout);
    let json = bench.line("explain kv_cells_multiple --json").json();
    let llama = &json["runtimes"][2];
    assert_eq!((&llama["runtime"], &llama["value"]), (&"llama.cpp".into(), &"256".into()));
    assert!(llama["source"].as_str().unwrap().contains("llama-context.cpp"));
}

#[test]
fn what_is_no_word_gets_the_nearest() {
    let bench = Bench::new();
    bench.line("explain wieghts").refuses(&["explain `wieghts`", "did you mean `weights`?"]);
    bench.run(&["explain", ""]).refuses(&["explain", "without a name lists all"]);
}
