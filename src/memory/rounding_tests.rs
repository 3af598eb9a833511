//! What allocators add, against figures that were read from their code.

use super::*;
use crate::model::{ComponentId, TensorRole};

fn tensor(shape: &[u64]) -> Tensor {
    Tensor {
        name: "t".to_owned(),
        shape: shape.to_vec(),
        role: TensorRole::FfnUp,
        component: ComponentId::Mlp(0),
        merged: None,
        linear: true,
        published_f32: false,
    }
}

fn stored(type_name: &'static str, bytes: u64) -> StoredTensor {
    StoredTensor { type_name, bytes, staged_bytes: 0 }
}

#[test]
fn pytorch_rounds_requests_and_gives_large_ones_their_own_segment() {
    assert_eq!([1, 512, 513].map(torch), [512, 512, 1024]);
    assert_eq!(torch(10 * MIB - 1), 10 * MIB, "still by 512 B");
    assert_eq!(torch(10 * MIB), 10 * MIB);
    assert_eq!(torch(10 * MIB + 1), 12 * MIB);
    assert_eq!(torch(112 * MIB), 112 * MIB, "56 x 2 MiB");
    assert_eq!(torch(u64::MAX), u64::MAX);
}

#[test]
fn a_quantized_matrix_is_several_allocations() {
    // Mixtral's expert matrix in NF4: 28 MiB packed, 3.5 MiB of statistics, a table of 64 B.
    let expert = tensor(&[14336, 4096]);
    let nf4 = stored("nf4", 29_360_128 + 3_670_016 + 64);
    assert_eq!(added(Rounding::Torch, &expert, &nf4), 512 - 64);
    // Double quantization: 917,504 B of statistics, 14,336 of theirs, 1024, 4, 64.
    let double = stored("nf4-dq", 30_293_060);
    assert_eq!(added(Rounding::Torch, &expert, &double), (512 - 4) + (512 - 64));
    let int8 = stored("int8", 14336 * 4096 + 4 * 14336);
    assert_eq!(added(Rounding::Torch, &expert, &int8), 0);
    // Parts that do not add up are not how it is kept: one allocation.
    assert_eq!(added(Rounding::Torch, &expert, &stored("nf4", 100)), 412);
    assert_eq!(added(Rounding::None, &expert, &nf4), 0);
}

#[test]
fn ggml_pads_the_last_row_of_quantized_matrices() {
    // gpt-oss: rows of 2880 lack 192 of 512 elements; q8_0 has 34 B per 32.
    let (rows, row) = (64, 2880);
    let q8_0 = stored("q8_0", rows * row / 32 * 34);
    assert_eq!(added(Rounding::GgmlCuda, &tensor(&[rows, row]), &q8_0), {
        let padded: u64 = rows * row / 32 * 34 + 192 / 32 * 34;
        padded.next_multiple_of(128) - rows * row / 32 * 34
    });
    let f16 = stored("f16", rows * row * 2);
    assert_eq!(added(Rounding::GgmlCuda, &tensor(&[rows, row]), &f16), 0);
    let norm = stored("f32", 100 * 4);
    assert_eq!(added(Rounding::GgmlCuda, &tensor(&[100]), &norm), 512 - 400);
    let q4_k = stored("q4_k", 4096 * 4096 / 256 * 144);
    assert_eq!(added(Rounding::GgmlCuda, &tensor(&[4096, 4096]), &q4_k), 0);
}
