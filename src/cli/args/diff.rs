//! What `diff` reads: two placements.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  apportion diff before.yaml after.yaml

Values change by what they are under the second question: where the questions differ, the first map is
priced under it too.

Exit status: 0 same question and same map, 1 something differs, 2 bad input.")]
pub struct DiffArgs {
    /// A placement file
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// Another
    #[arg(value_name = "B")]
    pub after: PathBuf,
    /// The model, which is needed where a placement is of a checkpoint's own bytes
    #[arg(long)]
    pub model: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}
