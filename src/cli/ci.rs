//! `apportion ci`: what is held fixed, asked again.

use apportion::error::Error;
use apportion::expectations::{Expectations, Outcome, Written};
use apportion::files::{check_not_input, check_target, write_atomically};
use apportion::report;
use apportion::report::expectations::{self as print, Counts};

use super::args::CiArgs;
use super::progress::Progress;
use super::{Answer, width};

/// Asks every case; writes what holds now where that is asked for.
pub fn run(args: &CiArgs) -> Result<Answer, Error> {
    if let Some(path) = &args.junit {
        check_target(path)?;
        check_not_input(path, &args.expectations)?;
    }
    let mut expectations = Expectations::read(&args.expectations)?;
    if !args.only.is_empty() {
        expectations.only(&args.only)?;
    }
    let outcomes = {
        let progress = Progress::new("cases", expectations.cases());
        expectations.run(&|| progress.step())
    };
    if args.update {
        return update(args, &expectations, &outcomes);
    }
    if let Some(path) = &args.junit {
        let name = args.expectations.file_stem().unwrap_or_default().to_string_lossy();
        write_atomically(path, &report::junit(&name, &outcomes))?;
    }
    let Counts { failed, broken, .. } = Counts::of(&outcomes);
    let status = if broken > 0 { 2 } else { u8::from(failed > 0) };
    Ok(answer(args, status, print::text(&outcomes, width()), || print::json(&outcomes, None)))
}

fn update(
    args: &CiArgs,
    expectations: &Expectations,
    outcomes: &[Outcome],
) -> Result<Answer, Error> {
    let updated = expectations.update(outcomes)?;
    updated.write(&args.expectations)?;
    let unwritable = updated.written.contains(&Written::Unwritable);
    let status = if Counts::of(outcomes).broken > 0 { 2 } else { u8::from(unwritable) };
    let text = print::updated(outcomes, &updated.written, width());
    Ok(answer(args, status, text, || print::json(outcomes, Some(&updated.written))))
}

fn answer(
    args: &CiArgs,
    status: u8,
    text: String,
    json: impl FnOnce() -> serde_json::Value,
) -> Answer {
    let text = if args.output.json { format!("{:#}\n", json()) } else { text };
    Answer { text, status }
}
