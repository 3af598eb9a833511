//! Two budgeted devices: taking turns beside working at once.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apportion::load::decoder::{Decoder, Mode, Wanted};

use super::speed::prompt;
use super::support::clock::median;
use super::support::mixtral::{Type, real, write};
use super::support::placed::{Heard, Question, clocked, read_per_token};
use super::{Failure, milliseconds, row, run_child};

/// Two budgeted devices, a thread each in both modes, half of the experts on either.
pub fn two_devices() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let path = write(folder.path(), real(4), Type::Q4K)?;
    // Before the first use candle decides how many threads it has.
    let one = [("RAYON_NUM_THREADS", "1"), ("CANDLE_NUM_THREADS", "1")];
    let said = run_child("two", &path, &one)?;
    let [sequential, concurrent, ceiling, equal] = said[..] else {
        return Err("the child said something else".into());
    };
    let shown = |seconds: f64| milliseconds(Duration::from_secs_f64(seconds));
    let gain = sequential / concurrent;
    let instance = "4 layers in Q4_K, experts 4 + 4, a thread per device";
    row(
        "decode, concurrent beside sequential",
        instance,
        &shown(concurrent),
        &shown(sequential),
        gain,
        Some(1.2),
    );
    row(
        "of the ceiling that the routing allows",
        instance,
        &format!("{gain:.3}"),
        &format!("{ceiling:.3}"),
        gain / ceiling,
        Some(0.85),
    );
    row("transfers measured beside planned", instance, "", "", equal, Some(1.0));
    Ok(())
}

pub fn two_child(path: &Path) -> Result<(), Failure> {
    const TOKENS: u64 = 40;
    let question = Question::new(path, None, 2)?;
    let mut times = [Vec::new(), Vec::new()];
    let mut both = Vec::new();
    for mode in [Mode::Sequential, Mode::Concurrent] {
        let mut decoder = Decoder::new(question.load()?, mode)?;
        let heard = Arc::new(Mutex::new(Heard::new(&question, 8)));
        decoder.observe(Some(Box::new(Arc::clone(&heard))));
        both.push((decoder, heard));
    }
    for (step, token) in (0..TOKENS).zip(prompt()) {
        for ((decoder, _), times) in both.iter_mut().zip(&mut times) {
            let (time, _) = clocked(|| Ok(decoder.forward(0, &[token], Wanted::Last)?))?;
            if step >= 8 {
                times.push(time);
            }
        }
    }
    let mut equal = true;
    let mut ceiling = 1.0;
    for (decoder, heard) in &both {
        let heard = heard.lock().map_err(|_| "an observer failed")?;
        let planned = TOKENS * heard.sends.of_chain() + heard.sends.to_experts();
        equal &= decoder.transfers().activations == planned;
        let (rest_bytes, expert_bytes) = read_per_token(decoder.placed());
        ceiling = heard.ceiling(TOKENS, rest_bytes, expert_bytes);
    }
    let [sequential, concurrent] = times.map(median);
    let equal = f64::from(u8::from(equal));
    println!("{} {} {ceiling} {equal}", sequential.as_secs_f64(), concurrent.as_secs_f64());
    Ok(())
}
