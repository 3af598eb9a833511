//! The models against an implementation that keeps nothing sorted and links nothing: segments as rows of pieces that
//! are searched from end to end.

use apportion::simulate::{AllocatorKind, Handle};

use super::{MIB, fresh, usage};
use crate::support::Random;

/// A piece of a segment: its size, and who has it.
type Piece = (u64, Option<u64>);

/// Rows of pieces, small segments and large ones apart, each in the order in which it came.
struct Naive {
    caches: bool,
    limit: u64,
    small: Vec<Vec<Piece>>,
    large: Vec<Vec<Piece>>,
}

impl Naive {
    fn reserved(&self) -> u64 {
        self.small.iter().chain(&self.large).flatten().map(|piece| piece.0).sum()
    }

    fn allocated(&self) -> u64 {
        let pieces = self.small.iter().chain(&self.large).flatten();
        pieces.filter(|piece| piece.1.is_some()).map(|piece| piece.0).sum()
    }

    fn pool(&mut self, size: u64) -> &mut Vec<Vec<Piece>> {
        if size <= MIB { &mut self.small } else { &mut self.large }
    }

    fn alloc(&mut self, bytes: u64, owner: u64) -> bool {
        let size = bytes.div_ceil(512) * 512;
        let segment = match size {
            _ if size <= MIB => 2 * MIB,
            _ if size < 10 * MIB && self.caches => 20 * MIB,
            _ => size.div_ceil(2 * MIB) * 2 * MIB,
        };
        if self.take(size, owner) {
            return true;
        }
        if self.reserved() + segment > self.limit {
            self.small.retain(|pieces| pieces.len() > 1 || pieces[0].1.is_some());
            self.large.retain(|pieces| pieces.len() > 1 || pieces[0].1.is_some());
        }
        if self.reserved() + segment > self.limit {
            return false;
        }
        self.pool(size).push(vec![(segment, None)]);
        self.take(size, owner)
    }

    fn take(&mut self, size: u64, owner: u64) -> bool {
        let small = size <= MIB;
        let pool = self.pool(size);
        let mut best: Option<(u64, usize, usize)> = None;
        for (row, pieces) in pool.iter().enumerate() {
            for (at, &(bytes, who)) in pieces.iter().enumerate() {
                if who.is_none() && bytes >= size && best.is_none_or(|best| bytes < best.0) {
                    best = Some((bytes, row, at));
                }
            }
        }
        let Some((bytes, row, at)) = best else { return false };
        let rest = bytes - size;
        if if small { rest >= 512 } else { rest > MIB } {
            pool[row][at] = (size, Some(owner));
            pool[row].insert(at + 1, (rest, None));
        } else {
            pool[row][at] = (bytes, Some(owner));
        }
        true
    }

    fn free(&mut self, owner: u64) {
        for pieces in self.small.iter_mut().chain(&mut self.large) {
            for piece in pieces.iter_mut().filter(|piece| piece.1 == Some(owner)) {
                piece.1 = None;
            }
            let mut merged: Vec<Piece> = Vec::new();
            for &piece in pieces.iter() {
                match merged.last_mut() {
                    Some(last) if last.1.is_none() && piece.1.is_none() => last.0 += piece.0,
                    _ => merged.push(piece),
                }
            }
            *pieces = merged;
        }
        if !self.caches {
            self.small.retain(|pieces| pieces.len() > 1 || pieces[0].1.is_some());
            self.large.retain(|pieces| pieces.len() > 1 || pieces[0].1.is_some());
        }
    }
}

/// Sizes around every boundary there is.
fn size(random: &mut Random) -> u64 {
    let most = [2_000, MIB + 2_000, 3 * MIB, 12 * MIB, 40 * MIB][random.index(5)];
    random.within(1, most)
}

#[test]
fn random_requests_get_what_the_naive_one_gives() {
    for (kind, caches) in [(AllocatorKind::Torch, true), (AllocatorKind::Candle, false)] {
        let mut refused = 0;
        for seed in 0..60 {
            let mut random = Random::new(seed);
            let limit = (30 + 17 * seed) * MIB;
            let mut model = fresh(kind, limit);
            let mut naive = Naive { caches, limit, small: Vec::new(), large: Vec::new() };
            let mut held: Vec<(u64, Handle)> = Vec::new();
            for owner in 0..600 {
                if !held.is_empty() && random.index(100) < 45 {
                    let (owner, handle) = held.swap_remove(random.index(held.len()));
                    model.free(handle);
                    naive.free(owner);
                } else {
                    let bytes = size(&mut random);
                    let got = model.alloc(bytes);
                    assert_eq!(got.is_ok(), naive.alloc(bytes, owner), "{seed} {owner} {bytes}");
                    refused += usize::from(got.is_err());
                    held.extend(got.ok().map(|handle| (owner, handle)));
                }
                let expected = [naive.reserved(), naive.allocated()];
                assert_eq!(usage(&*model), expected, "{kind:?} seed {seed} event {owner}");
            }
        }
        assert!(refused > 100, "{kind:?}: only {refused} were refused");
    }
}

/// Whatever is asked for: nothing beyond the limit, nothing handed out that is not reserved, nothing lost.
#[test]
fn what_every_allocator_owes() {
    for kind in AllocatorKind::ALL {
        for seed in 0..20 {
            let mut random = Random::new(100 + seed);
            let limit = (10 + 40 * seed) * MIB;
            let mut model = fresh(kind, limit);
            let mut held: Vec<Handle> = Vec::new();
            for _ in 0..800 {
                let before = usage(&*model);
                if !held.is_empty() && random.index(100) < 48 {
                    model.free(held.swap_remove(random.index(held.len())));
                    assert!(usage(&*model)[1] < before[1]);
                } else {
                    let bytes = size(&mut random);
                    let largest = model.largest_free_bytes();
                    match model.alloc(bytes) {
                        Ok(handle) => {
                            assert!(usage(&*model)[1] >= before[1] + bytes);
                            held.push(handle);
                        }
                        Err(refused) => {
                            assert!(refused.asked_bytes >= bytes);
                            // Requests up to 1 MiB and larger ones do not share. Small ones leave free blocks of less
                            // than two granules, 4 MiB, which do not go back; larger ones suffice.
                            let fits = largest >= bytes && bytes > MIB && largest > 4 * MIB;
                            assert!(!fits, "{kind:?} {largest} {bytes}");
                        }
                    }
                }
                let [reserved, allocated] = usage(&*model);
                assert!(allocated <= reserved && reserved <= limit);
                assert!(model.largest_free_bytes() <= reserved - allocated);
            }
            for handle in held {
                model.free(handle);
            }
            assert_eq!(usage(&*model)[1], 0);
            // Everything that is free can be had in one piece of the limit, or goes back for it.
            assert!(model.alloc(limit / (20 * MIB) * (20 * MIB)).is_ok(), "{kind:?} {seed}");
        }
    }
}

/// Without a cache nothing depends on what there would still be: more memory never fails earlier. (A cache can be
/// luckier with less: what was given back early comes again in better pieces.)
#[test]
fn without_a_cache_more_memory_never_fails_earlier() {
    for seed in 0..40 {
        let first_failure = |limit: u64| {
            let mut random = Random::new(seed);
            let mut model = fresh(AllocatorKind::Candle, limit);
            let mut held: Vec<Handle> = Vec::new();
            (0..400).find(|_| {
                if !held.is_empty() && random.index(100) < 40 {
                    model.free(held.swap_remove(random.index(held.len())));
                    return false;
                }
                let got = model.alloc(size(&mut random));
                let refused = got.is_err();
                held.extend(got.ok());
                refused
            })
        };
        let failures: Vec<usize> =
            (1..30).map(|step| first_failure(step * 20 * MIB).unwrap_or(400)).collect();
        assert!(failures.windows(2).all(|two| two[0] <= two[1]), "{seed}: {failures:?}");
        assert!(failures[0] < 400);
    }
}
