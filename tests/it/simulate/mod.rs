//! Loads before there is a device: allocators by their published rules and by what real ones did, scripts that ask
//! for what a placement says, and what the command makes of it.

mod allocators;
mod commands;
mod naive;
mod scripts;
mod traces;

use apportion::hardware::DeviceKind;
use apportion::simulate::{Allocator, AllocatorKind};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A GPU's memory of this size under these rules.
fn fresh(kind: AllocatorKind, limit_bytes: u64) -> Box<dyn Allocator> {
    kind.fresh(DeviceKind::Gpu, limit_bytes)
}

/// Reserved and allocated bytes.
fn usage(allocator: &dyn Allocator) -> [u64; 2] {
    let usage = allocator.usage();
    [usage.reserved_bytes, usage.allocated_bytes]
}
