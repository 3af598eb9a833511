//! Any bytes as a GGUF file. The first byte says how far the data reach beyond the input.

#![no_main]

use std::io::Cursor;

use apportion::checkpoint::read_gguf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&kilobytes, file)) = input.split_first() else { return };
    let bytes = u64::try_from(file.len()).unwrap() + (u64::from(kilobytes) << 10);
    let Ok(header) = read_gguf(Cursor::new(file), bytes, "fuzz") else { return };
    // What is accepted lies behind the header, in order, within the file.
    let mut end = header.header_bytes;
    for tensor in &header.tensors {
        assert!(tensor.offset >= end);
        end = tensor.offset + tensor.bytes;
    }
    assert!(end <= bytes);
});
