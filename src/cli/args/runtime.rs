//! What `load`, `generate` and `profile` read: a placement, weights, what stands behind its devices.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{OutputArgs, whole};

/// The placed model.
#[derive(Args, Debug)]
pub struct RuntimeArgs {
    /// A placement file written by `solve -o`
    pub placement: PathBuf,
    /// The weights: a safetensors or GGUF file, any shard of several, an index, or a folder with them
    #[arg(long, value_name = "PATH")]
    pub weights: PathBuf,
    /// What a device of the placement really is, as `gpu0=cuda:1` or `gpu0=cpu`; repeatable [default: gpuN
    /// is cuda:N where there is one, else CPU memory]
    #[arg(long, value_name = "NAME=WHAT", help_heading = "Machine")]
    pub device: Vec<String>,
    /// The most that may be put on a device, as `gpu0=8GiB`; repeatable [default: what the placement says
    /// it has]
    #[arg(long, value_name = "NAME=SIZE", help_heading = "Machine")]
    pub budget: Vec<String>,
    /// Threads of each device that is CPU memory, and of the load [default: one per core]
    #[arg(long, value_name = "N", value_parser = whole, help_heading = "Machine")]
    pub threads: Option<u64>,
    /// Whether devices that hold experts of one layer compute at the same time
    #[arg(long, value_enum, default_value_t = ModeArg::Concurrent, help_heading = "Machine")]
    pub mode: ModeArg,
    /// Let quantized matrices in CPU memory be kept a second time in an order that is faster for many
    /// tokens at once: more than twice the bytes, which no placement counts
    #[arg(long, help_heading = "Machine")]
    pub cpu_repack: bool,
    /// Load what is on the way to another placement: this plan began with PLACEMENT, and --journal says how far
    /// it came; without one it has not begun
    #[arg(long, value_name = "FILE", help_heading = "Migration")]
    pub plan: Option<PathBuf>,
    /// The journal of a plan: what of it is done
    #[arg(long, value_name = "FILE", help_heading = "Migration")]
    pub journal: Option<PathBuf>,
    /// Write what is on every device, before and after each phase, to this file, for `apportion watch`
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub memory_log: Option<PathBuf>,
}

/// How devices work together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// One after the other
    Sequential,
    /// At the same time
    Concurrent,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  apportion load placement.yaml --weights ./Mixtral-8x7B-v0.1
  apportion load placement.yaml --weights mixtral.Q4_K_M.gguf --device gpu0=cuda:0 --device gpu1=cuda:0

Exit status: 0 when every byte is where it was planned, 1 when one is not or Ctrl-C ended it (130),
2 could not be loaded.")]
pub struct LoadArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  apportion generate placement.yaml --weights ./Mixtral-8x7B-v0.1 --prompt 'The capital of France'
  apportion generate placement.yaml --weights tiny.gguf --prompt-ids 1,5,17 --max-tokens 16 --json

  apportion rebalance placement.yaml --usable gpu0=9GiB -o next.yaml --plan plan.yaml
  apportion generate placement.yaml --weights tiny.gguf --prompt-ids 1 --migrate plan.yaml --journal j
  apportion generate placement.yaml --weights tiny.gguf --prompt-ids 1 --plan plan.yaml --journal j

Ctrl-C ends it after the token it is at and prints what there is; a second one ends it at once.
Where a step of a migration is refused, the text goes on and the status is 1.

Exit status: 0 generated, 1 generated but not all moved, 130 ended by Ctrl-C, 2 could not be done.")]
pub struct GenerateArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    #[command(flatten)]
    pub prompt: PromptArgs,
    /// The tokenizer.json [default: the one beside the weights; none is needed with --prompt-ids]
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// The most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = whole)]
    pub max_tokens: u64,
    /// What logits are divided by before a token is drawn; 0 always takes the most probable one
    #[arg(long, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Draw only from the most probable tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = 1.0, requires = "temperature")]
    pub top_p: f64,
    /// Where the random numbers begin; with the same one the same tokens are drawn
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole, requires = "temperature")]
    pub seed: u64,
    /// Change to the placement that this plan leads to, one component between two tokens; --journal is written
    #[arg(long, value_name = "PLAN", help_heading = "Migration")]
    pub migrate: Option<PathBuf>,
    /// Tokens to generate before the first component moves
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = whole,
        requires = "migrate",
        help_heading = "Migration"
    )]
    pub migrate_after: u64,
    #[command(flatten)]
    pub rebalance: RebalanceWhenArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// When another placement is looked for.
#[derive(Args, Debug)]
#[command(next_help_heading = "Rebalancing")]
pub struct RebalanceWhenArgs {
    /// Look for a better placement when the experts chosen in two windows of tokens differ by so much from what the
    /// placement was made for (`drift=0.2`, total variation distance), or when a file of lines such as `gpu0=9GiB`
    /// says something else (`usable=FILE`); repeatable
    #[arg(long = "rebalance-when", value_name = "WHAT", conflicts_with = "migrate")]
    pub when: Vec<String>,
    /// Tokens of a window, and from one migration to the next at least
    #[arg(
        long = "rebalance-every",
        value_name = "N",
        default_value_t = 64,
        value_parser = whole,
        requires = "when"
    )]
    pub every: u64,
    /// The least part of the traffic, or of the decode latency where the placement was solved for that, that must be
    /// gained; what no longer fits moves in any case
    #[arg(long = "rebalance-gain", value_name = "SHARE", default_value = "5%", requires = "when")]
    pub gain: String,
}

/// What is continued.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct PromptArgs {
    /// Continue this text
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// Continue these tokens, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',', value_parser = token)]
    pub prompt_ids: Vec<u32>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  apportion profile placement.yaml --weights ./Mixtral-8x7B-v0.1 --text book.txt -o routing.json

Longer texts are cut into chunks of the context, each read as a text of its own. Ctrl-C ends it early; what
was counted until then is written.

Exit status: 0 written, 130 written after Ctrl-C, 2 could not be done.")]
pub struct ProfileArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    #[command(flatten)]
    pub text: TextArgs,
    /// The tokenizer.json [default: the one beside the weights; none is needed with --prompt-ids]
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// Tokens of a chunk [default: the context of the placement]
    #[arg(long, value_name = "TOKENS", value_parser = whole)]
    pub context: Option<u64>,
    /// Write the routing statistics to this file
    #[arg(short, long = "output", value_name = "FILE", help_heading = "Output")]
    pub output_file: PathBuf,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What is read.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct TextArgs {
    /// Read this text, of at most 4 MiB
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Read these tokens, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',', value_parser = token)]
    pub prompt_ids: Vec<u32>,
}

fn token(text: &str) -> Result<u32, String> {
    let digits = text.trim().parse();
    digits.map_err(|_| format!("expected the number of a token, from 0 to {}", u32::MAX))
}
