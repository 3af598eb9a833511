//! PyTorch's caching allocator, and the driver's own way with the same parts.
//!
//! The rules are those of pytorch, c10/cuda/CUDACachingAllocator.cpp (`DeviceCachingAllocator::malloc`,
//! `get_allocation_size`, `should_split`, `get_free_block`, `release_cached_blocks`, `try_merge_blocks`), for one
//! stream and with the settings it has unless told otherwise (`max_split_size`, garbage collection and
//! `roundup_power2_divisions` unset):
//!
//! - a request is rounded up to 512 B; up to 1 MiB it belongs to the small pool, beyond to the large one;
//! - the smallest free block of the pool that suffices is taken, of equal ones that at the lowest address;
//! - otherwise the driver is asked for a segment: 2 MiB for the small pool, 20 MiB for less than 10 MiB, else the
//!   request rounded up to 2 MiB;
//! - when the driver refuses, `release_available_cached_blocks` frees nothing (there is no `max_split_size`),
//!   `release_cached_blocks` gives back every segment that is one free block, and the driver is asked once more;
//! - what is left of a block becomes a free block if it has at least 512 B in the small pool, more than 1 MiB in
//!   the large one; otherwise it is handed out with the rest;
//! - a block that comes back is merged with free neighbours in its segment, and stays.
//!
//! With expandable segments a pool has one range of addresses that grows ([`expandable`]), and any remainder of
//! 512 B is split off.
//!
//! [`Policy::Driver`] is what is below: allocations that nobody caches. Memory comes in granules of 2 MiB
//! (`cuMemGetAllocationGranularity`); requests up to 1 MiB share them, larger ones have their own, and a granule that
//! nobody uses goes back at once. For buffers that is what `cudaMalloc` gives; the driver's pools, which cudarc 0.19 asks
//! with `cuMemAllocAsync`, may pack tighter than that, so it bounds them from above.

mod blocks;
mod expandable;

use blocks::{Blocks, NONE, Pool};

use super::allocator::{Allocator, Handle, Refused, Usage};

pub(super) const MIB: u64 = 1 << 20;
/// Every request is a multiple of this, and so is every block.
const STEP: u64 = 512;
/// The largest request of the small pool.
const SMALL_MAX: u64 = MIB;
/// A segment of the small pool.
const SMALL_SEGMENT: u64 = 2 * MIB;
/// A segment that several requests of the large pool share.
const LARGE_SEGMENT: u64 = 20 * MIB;
/// Requests from here on have segments of their own.
const OWN_SEGMENT_MIN: u64 = 10 * MIB;
/// Which are multiples of this.
const OWN_SEGMENT_STEP: u64 = 2 * MIB;

/// How memory comes from the driver and goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// In segments that are kept.
    Cached,
    /// In granules of a range of addresses that grows.
    Expandable,
    /// For each request, until it is freed.
    Driver,
}

/// One device's memory under these rules.
#[derive(Debug)]
pub struct Caching {
    policy: Policy,
    limit_bytes: u64,
    usage: Usage,
    blocks: Blocks,
}

impl Caching {
    /// Nothing allocated yet, of a device with so much for it.
    pub fn new(policy: Policy, limit_bytes: u64) -> Self {
        Self { policy, limit_bytes, usage: Usage::default(), blocks: Blocks::default() }
    }

    /// What the driver is asked for when no block suffices; `None` beyond 64 bits.
    fn segment_bytes(&self, size: u64) -> Option<u64> {
        match self.policy {
            _ if size <= SMALL_MAX => Some(SMALL_SEGMENT),
            Policy::Cached | Policy::Expandable if size < OWN_SEGMENT_MIN => Some(LARGE_SEGMENT),
            _ => size.checked_next_multiple_of(OWN_SEGMENT_STEP),
        }
    }

    /// A free block that suffices, no longer free.
    fn fit(&mut self, pool: Pool, size: u64) -> Option<u32> {
        let id = if self.policy == Policy::Expandable {
            self.blocks.best_fit_expandable(pool, size)?
        } else {
            self.blocks.best_fit(pool, size)?
        };
        self.blocks.take_free(id);
        Some(id)
    }

    /// A block from the driver, not among the free ones.
    fn ask_driver(&mut self, pool: Pool, size: u64, segment: u64) -> Option<u32> {
        if self.policy == Policy::Expandable {
            return self.expand(pool, size);
        }
        let reserved = self.usage.reserved_bytes.checked_add(segment)?;
        if reserved > self.limit_bytes {
            return None;
        }
        self.usage.reserved_bytes = reserved;
        Some(self.blocks.segment(pool, segment, true))
    }

    /// Gives back what is wholly unused.
    fn release_cached(&mut self) {
        for pool in [Pool::Large, Pool::Small] {
            for id in self.blocks.free_of(pool) {
                if self.policy == Policy::Expandable {
                    self.unmap(id);
                } else if self.blocks.is_whole(id) {
                    self.release(id);
                }
            }
        }
    }

    /// Gives a segment that is one free block back to the driver.
    fn release(&mut self, id: u32) {
        let bytes = self.blocks.get(id).size;
        self.usage.reserved_bytes = self.usage.reserved_bytes.saturating_sub(bytes);
        self.blocks.take_free(id);
        self.blocks.discard(id);
    }

    fn splits(&self, pool: Pool, rest: u64) -> bool {
        if pool == Pool::Small || self.policy == Policy::Expandable {
            rest >= STEP
        } else {
            rest > SMALL_MAX
        }
    }
}

impl Allocator for Caching {
    fn alloc(&mut self, bytes: u64) -> Result<Handle, Refused> {
        if bytes == 0 {
            return Ok(Handle(NONE));
        }
        let beyond = Refused { asked_bytes: bytes };
        let size = bytes.checked_next_multiple_of(STEP).ok_or(beyond)?;
        let segment = self.segment_bytes(size).ok_or(beyond)?;
        let pool = if size <= SMALL_MAX { Pool::Small } else { Pool::Large };
        let mut found = self.fit(pool, size).or_else(|| self.ask_driver(pool, size, segment));
        if found.is_none() {
            self.release_cached();
            found = self.ask_driver(pool, size, segment);
        }
        let id = found.ok_or(Refused { asked_bytes: segment })?;
        let rest = self.blocks.get(id).size.saturating_sub(size);
        if self.splits(pool, rest) {
            self.blocks.split(id, size);
        }
        let block = self.blocks.get_mut(id);
        block.allocated = true;
        self.usage.allocated_bytes += block.size;
        Ok(Handle(id))
    }

    fn free(&mut self, handle: Handle) {
        let id = handle.0;
        if id == NONE {
            return;
        }
        let block = self.blocks.get_mut(id);
        block.allocated = false;
        self.usage.allocated_bytes = self.usage.allocated_bytes.saturating_sub(block.size);
        self.blocks.merge_around(id);
        self.blocks.put_free(id);
        if self.policy == Policy::Driver && self.blocks.is_whole(id) {
            self.release(id);
        }
    }

    fn usage(&self) -> Usage {
        self.usage
    }

    fn largest_free_bytes(&self) -> u64 {
        self.blocks.largest_free_bytes()
    }

    fn set_limit(&mut self, bytes: u64) {
        self.limit_bytes = bytes;
    }
}
