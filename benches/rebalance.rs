//! From one placement to the next: what solving takes, and what ordering and replaying the moves takes.
//!
//! `cargo bench --bench rebalance` prints one table; see `README.md` beside this.

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

use std::error::Error;
use std::time::Duration;

use apportion::hardware::Hardware;
use apportion::memory::Load;
use apportion::migrate::{Changes, Goal, Plan, rebalance};
use apportion::model::Model;
use apportion::placement::Record;
use apportion::plan::{Options, Outcome, solve};
use apportion::problem::{ObjectiveKind, ObjectiveValue};
use apportion::quant::Scheme;
use apportion::scenario::{Limits, Scenario, default_objectives};
use apportion::sweep::Found;
use apportion::units::format_bytes;
use apportion::verify::verify;

use support::clock::repeated;
use support::machine;

/// Whatever goes wrong ends the run: a table with holes would be misread.
type Failure = Box<dyn Error>;

const GIB: u64 = 1 << 30;

/// Runs of which the middle one counts.
const RUNS: usize = 5;

/// A machine that loses memory.
struct Case {
    name: &'static str,
    model: &'static str,
    scheme: &'static str,
    gpus: &'static [u64],
    lost_gib: u64,
    target: Option<Duration>,
}

const CASES: [Case; 5] = [
    Case {
        name: "Mixtral nf4-dq, 2 x 13 GiB",
        model: "mixtral-8x7b",
        scheme: "nf4-dq",
        gpus: &[13, 13],
        lost_gib: 2,
        target: Some(Duration::from_millis(20)),
    },
    Case {
        name: "Mixtral q4_k_m, 2 x 16 GiB",
        model: "mixtral-8x7b",
        scheme: "q4_k_m",
        gpus: &[16, 16],
        lost_gib: 3,
        target: None,
    },
    Case {
        name: "Mixtral nf4-dq, 4 uneven",
        model: "mixtral-8x7b",
        scheme: "nf4-dq",
        gpus: &[10, 8, 8, 6],
        lost_gib: 3,
        target: None,
    },
    Case {
        name: "DeepSeek-V3 fp8, 8 x 100 GiB",
        model: "deepseek-v3",
        scheme: "fp8",
        gpus: &[100; 8],
        lost_gib: 10,
        target: None,
    },
    Case {
        name: "DeepSeek-V3 fp8, 8 x 90 GiB",
        model: "deepseek-v3",
        scheme: "fp8",
        gpus: &[90; 8],
        lost_gib: 15,
        target: None,
    },
];

fn main() -> Result<(), Failure> {
    // `cargo test --all-targets` runs this too, and tests do not time.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    println!("{}\n", machine::line());
    println!(
        "| gpu0 loses memory | lost | moved, proven least | steps | solve | order | replay | target |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    CASES.iter().try_for_each(|case| row(case))
}

fn row(case: &Case) -> Result<(), Failure> {
    let here = placed(case)?;
    let left = (case.gpus[0] - case.lost_gib) * GIB;
    let changes = Changes { usable: vec![("gpu0".to_owned(), left)], ..Changes::default() };
    let options = Options { node_limit: apportion::sweep::NODE_LIMIT, ..Options::default() };
    let ask = || rebalance(&here, &changes, Goal::LeastMoved, None, &options);
    let asked = repeated(RUNS, ask)?;
    let next = &asked.result;
    let Found::Placed(solved, measured) = &next.found else { return Err("no placement".into()) };
    let there = Record::of(&next.scenario, &next.problem, solved, measured);
    let ordered = repeated(RUNS, || Plan::between(&here, &there, None))?;
    let plan = ordered.result.map_err(|stuck| format!("{stuck:?}"))?;
    let replayed = repeated(RUNS, || plan.replay())?;
    let moved = solved.stages.iter().find(|stage| stage.kind == ObjectiveKind::Migration);
    let moved = moved.ok_or("no stage of moved bytes")?;
    let ObjectiveValue::Bytes(bytes) = moved.value else { return Err("not bytes".into()) };
    println!(
        "| {} | {} GiB | {}, {} | {} | {} | {} | {} | {} |",
        case.name,
        case.lost_gib,
        format_bytes(bytes),
        if moved.proven && moved.bound == moved.value { "yes" } else { "no" },
        plan.steps.len(),
        milliseconds(asked.median),
        milliseconds(ordered.median),
        milliseconds(replayed.median),
        case.target.map_or(String::new(), |target| format!("solve in {}", milliseconds(target)))
    );
    Ok(())
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

fn placed(case: &Case) -> Result<Record, Failure> {
    let sizes: Vec<u64> = case.gpus.iter().map(|gib| gib * GIB).collect();
    let scenario = Scenario {
        model: Model::from_catalogue(case.model)?,
        scheme: Scheme::parse(case.scheme)?,
        load: Load::default(),
        hardware: Hardware::from_sizes(&sizes, None, 0)?,
        constraints: Vec::new(),
        default_pins: true,
        limits: Limits::default(),
        objectives: default_objectives(),
    };
    let problem = scenario.problem()?;
    let Outcome::Solved(solved) = solve(&problem, &Options::default())? else {
        return Err("no placement".into());
    };
    let measured = verify(&problem, &solved.placement).map_err(|wrong| format!("{wrong:?}"))?;
    Ok(Record::of(&scenario, &problem, &solved, &measured))
}
