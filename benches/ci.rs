//! How long what is held fixed takes: 40 cases spread over the catalogue's, and all of them.
//!
//! `cargo bench --bench ci` prints the table of `benches/README.md`.

/// Shared with the other bench, which needs more of it.
mod support {
    #[expect(dead_code, reason = "runs that are too long to repeat are the other bench's")]
    pub mod clock;
    pub mod machine;
    pub mod table;
}

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use apportion::expectations::{Expectations, Outcome, Verdict};

use support::clock::{Timed, repeated};
use support::machine;
use support::table::{Row, head};

type Failure = Box<dyn Error>;

const FILE: &str = "tests/expectations/catalogue.yaml";
const CASES: usize = 40;
const TARGET: Duration = Duration::from_secs(2);

fn main() -> Result<(), Failure> {
    // `cargo test --all-targets` runs this too, and tests do not time.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    println!("{}\n\n{}", machine::line(), head());
    println!("{}", row(Some(CASES))?);
    println!("{}", row(None)?);
    Ok(())
}

/// As the command does it, reading the file included; every so-manieth case where only some are wanted.
fn ask(cases: Option<usize>) -> Result<Vec<Outcome>, Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let mut expectations = Expectations::read(&path)?;
    if let Some(cases) = cases {
        let names = expectations.names();
        let wanted = (0..cases).map(|index| names[index * names.len() / cases].to_owned());
        let wanted: Vec<String> = wanted.collect();
        expectations.only(&wanted)?;
    }
    Ok(expectations.run(&|| ()))
}

fn row(cases: Option<usize>) -> Result<Row, Failure> {
    let timed: Timed<Vec<Outcome>> = repeated(3, || ask(cases))?;
    let held = timed.result.iter().filter(|outcome| matches!(outcome.verdict, Verdict::Holds));
    let (held, asked) = (held.count(), timed.result.len());
    let nodes = timed.result.iter().filter_map(|outcome| outcome.now.as_ref());
    let nodes: u64 = nodes.map(|now| now.nodes).sum();
    Ok(Row {
        what: "ci".to_owned(),
        instance: format!("{asked} cases of {FILE}"),
        time: timed.to_string(),
        outcome: format!("{held} of {asked} hold; {nodes} nodes"),
        target: cases.map_or_else(String::new, |_| "2 s".to_owned()),
        met: cases.map(|_| timed.median <= TARGET),
    })
}
