//! What weights give when they are multiplied and looked up.

use candle_core::quantized::QuantizedType;
use candle_core::{DType, Device as Real, Tensor};

use super::*;
use crate::load::weights::Weight;

const COLUMNS: usize = 512;

fn weight(placed: &Placed) -> &Weight {
    placed.weights.values().next().unwrap()
}

fn loaded(kind: GgmlType, values: &[f32], columns: usize) -> Placed {
    let mut made = Made::new();
    made.item(MLP, kind, columns, &[(kind, stored(kind, values, columns))]);
    made.load().unwrap()
}

/// candle's own product with its own quantization of the same numbers.
fn of_candles_own(kind: GgmlType, x: &[f32], m: usize, values: &[f32]) -> Vec<f32> {
    let rows = values.len() / COLUMNS;
    let mut matrix: Box<dyn QuantizedType> = of_candle(kind).cpu_zeros(values.len());
    matrix.from_float(values);
    let mut out = vec![0.0; m * rows];
    matrix.matmul_t((m, COLUMNS, rows), x, &mut out).unwrap();
    out
}

#[test]
fn products_with_blocks_are_candles_to_the_bit_on_any_number_of_threads() {
    for kind in quantized() {
        for (m, rows) in [(1, 1), (1, 4), (1, 135), (2, 3), (16, 66), (17, 130), (40, 7)] {
            let values = numbers(7, rows * COLUMNS);
            let placed = loaded(kind, &values, COLUMNS);
            let floats = numbers(3, m * COLUMNS);
            let x = Tensor::from_slice(&floats, (m, COLUMNS), &Real::Cpu).unwrap();
            let expected = of_candles_own(kind, &floats, m, &values);
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let out = pool.install(|| weight(&placed).apply(&x)).unwrap();
                assert_eq!(out.dims(), [m, rows]);
                let out: Vec<f32> = out.flatten_all().unwrap().to_vec1().unwrap();
                let bits = |floats: &[f32]| floats.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert!(bits(&out) == bits(&expected), "{} {m} x {rows}", kind.name());
            }
        }
    }
}

#[test]
fn products_with_floats_are_those_of_the_numbers_they_hold() {
    // Odd widths, one row more than bands have, few and many rows of activations.
    for kind in [GgmlType::F32, GgmlType::F16, GgmlType::Bf16] {
        for (m, rows, columns) in [(1, 33, 301), (3, 70, 257), (5, 9, 300), (33, 131, 64)] {
            let values = numbers(5, rows * columns);
            let placed = loaded(kind, &values, columns);
            let held: Vec<f32> = (0..u32::try_from(rows).unwrap())
                .flat_map(|row| {
                    let row = weight(&placed).rows(&[row]).unwrap();
                    row.flatten_all().unwrap().to_vec1::<f32>().unwrap()
                })
                .collect();
            let floats = numbers(9, m * columns);
            // Not contiguous, as activations may be.
            let x = Tensor::from_slice(&floats, (m, columns), &Real::Cpu).unwrap();
            let x = x.t().unwrap().contiguous().unwrap().t().unwrap();
            let out: Vec<Vec<f32>> = weight(&placed).apply(&x).unwrap().to_vec2().unwrap();
            for (out, x) in out.iter().zip(floats.chunks(columns)) {
                for (out, row) in out.iter().zip(held.chunks(columns)) {
                    let terms = || x.iter().zip(row).map(|(x, w)| f64::from(*x) * f64::from(*w));
                    let (exact, size) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
                    assert!((f64::from(*out) - exact).abs() <= 1e-5 * size, "{}", kind.name());
                }
            }
        }
    }
}

#[test]
fn rows_and_vectors_are_what_the_file_says() {
    for kind in kinds() {
        let values = numbers(11, 3 * COLUMNS);
        let placed = loaded(kind, &values, COLUMNS);
        let all: Vec<Vec<f32>> = weight(&placed).rows(&[2, 0, 2]).unwrap().to_vec2().unwrap();
        let expected = dequantized(kind, &values);
        for (row, index) in all.iter().zip([2, 0, 2]) {
            assert_eq!(row, &expected[index * COLUMNS..][..COLUMNS], "{}", kind.name());
        }
        let one = loaded(kind, &values[..COLUMNS], COLUMNS);
        let vector = weight(&one).vector().unwrap();
        assert_eq!((vector.dims(), vector.dtype()), ([COLUMNS].as_slice(), DType::F32));
        assert_eq!(vector.to_vec1::<f32>().unwrap(), dequantized(kind, &values[..COLUMNS]));
        assert!(weight(&placed).rows(&[3]).is_err());
        let none = weight(&placed).rows(&[]).unwrap();
        assert_eq!(none.dims(), [0, COLUMNS]);
    }
}

/// What is left of numbers in a file of that type, by candle.
fn dequantized(kind: GgmlType, values: &[f32]) -> Vec<f32> {
    match kind {
        GgmlType::F32 => values.to_vec(),
        GgmlType::F16 => values.iter().map(|x| f16::from_f32(*x).to_f32()).collect(),
        GgmlType::Bf16 => values.iter().map(|x| bf16::from_f32(*x).to_f32()).collect(),
        _ => {
            let mut matrix = of_candle(kind).cpu_zeros(values.len());
            matrix.from_float(values);
            let storage = matrix.dequantize(values.len()).unwrap();
            let candle_core::CpuStorage::F32(floats) = storage else { unreachable!("it says f32") };
            floats
        }
    }
}

#[test]
fn activations_of_another_width_or_type_are_refused_and_none_give_none() {
    for kind in kinds() {
        let placed = loaded(kind, &numbers(1, 2 * COLUMNS), COLUMNS);
        let zeros = |m, columns, dtype| Tensor::zeros((m, columns), dtype, &Real::Cpu).unwrap();
        assert!(weight(&placed).apply(&zeros(1, COLUMNS + 1, DType::F32)).is_err());
        assert!(weight(&placed).apply(&zeros(1, COLUMNS, DType::U32)).is_err(), "{}", kind.name());
        let none = weight(&placed).apply(&zeros(0, COLUMNS, DType::F32)).unwrap();
        assert_eq!(none.dims(), [0, 2]);
    }
}

#[test]
fn repacked_matrices_count_their_second_copy_and_give_nearly_the_same() {
    for kind in quantized() {
        let values = numbers(13, 32 * COLUMNS);
        let mut made = Made::new();
        made.item(MLP, kind, COLUMNS, &[(kind, stored(kind, &values, COLUMNS))]);
        let options = LoadOptions { cpu_repack: true, ..OPTIONS };
        let placed = made.load_with(vec![device(0, u64::MAX)], &options).unwrap();
        let weight = weight(&placed);
        let second_bytes = match kind {
            GgmlType::Q4K => 2 * 2 * 8192,
            GgmlType::Q6K => 2 * 2 * 5120,
            GgmlType::Q8_0 => 2 * 16 * 544,
            _ => 0,
        };
        let second_bytes = if cfg!(target_arch = "x86_64") { second_bytes } else { 0 };
        assert_eq!(weight.second_copy_bytes(), second_bytes, "{}", kind.name());
        assert_eq!(weight.bytes(), made.manifest.items[0].bytes);
        let kept = placed.devices[0].ledger.balance().weights_bytes();
        assert_eq!(kept, weight.bytes() + second_bytes);
        let floats = numbers(3, 4 * COLUMNS);
        let x = Tensor::from_slice(&floats, (4, COLUMNS), &Real::Cpu).unwrap();
        let out: Vec<f32> = weight.apply(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let plain = of_candles_own(kind, &floats, 4, &values);
        let size = plain.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        for (out, plain) in out.iter().zip(&plain) {
            // Q8_0 activations are quantized otherwise there.
            assert!((out - plain).abs() <= 0.02 * size, "{} {out} {plain}", kind.name());
        }
    }
}
