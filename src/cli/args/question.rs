//! The arguments that commands share: a model, its use, a machine, wishes, effort.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::whole;

/// The question that `solve`, `compare` and `fit` ask.
#[derive(Args, Debug)]
pub struct QuestionArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub wishes: WishArgs,
    #[command(flatten)]
    pub effort: EffortArgs,
}

/// What is placed and how it is used.
#[derive(Args, Debug)]
pub struct ModelArgs {
    /// A catalogue name, or the path of a config.json, a checkpoint, or a folder with either
    pub model: String,
    /// How the weights are stored; `apportion models --quants` lists the names [default for a
    /// checkpoint: as its headers say]
    #[arg(long, value_name = "NAME")]
    pub quant: Option<String>,
    /// Store tensors or components that match the pattern as another type, such as
    /// `layers.*.experts.0=q8_0`, or in 16 bit with `=skip`; repeatable, the last that matches counts
    #[arg(long, value_name = "GLOB=TYPE")]
    pub quant_override: Vec<String>,
    /// Tokens per sequence the KV cache holds
    #[arg(long, value_name = "TOKENS", default_value_t = 4096, value_parser = whole)]
    pub context: u64,
    /// Sequences at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole)]
    pub batch: u64,
    /// Type of the KV cache: f32, f16, bf16, fp8_e4m3, q8_0, q5_1, q5_0, q4_1, q4_0 or iq4_nl, as far
    /// as the runtime has it
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    pub kv_type: String,
    /// Where matrices wait while they are quantized: device, host or none [default: what runtimes of
    /// the quantization do]
    #[arg(long, value_name = "PLACE")]
    pub staging: Option<String>,
    /// What will run it: candle, transformers, llama.cpp or vllm; decides everything in memory beside
    /// weights [default: candle]
    #[arg(long, value_name = "NAME")]
    pub runtime: Option<String>,
    /// Rules of the runtime that you measured, as YAML
    #[arg(long, value_name = "FILE")]
    pub runtime_profile: Option<PathBuf>,
}

/// The machine.
#[derive(Args, Debug)]
#[command(next_help_heading = "Machine")]
pub struct MachineArgs {
    /// Usable memory of a GPU, as `16GiB` or `16GB`, or a name with all its memory or less, as
    /// `rtx-4090` or `rtx-4090=22GiB`; once per GPU. `apportion models --hardware` lists the names
    #[arg(long, value_name = "SIZE|NAME[=SIZE]")]
    pub gpu: Vec<String>,
    /// Usable host memory, as `64GiB` or `ddr5-5600-dual=64GiB`; without it nothing is placed on the CPU
    #[arg(long, value_name = "SIZE|NAME=SIZE")]
    pub cpu: Option<String>,
    /// What is between any two devices, as `pcie-4-x16` or `5us,25GB/s`; only times depend on it
    #[arg(long, value_name = "NAME|LATENCY,BANDWIDTH")]
    pub link: Option<String>,
    /// Bytes kept free on every GPU [default: 0]
    #[arg(long, value_name = "SIZE")]
    pub reserve: Option<String>,
    /// The machine as a YAML file, instead of sizes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["gpu", "cpu", "reserve", "link"])]
    pub hardware: Option<PathBuf>,
}

/// What the placement must respect and aim for.
#[derive(Args, Debug)]
#[command(next_help_heading = "Wishes")]
pub struct WishArgs {
    /// Components that match the pattern live only on the device; repeatable
    #[arg(long, value_name = "GLOB=DEVICE")]
    pub pin: Vec<String>,
    /// Components that match the pattern live anywhere but on the device; repeatable
    #[arg(long, value_name = "GLOB=DEVICE")]
    pub forbid: Vec<String>,
    /// Do not pin the embedding and the feed-forward part of layer 0 to the first GPU
    #[arg(long)]
    pub free_default_pins: bool,
    /// Memory that must stay free beyond all that is estimated, as `512MiB` or `5%` of the capacity: on
    /// every GPU, or on one device as `gpu1=1GiB`; repeatable
    #[arg(long, value_name = "[DEVICE=]SIZE")]
    pub headroom: Vec<String>,
    /// Place components on at most this many devices
    #[arg(long, value_name = "N")]
    pub max_devices: Option<String>,
    /// How a token reaches experts on other devices: once for each, or once for each device [default:
    /// as the runtime does]
    #[arg(long, value_enum, value_name = "RULE")]
    pub sends: Option<SendsArg>,
    /// How often each expert is chosen, as `apportion profile` counts it [default: every expert as often as
    /// any other]; repeatable with --robust. Replicated attention reads how often experts of consecutive
    /// layers are chosen one after the other
    #[arg(long, value_name = "FILE")]
    pub routing: Vec<PathBuf>,
    /// Find the placement whose decode_latency is best under the worst of several --routing files
    #[arg(long, requires = "routing")]
    pub robust: bool,
    /// Whether devices that hold parts of one layer take turns or work at the same time [default: as the
    /// runtime does]
    #[arg(long, value_enum, value_name = "HOW")]
    pub layer_devices: Option<LayerDevicesArg>,
    /// The smallest part that the runtime can place on its own
    #[arg(long, value_enum, value_name = "PART", default_value_t = GranularityArg::Expert)]
    pub granularity: GranularityArg,
    /// Where attention is: each layer's on one device, or all of it on every device with the experts
    /// divided evenly (serving engines). Experts themselves are not replicated, and no tensor is split: neither
    /// expert replicas nor tensor parallelism are planned for
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = AttentionArg::Single)]
    pub attention: AttentionArg,
    /// The placement that is in place, which the objective `migration` counts from
    #[arg(long, value_name = "PLACEMENT")]
    pub migrate_from: Option<PathBuf>,
    /// What to minimise and how much of it later objectives may give up, most important first:
    /// spill_bytes, peak_utilization, traffic, devices_used, migration; decode_latency and prefill_time where
    /// speeds and links are known; crossings (replicated attention); repeatable or separated by commas
    /// [default: peak_utilization:1%,traffic:0, after spill_bytes:0 when there is a CPU and no time first; with replicated attention crossings:0 where pairs were counted, then
    /// peak_utilization:1%]
    #[arg(long, value_name = "NAME[:TOLERANCE]")]
    pub objective: Vec<String>,
}

/// How a token reaches experts on other devices.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SendsArg {
    /// There and back for every chosen expert
    PerExpert,
    /// There and back once for every device with a chosen expert
    PerDevice,
}

/// How the devices of one layer work.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LayerDevicesArg {
    /// One after the other
    Sequential,
    /// At the same time
    Concurrent,
}

/// What may be placed on its own.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum GranularityArg {
    /// Whole layers
    Layer,
    /// A layer's attention, and all its experts together
    Experts,
    /// A layer's attention, and one matrix (gate, up or down) of all its experts
    FusedMatrix,
    /// Every expert
    Expert,
}

/// Where attention is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AttentionArg {
    /// Each layer's on one device, to which activations return
    Single,
    /// On every device, with all that is not a routed expert
    Replicated,
}

/// How hard to try.
#[derive(Args, Debug)]
#[command(next_help_heading = "Effort")]
pub struct EffortArgs {
    /// How the integer program is stated
    #[arg(long, value_enum, default_value_t = FormulationArg::Counts)]
    pub formulation: FormulationArg,
    /// What solves it: microlp, which is built in, or highs, in a build with that feature
    #[arg(long, value_name = "NAME", default_value = "microlp")]
    pub solver: String,
    /// Branch-and-bound nodes each integer program may use; fewer beyond six devices
    #[arg(
        long,
        value_name = "N",
        default_value_t = apportion::plan::Options::default().node_limit,
        value_parser = whole
    )]
    pub node_limit: u64,
    /// Stop after this many seconds; answers may then differ between runs
    #[arg(long, value_name = "SECONDS")]
    pub time_limit: Option<String>,
    /// Threads to work with; the answer does not depend on it [default: one per core]
    #[arg(long, value_name = "N", value_parser = whole)]
    pub threads: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FormulationArg {
    /// Identical things are counted
    Counts,
    /// One binary per component and device: the slow reference
    Textbook,
}

/// How to print.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}
