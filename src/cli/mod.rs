//! The command line: words in, text and an exit status out.
//!
//! One thin file per command. Each turns arguments into library values, asks, and hands back an
//! [`Answer`]; only this file prints. stdout carries data and stderr talk. Exit status: 0 yes, 1 no
//! (infeasible, refused, unknown), 2 could not be done, 130 ended by Ctrl-C.

mod args;
#[cfg(feature = "candle")]
mod bars;
#[cfg(feature = "candle")]
mod calibrate;
mod check;
mod ci;
mod color;
mod compare;
mod completions;
mod diff;
mod evaluate;
mod explain;
mod export;
mod fit;
mod flow;
mod frontier;
#[cfg(feature = "candle")]
mod generate;
mod imported;
mod inspect;
#[cfg(feature = "candle")]
mod interrupt;
#[cfg(feature = "candle")]
mod live;
#[cfg(feature = "candle")]
mod load;
mod man;
#[cfg(feature = "candle")]
mod memlog;
mod models;
#[cfg(feature = "candle")]
mod moved;
#[cfg(feature = "candle")]
mod profile;
mod progress;
mod rebalance;
#[cfg(feature = "candle")]
mod rebalancing;
mod reconcile;
mod replay;
mod report;
#[cfg(feature = "candle")]
mod runtime;
mod schema;
mod sensitivity;
mod simulate;
mod solve;
#[cfg(feature = "candle")]
mod stream;
mod sweep;
mod watch;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use apportion::error::Error;
use apportion::report::WIDTH_DEFAULT;
use clap::Parser;

use args::{Cli, Command};

/// What a command found out.
struct Answer {
    /// For stdout.
    text: String,
    /// The exit status: 0 yes, 1 no, 130 cut short by Ctrl-C.
    status: u8,
}

impl Answer {
    fn new(text: String, yes: bool) -> Self {
        Self { text, status: u8::from(!yes) }
    }

    fn json(value: &serde_json::Value, yes: bool) -> Self {
        // The alternate form is indented.
        Self::new(format!("{value:#}\n"), yes)
    }

    /// What there was when Ctrl-C was pressed.
    #[cfg(feature = "candle")]
    fn interrupted(text: String) -> Self {
        Self { text, status: interrupt::STATUS }
    }

    #[cfg(feature = "candle")]
    fn cut_short(self) -> Self {
        Self::interrupted(self.text)
    }
}

/// Parses the arguments, runs the command, prints what came of it.
pub fn run() -> ExitCode {
    let Cli { command, color } = Cli::parse();
    let (out, err) = (color.on(&io::stdout()), color.on(&io::stderr()));
    let answer = match command {
        Command::Models(args) => models::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Reconcile(args) => reconcile::run(&args),
        Command::Solve(args) => solve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Ci(args) => ci::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Fit(args) => fit::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Frontier(args) => frontier::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Rebalance(args) => rebalance::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        #[cfg(feature = "candle")]
        Command::Load(args) => load::run(&args),
        #[cfg(feature = "candle")]
        Command::Generate(args) => generate::run(&args),
        #[cfg(feature = "candle")]
        Command::Profile(args) => profile::run(&args),
        #[cfg(feature = "candle")]
        Command::Calibrate(args) => calibrate::run(&args),
    };
    let painted = |text: String| if out { color::painted(&text) } else { text };
    match answer.and_then(|answer| print(&painted(answer.text)).map(|_| answer.status)) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let painted = |text: String| if err { color::painted(&text) } else { text };
            say(&painted(format!("error: {error}")));
            if let Some(hint) = error.hint_text() {
                say(&painted(format!("hint: {}", apportion::error::printable(hint))));
            }
            ExitCode::from(2)
        }
    }
}

/// A reader that has seen enough closes the pipe; that is its right and no failure of ours.
///
/// Whether somebody still reads.
fn print(text: &str) -> Result<bool, Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Error::new("write to stdout").found(e.to_string())),
    }
}

/// A line on stderr; there is nobody left to tell when that fails.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The columns of the terminal as the shell exports them, 80 when the text goes elsewhere.
fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let terminal = io::stdout().is_terminal();
    columns.filter(|_| terminal).map_or(WIDTH_DEFAULT, |width: usize| width.clamp(40, 200))
}
