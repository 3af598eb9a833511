//! How long a grid takes: 20 quantizations x 8 contexts x 4 machines, every point solved and verified.
//!
//! `cargo bench --bench sweep` prints the table of `benches/README.md`.

/// Shared with the other bench, which needs more of it.
mod support {
    #[expect(dead_code, reason = "runs that are too long to repeat are the other bench's")]
    pub mod clock;
    pub mod machine;
    pub mod table;
}

use std::error::Error;
use std::time::Duration;

use apportion::hardware::Hardware;
use apportion::memory::Load;
use apportion::model::Model;
use apportion::plan::Options;
use apportion::quant::Scheme;
use apportion::scenario::{Limits, Scenario, default_objectives};
use apportion::sweep::{Grid, Machine, NODE_LIMIT, Row as Answer, Verdict, sweep};

use support::clock::{Timed, repeated};
use support::machine;
use support::table::{Row, head};

type Failure = Box<dyn Error>;

const MODEL: &str = "mixtral-8x7b";
const QUANTS: usize = 20;
const CONTEXTS: [u64; 8] = [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072];

/// Equal GPUs, uneven ones, many small ones, and a machine on which most does not fit.
const MACHINES: [&str; 4] = ["2x24GiB", "24GiB+12GiB+8GiB", "4x12GiB", "2x16GiB"];

const TARGET: Duration = Duration::from_secs(5);

fn main() -> Result<(), Failure> {
    // `cargo test --all-targets` runs this too, and tests do not time.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    println!("{}\n\n{}", machine::line(), head());
    for one in MACHINES {
        println!("{}", row(&[one], None)?);
    }
    println!("{}", row(&MACHINES, Some(TARGET))?);
    Ok(())
}

/// File types of llama.cpp from 8 bits downwards: what people choose among.
fn quantizations() -> Vec<Scheme> {
    let gguf = Scheme::all().into_iter().filter(|scheme| scheme.kind() == "GGUF");
    gguf.skip_while(|scheme| scheme.name() != "q8_0").take(QUANTS).collect()
}

fn grid(machines: &[&str]) -> Result<Grid, Failure> {
    let machines: Result<Vec<Machine>, _> =
        machines.iter().map(|text| Machine::parse(text, 0)).collect();
    let machines = machines?;
    let scenario = Scenario {
        model: Model::from_catalogue(MODEL)?,
        scheme: Scheme::parse("f16")?,
        load: Load::default(),
        hardware: Hardware::from_sizes(&[1 << 30], None, 0)?,
        constraints: Vec::new(),
        default_pins: true,
        limits: Limits::default(),
        objectives: default_objectives(),
    };
    Ok(Grid { scenario, schemes: quantizations(), contexts: CONTEXTS.to_vec(), machines })
}

fn row(machines: &[&str], target: Option<Duration>) -> Result<Row, Failure> {
    let grid = grid(machines)?;
    let options = Options { node_limit: NODE_LIMIT, ..Options::default() };
    let before = cpu_seconds();
    let timed: Timed<Vec<Answer>> =
        repeated(3, || -> Result<Vec<Answer>, Failure> { Ok(sweep(&grid, &options, &|| ())?) })?;
    // The first run of those `repeated` makes does not count for the median, but takes as long.
    let runs = u32::try_from(timed.runs + 1)?;
    let cpu = cpu_seconds().zip(before).map(|(after, before)| (after - before) / f64::from(runs));
    let cpu = cpu.map_or(String::new(), |seconds| format!("; {seconds:.2} CPU seconds"));
    let what = if machines.len() == 1 { "one machine" } else { "the grid" };
    let contexts = CONTEXTS.len();
    Ok(Row {
        what: what.to_owned(),
        instance: format!("{MODEL}, {QUANTS} x {contexts} x {}", machines.join(", ")),
        time: timed.to_string(),
        outcome: format!("{}{cpu}", outcome(&timed.result)?),
        target: if target.is_some() { "5 s".to_owned() } else { String::new() },
        met: target.map(|target| timed.median <= target),
    })
}

/// User and system time of this process so far, where the system says it in hundredths of a second: a busy
/// machine makes the clock run, not this.
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks.map(str::parse).collect::<Result<_, _>>().ok()?;
    (ticks.len() == 2).then(|| ticks.iter().sum::<f64>() / 100.0)
}

/// How many points ended how; a point without an answer other than a limit would make the table a lie.
fn outcome(rows: &[Answer]) -> Result<String, Failure> {
    let (mut optimal, mut feasible, mut infeasible, mut unknown) = (0, 0, 0, 0);
    let mut nodes = 0;
    for verdict in rows.iter().flat_map(|row| &row.verdicts) {
        match verdict {
            Verdict::Fits(worth) => {
                nodes += worth.nodes;
                if worth.limit.is_none() { optimal += 1 } else { feasible += 1 }
            }
            Verdict::Infeasible { .. } => infeasible += 1,
            Verdict::Unknown(_) => unknown += 1,
            Verdict::Refused(why) => return Err(why.clone().into()),
        }
    }
    let points = optimal + feasible + infeasible + unknown;
    Ok(format!(
        "{points} points: {optimal} optimal, {feasible} feasible (limit: nodes), {infeasible} infeasible, \
         {unknown} unknown; {nodes} nodes"
    ))
}
