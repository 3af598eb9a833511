//! Logits against transformers, which made `reference.safetensors` beside the weights from the same values in
//! 32 bit; `tests/data/SOURCES.md` says how.

use std::collections::BTreeMap;
use std::fs;

use apportion::load::decoder::{Decoder, Mode, Wanted as Logits};
use candle_core::{Device, Tensor};

use super::placed::{Wanted, scattered};

/// The largest difference allowed to 32-bit arithmetic that adds up in another order.
const CLOSE: f32 = 1e-4;

pub struct Reference {
    tensors: BTreeMap<String, Tensor>,
    json: serde_json::Value,
}

impl Reference {
    pub fn read(name: &str) -> Self {
        let folder = Wanted::new(name, 1).weights;
        let tensors =
            candle_core::safetensors::load(folder.join("reference.safetensors"), &Device::Cpu)
                .unwrap()
                .into_iter()
                .collect();
        let text = fs::read_to_string(folder.join("reference.json")).unwrap();
        Self { tensors, json: serde_json::from_str(&text).unwrap() }
    }

    pub fn prompts(&self) -> Vec<Vec<u32>> {
        numbers(&self.json["prompts"])
    }

    fn greedy(&self) -> Vec<Vec<u32>> {
        numbers(&self.json["greedy"])
    }

    pub fn logits(&self, prompt: usize) -> Vec<Vec<f32>> {
        self.tensors[&format!("prompt{prompt}.logits")].to_vec2().unwrap()
    }
}

fn numbers(value: &serde_json::Value) -> Vec<Vec<u32>> {
    serde_json::from_value(value.clone()).unwrap()
}

fn assert_close(found: &[Vec<f32>], wanted: &[Vec<f32>], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert_eq!(found.len(), wanted.len(), "{what}");
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() <= CLOSE, "{what}: {found} instead of {wanted}");
        }
    }
}

fn step_by_step(decoder: &mut Decoder, prompt: &[u32]) -> Vec<Vec<f32>> {
    let one = |token: &u32| decoder.forward(0, &[*token], Logits::Last).unwrap().remove(0);
    prompt.iter().map(one).collect()
}

/// The likeliest token again and again.
fn greedy(decoder: &mut Decoder, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut tokens = prompt.to_vec();
    let mut next = prompt.to_vec();
    for _ in 0..count {
        let logits = decoder.forward(0, &next, Logits::Last).unwrap().remove(0);
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        next = vec![u32::try_from(best).unwrap()];
        tokens.extend(&next);
    }
    tokens
}

/// All prompts at once and step by step, and what follows them.
fn agrees(reference: &Reference, decoder: &mut Decoder, what: &str) {
    for (index, prompt) in reference.prompts().iter().enumerate() {
        let (what, wanted) = (format!("{what}, prompt {index}"), reference.logits(index));
        decoder.reset(0);
        assert_close(&decoder.forward(0, prompt, Logits::All).unwrap(), &wanted, &what);
        decoder.reset(0);
        assert_close(&step_by_step(decoder, prompt), &wanted, &what);
    }
    // Where a prompt has token 0, the reference's generation took it for padding and did not look at it.
    for wanted in reference.greedy().into_iter().filter(|tokens| !tokens.contains(&0)) {
        // Which of these are the prompt is known from the prompts.
        let prompts = reference.prompts();
        let Some(prompt) = prompts.iter().filter(|prompt| wanted.starts_with(prompt)).max() else {
            panic!("{what}: {wanted:?} begins with no prompt")
        };
        decoder.reset(0);
        let found = greedy(decoder, prompt, wanted.len() - prompt.len());
        assert_eq!(found, wanted, "{what}");
    }
}

#[test]
fn logits_are_the_references_wherever_the_parts_live() {
    let reference = Reference::read("tiny-mixtral");
    for seed in 0..10 {
        let devices = [1, 2, 3][seed as usize % 3];
        let wanted = Wanted::new("tiny-mixtral", devices).quant("f32");
        let record = wanted.record(&scattered(seed, devices));
        for mode in [Mode::Sequential, Mode::Concurrent] {
            let what = format!("placement {seed} on {devices} devices, {mode:?}");
            let (mut decoder, _) = wanted.decoder(&record, mode);
            agrees(&reference, &mut decoder, &what);
        }
    }
}

#[test]
fn modes_and_placements_agree_to_the_last_bit_where_sums_have_one_order() {
    let wanted = Wanted::new("tiny-mixtral", 3).quant("f32");
    let record = wanted.record(&scattered(4, 3));
    let prompt = &Reference::read("tiny-mixtral").prompts()[2];
    let mut logits = [Mode::Sequential, Mode::Concurrent].map(|mode| {
        let (mut decoder, _) = wanted.decoder(&record, mode);
        decoder.forward(0, prompt, Logits::All).unwrap()
    });
    let [sequential, concurrent] = &mut logits;
    assert_eq!(sequential, concurrent);
}

#[test]
fn sends_are_those_of_the_plan_for_the_experts_that_were_chosen() {
    for seed in 0..6 {
        let wanted = Wanted::new("tiny-mixtral", 3).quant("f32");
        let record = wanted.record(&scattered(seed, 3));
        let (mut decoder, sends) = wanted.decoder(&record, Mode::Concurrent);
        let prompt = &Reference::read("tiny-mixtral").prompts()[2];
        step_by_step(&mut decoder, prompt);
        let sends = sends.lock().unwrap();
        assert_eq!(sends.of_chain(), record.traffic.hand_overs, "the chain of placement {seed}");
        let tokens = u64::try_from(prompt.len()).unwrap();
        let planned = tokens * sends.of_chain() + sends.to_experts();
        assert!(sends.to_experts() > 0);
        assert_eq!(decoder.transfers().activations, planned, "placement {seed}");
    }
}

#[test]
fn the_router_chooses_as_the_reference_does() {
    let reference = Reference::read("tiny-mixtral");
    let wanted = Wanted::new("tiny-mixtral", 2).quant("f32");
    let (mut decoder, _) = wanted.decoder(&wanted.record(&scattered(1, 2)), Mode::Sequential);
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Chosen::default()));
    decoder.observe(Some(Box::new(std::sync::Arc::clone(&heard))));
    for (index, prompt) in reference.prompts().iter().enumerate() {
        decoder.reset(0);
        decoder.forward(0, prompt, Logits::Last).unwrap();
        let layers = std::mem::take(&mut heard.lock().unwrap().0);
        let wanted: Vec<Vec<Vec<i64>>> =
            reference.tensors[&format!("prompt{index}.top2")].to_vec3().unwrap();
        for (layer, wanted) in layers.iter().zip(&wanted) {
            for (chosen, wanted) in layer.iter().zip(wanted) {
                let wanted: Vec<u32> = wanted.iter().map(|&e| u32::try_from(e).unwrap()).collect();
                let mut both = [chosen.clone(), wanted];
                for experts in &mut both {
                    experts.sort_unstable();
                }
                assert_eq!(both[0], both[1], "prompt {index}");
            }
        }
    }
}

#[derive(Default)]
struct Chosen(Vec<Vec<Vec<u32>>>);

impl apportion::load::decoder::Observer for Chosen {
    fn chosen(&mut self, _: u32, experts: &[Vec<u32>]) {
        self.0.push(experts.to_vec());
    }
}

#[test]
fn gguf_files_give_the_references_logits() {
    let reference = Reference::read("tiny-mixtral-gguf");
    for (file, quant) in [("", Some("f32")), ("/tk-f32.gguf", None)] {
        for seed in [0, 1] {
            let wanted = Wanted::new(&format!("tiny-mixtral-gguf{file}"), 2);
            let wanted = Wanted { quant, ..wanted };
            let record = wanted.record(&scattered(seed, 2));
            let (mut decoder, _) = wanted.decoder(&record, Mode::Concurrent);
            agrees(&reference, &mut decoder, &format!("placement {seed} of `{file}`"));
        }
    }
}
