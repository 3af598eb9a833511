//! What `simulate` reads: a placement and how it is loaded, or a trace.

use std::path::PathBuf;

use clap::Args;

use super::{OutputArgs, whole};

/// [`apportion::simulate::Choices::DECODE_DEFAULT`], as clap wants it; a test holds the two together.
pub(super) const DECODE: u64 = 16;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  apportion simulate placement.yaml
  apportion simulate placement.yaml --runtime transformers --usable gpu1=15GiB --advise
  apportion simulate placement.yaml --allocator torch-expandable -o memory.svg
  apportion simulate --trace recorded.jsonl

Exit status: 0 the last token comes (or the model does what the trace says), 1 a request finds no room (or
it does not), 2 bad input.")]
pub struct SimulateArgs {
    /// A placement file; one that does not fit is replayed until it fails
    #[arg(required_unless_present = "trace")]
    pub placement: Option<PathBuf>,
    /// The checkpoint that the placement was solved for, where its bytes are those of its headers
    #[arg(long, value_name = "FILES", help_heading = "Load")]
    pub model: Option<String>,
    /// What loads and runs it: candle, transformers, llama.cpp or vllm [default: as the placement says]
    #[arg(long, value_name = "NAME", help_heading = "Load")]
    pub runtime: Option<String>,
    /// Rules of the runtime that you measured, as YAML
    #[arg(long, value_name = "FILE", help_heading = "Load")]
    pub runtime_profile: Option<PathBuf>,
    /// Whose rules deal out the memory of GPUs: torch, torch-expandable, candle or llama.cpp [default: those
    /// of the runtime]
    #[arg(long, value_name = "NAME", help_heading = "Load")]
    pub allocator: Option<String>,
    /// Where matrices wait while they are quantized: device, host or none [default: as the placement says]
    #[arg(long, value_name = "PLACE", help_heading = "Load")]
    pub staging: Option<String>,
    /// In which order tensors are loaded: checkpoint (front to back), device (one after the other) or
    /// largest (first)
    #[arg(long, value_name = "ORDER", default_value = "checkpoint", help_heading = "Load")]
    pub order: String,
    /// First ask every GPU for all its weights at once, as transformers 5 does
    #[arg(long, help_heading = "Load")]
    pub warm_up: bool,
    /// Tokens generated after the prompt; together they fill the context
    #[arg(
        long,
        value_name = "N",
        default_value_t = DECODE,
        value_parser = whole,
        help_heading = "Load"
    )]
    pub decode: u64,
    /// What the load may take of a device, as `gpu0=15.6GiB`; repeatable [default: all that the placement
    /// says it has]
    #[arg(long, value_name = "NAME=SIZE", help_heading = "Load")]
    pub usable: Vec<String>,
    /// Replay other orders, staging and allocators too, and say what lowers the peak
    #[arg(long)]
    pub advise: bool,
    /// Replay what a real allocator did, and say whether its model does the same
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["placement", "model", "runtime", "runtime_profile", "allocator", "staging", "order",
            "warm_up", "decode", "usable", "advise", "output_file"]
    )]
    pub trace: Option<PathBuf>,
    /// Draw memory over the load to this file, as SVG
    #[arg(short, long = "output", value_name = "FILE.svg", help_heading = "Output")]
    pub output_file: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}
