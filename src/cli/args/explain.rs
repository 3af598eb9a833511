//! What `explain` reads: a word.

use clap::Args;

use super::OutputArgs;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  apportion explain
  apportion explain peak_utilization
  apportion explain driver_context")]
pub struct ExplainArgs {
    /// A constraint, an objective, a term of an estimate, a word of an answer or a rule of runtimes, as it is
    /// written on the command line or in files [default: list all]
    pub name: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}
