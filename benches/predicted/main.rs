//! Predicted decode times beside measured ones: two budgeted devices in CPU memory with a thread each, calibrated,
//! then placement after placement, taking turns and working at once.
//!
//! `cargo bench --bench predicted` measures everything, `-- large`, `-- small`, `-- solved` parts of it: a Mixtral
//! of real sizes at 4 layers, the same proportions at an eighth of the width and 96 layers, where sends weigh
//! something, and what is solved for either way of working. Needs 6 GB of memory and 4 GB in the folder for
//! temporary files.

#[allow(dead_code, reason = "each bench uses its part")]
#[path = "../support/mod.rs"]
mod support;

mod case;
mod maps;
mod rounds;
mod solved;
mod statistics;

use std::error::Error;
use std::fmt::Write as _;
use std::process::Command;

use apportion::load::decoder::Mode;
use apportion::model::Model;
use apportion::problem::Timing;

use case::Case;
use maps::Map;
use rounds::Measured;
use statistics::{median, spearman, spearman_tied};
use support::machine;
use support::mixtral::{Shape, real};

/// Whatever went wrong; it ends the run.
pub type Failure = Box<dyn Error>;

/// Both ways of working, in the order of every pair here.
pub const MODES: [Mode; 2] = [Mode::Sequential, Mode::Concurrent];

const PARTS: [&str; 3] = ["large", "small", "solved"];

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let own: Vec<&str> = arguments.iter().map(String::as_str).filter(|&a| a != "--bench").collect();
    if let ["--child", part] = own[..] {
        return child(part);
    }
    if let Some(unknown) = own.iter().find(|name| !PARTS.contains(name)) {
        return Err(format!("expected {}, found `{unknown}`", PARTS.join(", ")).into());
    }
    // Tests compile benches and run them without `--bench`.
    if own.is_empty() && arguments.is_empty() {
        return Ok(());
    }
    println!("{}", machine::line());
    for part in PARTS.into_iter().filter(|part| own.is_empty() || own.contains(part)) {
        // Before the first use candle decides how many threads it has.
        let mut command = Command::new(std::env::current_exe()?);
        command.envs([("RAYON_NUM_THREADS", "1"), ("CANDLE_NUM_THREADS", "1")]);
        if !command.args(["--child", part]).status()?.success() {
            return Err(format!("the child for `{part}` failed").into());
        }
    }
    Ok(())
}

fn child(part: &str) -> Result<(), Failure> {
    match part {
        "large" => {
            held_to_the_runtime("4 layers of real sizes in Q4_K", real(4), 3, 8, maps::steps)
        }
        "small" => held_to_the_runtime("96 layers of an eighth in Q4_K", small(), 4, 8, maps::all),
        _ => {
            solved::run("96 layers of an eighth in Q4_K", small(), 10, 8)?;
            solved::run("96 layers with experts of 512 in Q4_K", short(), 10, 16)
        }
    }
}

/// Times this near each other cannot be told apart on a machine that does other things too.
const TIED: f64 = 0.03;

/// The proportions of Mixtral at an eighth of its width, in as many layers as are beyond any cache.
fn small() -> Shape {
    Shape { hidden: 512, width: 1792, ..real(96) }
}

/// The same with smaller experts, so that a way is a part of a layer that can be seen.
fn short() -> Shape {
    Shape { width: 512, ..small() }
}

/// Every map, predicted and measured.
fn held_to_the_runtime(
    what: &str,
    shape: Shape,
    rounds: usize,
    tokens: usize,
    maps: fn(&Model) -> Vec<Map>,
) -> Result<(), Failure> {
    let mut case = Case::new(shape, tokens)?;
    let maps = maps(&case.scenario.model);
    let measured = rounds::measure(&mut case, &maps, rounds)?;
    println!("\n### {what}\n\n{}", case.figures()?);
    println!(
        "| placement | turns: predicted | measured | error | at once: predicted | measured | error | gain | ceiling |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut pairs: [Vec<(f64, f64)>; 2] = Default::default();
    for (map, measured) in maps.iter().zip(&measured) {
        let predicted = case.predict(map)?;
        let mut line = format!("| {} |", map.name);
        for ((predicted, measured), pairs) in
            predicted.into_iter().zip(measured.seconds).zip(&mut pairs)
        {
            let error = 100.0 * (predicted / measured - 1.0);
            write!(line, " {} | {} | {error:+.1} % |", shown(predicted), shown(measured))?;
            pairs.push((predicted, measured));
        }
        let gain = measured.seconds[0] / measured.seconds[1];
        println!("{line} {gain:.2} | {:.2} |", ceiling(&case, map)?);
    }
    summary(&pairs, &measured);
    Ok(())
}

/// How much faster it could be at once than in turns if sends took no time.
fn ceiling(case: &Case, map: &Map) -> Result<f64, Failure> {
    let free = |timing: &mut Timing| {
        let wires = timing.latency_ps.iter_mut().chain(&mut timing.token_ps);
        wires.flatten().for_each(|ps| *ps = 0);
    };
    let [turns, at_once] = case.predict_with(map, free)?;
    Ok(turns / at_once)
}

fn summary(pairs: &[Vec<(f64, f64)>; 2], measured: &[Measured]) {
    let all: Vec<(f64, f64)> = pairs.concat();
    println!(
        "\n| | placements | rank correlation | within {:.0} % tied | median error | largest |\n|---|---|---|---|---|---|",
        100.0 * TIED
    );
    for (name, pairs) in [("turns", &pairs[0]), ("at once", &pairs[1]), ("both", &all)] {
        let errors: Vec<f64> = pairs.iter().map(|(p, m)| 100.0 * (p / m - 1.0).abs()).collect();
        let largest = errors.iter().copied().fold(0.0, f64::max);
        println!(
            "| {name} | {} | {} | {} | {:.1} % | {largest:.1} % |",
            pairs.len(),
            rank(spearman(pairs)),
            rank(spearman_tied(pairs, TIED)),
            median(errors)
        );
    }
    let noise = measured.iter().flat_map(|measured| measured.spreads).collect();
    let others = measured.iter().map(|measured| measured.others);
    let disturbed = others.clone().filter(|others| *others > rounds::OTHERS_MAX).count();
    println!(
        "\nNoise: the runs that count of one placement differ by {:.1} % (median over placements of largest \
         beside smallest); others used at most {:.2} cores meanwhile (median over placements), and in \
         {disturbed} of {} more than {}.",
        100.0 * median(noise),
        median(others.collect()),
        measured.len(),
        rounds::OTHERS_MAX
    );
}

/// A correlation, which is no number where all of one list are equal.
fn rank(correlation: f64) -> String {
    if correlation.is_nan() { "all tied".to_owned() } else { format!("{correlation:.3}") }
}

/// Milliseconds.
pub fn shown(seconds: f64) -> String {
    format!("{:.2} ms", 1e3 * seconds)
}
