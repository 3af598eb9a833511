//! The runtime beside plain reading and beside candle's own models: one Markdown table, ratios within one run.
//!
//! `cargo bench --bench runtime` measures everything, `cargo bench --bench runtime -- load decode` parts of it;
//! `README.md` beside this says what the parts are. Needs 14 GB of memory and as much in the folder for
//! temporary files.

#[allow(dead_code, reason = "each bench uses its part")]
#[path = "../support/mod.rs"]
mod support;

mod gpu;
mod speed;
mod theirs;
mod two;

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use gpu::gpu;
use speed::{decode, quantized};
use support::clock::alternating;
use support::mixtral::{Shape, Type, real, write};
use support::placed::{Question, clocked};
use support::{cache, machine};
use theirs::{theirs, theirs_quantized};
use two::{two_child, two_devices};

/// Whatever went wrong; it ends the run.
pub type Failure = Box<dyn Error>;

/// One part of the run, which prints its rows.
type Part = fn() -> Result<(), Failure>;

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Each part by name; those that need a process of their own run as children of this one.
const PARTS: [(&str, Part); 8] = [
    ("load", load),
    ("memory", memory),
    ("quantize", quantize),
    ("decode", decode),
    ("quantized", quantized),
    ("two", two_devices),
    ("gpu", || gpu(4)),
    ("gpu-full", || gpu(32)),
];

/// What needs a GPU, and is only measured when it is named.
const ON_GPU: [&str; 2] = ["gpu", "gpu-full"];

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let own: Vec<&str> = arguments.iter().map(String::as_str).filter(|&a| a != "--bench").collect();
    if let ["--child", part, path] = own[..] {
        return child(part, Path::new(path));
    }
    if let Some(unknown) = own.iter().find(|name| PARTS.iter().all(|part| part.0 != **name)) {
        let names: Vec<&str> = PARTS.iter().map(|part| part.0).collect();
        return Err(format!("expected {}, found `{unknown}`", names.join(", ")).into());
    }
    // Tests compile benches and run them without `--bench`.
    if own.is_empty() && arguments.is_empty() {
        return Ok(());
    }
    println!(
        "{}\n\n| what | on what | ours | theirs | ratio | target | |\n|---|---|---|---|---|---|---|",
        machine::line()
    );
    for (name, part) in PARTS {
        if own.contains(&name) || (own.is_empty() && !ON_GPU.contains(&name)) {
            part()?;
        }
    }
    Ok(())
}

/// One row; `ratio` is how much better ours is, or whatever the target is about.
fn row(what: &str, instance: &str, ours: &str, theirs: &str, ratio: f64, target: Option<f64>) {
    let verdict = match target {
        Some(target) if ratio >= target => "met",
        Some(_) => "**missed**",
        None => "",
    };
    let target = target.map_or(String::new(), |target| format!("{target:.2}"));
    println!("| {what} | {instance} | {ours} | {theirs} | {ratio:.2} | {target} | {verdict} |");
}

fn rate(bytes: u64, time: Duration) -> String {
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let rate = bytes as f64 / time.as_secs_f64() / 1e9;
    format!("{rate:.2} GB/s")
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn over(theirs: Duration, ours: Duration) -> f64 {
    theirs.as_secs_f64() / ours.as_secs_f64()
}

/// Loading against reading, and against candle's own loading.
fn load() -> Result<(), Failure> {
    for (what, shape, stored, quant) in [
        ("1 layer in f32", real(1), Type::F32, Some("f32")),
        ("4 layers in Q4_K", real(4), Type::Q4K, None),
    ] {
        let folder = tempfile::tempdir()?;
        let path = write(folder.path(), shape, stored)?;
        let threads = cache::threads();
        let question = Question { threads, ..Question::new(&path, quant, 1)? };
        let bytes = std::fs::metadata(&path)?.len();
        for cold in [false, true] {
            let before = || if cold { cache::forget(&path) } else { cache::warm(&path) };
            let [ours, plain, theirs] = alternating(
                if cold { 3 } else { 5 },
                [
                    &mut || {
                        before()?;
                        Ok(clocked(|| question.load())?.0)
                    },
                    &mut || {
                        before()?;
                        Ok(clocked(|| cache::read(&path, threads))?.0)
                    },
                    &mut || {
                        before()?;
                        Ok(clocked(|| candle_load(&path, shape, stored))?.0)
                    },
                ],
            )?;
            let how = if cold { "from disk" } else { "from cache" };
            let instance = format!("{what}, {how}");
            row(
                "load, beside a plain parallel read",
                &instance,
                &rate(bytes, ours),
                &rate(bytes, plain),
                over(plain, ours),
                Some(0.9),
            );
            row(
                "load, beside candle's own",
                &instance,
                &rate(bytes, ours),
                &rate(bytes, theirs),
                over(theirs, ours),
                Some(1.0),
            );
        }
    }
    Ok(())
}

fn candle_load(path: &Path, shape: Shape, stored: Type) -> Result<(), Failure> {
    if stored == Type::Q4K {
        theirs_quantized(path).map(drop)
    } else {
        theirs(path, shape).map(drop)
    }
}

/// What a load takes at most: in a process of its own, which has nothing else.
fn memory() -> Result<(), Failure> {
    for (what, shape, stored, quant) in [
        ("1 layer in f32", real(1), Type::F32, "f32"),
        ("4 layers in Q4_K", real(4), Type::Q4K, "stored"),
        ("narrow, bf16 to q4_k_m", narrow(1), Type::Bf16, "q4_k_m"),
    ] {
        let folder = tempfile::tempdir()?;
        let path = write(folder.path(), shape, stored)?;
        let said = run_child(&format!("memory:{quant}"), &path, &[])?;
        let [planned, staged, peak] = said[..] else {
            return Err("the child said something else".into());
        };
        let most = planned + staged + 64.0 * MEBIBYTE;
        let shown = |bytes: f64| format!("{:.0} MiB", bytes / MEBIBYTE);
        row(
            "peak memory, beside planned bytes + staged + 64 MiB",
            what,
            &shown(peak),
            &shown(most),
            most / peak,
            Some(1.0),
        );
    }
    Ok(())
}

/// A quarter of an expert's width: quantizing takes long.
fn narrow(layers: u64) -> Shape {
    Shape { width: 3584, ..real(layers) }
}

/// Two threads against one.
fn quantize() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let path = write(folder.path(), narrow(1), Type::Bf16)?;
    let narrow_question = Question::new(&path, Some("q4_k_m"), 1)?;
    let with = |threads| Question { threads, ..narrow_question.clone() };
    let (two, one) = (with(2), with(1));
    let [two, one] = alternating(
        3,
        [&mut || Ok(clocked(|| two.load())?.0), &mut || Ok(clocked(|| one.load())?.0)],
    )?;
    row(
        "quantize on load, 2 threads beside 1",
        "narrow, bf16 to q4_k_m",
        &milliseconds(two),
        &milliseconds(one),
        over(one, two),
        Some(1.8),
    );
    Ok(())
}

fn run_child(part: &str, path: &Path, environment: &[(&str, &str)]) -> Result<Vec<f64>, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--child", part]).arg(path).envs(environment.iter().copied());
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the child for `{part}` failed").into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

fn child(part: &str, path: &Path) -> Result<(), Failure> {
    if part == "two" {
        return two_child(path);
    }
    let quant = part.strip_prefix("memory:").filter(|name| *name != "stored");
    let question = Question { threads: 2, ..Question::new(path, quant, 1)? };
    let placed = question.load()?;
    let balance = placed.devices[0].ledger.balance();
    let peak = machine::peak_bytes().ok_or("this system does not say what a process took")?;
    println!("{} {} {peak}", balance.weights_bytes(), balance.peak_staged_bytes);
    Ok(())
}
