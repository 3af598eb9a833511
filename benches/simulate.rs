//! A load before there is a device: how long replaying one takes, from the placement to the last token.
//!
//! `cargo bench --bench simulate` prints a table; see `README.md` beside this.

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

use std::error::Error;
use std::time::Duration;

use apportion::baseline;
use apportion::hardware::Hardware;
use apportion::memory::Load;
use apportion::model::Model;
use apportion::placement::Record;
use apportion::quant::Scheme;
use apportion::runtime::Profile;
use apportion::scenario::{Limits, Scenario, default_objectives};
use apportion::simulate::{AllocatorKind, Choices, Machine, Order, Script, Simulation, replay};
use apportion::units::format_bytes;
use apportion::verify::measure;

use support::clock::repeated;
use support::machine;
use support::table::{Row, head, time};

/// Whatever goes wrong ends the run: a table with holes would be misread.
type Failure = Box<dyn Error>;

const GIB: u64 = 1 << 30;

fn main() -> Result<(), Failure> {
    // `cargo test --all-targets` runs this too, and tests do not time.
    if std::env::args().any(|argument| argument == "--bench") { tables() } else { Ok(()) }
}

fn tables() -> Result<(), Failure> {
    println!("{}\n\n{}", machine::line(), head());
    for (model, gpus, size, target) in [
        ("mixtral-8x7b", 2, 16 * GIB, Duration::from_millis(50)),
        ("deepseek-v3", 8, 80 * GIB, Duration::from_secs(3)),
    ] {
        let record = even_split(model, gpus, size)?;
        for allocator in [AllocatorKind::Torch, AllocatorKind::TorchExpandable] {
            println!("{}", row(&record, allocator, target)?);
        }
    }
    Ok(())
}

/// The same number of layers on every GPU, in 4 bit, under transformers.
fn even_split(model: &str, gpus: usize, size: u64) -> Result<Record, Failure> {
    let scenario = Scenario {
        model: Model::from_catalogue(model)?,
        scheme: Scheme::parse("nf4-dq")?,
        load: Load { runtime: Profile::shared("transformers")?, ..Load::default() },
        hardware: Hardware::from_sizes(&vec![size; gpus], None, 0)?,
        constraints: Vec::new(),
        default_pins: true,
        limits: Limits::default(),
        objectives: default_objectives(),
    };
    let problem = scenario.problem()?;
    let named = baseline::all(&problem).into_iter().find(|named| named.name == "even split");
    let placement = named.and_then(|named| named.placement).ok_or("no even split")?;
    let measured = measure(&problem, &placement).map_err(|found| format!("{found:?}"))?;
    Ok(Record::of_map(&scenario, &problem, &placement, &measured, "even-split"))
}

fn row(record: &Record, allocator: AllocatorKind, target: Duration) -> Result<Row, Failure> {
    let machines = Machine::of(record);
    let decode = Choices::DECODE_DEFAULT;
    let choices = Choices { allocator, order: Order::Checkpoint, warm_up: false, decode };
    let whole = || -> Result<Simulation, Failure> {
        let script = Script::of(record, &record.scenario, &machines, &choices)?;
        Ok(replay(&script, &machines, allocator))
    };
    let timed = repeated(5, whole)?;
    let simulation = &timed.result;
    let fullest = simulation.devices.iter().map(|device| device.peak.point.filled_bytes()).max();
    let verdict = if simulation.failure.is_some() { "fails" } else { "fits" };
    Ok(Row {
        what: format!("whole load, {}", allocator.name()),
        instance: format!(
            "{} nf4-dq on {} GPUs, {} steps",
            record.scenario.model.name,
            machines.len(),
            simulation.steps
        ),
        time: time(timed.median),
        outcome: format!("{verdict}, fullest {}", format_bytes(fullest.unwrap_or(0))),
        target: time(target),
        met: Some(timed.median <= target && simulation.failure.is_none()),
    })
}
