//! What `export` reads: a placement, a consumer, and the options of single consumers.

use std::path::PathBuf;

use apportion::export::Options;
use clap::Args;

use super::OutputArgs;
use super::llama_cpp::LlamaCppArgs;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  apportion export placement.yaml --to accelerate -o device_map.json
  apportion export placement.yaml --to accelerate --layout v5 --project --snippet
  apportion export --list

A map that the consumer cannot hold is refused with the first component it cannot hold and the
command that solves again for it.

Exit status: 0 written, 1 the placement is wrong or the consumer cannot hold it, 2 bad input.")]
pub struct ExportArgs {
    /// A placement file written by `solve -o`
    #[arg(required_unless_present = "list")]
    pub placement: Option<PathBuf>,
    /// The consumer; `--list` says which there are
    #[arg(long, value_name = "NAME", required_unless_present = "list")]
    pub to: Option<String>,
    /// List the consumers with the finest unit each can place on its own and what is written
    #[arg(long, conflicts_with_all = [
        "placement", "to", "project", "model", "layout", "snippet", "backend", "rpc", "device_name", "output_file",
    ])]
    pub list: bool,
    /// Move what the consumer must have together to the device that holds most of it, and say what that costs
    #[arg(long)]
    pub project: bool,
    /// The model, which is needed where the placement is of a checkpoint's own bytes
    #[arg(long, value_name = "FILES")]
    pub model: Option<String>,
    /// accelerate: names of transformers 4 (v4, an expert is a module) or of 5 (v5, a layer's experts are one)
    /// [default: v4]
    #[arg(long, value_name = "v4|v5", help_heading = "Consumers")]
    pub layout: Option<String>,
    /// accelerate: write Python instead of JSON, with what maps that divide layers need after loading
    #[arg(long, help_heading = "Consumers")]
    pub snippet: bool,
    /// mistral.rs: what its GPUs are, cuda or metal [default: cuda]
    #[arg(long, value_name = "NAME", help_heading = "Consumers")]
    pub backend: Option<String>,
    #[command(flatten)]
    pub llama_cpp: LlamaCppArgs,
    /// Write it to this file, and files that belong to it beside it
    #[arg(short, long = "output", value_name = "FILE", help_heading = "Output")]
    pub output_file: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}

impl ExportArgs {
    /// The options of single consumers.
    pub fn options(&self) -> Options {
        let options = Options::default()
            .with("layout", self.layout.clone())
            .with("backend", self.backend.clone())
            .with("snippet", self.snippet.then(String::new));
        self.llama_cpp.add(options)
    }
}
