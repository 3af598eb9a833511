//! Moves between devices in CPU memory beside plain copies of as many bytes: one Markdown table.
//!
//! `cargo bench --bench migrate`. The model is one layer of Mixtral's proportions with random weights; every expert of it
//! goes from one device to the other and back. Needs 4 GB of memory, and 1 GB in the folder for temporary files.

#[allow(dead_code, reason = "each bench uses its part")]
#[path = "support/mod.rs"]
mod support;

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use apportion::load::decoder::{Decoder, Mode};
use apportion::model::ComponentId;
use support::clock::{alternating, median};
use support::mixtral::{Type, real, write};
use support::placed::Question;
use support::table::{Row, head, time};
use support::{cache, machine};

type Failure = Box<dyn Error>;

const ROUNDS: usize = 7;

/// What moves take may be so much more than what plain copies do.
const TARGET: f64 = 0.8;

fn main() -> Result<(), Failure> {
    // Tests compile benches and run them without `--bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    println!("{}\n\n{}", machine::line(), head());
    for (what, stored) in [("Q4_K", Type::Q4K), ("bf16", Type::Bf16)] {
        let folder = tempfile::tempdir()?;
        let path = write(folder.path(), real(1), stored)?;
        let threads = cache::threads();
        let question = Question { threads, ..Question::new(&path, None, 2)? };
        let mut decoder = Decoder::new(question.load()?, Mode::Concurrent)?;
        layer(what, threads, &mut decoder)?;
    }
    Ok(())
}

/// Every expert to the other device, in turn with plain copies of the same bytes.
fn layer(what: &str, threads: usize, decoder: &mut Decoder) -> Result<(), Failure> {
    let experts: Vec<ComponentId> = (0..8).map(|expert| ComponentId::Expert(0, expert)).collect();
    let (bytes, _) = decoder.component_bytes(experts[0])?;
    let source = vec![0x2d_u8; usize::try_from(bytes)?];
    let mut warm = source.clone();
    let mut pauses = Vec::new();
    let mut copies = Vec::new();
    let mut ours = || {
        let began = Instant::now();
        for &expert in &experts {
            let home = decoder.placed().homes()[&expert];
            let step = Instant::now();
            decoder.relocate(expert, 1 - home)?;
            pauses.push(step.elapsed());
        }
        Ok(began.elapsed())
    };
    // One thread, memory that nobody has had before, and given back: what a move takes at least.
    let mut plain = || {
        let began = Instant::now();
        for _ in &experts {
            let step = Instant::now();
            drop(black_box(source.clone()));
            copies.push(step.elapsed());
        }
        Ok(began.elapsed())
    };
    let mut again = || {
        let began = Instant::now();
        for _ in &experts {
            warm.copy_from_slice(black_box(&source));
        }
        Ok(began.elapsed())
    };
    let [ours, plain, again] = alternating(ROUNDS, [&mut ours, &mut plain, &mut again])?;
    let all = bytes * u64::try_from(experts.len())?;
    let instance = format!("8 experts, {what}, {threads} threads, {}", rate(all, ours));
    let ratio = plain.as_secs_f64() / ours.as_secs_f64();
    print(
        "a layer's experts move",
        &instance,
        ours,
        Some((ratio, TARGET)),
        &format!(
            "{} plain into new memory, {} into memory that was there",
            rate(all, plain),
            rate(all, again)
        ),
    );
    let longest = pauses.iter().max().copied().unwrap_or_default();
    let (pause, copy) = (median(pauses), median(copies));
    let ratio = copy.as_secs_f64() / pause.as_secs_f64();
    print(
        "a pause between two tokens",
        &format!("one expert, {what}"),
        pause,
        Some((ratio, TARGET)),
        &format!("{} plain, the longest pause {}", time(copy), time(longest)),
    );
    Ok(())
}

fn print(what: &str, instance: &str, took: Duration, ratio: Option<(f64, f64)>, outcome: &str) {
    let row = Row {
        what: what.to_owned(),
        instance: instance.to_owned(),
        time: time(took),
        outcome: outcome.to_owned(),
        target: ratio.map_or_else(String::new, |(ratio, target)| {
            format!("{ratio:.2} of the speed of plain copies, at least {target}")
        }),
        met: ratio.map(|(ratio, target)| ratio >= target),
    };
    println!("{row}");
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn rate(bytes: u64, time: Duration) -> String {
    format!("{:.2} GB/s", bytes as f64 / time.as_secs_f64() / 1e9)
}
