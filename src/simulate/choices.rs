//! What can be chosen about a load beside the placement itself.

use super::allocator::AllocatorKind;
use crate::error::Error;
use crate::quant::choose;

/// In which order tensors are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As components and their tensors stand in a checkpoint: embedding, layers front to back, head.
    Checkpoint,
    /// One device after the other, each in that order.
    Device,
    /// The largest first: by what is staged, or else stays.
    Largest,
}

impl Order {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Checkpoint, Self::Device, Self::Largest];

    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Device => "device",
            Self::Largest => "largest",
        }
    }

    /// Reads a name; case does not matter.
    ///
    /// # Errors
    /// Another name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        choose(text, "choose the order", &Self::ALL, Self::name)
    }
}

/// How a placement is loaded and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// Whose rules deal out the memory of GPUs.
    pub allocator: AllocatorKind,
    /// In which order tensors are loaded.
    pub order: Order,
    /// Whether every GPU is first asked for all its weights at once, as `caching_allocator_warmup` of transformers
    /// does; PyTorch keeps that memory and deals it out later.
    pub warm_up: bool,
    /// Tokens generated after the prompt; with it they fill the context.
    pub decode: u64,
}

impl Choices {
    /// Tokens generated unless asked otherwise.
    pub const DECODE_DEFAULT: u64 = 16;
    /// The most tokens that can be generated: each is a pass over all layers.
    pub const DECODE_MAX: u64 = 4096;
}
