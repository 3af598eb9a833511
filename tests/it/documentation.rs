//! The page on the mathematics and the programs it describes have the same rows.

use std::collections::BTreeSet;

use apportion::objective::{ALL, Unit, law};
use apportion::plan::{Formulation, stage_program};
use apportion::problem::{ObjectiveKind, Problem, Sends};
use apportion::verify::Violation;

use crate::support::Tiny;

const PAGE: &str = include_str!("../../src/documentation/formulation.md");

/// The lines of the table of rows.
fn rows() -> impl Iterator<Item = &'static str> {
    let table = PAGE.split("## Rows").nth(1).unwrap().split("\n## ").next().unwrap();
    table.lines().filter(|line| line.starts_with("| C") || line.starts_with("| `"))
}

/// The words in backticks of one column.
fn words(line: &'static str, column: usize) -> impl Iterator<Item = &'static str> {
    line.split(" | ").nth(column).unwrap_or("").split('`').skip(1).step_by(2)
}

#[test]
fn every_row_of_the_counting_programs_is_on_the_page_and_the_other_way_round() {
    // Big enough that nothing is implied, so that every kind of row is stated.
    let mut tiny = Tiny::new(4, 4).gpu(60).gpu(60).cpu(90);
    tiny.kv_cache_bytes = 1;
    tiny.workspace.attention_bytes = 2;
    tiny.workspace.feed_forward_bytes = 3;
    tiny.host_staging_bytes = 5;
    tiny.shared_expert = true;
    let problem = tiny.problem();
    let sends = Sends::PerDevice { experts: 4, experts_per_token: 1 };
    let company = Problem { sends, ..problem.clone() };
    let mut stated = BTreeSet::new();
    for (kind, problem) in ALL.into_iter().flat_map(|kind| [(kind, &problem), (kind, &company)]) {
        let program = stage_program(problem, Formulation::Counts, &[], kind).unwrap();
        let name = |name: &str| {
            name.split('_').next().unwrap().trim_end_matches(char::is_numeric).to_owned()
        };
        stated.extend(program.rows.iter().map(|row| name(&row.name)));
        assert!(!stage_program(problem, Formulation::Textbook, &[], kind).unwrap().rows.is_empty());
    }
    let page: BTreeSet<String> =
        rows().flat_map(|line| words(line, 0)).map(str::to_owned).collect();
    // Rows that cap an earlier objective exist in later stages only.
    // What is no sum of terms is in no program.
    let is_sum = |kind: &ObjectiveKind| law(*kind).unit() != Unit::Time;
    let caps = ALL.into_iter().filter(is_sum).map(|kind| law(kind).row().to_owned());
    let caps: BTreeSet<String> = caps.collect();
    let caps: BTreeSet<String> = caps.difference(&["peak".to_owned()].into()).cloned().collect();
    assert_eq!(stated.difference(&page).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(page.difference(&stated).cloned().collect::<BTreeSet<_>>(), caps);
}

#[test]
fn every_violation_is_named_where_it_is_checked() {
    let named: BTreeSet<&str> =
        rows().flat_map(|line| words(line, 3)).filter(|word| !word.contains(' ')).collect();
    let id = apportion::model::ComponentId::Embedding;
    let text = String::new;
    let all = [
        Violation::WrongLength { expected: 0, found: 0 },
        Violation::UnknownDevice { component: id, device: 0, devices: 0 },
        Violation::NotAllowed { component: id, device: text(), allowed: vec![], rule: None },
        Violation::NotTogether { component: id, device: text(), with: id, with_device: None },
        Violation::OverCapacity {
            device: text(),
            required_bytes: 0,
            limit_bytes: 0,
            capacity_bytes: 0,
        },
        Violation::Uneven { layer: 0, device: text(), share: [0, 1], found: 2 },
        Violation::TooManyDevices { most: 0, found: 1 },
    ];
    let debug = all.map(|violation| format!("{violation:?}"));
    let there_are: BTreeSet<&str> =
        debug.iter().map(|text| text.split(' ').next().unwrap()).collect();
    assert_eq!(named, there_are);
}
