//! What a config is worth in bytes: names and shapes, storage types, demands, and what is refused.
//!
//! The known answers come from published implementations and files, named in tests/data/SOURCES.md.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod demand;
mod ground_truth;
mod hostile;
mod layouts;
mod models;
mod more_sizes;
mod published;
mod quants;
mod schemes;

use apportion::model::Model;

fn model(name: &str) -> Model {
    Model::from_catalogue(name).unwrap()
}

fn data(path: &str) -> String {
    let path = format!("{}/tests/data/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `"0-3,6"` as 0, 1, 2, 3, 6.
fn numbers(ranges: &str) -> Vec<u32> {
    let number = |text: &str| text.parse::<u32>().unwrap();
    ranges
        .split(',')
        .flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            number(first)..=number(last)
        })
        .collect()
}
