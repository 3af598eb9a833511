//! How planning grows with the model and the machine: a table, and a picture with doubled axes.
//!
//! `cargo bench --bench growth` prints the table; `-- --svg FILE` also draws it. Models are catalogue
//! configs with one number changed; the machine always has a third more than the model takes, so that every
//! size is as tight as the others.

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use apportion::files::write_atomically;
use apportion::hardware::Hardware;
use apportion::memory::{Demand, Load};
use apportion::model::{Model, catalogue};
use apportion::plan::{Options, Outcome, Solved, solve};
use apportion::problem::Problem;
use apportion::quant::Scheme;
use apportion::scenario::{Scenario, default_objectives};
use serde_json::json;

use support::clock::{Timed, repeated};
use support::machine;
use support::plot::{Panel, Series, draw};
use support::table::time;

/// Whatever goes wrong ends the run: a table with holes would be misread.
type Failure = Box<dyn Error>;

/// What one solve may take: growth beyond it is not worth waiting for.
const LIMIT: Duration = Duration::from_secs(120);

/// Nearly every solve is over far sooner; a clock is looked at all the same.
const RUNS: usize = 3;

/// A model whose config can be stretched.
struct Base {
    model: &'static str,
    scheme: &'static str,
    layers: &'static str,
    experts: &'static str,
    devices: usize,
}

const BASES: [Base; 2] = [
    Base {
        model: "mixtral-8x7b",
        scheme: "q4_k_m",
        layers: "num_hidden_layers",
        experts: "num_local_experts",
        devices: 4,
    },
    Base {
        model: "deepseek-v3",
        scheme: "fp8",
        layers: "num_hidden_layers",
        experts: "n_routed_experts",
        devices: 8,
    },
];

/// The shares of the devices, in turn: uneven, and the same mix for any number.
const SHARES: [u64; 4] = [4, 3, 3, 2];

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let benched = arguments.iter().any(|a| a == "--bench");
    let own: Vec<&str> = arguments.iter().map(String::as_str).filter(|&a| a != "--bench").collect();
    match own[..] {
        [] if !benched => Ok(()), // `cargo test --all-targets` runs this too, and tests do not time.
        [] => measure(None),
        ["--svg", file] => measure(Some(Path::new(file))),
        _ => Err(format!("expected nothing or `--svg FILE`, found {own:?}").into()),
    }
}

fn measure(picture: Option<&Path>) -> Result<(), Failure> {
    println!("{}\n", machine::line());
    println!("| what grows | instance | size | median time | nodes | outcome |");
    println!("|---|---|---|---|---|---|");
    let mut panels = Vec::new();
    for (what, sizes) in [
        ("layers", &[(1, 2), (1, 1), (2, 1), (4, 1)][..]),
        ("experts", &[(1, 4), (1, 2), (1, 1), (2, 1), (4, 1)]),
    ] {
        let mut series = Vec::new();
        for base in &BASES {
            let stretched = |&(up, down): &(u64, u64)| base.stretched(what, up, down);
            let points: Result<Vec<_>, _> = sizes.iter().map(stretched).collect();
            series.push(Series { name: base.name(), points: points? });
        }
        panels.push(Panel { what, series });
    }
    let devices = BASES.iter().map(|base| {
        let points = [2, 4, 8, 16, 32, 64].map(|devices| base.on(devices));
        let points: Result<Vec<_>, Failure> = points.into_iter().collect();
        Ok(Series { name: base.name(), points: points? })
    });
    panels.push(Panel { what: "devices", series: devices.collect::<Result<_, Failure>>()? });
    println!("\nFitted: time grows as a power of the size.\n");
    println!("| what grows | instance | exponent |\n|---|---|---|");
    for Panel { what, series } in &panels {
        for line in series {
            println!("| {what} | {} | {:.2} |", line.name, line.exponent());
        }
    }
    picture.map(|file| write_atomically(file, &draw(&panels))).transpose()?;
    Ok(())
}

impl Base {
    fn name(&self) -> String {
        format!("{} {}", self.model, self.scheme)
    }

    /// With a config number multiplied by `up / down`.
    fn stretched(&self, what: &str, up: u64, down: u64) -> Result<(f64, f64), Failure> {
        let key = if what == "layers" { self.layers } else { self.experts };
        let entry = catalogue().iter().find(|entry| entry.name == self.model);
        let entry = entry.ok_or("a model that is not in the catalogue")?;
        let mut config = entry.config.clone();
        let usual = config.get(key).and_then(serde_json::Value::as_u64).ok_or("a missing key")?;
        let size = usual * up / down;
        config.insert(key.to_owned(), json!(size));
        let model = Model::from_facts(&entry.family, &config)?;
        self.row(what, size, model, self.devices)
    }

    fn on(&self, devices: usize) -> Result<(f64, f64), Failure> {
        let size = u64::try_from(devices)?;
        self.row("devices", size, Model::from_catalogue(self.model)?, devices)
    }

    /// Prints the row and returns its point.
    fn row(
        &self,
        what: &str,
        size: u64,
        model: Model,
        devices: usize,
    ) -> Result<(f64, f64), Failure> {
        let problem = self.problem(model, devices)?;
        let timed = repeated(RUNS, || solved(&problem))?;
        let Timed { median, result, .. } = &timed;
        let mut outcome = String::new();
        for stage in &result.stages {
            write!(outcome, "{} gap {:.1e}; ", stage.kind.name(), stage.gap())?;
        }
        println!(
            "| {what} | {} on {devices} GPUs | {size} | {} | {} | {}{} |",
            self.name(),
            time(*median),
            result.solver.nodes,
            outcome,
            if result.limit.is_none() { "optimal" } else { "feasible" },
        );
        Ok((f64::from(u32::try_from(size)?), median.as_secs_f64()))
    }

    /// On so many uneven GPUs with a third more than what is to be placed.
    fn problem(&self, model: Model, devices: usize) -> Result<Problem, Failure> {
        // What a device is charged beside its share: workspace, and the part of a layer it cannot split.
        const EACH: u64 = 1 << 30;
        let scheme = Scheme::parse(self.scheme)?;
        let load = Load::default();
        let demand = Demand::of(&model, &scheme, &load)?;
        let bytes: u64 = demand.components.iter().map(|c| c.weights_bytes + c.kv_cache_bytes).sum();
        let shares: Vec<u64> = SHARES.iter().copied().cycle().take(devices).collect();
        let total: u64 = shares.iter().sum();
        let gpus: Vec<u64> =
            shares.iter().map(|share| bytes / 3 * 4 / total * share + EACH).collect();
        let scenario = Scenario {
            model,
            scheme,
            load,
            hardware: Hardware::from_sizes(&gpus, None, 0)?,
            constraints: Vec::new(),
            default_pins: true,
            objectives: default_objectives(),
        };
        Ok(scenario.problem()?)
    }
}

fn solved(problem: &Problem) -> Result<Solved, Failure> {
    let options = Options { time_limit: Some(LIMIT), ..Options::default() };
    match solve(problem, &options)? {
        Outcome::Solved(solved) => Ok(solved),
        other => Err(format!("no placement: {other:?}").into()),
    }
}
