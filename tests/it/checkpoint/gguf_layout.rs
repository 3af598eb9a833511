//! Tensors of GGUF files: what is right in any version, and infos that lie.

use apportion::checkpoint::MetaValue;
use apportion::dtype::{Dtype, GgmlType};

use super::Shelf;
use super::build::{Gguf, kind, list, text};

const F32: u32 = 0;
const Q8_0: u32 = 8;
const Q4_K: u32 = 12;

fn refuses(gguf: &Gguf, words: &[&str]) {
    let shelf = Shelf::new();
    shelf.put("x.gguf", gguf.file()).refuses("x.gguf", &["x.gguf`, at byte "]);
    shelf.refuses("x.gguf", words);
}

/// One tensor of that shape and type, in a file with enough data for small ones.
fn tensor_refuses(dimensions: &[u64], kind: u32, offset: u64, words: &[&str]) {
    let gguf = Gguf::new().tensor("t", dimensions, kind, offset).data(1024);
    refuses(&gguf, &["tensor `t`"]);
    refuses(&gguf, words);
}

#[test]
fn both_versions_are_read_with_dimensions_outermost_first() {
    for version in [2, 3] {
        let gguf = Gguf { version, ..Gguf::new() }
            .value("x.per_layer", kind::LIST, &list(kind::I32, 2, &[8, 0, 0, 0, 0, 0, 0, 0]))
            .value("x.window", kind::LIST, &list(kind::BOOL, 3, &[1, 0, 1]))
            .value("x.signed", kind::LIST, &list(kind::I32, 1, &[0xff; 4]))
            .value("x.negative", kind::I32, &[0xfe, 0xff, 0xff, 0xff])
            .tensor("experts", &[256, 3, 2], Q4_K, 0)
            .tensor("bias", &[5], F32, 896)
            .data(1024);
        let shelf = Shelf::new();
        let found = shelf.put("x.gguf", gguf.file()).open("x.gguf");
        let start = found.files[0].header_bytes;
        assert_eq!((start % 32, found.files[0].bytes), (0, start + 1024));
        let [experts, bias] = &found.tensors[..] else { panic!("{found:?}") };
        assert_eq!((&experts.shape[..], experts.bytes), (&[2, 3, 256][..], 864));
        assert_eq!((experts.dtype, experts.offset), (Dtype::Ggml(GgmlType::Q4K), start));
        assert_eq!((bias.bytes, bias.offset), (20, start + 896), "a gap is the writer's choice");
        assert_eq!(found.metadata.integers("x.per_layer"), Some(vec![8, 0]));
        assert_eq!(found.metadata.integers("x.window"), Some(vec![1, 0, 1]));
        assert_eq!(found.metadata.len("x.window"), Some(3));
        assert_eq!(found.metadata.get("x.signed"), Some(&MetaValue::List(1)));
        assert_eq!(found.metadata.get("x.negative"), Some(&MetaValue::Negative(-2)));
        assert_eq!(found.metadata.u64("x.negative"), None);
        assert_eq!(found.metadata.f64("x.negative"), Some(-2.0));
    }
}

#[test]
fn the_alignment_is_the_file_s_own() {
    let gguf = Gguf { alignment: 64, ..Gguf::new() }
        .value("general.alignment", kind::U32, &64_u32.to_le_bytes())
        .tensor("a", &[1], F32, 0)
        .tensor("b", &[1], F32, 64)
        .data(68);
    let shelf = Shelf::new();
    let found = shelf.put("x.gguf", gguf.file()).open("x.gguf");
    assert_eq!(found.files[0].header_bytes % 64, 0);
    assert_eq!(found.tensors[1].offset, found.files[0].header_bytes + 64);
    let unaligned = Gguf { alignment: 64, ..Gguf::new() }
        .value("general.alignment", kind::U32, &64_u32.to_le_bytes())
        .tensor("a", &[1], F32, 32)
        .data(68);
    refuses(&unaligned, &["tensor `a`", "a multiple of 64", "found 32"]);
}

#[test]
fn a_file_of_key_values_alone_is_read() {
    let mut file = Gguf::new().value("a", kind::BOOL, &[1]).file();
    file.truncate(38);
    let shelf = Shelf::new();
    let found = shelf.put("x.gguf", file).open("x.gguf");
    assert_eq!((found.files[0].bytes, found.files[0].header_bytes), (38, 38));
    assert_eq!(found.metadata.bool("a"), Some(true));
}

#[test]
fn a_text_too_long_to_keep_is_skipped() {
    let gguf = Gguf::new()
        .value("tokenizer.huggingface.json", kind::TEXT, &text(&" ".repeat((1 << 20) + 1)))
        .value("b", kind::BOOL, &[1]);
    let shelf = Shelf::new();
    let found = shelf.put("x.gguf", gguf.file()).open("x.gguf");
    let tokenizer = found.metadata.get("tokenizer.huggingface.json");
    assert_eq!(tokenizer, Some(&MetaValue::LongText((1 << 20) + 1)));
    assert_eq!(found.metadata.bool("b"), Some(true));
}

#[test]
fn dimensions_that_cannot_be() {
    tensor_refuses(&[], F32, 0, &["byte 33", "1 to 4 dimensions", "found 0"]);
    tensor_refuses(&[1; 5], F32, 0, &["byte 33", "1 to 4 dimensions", "found 5"]);
    tensor_refuses(&[33], Q8_0, 0, &["rows of whole blocks, 32 elements each", "q8_0 [33]"]);
    let fits = "a shape whose bytes fit in 64 bits";
    tensor_refuses(&[1 << 32, 1 << 32], F32, 0, &["byte 33", fits, "[4294967296, 4294967296]"]);
    tensor_refuses(&[1 << 62], F32, 0, &["byte 33", fits, "f32 [4611686018427387904]"]);
    tensor_refuses(&[u64::MAX; 4], F32, 0, &["byte 33", fits]);
}

#[test]
fn unknown_types() {
    // 4 and 5 were withdrawn.
    for id in [4, 5, 1000, u32::MAX] {
        let found = format!("found {id}");
        tensor_refuses(&[1], id, 0, &["byte 45", "the number of a ggml type", &found]);
    }
}

#[test]
fn data_beyond_the_file() {
    tensor_refuses(&[257], F32, 0, &["byte 1088", "within the file", "found 64 to 1092"]);
    tensor_refuses(&[1], F32, 1024, &["byte 1088", "within the file", "found 1088 to 1092"]);
    tensor_refuses(&[1], F32, 33, &["byte 49", "a multiple of 32", "found 33"]);
    let end = u64::MAX - 31;
    tensor_refuses(&[1], F32, end, &["byte 1088", "found 18446744073709551648 to"]);
    tensor_refuses(&[8], F32, end, &["byte 49", "an offset within the file", &end.to_string()]);
}

#[test]
fn data_that_overlap_or_are_out_of_order() {
    let two = |first, second| {
        let gguf = Gguf::new().tensor("a", &[16], F32, first).tensor("b", &[8], F32, second);
        gguf.data(1024)
    };
    refuses(&two(0, 32), &["byte 82, tensor `b`", "at least 64, where `a` ends", "found 32"]);
    refuses(&two(64, 0), &["byte 82, tensor `b`", "at least 128, where `a` ends", "found 0"]);
    refuses(&two(0, 0), &["tensor `b`", "found 0"]);
}

#[test]
fn names_twice() {
    let gguf = Gguf::new().tensor("a", &[8], F32, 0).tensor("a", &[8], F32, 32).data(64);
    refuses(&gguf, &["tensor `a`", "every tensor once", "the same name twice"]);
}
