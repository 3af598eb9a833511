//! What `rebalance` reads: a placement, what is different now, and what moving is worth.

use std::path::PathBuf;

use clap::Args;

use super::{EffortArgs, OutputArgs, SWEEP_NODE_LIMIT, whole};

#[derive(Args, Debug)]
#[command(
    mut_arg("node_limit", |arg| arg.default_value(SWEEP_NODE_LIMIT)),
    after_help = "\
Examples:
  apportion rebalance placement.yaml --usable gpu0=9GiB -o next.yaml --plan plan.yaml
  apportion rebalance placement.yaml --lose gpu1 --add rtx-4090=22GiB
  apportion rebalance placement.yaml --routing today.json --max-move 2GiB
  apportion check plan.yaml

Exit status: 0 there is a placement and an order of moves, 1 there is none (or a limit hides it), 2 bad input."
)]
pub struct RebalanceArgs {
    /// The placement that is in place, written by `solve -o` or by this
    pub placement: PathBuf,
    /// The model, which is needed where the placement is of a checkpoint's own bytes
    #[arg(long)]
    pub model: Option<String>,
    /// How much of a device may be used from now on, up to its capacity; repeatable
    #[arg(long, value_name = "DEVICE=SIZE", help_heading = "Changes")]
    pub usable: Vec<String>,
    /// How much of every device may be used by the last moment of a memory log, as `load`, `generate` and `profile` write
    /// with --memory-log; --usable goes before it
    #[arg(long, value_name = "FILE", help_heading = "Changes")]
    pub measured: Option<PathBuf>,
    /// A device that is gone; what was on it is loaded from the files of the model; repeatable
    #[arg(long, value_name = "DEVICE", help_heading = "Changes")]
    pub lose: Vec<String>,
    /// A GPU that is there now, as `16GiB` or `rtx-4090=22GiB`; it gets the next free name; repeatable
    #[arg(long, value_name = "SIZE|NAME[=SIZE]", help_heading = "Changes")]
    pub add: Vec<String>,
    /// Another machine, as a YAML file; what has the same name is the same device
    #[arg(long, value_name = "FILE", help_heading = "Changes")]
    pub hardware: Option<PathBuf>,
    /// Tokens per sequence the KV cache holds
    #[arg(long, value_name = "TOKENS", value_parser = whole, help_heading = "Changes")]
    pub context: Option<u64>,
    /// Sequences at once
    #[arg(long, value_name = "N", value_parser = whole, help_heading = "Changes")]
    pub batch: Option<u64>,
    /// Routing statistics instead of those it was made for; several for the worst of them
    #[arg(long, value_name = "FILE", help_heading = "Changes")]
    pub routing: Vec<PathBuf>,
    /// Store tensors or components that match the pattern as another type from now on; repeatable
    #[arg(long, value_name = "GLOB=TYPE", help_heading = "Changes")]
    pub quant_override: Vec<String>,
    /// Move at most this much: the objectives of the placement come first, moved bytes last [default: moved bytes
    /// come first]
    #[arg(
        long,
        value_name = "SIZE",
        conflicts_with_all = ["horizon", "objective"],
        help_heading = "What moving is worth"
    )]
    pub max_move: Option<String>,
    /// Weigh moving against what it gains over this many tokens; speeds and links must be known
    #[arg(
        long,
        value_name = "TOKENS",
        value_parser = whole,
        conflicts_with = "objective",
        help_heading = "What moving is worth"
    )]
    pub horizon: Option<u64>,
    /// What to minimise instead, most important first, `migration` among them, as in
    /// `migration:25%,traffic`
    #[arg(long, value_name = "NAME[:TOLERANCE]", help_heading = "What moving is worth")]
    pub objective: Vec<String>,
    /// The most host memory in which components may wait on the way [default: as much as need be]
    #[arg(long, value_name = "SIZE", help_heading = "What moving is worth")]
    pub host: Option<String>,
    #[command(flatten)]
    pub effort: EffortArgs,
    /// Write the placement to this file
    #[arg(short, long = "output", value_name = "FILE", help_heading = "Output")]
    pub output_file: Option<PathBuf>,
    /// Write the order of moves to this file, for `apportion check` and `apportion generate --migrate`
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub plan: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}
