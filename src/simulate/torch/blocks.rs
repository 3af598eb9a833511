//! Blocks: pieces of segments, linked with their neighbours, and the free ones ordered by size.

use std::collections::BTreeSet;

/// No block.
pub(super) const NONE: u32 = u32::MAX;

/// Requests of one kind, which share blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    Small,
    Large,
}

/// A piece of a segment.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Segments are numbered as they come, which orders addresses.
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) prev: u32,
    pub(super) next: u32,
    pub(super) pool: Pool,
    pub(super) allocated: bool,
    /// Whether there is memory behind its addresses; always, but for expandable segments.
    pub(super) mapped: bool,
}

/// All blocks of a device.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    all: Vec<Block>,
    /// Numbers that can be used again.
    unused: Vec<u32>,
    segments: u64,
    /// Size, segment, offset, number; of each pool.
    free: [BTreeSet<(u64, u64, u64, u32)>; 2],
    /// Segment, offset, number; of each pool.
    unmapped: [BTreeSet<(u64, u64, u32)>; 2],
}

fn index(id: u32) -> usize {
    // Numbers are indices of a vector.
    usize::try_from(id).unwrap_or(usize::MAX)
}

impl Blocks {
    pub(super) fn get(&self, id: u32) -> &Block {
        &self.all[index(id)]
    }

    pub(super) fn get_mut(&mut self, id: u32) -> &mut Block {
        &mut self.all[index(id)]
    }

    fn add(&mut self, block: Block) -> u32 {
        if let Some(id) = self.unused.pop() {
            self.all[index(id)] = block;
            return id;
        }
        self.all.push(block);
        // More blocks than this do not fit in memory.
        u32::try_from(self.all.len() - 1).unwrap_or(NONE)
    }

    /// A new segment as one block, neither free nor allocated.
    pub(super) fn segment(&mut self, pool: Pool, size: u64, mapped: bool) -> u32 {
        let segment = self.segments;
        self.segments += 1;
        let block = Block {
            segment,
            offset: 0,
            size,
            prev: NONE,
            next: NONE,
            pool,
            allocated: false,
            mapped,
        };
        self.add(block)
    }

    /// Forgets a block that is in no set and has no neighbours.
    pub(super) fn discard(&mut self, id: u32) {
        self.unused.push(id);
    }

    /// Whether it is all of its segment.
    pub(super) fn is_whole(&self, id: u32) -> bool {
        let block = self.get(id);
        block.prev == NONE && block.next == NONE
    }

    fn free_key(&self, id: u32) -> (Pool, (u64, u64, u64, u32)) {
        let block = self.get(id);
        (block.pool, (block.size, block.segment, block.offset, id))
    }

    pub(super) fn put_free(&mut self, id: u32) {
        let (pool, key) = self.free_key(id);
        self.free[pool as usize].insert(key);
    }

    pub(super) fn take_free(&mut self, id: u32) {
        let (pool, key) = self.free_key(id);
        self.free[pool as usize].remove(&key);
    }

    fn unmapped_key(&self, id: u32) -> (Pool, (u64, u64, u32)) {
        let block = self.get(id);
        (block.pool, (block.segment, block.offset, id))
    }

    pub(super) fn put_unmapped(&mut self, id: u32) {
        let (pool, key) = self.unmapped_key(id);
        self.unmapped[pool as usize].insert(key);
    }

    pub(super) fn take_unmapped(&mut self, id: u32) {
        let (pool, key) = self.unmapped_key(id);
        self.unmapped[pool as usize].remove(&key);
    }

    /// Blocks without memory behind them, by address.
    pub(super) fn unmapped_of(&self, pool: Pool) -> impl Iterator<Item = u32> {
        self.unmapped[pool as usize].iter().map(|key| key.2)
    }

    /// The free blocks as they are now, the smallest first.
    pub(super) fn free_of(&self, pool: Pool) -> Vec<u32> {
        self.free[pool as usize].iter().map(|key| key.3).collect()
    }

    /// The smallest free block of at least this size, of equal ones the first.
    pub(super) fn best_fit(&self, pool: Pool, size: u64) -> Option<u32> {
        self.free[pool as usize].range((size, 0, 0, 0)..).next().map(|key| key.3)
    }

    /// The same, but a block that can grow counts as large as it can become.
    pub(super) fn best_fit_expandable(&self, pool: Pool, size: u64) -> Option<u32> {
        let mut suited = self.free[pool as usize].range((size, 0, 0, 0)..).map(|key| key.3);
        let mut best = suited.next()?;
        for next in suited {
            if self.expandable_size(next) >= self.expandable_size(best) {
                break;
            }
            best = next;
        }
        Some(best)
    }

    fn expandable_size(&self, id: u32) -> u64 {
        let block = self.get(id);
        let behind = (block.next != NONE).then(|| self.get(block.next));
        let more = behind.filter(|next| !next.mapped).map_or(0, |next| next.size);
        block.size + more
    }

    pub(super) fn largest_free_bytes(&self) -> u64 {
        self.free.iter().filter_map(|set| set.last()).map(|key| key.0).max().unwrap_or(0)
    }

    /// Cuts what is beyond `size` off and frees that; the block itself is in no set.
    pub(super) fn split(&mut self, id: u32, size: u64) {
        let rest = self.cut(id, size);
        self.put_free(rest);
    }

    /// Cuts a block in two and returns the second; neither is in a set.
    pub(super) fn cut(&mut self, id: u32, size: u64) -> u32 {
        let block = self.get_mut(id);
        let rest = Block {
            offset: block.offset + size,
            size: block.size - size,
            prev: id,
            ..block.clone()
        };
        block.size = size;
        let after = rest.next;
        let rest = self.add(rest);
        self.get_mut(id).next = rest;
        if after != NONE {
            self.get_mut(after).prev = rest;
        }
        rest
    }

    /// Takes in the neighbours that are like it: not allocated, and as much or as little mapped.
    pub(super) fn merge_around(&mut self, id: u32) {
        self.merge(id, self.get(id).prev);
        self.merge(id, self.get(id).next);
    }

    fn merge(&mut self, into: u32, other: u32) {
        if other == NONE {
            return;
        }
        let taken = self.get(other).clone();
        if taken.allocated || taken.mapped != self.get(into).mapped {
            return;
        }
        if taken.mapped {
            self.take_free(other);
        } else {
            self.take_unmapped(other);
        }
        let before = self.get(into).prev == other;
        let block = self.get_mut(into);
        block.size += taken.size;
        if before {
            block.offset = taken.offset;
            block.prev = taken.prev;
            if taken.prev != NONE {
                self.get_mut(taken.prev).next = into;
            }
        } else {
            block.next = taken.next;
            if taken.next != NONE {
                self.get_mut(taken.next).prev = into;
            }
        }
        self.discard(other);
    }
}
