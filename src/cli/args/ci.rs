//! What `ci` reads.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  apportion ci expectations.yaml
  apportion ci expectations.yaml --only 'mixtral*' --json
  apportion ci expectations.yaml --update
  apportion ci expectations.yaml --junit report.xml

Cases run side by side, on as many threads as RAYON_NUM_THREADS says
[default: one per core]; what is printed does not depend on it.

Exit status: 0 everything holds (with --update: is written), 1 something does
not (with --update: cannot be written), 2 a case or the file could not be read
or asked; the other cases are still asked.")]
pub struct CiArgs {
    /// What is held fixed: cases with their questions and what must hold of the answers
    pub expectations: PathBuf,
    /// Ask only the cases whose name matches, as `mixtral*`; repeatable
    #[arg(long, value_name = "GLOB")]
    pub only: Vec<String>,
    /// Write what holds now into the file, and into placement files that it names; comments, order and
    /// everything else stay as they are
    #[arg(long, conflicts_with = "junit")]
    pub update: bool,
    /// Write the outcomes to this file as JUnit XML
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub junit: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}
