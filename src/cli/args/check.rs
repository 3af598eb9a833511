//! What `check` reads: a placement of ours, or with `--from` another runtime's map and the question it answers.

use std::path::PathBuf;

use clap::{Arg, Args};

use super::llama_cpp::LlamaCppArgs;
use super::{OutputArgs, QuestionArgs};

#[derive(Args, Debug)]
#[command(
    mut_args(only_with_from),
    after_help = "\
Examples:
  apportion check placement.yaml --model mixtral-8x7b
  apportion check plan.yaml
  apportion check --from accelerate device_map.json --model mixtral-8x7b --quant nf4 --gpu 24GiB --gpu 12GiB
  apportion check --from llama.cpp flags.txt --model mixtral-8x7b --quant q4_k_m --runtime llama.cpp \
    --granularity fused-matrix --gpu 24GiB --cpu 64GiB

With --from the map is read, verified and priced as an answer to the question that the other options ask, and
the same question is solved beside it. Nothing is pinned there unless --pin says so."
)]
pub struct CheckArgs {
    /// A placement file written by `solve -o`, a migration plan written by `rebalance --plan`, or with
    /// --from another runtime's map
    pub placement: PathBuf,
    /// Verify the bounds too, by this certificate
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub certificate: Option<PathBuf>,
    /// The format of a map that was made for another runtime: accelerate or llama.cpp
    #[arg(long, value_name = "FORMAT")]
    pub from: Option<String>,
    #[command(flatten)]
    pub llama_cpp: LlamaCppArgs,
    #[command(flatten)]
    pub question: QuestionArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

impl CheckArgs {
    /// What `--model` names, if it was typed.
    pub fn model(&self) -> Option<&str> {
        Some(self.question.model.model.as_str()).filter(|model| !model.is_empty())
    }
}

/// A placement says its question itself, so the options that ask one are refused beside it.
fn only_with_from(arg: Arg) -> Arg {
    match arg.get_id().as_str() {
        "placement" | "certificate" | "from" | "json" | "help" => arg,
        "model" => arg
            .long("model")
            .value_name("MODEL")
            .help("Also demand that it was made for this model; with --from, the model it is of")
            .required(false)
            .default_value("")
            .hide_default_value(true),
        // It pins nothing by itself.
        "free_default_pins" => arg.requires("from").hide(true),
        _ => arg.requires("from"),
    }
}
