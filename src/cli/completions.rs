//! `apportion completions`: what a shell needs to complete arguments.

use apportion::error::Error;
use clap::CommandFactory;

use super::Answer;
use super::args::{Cli, CompletionsArgs};

/// The script for a shell.
pub fn run(args: &CompletionsArgs) -> Result<Answer, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "apportion", &mut script);
    let text = String::from_utf8(script)
        .map_err(|e| Error::new("write the completions").found(e.to_string()))?;
    Ok(Answer::new(text, true))
}
