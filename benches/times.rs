//! Placements by time: what proving them takes, and what measured routing is worth in and out of sample.
//!
//! `cargo bench --bench times` prints two tables. Speeds are those of data sheets; see `README.md` beside this.

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apportion::hardware::{DeviceKind, Hardware, Link, Spec};
use apportion::memory::Load;
use apportion::model::Model;
use apportion::plan::{Options, Outcome, Solved, solve};
use apportion::problem::{ObjectiveKind, Problem};
use apportion::quant::Scheme;
use apportion::routing::Statistics;
use apportion::runtime::{LayerDevices, SendRule};
use apportion::scenario::{Limits, Scenario, parse_objectives};
use apportion::units::format_time;
use apportion::verify::measure;

use support::clock::repeated;
use support::machine;
use support::table::{Row, head, time};

/// Whatever goes wrong ends the run: a table with holes would be misread.
type Failure = Box<dyn Error>;

/// Counts of Mixtral on five texts.
const TEXTS: [&str; 5] = [
    "college_computer_science",
    "high_school_biology",
    "high_school_mathematics",
    "high_school_us_history",
    "machine_learning",
];

/// A question.
struct Ask {
    model: &'static str,
    scheme: &'static str,
    gpus: &'static [&'static str],
    cpu: Option<&'static str>,
    link: &'static str,
    devices: LayerDevices,
    routing: Option<&'static str>,
}

const FOUR_EVEN: &[&str] = &["rtx-4090=8GiB"; 4];
const FOUR_UNEVEN: &[&str] =
    &["rtx-4090=16GiB", "rtx-3090=12GiB", "rtx-4090=10GiB", "rtx-3060=12GiB"];

fn main() -> Result<(), Failure> {
    // `cargo test --all-targets` runs this too, and tests do not time.
    if std::env::args().any(|argument| argument == "--bench") { tables() } else { Ok(()) }
}

fn tables() -> Result<(), Failure> {
    println!("{}\n\n{}", machine::line(), head());
    let second = Duration::from_secs(1);
    for gpus in [&["rtx-4090=16GiB"; 2][..], FOUR_EVEN, FOUR_UNEVEN] {
        for devices in [LayerDevices::Sequential, LayerDevices::Concurrent] {
            for routing in [None, Some("machine_learning")] {
                println!("{}", row(&mixtral(gpus, devices, routing), second)?);
            }
        }
    }
    for devices in [LayerDevices::Sequential, LayerDevices::Concurrent] {
        let ask = Ask {
            model: "deepseek-v3",
            scheme: "fp8",
            gpus: &["h200"; 8],
            link: "nvlink-4",
            ..mixtral(&[], devices, None)
        };
        println!("{}", row(&ask, Duration::from_secs(10))?);
    }
    for devices in [LayerDevices::Sequential, LayerDevices::Concurrent] {
        samples(devices)?;
    }
    Ok(())
}

fn mixtral(
    gpus: &'static [&'static str],
    devices: LayerDevices,
    routing: Option<&'static str>,
) -> Ask {
    let (model, scheme, link) = ("mixtral-8x7b", "q4_k_m", "pcie-4-x16");
    Ask { model, scheme, gpus, cpu: None, link, devices, routing }
}

fn row(ask: &Ask, limit: Duration) -> Result<Row, Failure> {
    let problem = ask.problem()?;
    let timed = repeated(3, || solved(&problem))?;
    let stage = &timed.result.stages[0];
    let (found, bound) = (stage.optimum.as_f64(), stage.bound.as_f64());
    let gap = (found - bound) / found;
    let routing = ask.routing.map_or("even routing", |_| "measured routing");
    Ok(Row {
        what: format!("decode_latency, {}", ask.devices.name()),
        instance: format!("{} {} on {}, {routing}", ask.model, ask.scheme, ask.gpus.join("+")),
        time: time(timed.median),
        outcome: format!("{:.3} ms, gap {gap:.1e}", found / 1e9),
        target: format!("gap 1 % in {}", time(limit)),
        met: Some(gap <= 0.01 && timed.median <= limit),
    })
}

fn solved(problem: &Problem) -> Result<Solved, Failure> {
    match solve(problem, &Options::default())? {
        Outcome::Solved(solved) => Ok(solved),
        other => Err(format!("no placement: {other:?}").into()),
    }
}

impl Ask {
    fn problem(&self) -> Result<Problem, Failure> {
        let spec = |text: &&str| Spec::parse(text, DeviceKind::Gpu);
        let gpus = self.gpus.iter().map(spec).collect::<Result<Vec<_>, _>>()?;
        let cpu = self.cpu.map(|text| Spec::parse(text, DeviceKind::Cpu)).transpose()?;
        let hardware = Hardware::from_specs(&gpus, cpu, 0)?;
        let routing = self.routing.map(statistics).transpose()?;
        let scenario = Scenario {
            model: Model::from_catalogue(self.model)?,
            scheme: Scheme::parse(self.scheme)?,
            load: Load::default(),
            hardware: hardware.with_default_link(Link::parse(self.link)?)?,
            constraints: Vec::new(),
            default_pins: true,
            limits: Limits {
                layer_devices: Some(self.devices),
                sends: Some(SendRule::PerDevice),
                routing: routing.into_iter().collect(),
                ..Limits::default()
            },
            objectives: parse_objectives(&["decode_latency"])?,
        };
        Ok(scenario.problem()?)
    }
}

fn statistics(text: &str) -> Result<Arc<Statistics>, Failure> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ground-truth/mixtral-routing");
    Ok(Arc::new(Statistics::read(&folder.join(format!("{text}.json")))?))
}

/// One GPU and host memory: every map under every text, against the map without statistics.
fn samples(devices: LayerDevices) -> Result<(), Failure> {
    let ask = |routing| Ask {
        scheme: "q4_0",
        cpu: Some("ddr5-5600-dual=64GiB"),
        ..mixtral(&["rtx-4090=16GiB"], devices, routing)
    };
    let even = solved(&ask(None).problem()?)?;
    let under: Vec<Problem> =
        TEXTS.iter().map(|text| ask(Some(text)).problem()).collect::<Result<_, _>>()?;
    let time_of = |problem: &Problem, solved: &Solved| -> Result<f64, Failure> {
        let measured = measure(problem, &solved.placement).map_err(|found| format!("{found:?}"))?;
        Ok(measured.value(ObjectiveKind::DecodeLatency).as_f64())
    };
    println!("\nGains over the map without statistics, devices of a layer {}:\n", devices.name());
    println!("| made for \\ read | {} |", TEXTS.join(" | "));
    println!("|---|{}", "---|".repeat(TEXTS.len()));
    let base: Vec<f64> =
        under.iter().map(|problem| time_of(problem, &even)).collect::<Result<_, _>>()?;
    let shown = base.iter().map(|&ps| format_time(whole(ps)));
    println!("| no text | {} |", shown.collect::<Vec<_>>().join(" | "));
    for (made, text) in under.iter().zip(TEXTS) {
        let map = solved(made)?;
        let mut cells = Vec::new();
        for ((read, base), other) in under.iter().zip(&base).zip(TEXTS) {
            let gain = 1.0 - time_of(read, &map)? / base;
            let own = if other == text { "**" } else { "" };
            cells.push(format!("{own}{:.1} %{own}", gain * 100.0));
        }
        println!("| {text} | {} |", cells.join(" | "));
    }
    Ok(())
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times of milliseconds, to print"
)]
fn whole(ps: f64) -> u64 {
    ps as u64
}
