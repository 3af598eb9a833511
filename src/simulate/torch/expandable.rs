//! Segments that grow: `expandable_segments:True`.
//!
//! pytorch, c10/cuda/CUDACachingAllocator.cpp (`ExpandableSegment`, `find_expandable_block`, `map_block`,
//! `try_allocate_expandable_block`, `unmap_block`): a pool reserves addresses for 1 1/8 of the device and maps memory
//! behind them in granules of 2 MiB (small pool) or 20 MiB (large pool), at the lowest address where a request fits
//! with what is free there. Under pressure the whole granules inside free blocks are unmapped.

use super::blocks::{NONE, Pool};
use super::{Caching, LARGE_SEGMENT, SMALL_SEGMENT};

fn granule(pool: Pool) -> u64 {
    match pool {
        Pool::Small => SMALL_SEGMENT,
        Pool::Large => LARGE_SEGMENT,
    }
}

impl Caching {
    /// A free block of at least `size` with memory behind all of it, no longer among the free ones.
    pub(super) fn expand(&mut self, pool: Pool, size: u64) -> Option<u32> {
        let mut block = self.growing(pool, size)?;
        let first = self.blocks.get(block);
        if !first.mapped && !self.map(block, first.size.min(size)) {
            return None;
        }
        while self.blocks.get(block).size < size {
            let missing = size - self.blocks.get(block).size;
            let next = self.blocks.get(block).next;
            let room = (next != NONE).then(|| self.blocks.get(next));
            let room = room.filter(|next| !next.mapped && !next.allocated)?.size;
            if !self.map(next, room.min(missing)) {
                return None;
            }
            // Mapped, it has taken in the free block before it.
            block = next;
        }
        self.blocks.take_free(block);
        Some(block)
    }

    /// Where addresses for `size` begin: the lowest of an existing segment, else those of a new one.
    fn growing(&mut self, pool: Pool, size: u64) -> Option<u32> {
        let begin = |id: u32| {
            let before = self.blocks.get(id).prev;
            let usable = before != NONE && !self.blocks.get(before).allocated;
            if usable { before } else { id }
        };
        let found = self.blocks.unmapped_of(pool).map(begin).find(|&id| self.has_room(id, size));
        if found.is_some() {
            return found;
        }
        let most = self.limit_bytes.checked_add(self.limit_bytes / 8)?;
        let addresses = most.checked_next_multiple_of(granule(pool))?;
        if addresses < size {
            return None;
        }
        let id = self.blocks.segment(pool, addresses, false);
        self.blocks.put_unmapped(id);
        Some(id)
    }

    fn has_room(&self, from: u32, size: u64) -> bool {
        let (mut id, mut room) = (from, 0_u64);
        while room < size && id != NONE && !self.blocks.get(id).allocated {
            room = room.saturating_add(self.blocks.get(id).size);
            id = self.blocks.get(id).next;
        }
        room >= size
    }

    /// Puts memory behind the first `bytes` of an unmapped block, in whole granules; all of them or none.
    fn map(&mut self, id: u32, bytes: u64) -> bool {
        let block = self.blocks.get(id);
        let mapped = bytes.next_multiple_of(granule(block.pool)).min(block.size);
        let whole = block.size;
        let reserved = self.usage.reserved_bytes.saturating_add(mapped);
        if reserved > self.limit_bytes {
            return false;
        }
        self.usage.reserved_bytes = reserved;
        self.blocks.take_unmapped(id);
        if mapped < whole {
            let rest = self.blocks.cut(id, mapped);
            self.blocks.put_unmapped(rest);
        }
        self.blocks.get_mut(id).mapped = true;
        self.blocks.merge_around(id);
        self.blocks.put_free(id);
        true
    }

    /// Gives the whole granules inside a free block back to the driver.
    pub(super) fn unmap(&mut self, id: u32) {
        let block = self.blocks.get(id);
        let (offset, size, granule) = (block.offset, block.size, granule(block.pool));
        let begin = offset.next_multiple_of(granule);
        let end = (offset + size) / granule * granule;
        if begin >= end {
            return;
        }
        self.blocks.take_free(id);
        let mut middle = id;
        if begin > offset {
            middle = self.blocks.cut(id, begin - offset);
            self.blocks.put_free(id);
        }
        if end < offset + size {
            let after = self.blocks.cut(middle, end - begin);
            self.blocks.put_free(after);
        }
        self.blocks.get_mut(middle).mapped = false;
        self.blocks.merge_around(middle);
        self.usage.reserved_bytes = self.usage.reserved_bytes.saturating_sub(end - begin);
        if self.blocks.is_whole(middle) {
            // Its addresses go back too.
            self.blocks.discard(middle);
        } else {
            self.blocks.put_unmapped(middle);
        }
    }
}
