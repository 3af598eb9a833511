//! The project uses it on itself: every model of the catalogue on three machines.

use std::collections::BTreeSet;
use std::path::Path;

use apportion::expectations::{Expectations, Outcome, Verdict};
use apportion::model::catalogue;
use apportion::report::expectations::text;

fn file() -> Expectations {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Expectations::read(&root.join("tests/expectations/catalogue.yaml")).unwrap()
}

#[test]
fn every_model_of_the_catalogue_is_placed_as_it_was_on_three_machines() {
    let outcomes = file().run(&|| ());
    let red = |outcome: &&Outcome| !matches!(outcome.verdict, Verdict::Holds);
    let red: Vec<Outcome> = outcomes.iter().filter(red).cloned().collect();
    assert!(red.is_empty(), "\n{}", text(&red, 100));
    let asked: BTreeSet<String> = outcomes.iter().map(|outcome| outcome.name.clone()).collect();
    let all = catalogue().iter().flat_map(|entry| {
        ["one", "two", "four"].map(|machine| format!("{} on {machine}", entry.name))
    });
    assert_eq!(asked, all.collect(), "three machines for each model, and no others");
}
