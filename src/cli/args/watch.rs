//! What `watch` reads: a placement, and where to look.

use std::path::PathBuf;

use clap::Args;

use super::{OutputArgs, whole};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  apportion generate map.yaml --weights ./Mixtral-8x7B-v0.1 --prompt Hi --memory-log memory.jsonl &
  apportion watch map.yaml --log memory.jsonl --above 95%
  apportion watch map.yaml --nvml --interval 500ms --above gpu0=15GiB

A log that ends in the middle of a line is waited for; its last line ends the watch.
--nvml needs a build with the feature `nvml`, and a driver.

Exit status: 0 nothing held too much, 1 a device did, 2 could not be watched.")]
pub struct WatchArgs {
    /// The placement file of the system that runs
    pub placement: PathBuf,
    /// The model, which is needed where the placement is of a checkpoint's own bytes
    #[arg(long)]
    pub model: Option<String>,
    #[command(flatten)]
    pub source: SourceArgs,
    /// Which GPU of the machine a device is to the driver, with --nvml, as `gpu0=1`; repeatable [default:
    /// gpuN is N]
    #[arg(long, value_name = "NAME=N")]
    pub device: Vec<String>,
    /// How long to wait between two lines, as 500ms
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub interval: String,
    /// End after so many lines [default: at the end of the log, or never]
    #[arg(long, value_name = "N", value_parser = whole)]
    pub count: Option<u64>,
    /// End with exit status 1 when a device holds more, as `95%` of what it may hold, `gpu0=95%` or
    /// `gpu0=15GiB`; repeatable
    #[arg(long, value_name = "[NAME=]MOST")]
    pub above: Vec<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Where to look.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct SourceArgs {
    /// Follow a log that `load`, `generate` or `profile` write with --memory-log
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Ask the driver of NVIDIA GPUs: what everybody uses
    #[arg(long)]
    pub nvml: bool,
}
