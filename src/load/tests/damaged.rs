//! Files that changed, and numbers that are none.

use super::*;

const COLUMNS: usize = 1024;
const ROWS: usize = 400;

/// A matrix of that type whose bytes were tampered with, loaded as another.
fn refusal(stored_as: GgmlType, held: GgmlType, tamper: impl Fn(&mut [u8])) -> String {
    let mut bytes = stored(stored_as, &numbers(1, ROWS * COLUMNS), COLUMNS);
    tamper(&mut bytes);
    let mut made = Made::new();
    made.item(MLP, held, COLUMNS, &[(stored_as, bytes)]);
    made.refusal()
}

#[test]
fn what_is_no_number_is_found_wherever_it_is_and_whatever_becomes_of_it() {
    let nans: [(GgmlType, Vec<u8>); 3] = [
        (GgmlType::F32, f32::NAN.to_le_bytes().to_vec()),
        (GgmlType::F16, f16::NAN.to_le_bytes().to_vec()),
        (GgmlType::Bf16, bf16::NAN.to_le_bytes().to_vec()),
    ];
    for (kind, nan) in nans {
        for held in [kind, GgmlType::F32, GgmlType::F16, GgmlType::Q4_0, GgmlType::Q6K] {
            for row in [0, 77, ROWS - 1] {
                let at = (row * COLUMNS + 5) * nan.len();
                let message = refusal(kind, held, |bytes| {
                    bytes[at..at + nan.len()].copy_from_slice(&nan);
                });
                let place =
                    format!("`t0.weight`, at row {row} of {MLP}: expected numbers, found NaN");
                assert!(message.contains(&place), "{message}");
            }
        }
    }
}

#[test]
fn scales_that_are_no_finite_number_are_found() {
    for kind in quantized() {
        let row_bytes = usize::try_from(kind.bytes(1024).unwrap()).unwrap();
        let block = usize::try_from(kind.block_bytes()).unwrap();
        let at = match kind {
            GgmlType::Q2K | GgmlType::Q3K | GgmlType::Q6K => block - 2,
            _ => 0,
        };
        for scale in [f16::NAN, f16::INFINITY] {
            let message = refusal(kind, kind, |bytes| {
                bytes[333 * row_bytes + at..][..2].copy_from_slice(&scale.to_le_bytes());
            });
            assert!(message.contains("at row 333 of"), "{message}");
            assert!(message.contains("finite scales"), "{message}");
        }
    }
}

#[test]
fn of_several_flaws_the_first_is_named() {
    let message = refusal(GgmlType::F32, GgmlType::F32, |bytes| {
        for row in [399, 300, 130, 250] {
            bytes[row * COLUMNS * 4..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
        }
    });
    assert!(message.contains("at row 130 of"), "{message}");
}

#[test]
fn numbers_too_large_for_the_type_they_should_become_are_refused() {
    let large = |bytes: &mut [u8]| {
        bytes[9 * COLUMNS * 4..][..4].copy_from_slice(&1e9_f32.to_le_bytes());
    };
    for kind in [GgmlType::F16, GgmlType::Q8_0, GgmlType::Q4K] {
        let message = refusal(GgmlType::F32, kind, large);
        assert!(message.contains("row 9 of") && message.contains("can hold"), "{message}");
    }
    let mut bytes = stored(GgmlType::F32, &numbers(1, ROWS * COLUMNS), COLUMNS);
    large(&mut bytes);
    let mut made = Made::new();
    made.item(MLP, GgmlType::Bf16, COLUMNS, &[(GgmlType::F32, bytes)]);
    made.load().unwrap();
}

#[test]
fn files_that_are_not_as_they_were_are_refused() {
    let bytes = stored(GgmlType::Q8_0, &numbers(1, 4 * COLUMNS), COLUMNS);
    let mut made = Made::new();
    made.item(MLP, GgmlType::Q8_0, COLUMNS, &[(GgmlType::Q8_0, bytes)]);
    made.load().unwrap();
    let length = made.manifest.files[0].1;
    for (new, found) in [(length - 1, length - 1), (length + 7, length + 7), (0, 0)] {
        made.files[0].as_file().set_len(new).unwrap();
        let message = made.refusal();
        assert!(message.contains(&format!("expected {length} bytes")), "{message}");
        assert!(message.contains(&format!("found {found} bytes")), "{message}");
    }
    made.files.clear();
    assert!(made.refusal().contains("no such file"));
}
