//! How planning grows with the model and the machine: a table, and a picture with doubled axes.
//!
//! `cargo bench --bench growth` prints the table; `-- --svg FILE` also draws it, and `-- --time-limit S` stops
//! each solve sooner, for a trial. Models are catalogue configs with one number changed; the machine always
//! has a third more than the model takes, so that every size is as tight as the others.

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use apportion::files::write_atomically;
use apportion::hardware::Hardware;
use apportion::memory::{Demand, Load};
use apportion::model::{Model, catalogue};
use apportion::plan::{LimitReached, Options, Outcome, Solved, solve};
use apportion::problem::Problem;
use apportion::quant::Scheme;
use apportion::scenario::{Limits, Scenario, default_objectives};
use serde_json::json;

use support::clock::{Timed, repeated};
use support::machine;
use support::plot::{Panel, Point, Series, draw};
use support::table::time;

/// Whatever goes wrong ends the run: a table with holes would be misread.
type Failure = Box<dyn Error>;

/// The median of so many counts.
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

/// What the command line asks for.
struct Wishes {
    picture: Option<PathBuf>,
    /// What one solve may take: growth beyond it is not worth waiting for.
    limit: Duration,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` runs this too, and tests do not time.
    if arguments.is_empty() { Ok(()) } else { measure(&wishes(&arguments)?) }
}

/// Cargo itself adds `--bench`.
fn wishes(arguments: &[String]) -> Result<Wishes, Failure> {
    let mut wishes = Wishes { picture: None, limit: Duration::from_secs(120) };
    let own: Vec<&str> = arguments.iter().map(String::as_str).filter(|&a| a != "--bench").collect();
    for pair in own.chunks(2) {
        match *pair {
            ["--svg", file] => wishes.picture = Some(file.into()),
            ["--time-limit", seconds] => wishes.limit = Duration::from_secs(seconds.parse()?),
            _ => return Err(format!("expected `--svg FILE` or `--time-limit S`: {own:?}").into()),
        }
    }
    Ok(wishes)
}

fn measure(wishes: &Wishes) -> Result<(), Failure> {
    println!("{}\n", machine::line());
    println!("| what grows | instance | size | median time | nodes | outcome |");
    println!("|---|---|---|---|---|---|");
    let halves = [(1, 2), (1, 1), (2, 1), (4, 1)];
    let quarters = [(1, 4), (1, 2), (1, 1), (2, 1), (4, 1)];
    let panels = [
        panel("layers", |base| base.stretched("layers", &halves, wishes.limit))?,
        panel("experts", |base| base.stretched("experts", &quarters, wishes.limit))?,
        panel("devices", |base| base.on(&[2, 4, 8, 16, 32, 64], wishes.limit))?,
    ];
    println!("\nFitted: time grows as this power of the size, as far as no clock ended it.\n");
    println!("| what grows | instance | exponent |\n|---|---|---|");
    for Panel { what, series } in &panels {
        for line in series {
            println!("| {what} | {} | {} |", line.name, line.exponent());
        }
    }
    let picture = wishes.picture.as_deref();
    picture.map(|file| write_atomically(file, &draw(&panels))).transpose()?;
    Ok(())
}

fn panel(
    what: &'static str,
    points: impl Fn(&Base) -> Result<Vec<Point>, Failure>,
) -> Result<Panel, Failure> {
    let series = BASES.iter().map(|base| Ok(Series { name: base.name(), points: points(base)? }));
    Ok(Panel { what, series: series.collect::<Result<_, Failure>>()? })
}

impl Base {
    fn name(&self) -> String {
        format!("{} {}", self.model, self.scheme)
    }

    /// With a config number multiplied by each `up / down`.
    fn stretched(
        &self,
        what: &str,
        by: &[(u64, u64)],
        limit: Duration,
    ) -> Result<Vec<Point>, Failure> {
        let key = if what == "layers" { self.layers } else { self.experts };
        let entry = catalogue().iter().find(|entry| entry.name == self.model);
        let entry = entry.ok_or("a model that is not in the catalogue")?;
        let usual = entry.config.get(key).and_then(serde_json::Value::as_u64);
        let usual = usual.ok_or("a config without the key")?;
        let point = |&(up, down): &(u64, u64)| {
            let mut config = entry.config.clone();
            config.insert(key.to_owned(), json!(usual * up / down));
            let model = Model::from_facts(&entry.family, &config)?;
            self.row(what, usual * up / down, &self.problem(model, self.devices)?, limit)
        };
        by.iter().map(point).collect()
    }

    fn on(&self, numbers: &[usize], limit: Duration) -> Result<Vec<Point>, Failure> {
        let point = |&devices: &usize| {
            let problem = self.problem(Model::from_catalogue(self.model)?, devices)?;
            self.row("devices", u64::try_from(devices)?, &problem, limit)
        };
        numbers.iter().map(point).collect()
    }

    /// Prints the row and returns its point.
    fn row(
        &self,
        what: &str,
        size: u64,
        problem: &Problem,
        limit: Duration,
    ) -> Result<Point, Failure> {
        let timed = repeated(RUNS, || solved(problem, limit))?;
        let Timed { median, result, .. } = &timed;
        let mut outcome = String::new();
        for stage in &result.stages {
            write!(outcome, "{} gap {:.1e}; ", stage.kind.name(), stage.gap())?;
        }
        let status = match result.limit {
            None => "optimal".to_owned(),
            Some(limit) => format!("feasible, limit: {}", format!("{limit:?}").to_lowercase()),
        };
        println!(
            "| {what} | {} on {} GPUs | {size} | {} | {} | {outcome}{status} |",
            self.name(),
            problem.devices.len(),
            time(*median),
            result.solver.nodes,
        );
        let size = f64::from(u32::try_from(size)?);
        let stopped = result.limit == Some(LimitReached::Time);
        Ok(Point { size, seconds: median.as_secs_f64(), stopped })
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
            limits: Limits::default(),
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

fn solved(problem: &Problem, limit: Duration) -> Result<Solved, Failure> {
    let options = Options { time_limit: Some(limit), ..Options::default() };
    match solve(problem, &options)? {
        Outcome::Solved(solved) => Ok(solved),
        other => Err(format!("no placement: {other:?}").into()),
    }
}
