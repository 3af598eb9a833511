//! What `export --to llama.cpp` and `check --from llama.cpp` read on top: what llama.cpp calls the devices.

use apportion::export::Options;
use clap::Args;

/// Names of planned devices.
#[derive(Args, Debug)]
pub struct LlamaCppArgs {
    /// llama.cpp: the RPC server that a device is behind; repeatable, several devices of one server in its order
    #[arg(long, value_name = "DEVICE=HOST:PORT", help_heading = "Consumers")]
    pub rpc: Vec<String>,
    /// llama.cpp: what it calls a device, as `gpu0=Vulkan0`; repeatable [default: GPUs are CUDA0, CUDA1, ...]
    #[arg(long, value_name = "DEVICE=NAME", help_heading = "Consumers")]
    pub device_name: Vec<String>,
}

impl LlamaCppArgs {
    /// Adds them to the options of an export.
    pub fn add(&self, options: Options) -> Options {
        let Self { rpc, device_name } = self;
        options.with("rpc", rpc.iter().cloned()).with("device-name", device_name.iter().cloned())
    }
}
