//! What needs a GPU: `tests/gpu.sh` runs it. Two budgeted devices share the first one.

use std::sync::Arc;

use apportion::checkpoint::Checkpoint;
use apportion::load::decoder::{Decoder, Mode, Wanted as Logits};
use apportion::load::devices::{Backing, Binding, Budget, Device, Planned, Wishes, bind};
use apportion::load::manifest::Manifest;
use apportion::load::{LoadOptions, Running, Tally, load};
use apportion::model::Model;
use apportion::placement::Record;

use super::oracle::Reference;
use super::placed::{Wanted, scattered};

/// Every device of the placement on the first GPU.
fn devices(record: &Record, budgets: Vec<Budget>) -> Arc<[Device]> {
    let planned = Planned::of(record).unwrap();
    let binding =
        |device: &Planned| Binding { device: device.id.clone(), backing: Backing::Cuda(0) };
    let bindings = planned.iter().map(binding).collect();
    bind(&planned, &Wishes { bindings, budgets, threads: 1 }).unwrap().devices
}

fn decoder(wanted: &Wanted, record: &Record, mode: Mode) -> Decoder {
    let checkpoint = Checkpoint::open(&wanted.weights).unwrap();
    let model = Model::from_checkpoint(&checkpoint, "fixture").unwrap();
    let manifest = Manifest::new(record, &checkpoint, &model).unwrap();
    let options = LoadOptions { threads: 2, cpu_repack: false, stop: None };
    let running = Running::of(record).unwrap();
    let placed = load(&manifest, devices(record, Vec::new()), running, &options, &()).unwrap();
    Tally::of(&manifest, &placed).check().unwrap();
    Decoder::new(placed, mode).unwrap()
}

/// The cosine between two rows of logits.
fn alike(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn logits_are_the_references_as_far_as_brain_floats_go() {
    let reference = Reference::read("tiny-mixtral");
    let wanted = Wanted::new("tiny-mixtral", 2).quant("bf16");
    let record = wanted.record(&scattered(3, 2));
    for mode in [Mode::Sequential, Mode::Concurrent] {
        let mut decoder = decoder(&wanted, &record, mode);
        let mut worst = 1.0_f32;
        for (index, prompt) in reference.prompts().iter().enumerate() {
            decoder.reset(0);
            let found = decoder.forward(0, prompt, Logits::All).unwrap();
            for (found, wanted) in found.iter().zip(&reference.logits(index)) {
                worst = worst.min(alike(found, wanted));
            }
        }
        println!("{mode:?}: cosine to the reference at least {worst}");
        assert!(worst > 0.98, "{worst}");
    }
}

#[test]
fn quantized_files_give_nearly_what_the_cpu_gives() {
    for file in ["tk-Q8_0.gguf", "tk-Q4_K_M.gguf"] {
        let wanted = Wanted::new(&format!("tiny-mixtral-gguf/{file}"), 2);
        let record = wanted.record(&scattered(1, 2));
        let (mut on_cpu, _) = wanted.decoder(&record, Mode::Sequential);
        let mut on_gpu = decoder(&wanted, &record, Mode::Concurrent);
        let prompt = [1, 5, 17, 200, 33, 91, 4, 150];
        let cpu = on_cpu.forward(0, &prompt, Logits::All).unwrap();
        let gpu = on_gpu.forward(0, &prompt, Logits::All).unwrap();
        let worst = cpu.iter().zip(&gpu).map(|(a, b)| alike(a, b)).fold(1.0, f32::min);
        println!("{file}: cosine to the CPU's at least {worst}");
        assert!(worst > 0.98, "{file}: {worst}");
        assert_eq!(on_cpu.transfers().activations, on_gpu.transfers().activations);
    }
}

#[test]
fn the_driver_sees_what_was_planned() {
    let wanted = Wanted::new("tiny-mixtral-gguf", 2).quant("f16");
    let record = wanted.record(&scattered(1, 2));
    let free = |devices: &[Device]| devices[0].driver_memory().unwrap().free_bytes;
    let before = free(&devices(&record, Vec::new()));
    let decoder = decoder(&wanted, &record, Mode::Sequential);
    let after = free(&decoder.placed().devices);
    let planned: u64 = record.devices.iter().map(|d| d.weights_bytes + d.kv_cache_bytes).sum();
    println!("the driver has {} bytes less, {planned} were planned", before.saturating_sub(after));
    // Pools of the driver grow in steps of tens of MiB and may have been there before.
    assert!(before.saturating_sub(after) < planned + (256 << 20));
}

#[test]
fn a_gpu_that_is_not_there_is_an_error() {
    let wanted = Wanted::new("tiny-mixtral", 1).quant("bf16");
    let record = wanted.record(&|_| 0);
    let planned = Planned::of(&record).unwrap();
    let binding = Binding { device: "gpu0".to_owned(), backing: Backing::Cuda(99) };
    let wishes = Wishes { bindings: vec![binding], budgets: Vec::new(), threads: 1 };
    let message = bind(&planned, &wishes).unwrap_err().to_string();
    assert!(message.contains("gpu0=cuda:99"), "{message}");
}
