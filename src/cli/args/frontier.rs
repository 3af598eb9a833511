//! What `frontier` reads beside the question.

use std::path::PathBuf;

use clap::Args;

use super::{EACH_TIME_LIMIT, OutputArgs, QuestionArgs, whole};

/// [`apportion::frontier::POINTS_DEFAULT`], as clap wants it; a test holds the two together.
pub(super) const POINTS: u64 = 12;

#[derive(Args, Debug)]
#[command(
    // Its objectives are fixed.
    mut_arg("objective", |arg| arg.hide(true)),
    mut_arg("migrate_from", |arg| arg.hide(true)),
    mut_arg("time_limit", |arg| arg.help(EACH_TIME_LIMIT)),
    after_help = "\
Examples:
  apportion frontier mixtral-8x7b --quant q4_k_m --gpu 24GiB --gpu 12GiB --gpu 8GiB
  apportion frontier mixtral-8x7b --quant q4_k_m --gpu 24GiB --gpu 12GiB -o trade-off.svg

Its objectives are peak_utilization and traffic, after spill_bytes where there is a CPU. Limits are for
each solve: a point that one leaves unproven is printed with its bound.

Exit status: 0 there is a placement, 1 there is none (or a limit hides it), 2 bad input."
)]
pub struct FrontierArgs {
    #[command(flatten)]
    pub question: QuestionArgs,
    /// The most points to find; where there are more, they are spread evenly over the traffic
    #[arg(
        long,
        value_name = "N",
        default_value_t = POINTS,
        value_parser = whole,
        help_heading = "Frontier"
    )]
    pub points: u64,
    /// Draw it to this file, as SVG
    #[arg(short, long = "output", value_name = "FILE.svg", help_heading = "Output")]
    pub output_file: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}
