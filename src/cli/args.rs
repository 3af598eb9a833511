//! What can be typed, and the help that says so.
//!
//! Values stay text here where the library reads them, so that a mistake is answered by the one who
//! knows what was expected. [`super::flow`] turns them into a scenario.

#[cfg(feature = "candle")]
mod calibrate;
mod check;
mod ci;
mod diff;
mod evaluate;
mod explain;
mod export;
mod frontier;
mod llama_cpp;
mod question;
mod rebalance;
mod report;
#[cfg(feature = "candle")]
mod runtime;
mod shell;
mod simulate;
mod watch;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::color::ColorArg;

#[cfg(feature = "candle")]
pub use calibrate::CalibrateArgs;
pub use check::CheckArgs;
pub use ci::CiArgs;
pub use diff::DiffArgs;
pub use evaluate::EvaluateArgs;
pub use explain::ExplainArgs;
pub use export::ExportArgs;
pub use frontier::FrontierArgs;
pub use question::{
    AttentionArg, EffortArgs, FormulationArg, GranularityArg, LayerDevicesArg, MachineArgs,
    ModelArgs, OutputArgs, QuestionArgs, SendsArg, WishArgs,
};
pub use rebalance::RebalanceArgs;
pub use report::{PictureArg, ReportArgs};
#[cfg(feature = "candle")]
pub use runtime::{GenerateArgs, LoadArgs, ModeArg, ProfileArgs, RebalanceWhenArgs, RuntimeArgs};
pub use shell::{CompletionsArgs, ManArgs, SchemaArgs};
pub use simulate::SimulateArgs;
pub use watch::WatchArgs;

/// The placement compiler for large models: exact bytes in, a proven placement out.
#[derive(Debug, Parser)]
#[command(
    name = "apportion",
    version,
    arg_required_else_help = true,
    after_help = "\
Example:
  apportion solve mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB

Exit status: 0 yes, 1 no (infeasible, refused, unknown), 2 could not be done."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Colours: on a terminal unless NO_COLOR is set, always or never
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        help_heading = "Output",
        hide_possible_values = true,
        display_order = 1000
    )]
    pub color: ColorArg,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the models, families, quantizations and devices it knows
    Models(ModelsArgs),
    /// Show a model's components and tensors and their bytes
    Inspect(InspectArgs),
    /// Compare what a model should hold with what a checkpoint's headers list
    Reconcile(ReconcileArgs),
    /// Compute the placement that is proven best
    Solve(SolveArgs),
    /// Verify a placement file or a migration plan from scratch
    Check(CheckArgs),
    /// Ask again what is held fixed, and say what moved and why
    Ci(CiArgs),
    /// Price a placement under circumstances it was not solved for
    Evaluate(EvaluateArgs),
    /// Say a placement in the words of another runtime
    Export(ExportArgs),
    /// Put today's habits beside the optimum
    Compare(CompareArgs),
    /// Show what moved between two placements, what it costs and gains
    Diff(DiffArgs),
    /// Find the longest context, the best quantization or the fewest GPUs
    Fit(FitArgs),
    /// Solve a grid of quantizations, contexts and machines
    Sweep(SweepArgs),
    /// Trace the trade-off between peak utilization and traffic
    Frontier(FrontierArgs),
    /// Replay a load, allocation by allocation, before there is a device
    Simulate(SimulateArgs),
    /// Draw a placement as a page that needs nothing else, or as SVG
    Report(ReportArgs),
    /// Find the placement that is best now, and an order of moves to it
    Rebalance(RebalanceArgs),
    /// Show the memory of a running system beside what was planned
    Watch(WatchArgs),
    /// Say what a constraint, an objective or a term of an estimate means
    Explain(ExplainArgs),
    /// Print the JSON schema of a file format
    Schema(SchemaArgs),
    /// Print what a shell needs to complete arguments
    Completions(CompletionsArgs),
    /// Print or write the manual pages
    Man(ManArgs),
    /// Load the weights onto the devices of a placement and count every byte
    #[cfg(feature = "candle")]
    Load(LoadArgs),
    /// Continue a prompt with a model on the devices of a placement
    #[cfg(feature = "candle")]
    Generate(GenerateArgs),
    /// Count how often each expert is chosen on a text
    #[cfg(feature = "candle")]
    Profile(ProfileArgs),
    /// Measure how fast the devices at hand are and write it as a hardware file
    #[cfg(feature = "candle")]
    Calibrate(CalibrateArgs),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  apportion models --quants\n  apportion models --hardware")]
pub struct ModelsArgs {
    /// List the quantizations instead of the models
    #[arg(long)]
    pub quants: bool,
    /// List the devices and links that `--gpu`, `--cpu`, `--link` and hardware files know by name
    #[arg(long, conflicts_with = "quants")]
    pub hardware: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  apportion reconcile ./Mixtral-8x7B-v0.1
  apportion reconcile mixtral-8x7b --with mixtral.Q4_K_M.gguf --quant q4_k_m

Exit status: 0 when every tensor is as predicted, 1 when one is not.")]
pub struct ReconcileArgs {
    /// What is predicted: a catalogue name, a config.json, or the checkpoint itself, by its own facts
    pub model: String,
    /// The checkpoint whose headers are compared: a file, an index or a folder [default: MODEL]
    #[arg(long, value_name = "FILES")]
    pub with: Option<String>,
    /// The quantization that is predicted [default: what the files say of themselves]
    #[arg(long, value_name = "NAME")]
    pub quant: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  apportion inspect mixtral-8x7b --quant q4_k_m --tensors")]
pub struct InspectArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// List the tensors with their types and bytes, those that experts share once
    #[arg(long)]
    pub tensors: bool,
    /// List only the tensors of components that match, as `layers.3.*`
    #[arg(long, value_name = "GLOB")]
    pub component: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  apportion solve mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB -o placement.yaml
  apportion solve ./config.json --quant q4_k_m --hardware box.yaml --pin 'layers.3.experts.*=gpu1'")]
pub struct SolveArgs {
    #[command(flatten)]
    pub question: QuestionArgs,
    /// Write the placement to this file
    #[arg(short, long = "output", value_name = "FILE", help_heading = "Output")]
    pub output_file: Option<PathBuf>,
    /// Write proofs of the bounds to this file, for `apportion check --certificate`
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub certificate: Option<PathBuf>,
    /// Write the integer program of every stage, under the caps it had, to this folder as LP files:
    /// `1-peak_utilization.lp` and so on
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub write_lp: Option<PathBuf>,
    /// How the programs in LP files are stated [default: as --formulation says]
    #[arg(long, value_enum, value_name = "HOW", requires = "write_lp", help_heading = "Output")]
    pub lp_formulation: Option<FormulationArg>,
    /// Solve again with this much more memory on each kind of device, and on all GPUs, and show what it
    /// changes; without a size, 1GiB
    #[arg(
        long,
        value_name = "SIZE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1GiB",
        help_heading = "Output"
    )]
    pub sensitivity: Option<String>,
    /// Say how it was found: what was merged and settled before the search, what bounds each objective,
    /// what was tried and what closed it
    #[arg(long, help_heading = "Output")]
    pub explain: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  apportion compare mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB")]
pub struct CompareArgs {
    #[command(flatten)]
    pub question: QuestionArgs,
    /// Write every map that is shown to this folder as a placement file, those that do not fit too
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub write_maps: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args, Debug)]
#[command(
    // A list of quantizations stands for the one.
    mut_arg("quant", |arg| arg.required(false)),
    mut_arg("time_limit", |arg| arg.help(EACH_TIME_LIMIT)),
    after_help = "\
Examples:
  apportion fit mixtral-8x7b --find context --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB
  apportion fit mixtral-8x7b --find quant --quants q4_k_m,q5_k_m,q6_k --gpu 24GiB --gpu 12GiB
  apportion fit mixtral-8x7b --find gpus --quant q8_0 --gpu 24GiB -o placement.yaml

Exit status: 0 found, 1 nothing fits (or a limit hides it), 2 bad input."
)]
pub struct FitArgs {
    /// What to find: with context, --context is not read; with quant, --quant says only whose
    /// alternatives; with gpus, --gpu says only which
    #[arg(long, value_enum, value_name = "WHAT")]
    pub find: FindArg,
    #[command(flatten)]
    pub question: QuestionArgs,
    /// Contexts are multiples of this many tokens [default: 1]
    #[arg(long, value_name = "TOKENS", value_parser = whole, help_heading = "Search")]
    pub step: Option<u64>,
    /// The longest context to look for [default: 2147483648]; what the model was trained for is not known
    #[arg(long, value_name = "TOKENS", value_parser = whole, help_heading = "Search")]
    pub max_context: Option<u64>,
    /// Quantizations to choose from, separated by commas [default: all of the runtime of --quant]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "Search")]
    pub quants: Vec<String>,
    /// Write the placement at the answer to this file
    #[arg(short, long = "output", value_name = "FILE", help_heading = "Output")]
    pub output_file: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// [`apportion::sweep::NODE_LIMIT`], as clap wants it; a test holds the two together.
const SWEEP_NODE_LIMIT: &str = "200";

const EACH_TIME_LIMIT: &str =
    "Stop each solve after this many seconds; answers may then differ between runs";

/// What `fit` looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FindArg {
    /// The longest context
    Context,
    /// The quantization with the most bits per weight
    Quant,
    /// The fewest GPUs like the one given
    Gpus,
}

#[derive(Args, Debug)]
#[command(
    mut_arg("quant", |arg| arg.required(false)),
    mut_arg("node_limit", |arg| arg.default_value(SWEEP_NODE_LIMIT)),
    mut_arg("time_limit", |arg| arg.help(EACH_TIME_LIMIT)),
    after_help = "\
Examples:
  apportion sweep mixtral-8x7b --quant q4_k_m --contexts 4096,32768 --machine 2x24GiB
  apportion sweep mixtral-8x7b --quants q4_k_m,nf4-dq --machine old=16GiB+8GiB --hardware box.yaml --csv

Exit status: 0 something fits and every point is answered, 1 nothing fits or a point has no answer
(a limit, or it states no problem), 2 bad input."
)]
pub struct SweepArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Quantizations, separated by commas [default: all of the runtime of --quant]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "Grid")]
    pub quants: Vec<String>,
    /// Contexts, separated by commas [default: that of --context]
    #[arg(
        long,
        value_name = "TOKENS",
        value_delimiter = ',',
        value_parser = whole,
        conflicts_with = "context",
        help_heading = "Grid"
    )]
    pub contexts: Vec<u64>,
    /// A machine by its GPUs, as `2x24GiB`, `16GiB+8GiB+cpu:64GiB`, `2xrtx-4090+l4:20GiB` or
    /// `box=2x24GiB`; repeatable
    #[arg(long, value_name = "[NAME=]DEVICES", help_heading = "Grid")]
    pub machine: Vec<String>,
    /// A machine as a YAML file, called by the name of the file; repeatable
    #[arg(long, value_name = "FILE", help_heading = "Grid")]
    pub hardware: Vec<PathBuf>,
    /// Bytes kept free on every GPU of a --machine [default: 0]
    #[arg(long, value_name = "SIZE", help_heading = "Grid")]
    pub reserve: Option<String>,
    /// What is between any two devices of a --machine, as `pcie-4-x16` or `5us,25GB/s`; only times
    /// depend on it
    #[arg(long, value_name = "NAME|LATENCY,BANDWIDTH", help_heading = "Grid")]
    pub link: Option<String>,
    #[command(flatten)]
    pub wishes: WishArgs,
    #[command(flatten)]
    pub effort: EffortArgs,
    /// Print a line of comma-separated values per point
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub csv: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A number of tokens, nodes or threads.
fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a whole number from 0 to {}", u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent_and_defaults_are_the_librarys() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        assert_eq!(SWEEP_NODE_LIMIT, apportion::sweep::NODE_LIMIT.to_string());
        assert_eq!(simulate::DECODE, apportion::simulate::Choices::DECODE_DEFAULT);
        assert_eq!(usize::try_from(frontier::POINTS), Ok(apportion::frontier::POINTS_DEFAULT));
    }
}
