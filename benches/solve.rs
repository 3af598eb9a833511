//! What planning costs: one Markdown table, every row with its target and whether it is met.
//!
//! `cargo bench --bench solve` measures. `cargo bench --bench solve -- --write-lp DIR` writes the integer
//! programs for other solvers instead, with what this planner says of them. See `README.md` beside this.

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use apportion::files::{make_folder, write_atomically};
use apportion::memory::{Demand, Load};
use apportion::model::{Model, catalogue};
use apportion::plan::solver::SolverKind;
use apportion::plan::{Formulation, Options, Outcome, Solved, StageReport, solve};
use apportion::problem::{ObjectiveKind, Problem};
use apportion::quant::Scheme;
use apportion::report::lp::lp_file;
use apportion::verify::verify;

use support::clock::{Timed, once, repeated};
use support::instance::{EIGHT, FOUR, Instance, MANY, THREE, TWO};
use support::machine;
use support::table::{Row, head, time};

/// Whatever goes wrong ends the run: a table with holes would be misread.
type Failure = Box<dyn Error>;

/// What one textbook run may take.
const TEXTBOOK_LIMIT: Duration = Duration::from_secs(60);

/// On more GPUs no textbook program is written.
const TEXTBOOK_GPUS_MAX: usize = 4;

/// What the command line asks for.
enum Mode {
    Measure,
    WriteLp(PathBuf),
    /// `cargo test --all-targets` runs this too, and tests do not time.
    Nothing,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match mode(&arguments)? {
        Mode::Measure => measure(),
        Mode::WriteLp(folder) => write_programs(&folder),
        Mode::Nothing => Ok(()),
    }
}

/// Cargo itself adds `--bench`.
fn mode(arguments: &[String]) -> Result<Mode, Failure> {
    let benched = arguments.iter().any(|a| a == "--bench");
    let own: Vec<&str> = arguments.iter().map(String::as_str).filter(|&a| a != "--bench").collect();
    match own[..] {
        [] if benched => Ok(Mode::Measure),
        [] => Ok(Mode::Nothing),
        ["--write-lp", folder] => Ok(Mode::WriteLp(folder.into())),
        _ => Err(format!("expected nothing or `--write-lp DIR`, found {own:?}").into()),
    }
}

fn measure() -> Result<(), Failure> {
    println!("{}\n\n{}", machine::line(), head());
    println!("{}", two_in_the_library(&TWO)?);
    println!("{}", two_as_a_command(&TWO)?);
    for row in against_the_textbook(&TWO)? {
        println!("{row}");
    }
    for instance in THREE.iter().chain(&FOUR) {
        println!("{}", planned(instance, 1, 9)?);
    }
    for instance in &EIGHT {
        println!("{}", planned(instance, 5, 3)?);
    }
    for (instance, seconds) in MANY.iter().zip([1, 3, 20]) {
        println!("{}", planned(instance, seconds, 3)?);
    }
    println!("{}", throughput()?);
    Ok(())
}

/// Both objectives, from the stated problem to the verified placement.
fn two_in_the_library(instance: &Instance) -> Result<Row, Failure> {
    const TARGET: Duration = Duration::from_millis(10);
    let problem = instance.problem()?;
    let timed = repeated(200, || solved(&problem, &Options::default()))?;
    let solved = &timed.result;
    Ok(Row {
        what: "library".to_owned(),
        instance: instance.title(),
        time: timed.to_string(),
        outcome: outcome(solved),
        target: "optimal in 10 ms".to_owned(),
        met: Some(timed.median <= TARGET && solved.limit.is_none()),
    })
}

/// A new process per run: start, model facts, problem, plan, check, report.
fn two_as_a_command(instance: &Instance) -> Result<Row, Failure> {
    const TARGET: Duration = Duration::from_millis(60);
    let timed = repeated(50, || run_command(instance))?;
    Ok(Row {
        what: "command".to_owned(),
        instance: instance.title(),
        time: timed.to_string(),
        outcome: format!("exit 0, {} bytes of report", timed.result),
        target: "60 ms".to_owned(),
        met: Some(timed.median <= TARGET),
    })
}

/// The length of what the command printed.
fn run_command(instance: &Instance) -> Result<usize, Failure> {
    let output = Command::new(env!("CARGO_BIN_EXE_apportion"))
        .args(instance.command())
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() { Ok(output.stdout.len()) } else { Err("the command failed".into()) }
}

/// The peak alone, both formulations on the same solver.
fn against_the_textbook(instance: &Instance) -> Result<[Row; 2], Failure> {
    const TARGET: f64 = 1000.0;
    let problem = instance.peak_problem()?;
    let counts = repeated(50, || solved(&problem, &Options::default()))?;
    let textbook = once(|| solve(&problem, &textbook_options()))?;
    let ratio = textbook.median.as_secs_f64() / counts.median.as_secs_f64();
    let proven = matches!(&textbook.result, Outcome::Solved(solved) if solved.limit.is_none());
    let textbook_outcome = match &textbook.result {
        Outcome::Solved(solved) if proven => format!("{ratio:.0} times: {}", outcome(solved)),
        Outcome::Solved(solved) => {
            format!("not proven within 60 s, {ratio:.0} times: {}", outcome(solved))
        }
        Outcome::Unknown(_) => format!("no placement within 60 s, {ratio:.0} times"),
        Outcome::Infeasible(_) => return Err("the formulations disagree".into()),
    };
    let row = |what: &str, time, outcome, target: &str, met| Row {
        what: what.to_owned(),
        instance: instance.title(),
        time,
        outcome,
        target: target.to_owned(),
        met,
    };
    let target = "1000 times the counts, or not proven in 60 s";
    Ok([
        row("peak, counts", counts.to_string(), outcome(&counts.result), "", None),
        row(
            "peak, textbook",
            textbook.to_string(),
            textbook_outcome,
            target,
            Some(!proven || ratio >= TARGET),
        ),
    ])
}

/// Stopped by the clock alone.
fn textbook_options() -> Options {
    Options {
        formulation: Formulation::Textbook,
        solver: SolverKind::Microlp,
        node_limit: u64::MAX,
        time_limit: Some(TEXTBOOK_LIMIT),
    }
}

/// A row that meets its target within so many seconds, with the peak to a thousandth and everything else
/// proven.
fn planned(instance: &Instance, seconds: u64, runs: usize) -> Result<Row, Failure> {
    const GAP: f64 = 1e-3;
    let problem = instance.problem()?;
    let timed = repeated(runs, || solved(&problem, &Options::default()))?;
    let close = |stage: &StageReport| match stage.kind {
        ObjectiveKind::PeakUtilization => stage.gap() <= GAP,
        _ => stage.proven,
    };
    let met = timed.median <= Duration::from_secs(seconds) && timed.result.stages.iter().all(close);
    Ok(solve_row(instance, &timed, &format!("{seconds} s, peak gap 1e-3, traffic proven"), met))
}

fn solve_row(instance: &Instance, timed: &Timed<Solved>, target: &str, met: bool) -> Row {
    Row {
        what: format!("{} GPUs", instance.gpus.len()),
        instance: instance.title(),
        time: timed.to_string(),
        outcome: outcome(&timed.result),
        target: target.to_owned(),
        met: Some(met),
    }
}

/// Plans, and holds the planner to it: the independent checker passes the placement, at the same values.
fn solved(problem: &Problem, options: &Options) -> Result<Solved, Failure> {
    let Outcome::Solved(solved) = solve(problem, options)? else {
        return Err("no placement found".into());
    };
    let measured = verify(problem, &solved.placement).map_err(|_| "the placement is refused")?;
    let same = |stage: &StageReport| measured.value(stage.kind) == stage.value;
    if solved.stages.iter().all(same) { Ok(solved) } else { Err("values disagree".into()) }
}

fn outcome(solved: &Solved) -> String {
    let stages: Vec<String> = solved.stages.iter().map(stage).collect();
    let status = match solved.limit {
        None => "optimal".to_owned(),
        Some(limit) => format!("feasible, limit: {}", format!("{limit:?}").to_lowercase()),
    };
    format!("{status}: {}; {} nodes", stages.join(", "), solved.solver.nodes)
}

fn stage(stage: &StageReport) -> String {
    let digits = if stage.kind == ObjectiveKind::PeakUtilization { 6 } else { 2 };
    let (name, optimum) = (stage.kind.name(), stage.optimum.as_f64());
    let (bound, gap) = (stage.bound.as_f64(), stage.gap());
    let known = format!("{name} {optimum:.digits$} (bound {bound:.digits$}, gap {gap:.1e})");
    if stage.value < stage.optimum {
        // A later stage came upon something better than the stage that was looking for it.
        format!("{known}, in the end {:.digits$}", stage.value.as_f64())
    } else {
        known
    }
}

/// Every catalogue model under every scheme: tensors, bytes per tensor, demand per component.
fn throughput() -> Result<Row, Failure> {
    const TARGET: Duration = Duration::from_millis(10);
    let timed = repeated(5, build_all)?;
    let (pairs, components) = timed.result;
    let each = timed.median.div_f64(f64::from(u32::try_from(pairs)?));
    Ok(Row {
        what: "inventory and demand".to_owned(),
        instance: format!(
            "{pairs} of {} models x {} schemes",
            catalogue().len(),
            Scheme::all().len()
        ),
        time: timed.to_string(),
        outcome: format!("{} per pair, {components} components in all", time(each)),
        target: "10 ms per pair".to_owned(),
        met: Some(each <= TARGET),
    })
}

/// How many pairs there are, without those that no one could store, and the number of components built, so
/// that none of the work can be left out.
fn build_all() -> Result<(usize, usize), Failure> {
    let (mut pairs, mut components) = (0, 0);
    for entry in catalogue() {
        for scheme in Scheme::all() {
            let model = Model::from_catalogue(&entry.name)?;
            if let Ok(demand) = Demand::of(&model, &scheme, &Load::default()) {
                pairs += 1;
                components += demand.components.len();
            }
        }
    }
    Ok((pairs, components))
}

/// Every stage as counts, and as the textbook has it where that is a size other solvers can be asked for.
fn write_programs(folder: &Path) -> Result<(), Failure> {
    make_folder(folder)?;
    for instance in [&TWO].into_iter().chain(&THREE).chain(&FOUR).chain(&EIGHT) {
        let problem = instance.problem()?;
        let solved = solved(&problem, &Options::default())?;
        let textbook = instance.gpus.len() <= TEXTBOOK_GPUS_MAX;
        let textbook = textbook.then_some((Formulation::Textbook, "textbook"));
        for (formulation, how) in [(Formulation::Counts, "counts")].into_iter().chain(textbook) {
            for index in 0..solved.stages.len() {
                let file = lp_file(&problem, formulation, &solved.stages, index)?;
                let path = folder.join(format!("{}.{how}.{}", instance.file_stem(), file.name));
                println!("{}", path.display());
                write_atomically(&path, &file.text)?;
            }
        }
    }
    Ok(())
}
