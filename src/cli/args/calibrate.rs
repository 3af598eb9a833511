//! What `calibrate` reads: a machine, what stands behind its devices, what to measure.

use std::path::PathBuf;

use clap::Args;

use super::{MachineArgs, OutputArgs, whole};

#[derive(Args, Debug)]
#[command(
    // It is measured, not stated.
    mut_arg("link", |arg| arg.hide(true)),
    after_help = "\
Examples:
  apportion calibrate --gpu 22GiB --gpu 22GiB -o box.yaml
  apportion calibrate --gpu 4GiB --gpu 4GiB --device gpu0=cpu --device gpu1=cpu --threads 1

Then `solve --hardware box.yaml --objective decode_latency` plans for it. Measure as the model will run: the
same devices, the same threads, nothing else on them.

Exit status: 0 measured, 130 ended by Ctrl-C, 2 could not be done."
)]
pub struct CalibrateArgs {
    #[command(flatten)]
    pub machine: MachineArgs,
    /// What a device of the machine really is, as `gpu0=cuda:1` or `gpu0=cpu`; repeatable [default: gpuN
    /// is cuda:N where there is one, else CPU memory]
    #[arg(long, value_name = "NAME=WHAT", help_heading = "Machine")]
    pub device: Vec<String>,
    /// Threads of each device that is CPU memory [default: one per core]
    #[arg(long, value_name = "N", value_parser = whole, help_heading = "Machine")]
    pub threads: Option<u64>,
    /// The types of weights to read, separated by commas; the first one's speed also holds for every type
    /// that is not measured, its arithmetic for all of them [default: q4_k,q6_k,q8_0,f16,f32]
    #[arg(long, value_name = "TYPES", value_delimiter = ',', help_heading = "Effort")]
    pub types: Vec<String>,
    /// About how long to measure; each figure takes three runs at least
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole, help_heading = "Effort")]
    pub seconds: u64,
    /// Write the hardware file here [default: to stdout, where the figures are then not, except with --json]
    #[arg(short, long = "output", value_name = "FILE", help_heading = "Output")]
    pub output_file: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}
