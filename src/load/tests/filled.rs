//! What is in memory is what was in the files.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::load::{Tally, Watch};

/// More than one chunk of every type, and more than one band of elements.
const ROWS: usize = 700;
const COLUMNS: usize = 1024;

#[test]
fn bytes_of_the_held_type_are_the_files_own() {
    for kind in kinds() {
        let values = numbers(1, ROWS * COLUMNS);
        let bytes = stored(kind, &values, COLUMNS);
        let cut = bytes.len() / ROWS * 123;
        let (first, second) = bytes.split_at(cut);
        let mut made = Made::new();
        made.item(MLP, kind, COLUMNS, &[(kind, first.to_vec()), (kind, second.to_vec())]);
        let placed = made.load().unwrap();
        assert_eq!(placed.devices[0].ledger.balance().peak_staged_bytes, 0);
        let weight = placed.weights.values().next().unwrap();
        assert!(weight.held_bytes() == bytes, "{}", kind.name());
        let length = u64::try_from(bytes.len()).unwrap();
        assert_eq!(weight.bytes(), length, "{}", kind.name());
        assert_eq!(placed.devices[0].ledger.balance().weights_bytes(), length);
        assert_eq!((weight.shape(), weight.kind()), ((ROWS, COLUMNS), kind));
    }
}

#[test]
fn floats_become_what_candle_makes_of_the_same_numbers() {
    for source in [GgmlType::F32, GgmlType::F16, GgmlType::Bf16] {
        let values = numbers(2, ROWS * COLUMNS);
        let bytes = stored(source, &values, COLUMNS);
        // Exactly the numbers that are in the file.
        let values: Vec<f32> = match source {
            GgmlType::F32 => values,
            GgmlType::F16 => values.iter().map(|x| f16::from_f32(*x).to_f32()).collect(),
            _ => values.iter().map(|x| bf16::from_f32(*x).to_f32()).collect(),
        };
        for kind in kinds().filter(|kind| *kind != source) {
            let cut = bytes.len() / ROWS * 65;
            let (first, second) = bytes.split_at(cut);
            let mut made = Made::new();
            made.item(MLP, kind, COLUMNS, &[(source, first.to_vec()), (source, second.to_vec())]);
            let placed = made.load().unwrap();
            let weight = placed.weights.values().next().unwrap();
            let expected = stored(kind, &values, COLUMNS);
            assert!(weight.held_bytes() == expected, "{} of {}", kind.name(), source.name());
            assert_eq!(weight.bytes(), made.manifest.items[0].bytes);
            // 64 Ki elements in 2 and in 4 bytes, by one worker or by both.
            let staged_bytes = placed.devices[0].ledger.balance().peak_staged_bytes;
            assert!([65536 * 6, 2 * 65536 * 6].contains(&staged_bytes), "{staged_bytes}");
        }
    }
}

#[test]
fn pieces_of_different_types_meet_in_one_matrix() {
    let values = numbers(4, 8 * COLUMNS);
    let (first, second) = values.split_at(3 * COLUMNS);
    let mut made = Made::new();
    let pieces = [
        (GgmlType::Bf16, stored(GgmlType::Bf16, first, COLUMNS)),
        (GgmlType::F32, stored(GgmlType::F32, second, COLUMNS)),
    ];
    made.item(MLP, GgmlType::F32, COLUMNS, &pieces);
    let placed = made.load().unwrap();
    let rounded = first.iter().map(|x| bf16::from_f32(*x).to_f32());
    let expected: Vec<f32> = rounded.chain(second.iter().copied()).collect();
    let weight = placed.weights.values().next().unwrap();
    assert!(weight.held_bytes() == stored(GgmlType::F32, &expected, COLUMNS));
}

#[derive(Default)]
struct Count([AtomicU64; 2]);

impl Watch for Count {
    fn loaded(&self, device: usize, bytes: u64) {
        self.0[device].fetch_add(bytes, Ordering::Relaxed);
    }
}

#[test]
fn every_device_has_its_own_and_the_books_agree() {
    let values = numbers(6, 32 * COLUMNS);
    let mut made = Made::new();
    let bytes = |kind| (kind, stored(kind, &values, COLUMNS));
    made.item(MLP, GgmlType::Q4K, COLUMNS, &[bytes(GgmlType::Q4K)]).slot = Slot::Up;
    made.item(MLP, GgmlType::Q6K, COLUMNS, &[bytes(GgmlType::Q6K)]);
    made.item(ComponentId::Expert(1, 2), GgmlType::Q8_0, COLUMNS, &[bytes(GgmlType::Bf16)])
        .device = 1;
    let devices: Arc<[Device]> = vec![device(0, 1 << 20), device(1, 1 << 20)].into();
    let running = Running { context: 8, batch: 2, kv_type: KvType::F16 };
    let watch = Count::default();
    let placed = load(&made.manifest, devices, running, &OPTIONS, &watch).unwrap();
    assert_eq!((placed.context, placed.batch, placed.weights.len()), (8, 2, 3));
    assert_eq!(placed.homes, BTreeMap::from([(MLP, 0), (ComponentId::Expert(1, 2), 1)]));
    let read = watch.0.map(AtomicU64::into_inner);
    assert_eq!(read, [32 * 1024 / 256 * (144 + 210), 32 * 1024 * 2]);

    let mut tally = Tally::of(&made.manifest, &placed);
    tally.check().unwrap();
    let totals: Vec<u64> = tally.devices.iter().map(|device| device.total().measured).collect();
    assert_eq!(totals, [32 * 1024 / 256 * (144 + 210), 32 * 1024 / 32 * 34]);
    assert!([65536 * 6, 2 * 65536 * 6].contains(&tally.devices[1].peak_staged_bytes));
    let rate = tally.bytes_per_second(Duration::from_millis(500));
    assert_eq!(rate, Some(2 * (totals[0] + totals[1])));
    assert_eq!(tally.bytes_per_second(Duration::ZERO), None);

    tally.devices[0].components.get_mut(&MLP).unwrap().planned -= 1;
    let message = tally.check().unwrap_err().to_string();
    assert!(message.contains("`cpu0`") && message.contains(&MLP.to_string()), "{message}");
}
