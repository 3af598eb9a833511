//! What every model of an allocator promises, and the two that are not PyTorch's.

use std::fmt;

use super::torch::{Caching, Policy};
use crate::error::Error;
use crate::hardware::DeviceKind;
use crate::quant::choose;
use crate::runtime::{Profile, Rounding};

/// What an allocator has, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What it has from the driver.
    pub reserved_bytes: u64,
    /// What of that it has handed out, rounding included.
    pub allocated_bytes: u64,
}

/// The driver had no room for what the allocator asked it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What was asked of the driver: the request as the allocator rounds it.
    pub asked_bytes: u64,
}

/// A piece of memory that was handed out. It cannot be copied, so nothing is given back twice.
#[derive(Debug, PartialEq, Eq)]
pub struct Handle(pub(super) u32);

impl Handle {
    /// Of a request for nothing, which takes nothing.
    pub(super) const NOTHING: u32 = u32::MAX;
}

/// The memory of one device as one allocator deals it out.
///
/// Exact and deterministic: the same requests in the same order get the same answers. Addresses are not those
/// of a real device; what is allocated later lies higher.
pub trait Allocator: fmt::Debug {
    /// Hands out memory. A request for 0 bytes is granted and takes nothing.
    ///
    /// # Errors
    /// The driver has no room, even after everything that is cached and unused was given back to it.
    fn alloc(&mut self, bytes: u64) -> Result<Handle, Refused>;

    /// Takes memory back. A handle of another allocator is a mistake that nothing here can detect.
    fn free(&mut self, handle: Handle);

    /// What it has now.
    fn usage(&self) -> Usage;

    /// The largest piece that it has and nobody uses: what a request may take without the driver.
    fn largest_free_bytes(&self) -> u64;

    /// What it may have from the driver at most; what it already has stays.
    fn set_limit(&mut self, bytes: u64);
}

/// The allocators there are models of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocatorKind {
    /// PyTorch's caching allocator as it is by default.
    Torch,
    /// The same with `expandable_segments:True`.
    TorchExpandable,
    /// candle on cudarc: every tensor an allocation of its own, in whole granules of the driver at most.
    Candle,
    /// llama.cpp: one buffer for weights, one for the cache, one to compute in.
    LlamaCpp,
}

impl AllocatorKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Torch, Self::TorchExpandable, Self::Candle, Self::LlamaCpp];

    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Torch => "torch",
            Self::TorchExpandable => "torch-expandable",
            Self::Candle => "candle",
            Self::LlamaCpp => "llama.cpp",
        }
    }

    /// Reads a name; case does not matter.
    ///
    /// # Errors
    /// Another name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        choose(text, "choose the allocator", &Self::ALL, Self::name)
    }

    /// The one that a runtime uses: its rounding says whose rules those are.
    pub fn of(runtime: &Profile) -> Self {
        match runtime.rules().rounding {
            Rounding::Torch => Self::Torch,
            Rounding::GgmlCuda => Self::LlamaCpp,
            Rounding::None => Self::Candle,
        }
    }

    /// Whether it is one of PyTorch's.
    pub fn is_torch(self) -> bool {
        matches!(self, Self::Torch | Self::TorchExpandable)
    }

    /// A fresh one for a device of this kind and size; host memory is dealt out byte by byte.
    pub fn fresh(self, kind: DeviceKind, limit_bytes: u64) -> Box<dyn Allocator> {
        if kind == DeviceKind::Cpu {
            return Box::new(Exact { limit_bytes, ..Exact::default() });
        }
        let policy = match self {
            Self::Torch => Policy::Cached,
            Self::TorchExpandable => Policy::Expandable,
            Self::Candle | Self::LlamaCpp => Policy::Driver,
        };
        Box::new(Caching::new(policy, limit_bytes))
    }
}

/// Host memory: what is asked for is what is taken.
#[derive(Debug, Default)]
struct Exact {
    limit_bytes: u64,
    used_bytes: u64,
    /// Bytes of every handle; 0 for those that are free again.
    pieces: Vec<u64>,
    unused: Vec<u32>,
}

impl Allocator for Exact {
    fn alloc(&mut self, bytes: u64) -> Result<Handle, Refused> {
        if bytes == 0 {
            return Ok(Handle(Handle::NOTHING));
        }
        let refused = Refused { asked_bytes: bytes };
        let used = self.used_bytes.checked_add(bytes).filter(|&used| used <= self.limit_bytes);
        let used = used.ok_or(refused)?;
        let next = u32::try_from(self.pieces.len()).ok().filter(|&id| id < Handle::NOTHING);
        let id = self.unused.pop().or(next).ok_or(refused)?;
        let at = usize::try_from(id).unwrap_or(usize::MAX);
        if at == self.pieces.len() {
            self.pieces.push(bytes);
        } else if let Some(piece) = self.pieces.get_mut(at) {
            *piece = bytes;
        }
        self.used_bytes = used;
        Ok(Handle(id))
    }

    fn free(&mut self, handle: Handle) {
        let at = usize::try_from(handle.0).unwrap_or(usize::MAX);
        if let Some(piece) = self.pieces.get_mut(at) {
            self.used_bytes = self.used_bytes.saturating_sub(std::mem::take(piece));
            self.unused.push(handle.0);
        }
    }

    fn usage(&self) -> Usage {
        Usage { reserved_bytes: self.used_bytes, allocated_bytes: self.used_bytes }
    }

    fn largest_free_bytes(&self) -> u64 {
        0
    }

    fn set_limit(&mut self, bytes: u64) {
        self.limit_bytes = bytes;
    }
}
