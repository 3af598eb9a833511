//! What reading headers costs: one Markdown table, every row with its target and whether it is met.
//!
//! `cargo bench --bench checkpoint` measures. See `README.md` beside this.

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use apportion::checkpoint::Checkpoint;

use support::clock::repeated;
use support::machine;
use support::sparse::{Experts, Written, gguf, safetensors};
use support::table::{Row, head};

type Failure = Box<dyn Error>;

/// Runs this program as a child that reads one checkpoint and says what memory that took.
const CHILD: &str = "--read-once";

const MEBIBYTE: u64 = 1 << 20;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let own: Vec<&str> = arguments.iter().map(String::as_str).filter(|&a| a != "--bench").collect();
    match own[..] {
        [CHILD, path] => read_once(Path::new(path)),
        [] if arguments.is_empty() => Ok(()),
        [] => measure(),
        _ => Err(format!("expected nothing, found {own:?}").into()),
    }
}

fn measure() -> Result<(), Failure> {
    println!("{}\n\n{}", machine::line(), head());
    for experts in [256, 128, 64] {
        let limits = (experts == 256).then_some((Duration::from_millis(300), 200 * MEBIBYTE));
        row("safetensors", limits, |folder| safetensors(folder, experts))?;
    }
    let limits = Some((Duration::from_millis(50), 200 * MEBIBYTE));
    row("GGUF, experts fused", limits, |folder| gguf(folder, Experts::Fused))?;
    for experts in [256, 128, 64] {
        let limits = limits.filter(|_| experts == 256);
        row("GGUF, single experts", limits, |folder| gguf(folder, Experts::Single(experts)))?;
    }
    Ok(())
}

/// Writes a checkpoint, reads it often for the time and once in a new process for the memory.
fn row(
    what: &str,
    limits: Option<(Duration, u64)>,
    write: impl FnOnce(&Path) -> std::io::Result<Written>,
) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let written = write(folder.path())?;
    let timed = repeated(25, || Checkpoint::open(&written.path))?;
    let found = timed.result.tensors.len();
    if found != written.tensors || !timed.result.notices.is_empty() {
        return Err(format!("{found} of {} tensors were found", written.tensors).into());
    }
    let peak_bytes = peak_of_child(&written.path)?;
    let each = timed.median.div_f64(f64::from(u32::try_from(found)?));
    let header_bytes: u64 = timed.result.files.iter().map(|file| file.header_bytes).sum();
    let row = Row {
        what: what.to_owned(),
        instance: format!("DeepSeek-V3: {found} tensors in {} files", written.files),
        time: timed.to_string(),
        outcome: format!(
            "{:.2} µs per tensor, {} MiB of headers, {} MiB of memory at most",
            each.as_secs_f64() * 1e6,
            header_bytes.div_ceil(MEBIBYTE),
            peak_bytes.div_ceil(MEBIBYTE)
        ),
        target: limits.map_or(String::new(), |(time, bytes)| {
            format!("{} ms, {} MiB", time.as_millis(), bytes / MEBIBYTE)
        }),
        met: limits.map(|(time, bytes)| timed.median <= time && peak_bytes <= bytes),
    };
    println!("{row}");
    Ok(())
}

/// The most memory a new process takes that reads the checkpoint and ends.
fn peak_of_child(path: &Path) -> Result<u64, Failure> {
    let output = Command::new(std::env::current_exe()?)
        .arg(CHILD)
        .arg(path)
        .stdin(Stdio::null())
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

fn read_once(path: &Path) -> Result<(), Failure> {
    let checkpoint = Checkpoint::open(path)?;
    println!("{}", machine::peak_bytes().ok_or("the system does not say")?);
    drop(checkpoint);
    Ok(())
}
