//! What is refused before anything is read.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::load::Watch;

const COLUMNS: usize = 256;

/// Two matrices for two devices whose files are gone: whatever reads says so.
fn gone() -> Made {
    let bytes = stored(GgmlType::Q4K, &numbers(1, 4 * COLUMNS), COLUMNS);
    let mut made = Made::new();
    made.item(MLP, GgmlType::Q4K, COLUMNS, &[(GgmlType::Q4K, bytes.clone())]);
    let second = ComponentId::Expert(0, 1);
    made.item(second, GgmlType::Q4K, COLUMNS, &[(GgmlType::Q4K, bytes)]).device = 1;
    made.files.clear();
    made
}

fn refusal(change: impl Fn(&mut Manifest)) -> String {
    let mut made = gone();
    change(&mut made.manifest);
    let devices = vec![device(0, u64::MAX), device(1, u64::MAX)];
    made.load_with(devices, &OPTIONS).unwrap_err().to_string()
}

#[test]
fn a_device_too_small_is_found_before_any_file_is_opened() {
    let made = gone();
    let devices = |second_bytes| vec![device(0, 576), device(1, second_bytes)];
    let fits = made.load_with(devices(576), &OPTIONS).unwrap_err().to_string();
    assert!(fits.contains("no such file"), "{fits}");
    let message = made.load_with(devices(575), &OPTIONS).unwrap_err().to_string();
    let expert = ComponentId::Expert(0, 1).to_string();
    assert!(message.contains("`cpu1`") && message.contains(&expert), "{message}");
    assert!(message.contains("1 B missing"), "{message}");
}

#[test]
fn manifests_that_contradict_themselves_are_refused() {
    type Change = fn(&mut Manifest);
    let cases: [(Change, &str); 12] = [
        (|m| m.items[1].held = GgmlType::Iq4Xs, "found iq4_xs"),
        (|m| m.items[1].held = GgmlType::Q8K, "found q8_k"),
        (|m| (m.items[1].held, m.items[1].bytes) = (GgmlType::Q6K, 840), "q4_k as it is stored"),
        (|m| m.items[1].bytes -= 1, "rows of whole blocks"),
        (|m| m.items[1].rows = usize::MAX, "rows of whole blocks"),
        (|m| m.items[1].pieces[0].rows = 3, "expected 4 rows, found 3"),
        (|m| m.items[1].pieces[0].bytes = 1 << 40, "1099511627776 bytes"),
        (|m| m.items[1].pieces[0].offset = 25, "from byte 25 on"),
        (|m| m.items[1].pieces[0].offset = u64::MAX, "within the 600 bytes"),
        (|m| m.items[1].pieces[0].file = 2, "no such file"),
        (|m| m.items[1].device = 2, "number 2 of 2"),
        (|m| m.items[1].component = MLP, "expected one device, found two"),
    ];
    for (index, (change, word)) in cases.into_iter().enumerate() {
        let message = refusal(change);
        assert!(message.contains(word), "{index}: {message}");
    }
    for held in [GgmlType::Q4_1, GgmlType::Q5_0, GgmlType::Q5_1] {
        let odd = refusal(|m| {
            let item = &mut m.items[0];
            (item.held, item.columns, item.bytes) = (held, 96, 4 * held.bytes(96).unwrap());
        });
        assert!(odd.contains("multiple of 64"), "{odd}");
    }
    let twice = refusal(|m| (m.items[1].component, m.items[1].device) = (MLP, 0));
    assert!(twice.contains("twice"), "{twice}");
}

#[test]
fn what_cannot_be_held_says_what_can() {
    let message = refusal(|m| m.items[0].held = GgmlType::Iq2S);
    for kind in ["f32", "f16", "bf16", "q4_0", "q2_k", "q6_k"] {
        assert!(message.contains(kind), "{message}");
    }
    assert!(!message.contains("q8_k"), "{message}");
}

/// Raises the flag at the first bytes.
struct StopAtFirst<'a>(&'a AtomicBool);

impl Watch for StopAtFirst<'_> {
    fn loaded(&self, _device: usize, _bytes: u64) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_load_ends_when_it_is_asked_to() {
    let bytes = stored(GgmlType::F32, &numbers(1, 4 * COLUMNS), COLUMNS);
    let mut made = Made::new();
    made.item(MLP, GgmlType::F32, COLUMNS, &[(GgmlType::F32, bytes.clone())]);
    made.item(MLP, GgmlType::F32, COLUMNS, &[(GgmlType::F32, bytes)]).slot = Slot::Down;
    let stop = AtomicBool::new(false);
    let options = LoadOptions { stop: Some(&stop), ..OPTIONS };
    made.load_with(vec![device(0, u64::MAX)], &options).unwrap();
    let running = Running { context: 8, batch: 1, kv_type: KvType::F16 };
    let devices: Arc<[Device]> = vec![device(0, u64::MAX)].into();
    let half = load(&made.manifest, devices, running, &options, &StopAtFirst(&stop));
    assert!(half.unwrap_err().to_string().contains("it was stopped"));
}

#[test]
fn one_bad_tensor_is_no_model_and_its_error_is_the_one_reported() {
    let good = stored(GgmlType::F32, &numbers(1, 4 * COLUMNS), COLUMNS);
    let bad = vec![0xff; good.len()];
    for bad_device in [0, 1, 2] {
        let mut made = Made::new();
        for home in 0..3 {
            let bytes = if home == bad_device { bad.clone() } else { good.clone() };
            let layer = ComponentId::Mlp(u32::try_from(home).unwrap());
            made.item(layer, GgmlType::F32, COLUMNS, &[(GgmlType::F32, bytes)]).device = home;
        }
        let devices = (0..3).map(|index| device(index, u64::MAX)).collect();
        let message = made.load_with(devices, &OPTIONS).unwrap_err().to_string();
        assert!(message.contains(&format!("t{bad_device}.weight")), "{message}");
    }
}
