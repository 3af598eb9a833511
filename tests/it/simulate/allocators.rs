//! Cases worked by hand from the published rules, with their arithmetic.

use apportion::hardware::DeviceKind;
use apportion::simulate::{AllocatorKind, Refused};

use super::{GIB, KIB, MIB, fresh, usage};

#[test]
fn sizes_decide_the_pool_and_the_segment() {
    // Request; then reserved and allocated after it on a device of its own.
    for (bytes, reserved, allocated) in [
        // Nothing is nothing.
        (0, 0, 0),
        // 512 B at least, of a segment of 2 MiB.
        (1, 2 * MIB, 512),
        (513, 2 * MIB, 1024),
        (MIB, 2 * MIB, MIB),
        // Beyond 1 MiB a segment of 20 MiB.
        (MIB + 1, 20 * MIB, MIB + 512),
        (10 * MIB - 512, 20 * MIB, 10 * MIB - 512),
        // 10 MiB - 1 is rounded to 10 MiB, which has its own segment.
        (10 * MIB - 1, 10 * MIB, 10 * MIB),
        // Rounded up to 2 MiB: what is left is 2 MiB - 512 B, more than 1 MiB, and split off.
        (10 * MIB + 1, 12 * MIB, 10 * MIB + 512),
        // Left over are exactly 1 MiB, which is not more than 1 MiB: handed out with the rest.
        (11 * MIB, 12 * MIB, 12 * MIB),
        // An expert matrix of Mixtral in 16 bit is exactly 56 x 2 MiB.
        (4096 * 14336 * 2, 112 * MIB, 112 * MIB),
    ] {
        let mut torch = fresh(AllocatorKind::Torch, GIB);
        torch.alloc(bytes).unwrap();
        assert_eq!(usage(&*torch), [reserved, allocated], "{bytes}");
    }
    // With segments that grow: granules of 2 and of 20 MiB, and no more than the request handed out.
    for (bytes, reserved, allocated) in [
        (1, 2 * MIB, 512),
        (MIB + 1, 20 * MIB, MIB + 512),
        (11 * MIB, 20 * MIB, 11 * MIB),
        (112 * MIB, 120 * MIB, 112 * MIB),
    ] {
        let mut torch = fresh(AllocatorKind::TorchExpandable, GIB);
        torch.alloc(bytes).unwrap();
        assert_eq!(usage(&*torch), [reserved, allocated], "{bytes}");
    }
    // Uncached: granules of 2 MiB, which requests up to 1 MiB share.
    let mut plain = fresh(AllocatorKind::Candle, GIB);
    plain.alloc(300).unwrap();
    plain.alloc(MIB).unwrap();
    assert_eq!(usage(&*plain), [2 * MIB, MIB + 512]);
    plain.alloc(3 * MIB).unwrap();
    assert_eq!(usage(&*plain), [6 * MIB, 5 * MIB + 512], "1 MiB is no remainder");
}

#[test]
fn the_smallest_block_that_suffices_is_taken_and_neighbours_merge() {
    let mut torch = fresh(AllocatorKind::Torch, GIB);
    let large = torch.alloc(40 * MIB).unwrap();
    let small = torch.alloc(30 * MIB).unwrap();
    torch.free(large);
    torch.free(small);
    assert_eq!(usage(&*torch), [70 * MIB, 0], "what was freed stays reserved");
    // 24 of the 30 MiB, not of the 40; 6 MiB are left.
    let one = torch.alloc(24 * MIB).unwrap();
    assert_eq!(usage(&*torch), [70 * MIB, 24 * MIB]);
    let two = torch.alloc(40 * MIB).unwrap();
    assert_eq!(usage(&*torch), [70 * MIB, 64 * MIB], "the 40 MiB were still whole");
    assert_eq!(torch.largest_free_bytes(), 6 * MIB);
    torch.free(one);
    assert_eq!(torch.largest_free_bytes(), 30 * MIB, "24 and 6 are one again");
    torch.free(two);
    assert_eq!(torch.largest_free_bytes(), 40 * MIB, "segments are never one");
}

#[test]
fn pools_do_not_share() {
    let mut torch = fresh(AllocatorKind::Torch, GIB);
    let large = torch.alloc(20 * MIB).unwrap();
    torch.free(large);
    torch.alloc(64 * KIB).unwrap();
    assert_eq!(usage(&*torch), [22 * MIB, 64 * KIB], "a small request never takes a large block");
}

#[test]
fn a_refused_request_gives_back_whole_segments_and_asks_once_more() {
    let mut torch = fresh(AllocatorKind::Torch, 30 * MIB);
    let first = torch.alloc(20 * MIB).unwrap();
    torch.free(first);
    // 20 + 24 > 30: the 20 go back, then there is room.
    let second = torch.alloc(24 * MIB).unwrap();
    assert_eq!(usage(&*torch), [24 * MIB, 24 * MIB]);
    torch.free(second);
    // 12 of the 24: the rest is part of a segment in use and cannot go back.
    torch.alloc(12 * MIB).unwrap();
    let refused = torch.alloc(14 * MIB + 1).unwrap_err();
    assert_eq!(refused, Refused { asked_bytes: 16 * MIB }, "what the driver was asked for");
    assert_eq!(usage(&*torch), [24 * MIB, 12 * MIB], "the 12 MiB left over are no use");
    assert_eq!(torch.largest_free_bytes(), 12 * MIB);
    torch.alloc(12 * MIB).unwrap();
    assert_eq!(usage(&*torch), [24 * MIB, 24 * MIB]);
    // 6 MiB are free on the device, and a shared segment takes 20.
    assert_eq!(torch.alloc(2 * MIB), Err(Refused { asked_bytes: 20 * MIB }));
    torch.alloc(512).unwrap();
    assert_eq!(usage(&*torch), [26 * MIB, 24 * MIB + 512]);
}

#[test]
fn segments_that_grow_give_back_what_others_cannot() {
    // The same requests: of the 24 MiB that were freed 12 are taken again, and 14 find room.
    let mut torch = fresh(AllocatorKind::TorchExpandable, 40 * MIB);
    let first = torch.alloc(24 * MIB).unwrap();
    assert_eq!(usage(&*torch), [40 * MIB, 24 * MIB], "two granules of 20 MiB");
    torch.free(first);
    let low = torch.alloc(12 * MIB).unwrap();
    torch.alloc(14 * MIB).unwrap();
    assert_eq!(usage(&*torch), [40 * MIB, 26 * MIB]);
    // 14 of 40 are left, all behind what is in use.
    assert_eq!(torch.largest_free_bytes(), 14 * MIB);
    torch.free(low);
    // The second granule is in use to the end of its first half; the first is not free of it either.
    assert!(torch.alloc(15 * MIB).is_err());
    assert_eq!(usage(&*torch), [40 * MIB, 14 * MIB], "no granule is wholly free");
    // The small pool has no granule and gets none: 2 MiB are not there.
    assert!(torch.alloc(512).is_err());

    // A granule in the middle goes back and comes again.
    let mut torch = fresh(AllocatorKind::TorchExpandable, 60 * MIB);
    let a = torch.alloc(20 * MIB).unwrap();
    let b = torch.alloc(20 * MIB).unwrap();
    let c = torch.alloc(20 * MIB).unwrap();
    torch.free(b);
    let small = torch.alloc(512).unwrap();
    assert_eq!(usage(&*torch), [42 * MIB, 40 * MIB + 512], "20 MiB unmapped for 2 MiB");
    torch.free(small);
    let b = torch.alloc(16 * MIB).unwrap();
    assert_eq!(usage(&*torch), [60 * MIB, 56 * MIB], "and the other way round, in the same place");
    for handle in [a, b, c] {
        torch.free(handle);
    }
    assert_eq!(torch.largest_free_bytes(), 60 * MIB, "one block");
}

/// One expert matrix in NF4 with double quantization: 115.5 MiB pass, 29 MiB stay.
#[test]
fn a_staged_matrix_is_recycled_by_a_cache_and_asked_for_again_without_one() {
    let matrix = 4096 * 14336;
    let (staged, statistics) = (2 * matrix, matrix / 64 * 4);
    for (kind, reserved_bytes) in [
        // 112 staged, 28 packed, and 3.5 + 3.5 + 0.875 MiB and four small ones: of these the statistics share a
        // segment of 20 MiB, the 896 KiB and the rest are in the small pool's 2 MiB.
        (AllocatorKind::Torch, [162 * MIB, 190 * MIB]),
        // Uncached: what passes goes back. 28 MiB and 2 MiB stay of each; small ones share.
        (AllocatorKind::Candle, [30 * MIB, 58 * MIB]),
    ] {
        let mut allocator = fresh(kind, GIB);
        for reserved_bytes in reserved_bytes {
            let mut passing = vec![allocator.alloc(staged).unwrap()];
            passing.push(allocator.alloc(statistics).unwrap());
            allocator.alloc(matrix / 2).unwrap();
            allocator.alloc(64).unwrap();
            allocator.alloc(4).unwrap();
            passing.push(allocator.alloc(statistics).unwrap());
            allocator.alloc(statistics / 256).unwrap();
            allocator.alloc(matrix / 64).unwrap();
            allocator.alloc(1024).unwrap();
            for handle in passing.into_iter().rev() {
                allocator.free(handle);
            }
            assert_eq!(allocator.usage().reserved_bytes, reserved_bytes, "{kind:?}");
        }
    }
}

#[test]
fn host_memory_is_dealt_out_byte_by_byte() {
    let mut host = AllocatorKind::Torch.fresh(DeviceKind::Cpu, 100);
    let first = host.alloc(60).unwrap();
    assert_eq!(host.alloc(41), Err(Refused { asked_bytes: 41 }));
    host.alloc(40).unwrap();
    assert_eq!(usage(&*host), [100, 100]);
    host.free(first);
    assert_eq!(usage(&*host), [40, 40]);
    host.alloc(60).unwrap();
    assert_eq!(usage(&*host), [100, 100]);
}

#[test]
fn absurd_requests_are_refused() {
    for kind in AllocatorKind::ALL {
        let mut allocator = fresh(kind, 1 << 60);
        for bytes in [u64::MAX, u64::MAX - 600, (1 << 60) + 1] {
            assert!(allocator.alloc(bytes).is_err(), "{kind:?} {bytes}");
        }
        allocator.alloc(1 << 50).unwrap();
        allocator.set_limit(0);
        assert!(allocator.alloc(1 << 50).is_err());
        assert!(allocator.usage().reserved_bytes >= 1 << 50, "what it has stays");
    }
}
