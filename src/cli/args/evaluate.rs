//! What `evaluate` reads: a placement, and what is different now.

use std::path::PathBuf;

use clap::Args;

use super::{LayerDevicesArg, OutputArgs, SendsArg, whole};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  apportion evaluate placement.yaml --routing law.json --routing code.json
  apportion evaluate placement.yaml --runtime llama.cpp --context 32768

Exit status: 0 it still fits, 1 it violates something under the new circumstances, 2 bad input.")]
pub struct EvaluateArgs {
    /// A placement file written by `solve -o`
    pub placement: PathBuf,
    /// The model, which is needed where the placement is of a checkpoint's own bytes
    #[arg(long)]
    pub model: Option<String>,
    /// Statistics to price it under, each in a column of its own; repeatable
    #[arg(long, value_name = "FILE", help_heading = "Circumstances")]
    pub routing: Vec<PathBuf>,
    /// Another runtime: candle, transformers, llama.cpp or vllm
    #[arg(long, value_name = "NAME", help_heading = "Circumstances")]
    pub runtime: Option<String>,
    /// Rules of the runtime that you measured, as YAML
    #[arg(long, value_name = "FILE", help_heading = "Circumstances")]
    pub runtime_profile: Option<PathBuf>,
    /// Another machine whose devices have the same names, as a YAML file
    #[arg(long, value_name = "FILE", help_heading = "Circumstances")]
    pub hardware: Option<PathBuf>,
    /// How a token reaches experts on other devices
    #[arg(long, value_enum, value_name = "RULE", help_heading = "Circumstances")]
    pub sends: Option<SendsArg>,
    /// Whether devices that hold parts of one layer take turns or work at the same time
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Circumstances")]
    pub layer_devices: Option<LayerDevicesArg>,
    /// Tokens per sequence the KV cache holds
    #[arg(long, value_name = "TOKENS", value_parser = whole, help_heading = "Circumstances")]
    pub context: Option<u64>,
    /// Sequences at once
    #[arg(long, value_name = "N", value_parser = whole, help_heading = "Circumstances")]
    pub batch: Option<u64>,
    #[command(flatten)]
    pub output: OutputArgs,
}
