//! Any text as the index of a sharded checkpoint.

#![no_main]

use apportion::checkpoint::read_index;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(index) = read_index(text, "fuzz") else { return };
    // What is accepted names files beside the index, and every tensor once.
    assert!(index.shards.iter().all(|shard| !shard.contains(['/', '\\'])));
    assert!(index.tensors.iter().all(|(_, shard)| *shard < index.shards.len()));
    let mut names: Vec<&str> = index.tensors.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
});
