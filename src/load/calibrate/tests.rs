//! What is measured, on CPU memory with a thread each; never how fast it is.

use super::*;
use crate::hardware::Hardware;
use crate::load::devices::{Binding, Planned, Wishes, bind};

/// Two devices in CPU memory with a thread each.
fn devices(budget_bytes: u64) -> Arc<[Device]> {
    let hardware = Hardware::from_sizes(&[budget_bytes; 2], None, 0).unwrap();
    let binding = |id: &str| Binding { device: id.to_owned(), backing: Backing::Cpu };
    let bindings = vec![binding("gpu0"), binding("gpu1")];
    let wishes = Wishes { bindings, budgets: Vec::new(), threads: 1 };
    bind(&Planned::empty(&hardware), &wishes).unwrap().devices
}

/// Enough for a few matrices; figures do not matter here.
const BUDGET_BYTES: u64 = 256 << 20;

fn options<'a>(types: &[GgmlType], stop: &'a AtomicBool) -> Options<'a> {
    Options { types: types.to_vec(), time: Duration::ZERO, stop }
}

#[test]
fn every_device_and_pair_is_measured_and_nothing_stays_there() {
    let devices = devices(BUDGET_BYTES);
    let stop = AtomicBool::new(false);
    let types = [GgmlType::Q4K, GgmlType::F16];
    let found = calibrate(&devices, &options(&types, &stop)).unwrap().unwrap();
    let [first, second] = &found.devices[..] else { panic!("{found:?}") };
    for (device, id) in [(first, "gpu0"), (second, "gpu1")] {
        assert_eq!((device.id.as_str(), device.backing.as_str()), (id, "cpu"));
        let [("q4_k", blocks), ("f16", halves)] = device.reading[..] else { panic!("{device:?}") };
        for figure in [blocks, halves, device.compute] {
            assert_eq!(figure.runs, 3, "no time was given, so as few as there must be");
            assert!(0 < figure.low && figure.low <= figure.median && figure.median <= figure.high);
        }
    }
    let [link] = &found.links[..] else { panic!("{found:?}") };
    assert_eq!(link.between, ("gpu0".to_owned(), "gpu1".to_owned()));
    assert!(link.latency_ps.median > 0 && link.bytes_per_second.median > 0);
    for device in devices.iter() {
        let balance = device.ledger.balance();
        assert_eq!(balance.weights_bytes(), 0);
        assert!(device.ledger.stage("as much again", BUDGET_BYTES).is_ok());
        let most = balance.peak_staged_bytes;
        assert!((200 << 20..=BUDGET_BYTES).contains(&most), "most of what there is: {most}");
    }
}

#[test]
fn it_ends_when_it_is_told_to() {
    let stop = AtomicBool::new(true);
    let found = calibrate(&devices(BUDGET_BYTES), &options(&[GgmlType::Q4K], &stop)).unwrap();
    assert_eq!(found, None);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let stop = AtomicBool::new(false);
    let twice = [GgmlType::Q4K, GgmlType::F32, GgmlType::Q4K];
    for (budget_bytes, types, words) in [
        (BUDGET_BYTES, &[][..], "expected one at least"),
        (BUDGET_BYTES, &twice[..], "it twice"),
        (BUDGET_BYTES, &[GgmlType::Iq4Nl][..], "measure the type `iq4_nl`"),
        (16 << 20, &[GgmlType::Q4K][..], "matrices to measure with"),
    ] {
        let refused = calibrate(&devices(budget_bytes), &options(types, &stop)).unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
    }
}

/// A row of ones gives the sum of a row: in floats the columns times the one number there is.
#[test]
fn matrices_to_measure_with_are_of_ordinary_numbers() {
    let devices = devices(1 << 20);
    for kind in HELD_TYPES {
        let matrix = Weight::sample(kind, 8, 512, &devices[0]).unwrap();
        assert_eq!(matrix.bytes(), kind.bytes(8 * 512).unwrap(), "{}", kind.name());
        let ones = Tensor::ones((1, 512), candle_core::DType::F32, &candle_core::Device::Cpu);
        let sums = matrix.apply(&ones.unwrap()).unwrap().flatten_all().unwrap();
        let sums = sums.to_vec1::<f32>().unwrap();
        assert!(sums.iter().all(|sum| sum.is_normal()), "{}: {sums:?}", kind.name());
        if kind == GgmlType::F16 {
            // 0x2d2d: 2^-4 x (1 + 301 / 1024).
            let expected = 512.0 * (1.0 + 301.0 / 1024.0) / 16.0;
            assert!(sums.iter().all(|sum| (sum - expected).abs() < 1e-2), "{sums:?}");
        }
    }
    assert!(Weight::sample(GgmlType::Q4K, 8, 500, &devices[0]).is_err());
}
