//! Experts divided where attention is replicated: fewest crossings against other divisions, in and out of sample.
//!
//! `cargo bench --bench affinity` prints three tables. Mixtral's pair counts are those of 333 tokens that others
//! published; a model as large as DeepSeek-V3 gets made-up ones.

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apportion::baseline::{all, random_crossings};
use apportion::hardware::Hardware;
use apportion::memory::Load;
use apportion::model::Model;
use apportion::placement::Placement;
use apportion::plan::{Options, Outcome, Solved, solve};
use apportion::problem::ObjectiveKind::Crossings;
use apportion::problem::{Affinity, Problem};
use apportion::quant::Scheme;
use apportion::routing::Statistics;
use apportion::scenario::{Attention, Limits, Scenario, default_objectives_replicated};
use apportion::units::Ratio;
use apportion::verify::{measure, verify};

use support::clock::repeated;
use support::machine;
use support::table::time;

/// Whatever goes wrong ends the run: a table with holes would be misread.
type Failure = Box<dyn Error>;

/// Random divisions that are drawn.
const DRAWN: usize = 50;

/// What proving Mixtral's chain may take.
const TARGET: Duration = Duration::from_secs(1);

fn main() -> Result<(), Failure> {
    // `cargo test --all-targets` runs this too, and tests do not time.
    if std::env::args().any(|argument| argument == "--bench") { tables() } else { Ok(()) }
}

fn tables() -> Result<(), Failure> {
    let counts = published()?;
    println!("{}\n", machine::line());
    println!(
        "| model | GPUs | time | | crossings | bound | random, expected | {DRAWN} random | contiguous | greedy packer |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for gpus in [2, 4, 8] {
        println!("{}", in_sample(gpus, &counts)?);
    }
    println!(
        "\n| model | GPUs | random | greedy, own half | ours, own half | greedy, other half | ours, other half |"
    );
    println!("|---|---|---|---|---|---|---|");
    let halves = halves(&counts);
    for gpus in [2, 4, 8] {
        println!("{}", out_of_sample(gpus, &halves)?);
    }
    println!("\n| model | GPUs | time | | crossings | bound | random, expected | greedy packer |");
    println!("|---|---|---|---|---|---|---|---|");
    println!("{}", large()?);
    Ok(())
}

fn published() -> Result<Affinity, Failure> {
    let path = "tests/data/ground-truth/mixtral-routing/humaneval-pairs.json";
    let statistics = Statistics::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path))?;
    statistics.affinity().ok_or_else(|| "no pairs were counted".into())
}

fn problem(
    model: &str,
    scheme: &str,
    gpus: usize,
    affinity: &Affinity,
) -> Result<Problem, Failure> {
    let scenario = Scenario {
        model: Model::from_catalogue(model)?,
        scheme: Scheme::parse(scheme)?,
        load: Load::default(),
        hardware: Hardware::from_sizes(&vec![160 << 30; gpus], None, 0)?,
        constraints: Vec::new(),
        default_pins: false,
        limits: Limits {
            attention: Attention::Replicated,
            affinity: Some(Arc::new(affinity.clone())),
            ..Limits::default()
        },
        objectives: default_objectives_replicated(true),
    };
    Ok(scenario.problem()?)
}

/// From the stated problem to the verified division.
fn solved(problem: &Problem) -> Result<Solved, Failure> {
    match solve(problem, &Options::default())? {
        Outcome::Solved(solved) => {
            verify(problem, &solved.placement).map_err(|violations| format!("{violations:?}"))?;
            Ok(solved)
        }
        other => Err(format!("expected a placement, found {other:?}").into()),
    }
}

fn crossings(problem: &Problem, placement: &Placement) -> Result<f64, Failure> {
    let measured = measure(problem, placement).map_err(|violations| format!("{violations:?}"))?;
    Ok(measured.value(Crossings).as_f64())
}

/// What a baseline costs, evaluated under the counts of `on`.
fn habit(problem: &Problem, name: &str, on: &Problem) -> Result<f64, Failure> {
    let found = all(problem).into_iter().find(|named| named.name == name);
    let placement = found.and_then(|named| named.placement).ok_or("no such baseline")?;
    crossings(on, &placement)
}

fn expected(problem: &Problem) -> f64 {
    random_crossings(problem).map_or(0.0, Ratio::as_f64)
}

/// Against what is expected at random: `18.24 (-21.5 %)`.
fn against(value: f64, random: f64) -> String {
    format!("{value:.3} ({:+.1} %)", (value / random - 1.0) * 100.0)
}

fn in_sample(gpus: usize, counts: &Affinity) -> Result<String, Failure> {
    let problem = problem("mixtral-8x7b", "q4_k_m", gpus, counts)?;
    let timed = repeated(5, || solved(&problem))?;
    let stage = &timed.result.stages[0];
    let random = expected(&problem);
    let drawn = drawn(&problem)?;
    let verdict = match (stage.proven, timed.median <= TARGET) {
        (true, true) => "proven, met",
        (true, false) => "proven, **missed** 1 s",
        (false, _) => "**open**",
    };
    let [contiguous, greedy] =
        [habit(&problem, "contiguous", &problem)?, habit(&problem, "greedy packer", &problem)?];
    Ok(format!(
        "| mixtral-8x7b | {gpus} | {timed} | {verdict} | {} | {:.3} | {random:.3} | {drawn} | {} | {} |",
        against(stage.optimum.as_f64(), random),
        stage.bound.as_f64(),
        against(contiguous, random),
        against(greedy, random),
    ))
}

/// Mean and standard deviation of even divisions drawn at random, always the same ones.
fn drawn(problem: &Problem) -> Result<String, Failure> {
    let mut numbers = Numbers(1);
    let mut values = Vec::new();
    for _ in 0..DRAWN {
        let mut device_of = vec![0; problem.components.len()];
        for layer in problem.expert_layers() {
            let mut experts = layer.components.clone();
            for at in (1..experts.len()).rev() {
                experts.swap(at, numbers.below(at + 1));
            }
            for (at, component) in experts.iter().enumerate() {
                device_of[*component] = at % problem.devices.len();
            }
        }
        values.push(crossings(problem, &Placement { device_of })?);
    }
    #[expect(clippy::cast_precision_loss, reason = "fifty")]
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let spread = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Ok(format!("{mean:.3} (sd {:.3})", spread.sqrt()))
}

fn out_of_sample(gpus: usize, halves: &[Affinity; 2]) -> Result<String, Failure> {
    let [own, other] = [
        problem("mixtral-8x7b", "q4_k_m", gpus, &halves[0])?,
        problem("mixtral-8x7b", "q4_k_m", gpus, &halves[1])?,
    ];
    let random = expected(&own);
    let ours = solved(&own)?.placement;
    let row = [
        habit(&own, "greedy packer", &own)?,
        crossings(&own, &ours)?,
        habit(&own, "greedy packer", &other)?,
        crossings(&other, &ours)?,
    ];
    let row: Vec<String> = row.into_iter().map(|value| against(value, random)).collect();
    Ok(format!("| mixtral-8x7b | {gpus} | {random:.3} | {} |", row.join(" | ")))
}

/// Every layer's pairs thrown into two halves: the second has one token more, if it comes to that.
fn halves(counts: &Affinity) -> [Affinity; 2] {
    let mut numbers = Numbers(2);
    let Affinity { tokens, top_k, .. } = *counts;
    let first = tokens / 2;
    let mut halves =
        [first, tokens - first].map(|tokens| Affinity { tokens, top_k, pair_counts: Vec::new() });
    for pairs in &counts.pair_counts {
        let mut left = first * top_k * top_k;
        let mut all: u64 = pairs.iter().flatten().sum();
        let mut own = pairs.clone();
        for count in own.iter_mut().flatten() {
            let pairs = std::mem::take(count);
            for _ in 0..pairs {
                let taken = numbers.below(usize::try_from(all).unwrap_or(usize::MAX));
                let taken = u64::try_from(taken).unwrap_or(u64::MAX) < left;
                *count += u64::from(taken);
                left -= u64::from(taken);
                all -= 1;
            }
        }
        let rest = pairs
            .iter()
            .zip(&own)
            .map(|(all, own)| all.iter().zip(own).map(|(a, b)| a - b).collect());
        halves[1].pair_counts.push(rest.collect());
        halves[0].pair_counts.push(own);
    }
    halves
}

/// 58 layers of 256 experts on eight GPUs: a token that chose an expert prefers 16 of the next layer.
fn large() -> Result<String, Failure> {
    const EXPERTS: usize = 256;
    let mut numbers = Numbers(3);
    let mut pair_counts = Vec::new();
    let (tokens, top_k) = (10_000_u64, 8_u64);
    for _ in 0..57 {
        let mut counts = vec![vec![0_u64; EXPERTS]; EXPERTS];
        for pair in 0..tokens * top_k * top_k {
            let from = numbers.below(EXPERTS);
            let to = if pair % 2 == 0 {
                numbers.below(EXPERTS)
            } else {
                from / 16 * 16 + numbers.below(16)
            };
            counts[from][to * 7 % EXPERTS] += 1;
        }
        pair_counts.push(counts);
    }
    let problem = problem("deepseek-v3", "fp8", 8, &Affinity { tokens, top_k, pair_counts })?;
    let timed = support::clock::once(|| solved(&problem))?;
    let stage = &timed.result.stages[0];
    let random = expected(&problem);
    Ok(format!(
        "| deepseek-v3, made-up counts | 8 | {} | {} | {} | {:.3} | {random:.3} | {} |",
        time(timed.median),
        if stage.proven { "proven" } else { "open" },
        against(stage.optimum.as_f64(), random),
        stage.bound.as_f64(),
        against(habit(&problem, "greedy packer", &problem)?, random),
    ))
}

/// The same numbers everywhere (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(mixed).unwrap_or(usize::MAX) % end.max(1)
    }
}
