//! Any bytes as a safetensors file. The first byte says how far the data reach beyond the input.

#![no_main]

use apportion::checkpoint::read_safetensors;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&kilobytes, file)) = input.split_first() else { return };
    let bytes = u64::try_from(file.len()).unwrap() + (u64::from(kilobytes) << 10);
    let Ok(header) = read_safetensors(file, bytes, "fuzz") else { return };
    // What is accepted covers the file from the header to the end.
    let mut end = header.header_bytes;
    for tensor in &header.tensors {
        assert_eq!(tensor.offset, end);
        end += tensor.bytes;
    }
    assert_eq!(end, bytes);
});
