//! The README and the pages on time and memory show real output: every `$ apportion ...` block is run and compared.
//!
//! `APPORTION_BLESS=1 cargo test readme` writes the blocks anew.

use std::fmt::Write as _;
use std::path::Path;

use crate::binary::Bench;

const OPEN: &str = "```console\n$ ";
const RUN: &str = "cargo run --release -- ";

#[test]
fn every_block_of_the_readme_is_what_the_program_prints() {
    check("README.md");
}

#[test]
fn every_block_of_the_page_on_time_is_what_the_program_prints() {
    check("src/documentation/time.md");
}

#[test]
fn every_block_of_the_page_on_memory_is_what_the_program_prints() {
    check("src/documentation/memory.md");
}

#[test]
fn every_block_of_the_page_on_clusters_is_what_the_program_prints() {
    check("src/documentation/cluster.md");
}

#[test]
fn every_block_of_the_page_on_ci_is_what_the_program_prints() {
    check("src/documentation/ci.md");
}

fn check(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let readme = std::fs::read_to_string(&path).unwrap();
    let mut fresh = String::new();
    let mut parts = readme.split(OPEN);
    fresh.push_str(parts.next().unwrap());
    for part in parts {
        let (block, rest) = part.split_once("```").unwrap();
        let command = block.lines().next().unwrap();
        write!(fresh, "{OPEN}{command}\n{}```{rest}", output(command)).unwrap();
    }
    if std::env::var_os("APPORTION_BLESS").is_some() {
        return std::fs::write(&path, &fresh).unwrap();
    }
    assert_eq!(readme, fresh, "APPORTION_BLESS=1 cargo test readme writes the blocks anew");
}

/// What the command prints, with a fixed time in place of the measured one.
fn output(command: &str) -> String {
    let arguments =
        command.strip_prefix("apportion ").or_else(|| command.strip_prefix(RUN)).unwrap();
    // Files of the repository, wherever it is.
    let root = env!("CARGO_MANIFEST_DIR");
    let arguments = arguments.replace(" tests/data/", &format!(" {root}/tests/data/"));
    let printed = Bench::new().line(&arguments).stdout.replace(&format!("{root}/"), "");
    let lines = printed.lines().map(|line| match line.split_once(" by microlp in ") {
        Some((before, _)) => format!("{before} by microlp in 0.01 s)"),
        None => line.trim_end().to_owned(),
    });
    lines.map(|line| line + "\n").collect()
}
