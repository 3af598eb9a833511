//! Our restatement of accelerate against what accelerate itself answered.

use apportion::baseline::accelerate::{
    Assignment, MaxMemory, Module, Target, balanced_caps, infer_device_map,
};
use apportion::model::ComponentId;
use serde_json::Value;

use crate::support::{Tiny, mixtral, named, placed, why_not};

/// What accelerate itself answered.
fn recorded() -> Value {
    let text = include_str!("../data/accelerate/decoder-layer-maps.json");
    serde_json::from_str(text).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// The module tree of a recorded model; `sizes` are the recorded bytes.
fn tree(sizes: &Value) -> Vec<Module> {
    let size = |key: &str| number(&sizes[key]);
    let layer = |index| {
        let name = format!("model.layers.{index}");
        Module::layer(name, size("layer"), size("final_modules_per_layer"))
    };
    let decoder = vec![
        Module::leaf("model.embed_tokens", size("embed_tokens")),
        Module::parent("model.layers", (0..size("layers")).map(layer).collect()),
        Module::leaf("model.norm", size("norm")),
        Module::leaf("model.rotary_emb", size("rotary_emb")),
    ];
    vec![Module::parent("model", decoder), Module::leaf("lm_head", size("lm_head"))]
}

fn offered(case: &Value) -> MaxMemory {
    let gpus = case["gpus"].as_array().unwrap().iter().map(number).collect();
    MaxMemory { gpus, cpu: case["cpu"].as_u64() }
}

fn target(value: &Value) -> Target {
    match value.as_str() {
        Some("cpu") => Target::Cpu,
        Some("disk") => Target::Disk,
        Some(other) => panic!("{other}"),
        None => Target::Gpu(usize::try_from(number(value)).unwrap()),
    }
}

/// The recorded map with its ranges written out.
fn recorded_map(case: &Value) -> Vec<Assignment> {
    let mut map = Vec::new();
    for entry in case["map"].as_array().unwrap() {
        let (target, module) = (target(&entry[0]), entry[1].as_str().unwrap());
        let Some((prefix, range)) = module.split_once('{') else {
            map.push(Assignment { module: module.to_owned(), target });
            continue;
        };
        let range = range.trim_end_matches('}');
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        for index in from.parse::<u32>().unwrap()..=to.parse::<u32>().unwrap() {
            map.push(Assignment { module: format!("{prefix}{index}"), target });
        }
    }
    map
}

/// The device of a module: that of the entry that is it or contains it.
fn target_of(map: &[Assignment], module: &str) -> Option<Target> {
    let owns = |a: &&Assignment| {
        a.module.is_empty() || a.module == module || module.starts_with(&format!("{}.", a.module))
    };
    map.iter().find(owns).map(|a| a.target)
}

fn unsplit_modules(layers: u64) -> Vec<String> {
    let rest = ["model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"];
    let layers = (0..layers).map(|layer| format!("model.layers.{layer}"));
    layers.chain(rest.map(ToOwned::to_owned)).collect()
}

#[test]
fn our_accelerate_caps_and_maps_are_accelerates_own() {
    let recorded = recorded();
    let (mut caps_checked, mut maps_checked) = (0, 0);
    for case in recorded["cases"].as_array().unwrap() {
        let what = format!("{} on {}", case["model"], case["setup"]);
        let sizes = &recorded["sizes"][case["model"].as_str().unwrap()];
        let modules = tree(sizes);
        let mut caps = offered(case);
        if let Some(expected) = case["balanced_caps"].as_array() {
            caps = balanced_caps(&modules, &caps);
            let expected: Vec<u64> = expected.iter().map(number).collect();
            assert_eq!(caps.gpus, expected, "{what}");
            caps_checked += 1;
        }
        let map = infer_device_map(&modules, &caps);
        let expected = recorded_map(case);
        for module in unsplit_modules(number(&sizes["layers"])) {
            assert_eq!(target_of(&map, &module), target_of(&expected, &module), "{what}: {module}");
        }
        maps_checked += 1;
    }
    assert_eq!((caps_checked, maps_checked), (80, 120));
}

#[test]
fn the_margin_is_the_mean_final_module_when_that_is_larger_than_a_layer() {
    let layer = |name: &str| Module::layer(name, 10, 2);
    let layers = Module::parent("layers", vec![layer("layers.0"), layer("layers.1")]);
    let modules = [Module::leaf("embed", 1000), layers, Module::leaf("head", 1000)];
    let caps = |gpus: Vec<u64>| balanced_caps(&modules, &MaxMemory { gpus, cpu: None }).gpus;
    // Half of 2020, and 5/4 of floor(2020 / 6), both floored.
    assert_eq!(caps(vec![5000, 5000]), [1010 + 420, 5000]);
    assert_eq!(caps(vec![700, 5000]), [700, 5000]);
    // A GPU without memory takes no share and no cap.
    assert_eq!(caps(vec![5000, 0, 5000, 0]), [1430, 0, 5000, 0]);
    assert_eq!(caps(vec![5000]), [5000]);
}

/// The machine of a recorded case.
fn machine(tiny: Tiny, case: &Value) -> Tiny {
    let MaxMemory { gpus, cpu } = offered(case);
    let tiny = gpus.into_iter().fold(tiny, Tiny::gpu);
    cpu.into_iter().fold(tiny, Tiny::cpu)
}

#[test]
fn the_balanced_baseline_places_mixtral_as_accelerate_does() {
    let recorded = recorded();
    let (mut placed, mut refused) = (0, 0);
    for case in recorded["cases"].as_array().unwrap() {
        let bits_times_16 = match case["model"].as_str().unwrap() {
            "mixtral-8x7b int4" => 64,
            "mixtral-8x7b float16" => 256,
            _ => continue,
        };
        if case["balanced_caps"].is_null() {
            continue;
        }
        let problem = machine(mixtral(bits_times_16), case).problem();
        let expected = recorded_map(case);
        let baseline = named(&problem, "accelerate balanced");
        let Some(placement) = baseline.placement else {
            assert!(expected.iter().any(|a| a.target == Target::Disk), "{}", case["setup"]);
            refused += 1;
            continue;
        };
        let cpu = problem.devices.len() - 1;
        for (component, &device) in problem.components.iter().zip(&placement.device_of) {
            let module = match component.demand.id {
                ComponentId::Embedding => "model.embed_tokens".to_owned(),
                ComponentId::FinalNorm => "model.norm".to_owned(),
                ComponentId::OutputHead => "lm_head".to_owned(),
                id => format!("model.layers.{}", id.layer().unwrap()),
            };
            let expected = match target_of(&expected, &module).unwrap() {
                Target::Gpu(index) => index,
                Target::Cpu => cpu,
                Target::Disk => panic!("{}: {module} is on disk", case["setup"]),
            };
            assert_eq!(device, expected, "{}: {module}", case["setup"]);
        }
        placed += 1;
    }
    assert_eq!((placed, refused), (16, 4));
}

#[test]
fn the_balanced_baseline_says_what_it_would_offload() {
    let sixteen = mixtral(256).gpus(2, 16 << 30).problem();
    assert_eq!(
        why_not(&sixteen, "accelerate balanced"),
        "would offload 62.42 GiB to CPU or disk from layers.9 on"
    );
    let with_cpu = mixtral(256).gpus(2, 16 << 30).cpu(8 << 30).problem();
    let why = why_not(&with_cpu, "accelerate balanced");
    assert!(why.ends_with(" to disk from layers.10 on"), "{why}");
}

#[test]
fn a_tied_head_goes_with_the_embedding_in_the_balanced_baseline() {
    let problem = Tiny::new(4, 0).tied().gpus(2, 100).problem();
    let placement = placed(&problem, "accelerate balanced");
    // Embedding and two layers of 11 bytes, two layers and the norm.
    assert_eq!(placement.device_of, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
}
