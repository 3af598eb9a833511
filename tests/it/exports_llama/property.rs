//! Any map that llama.cpp can be told comes back from its flags, whoever follows them.

use std::collections::BTreeMap;

use apportion::export::{Options, Plan, export, named};
use apportion::import;
use apportion::model::{ComponentId, ComponentKind};
use apportion::placement::Placement;
use apportion::problem::Problem;
use apportion::scenario::{Granularity, Scenario};
use apportion::verify::verify;

use super::{naive, question};
use crate::support::Random;

/// Names and buffers of the GPUs, as llama.cpp has them.
struct Called {
    options: Options,
    names: Vec<String>,
    buffers: Vec<String>,
}

/// Some devices behind servers, two of them perhaps behind one.
fn called(random: &mut Random, gpus: usize) -> Called {
    let mut servers: Vec<(usize, String)> = Vec::new();
    let mut names = vec![String::new(); gpus];
    let mut buffers = vec![String::new(); gpus];
    let (mut number, mut local) = (0, 0);
    let shared = random.coin();
    for gpu in 0..gpus {
        if random.coin() {
            let endpoint = if shared {
                "10.0.0.1:50052".to_owned()
            } else {
                format!("node-{gpu}.lan:{}", 50052 + gpu)
            };
            let on_server = servers.iter().filter(|(_, other)| *other == endpoint).count();
            names[gpu] = format!("RPC{number}");
            buffers[gpu] = format!("RPC{on_server}[{endpoint}]");
            servers.push((gpu, endpoint));
            number += 1;
        } else {
            names[gpu] = format!("CUDA{local}");
            buffers[gpu].clone_from(&names[gpu]);
            local += 1;
        }
    }
    let rpc = servers.iter().map(|(gpu, endpoint)| format!("gpu{gpu}={endpoint}"));
    Called { options: Options::default().with("rpc", rpc), names, buffers }
}

/// A map with the first layers on the host, a run of layers on each of some devices, and everything else anywhere.
fn sayable(random: &mut Random, problem: &Problem, gpus: usize, tied: bool) -> Placement {
    let host = gpus;
    let layers = usize::try_from(problem.layers()).unwrap();
    let mut order: Vec<usize> = (0..gpus).collect();
    for at in (1..gpus).rev() {
        order.swap(at, random.index(at + 1));
    }
    order.truncate(random.index(gpus + 1));
    let mut cuts: Vec<usize> = order.iter().map(|_| random.index(layers + 1)).collect();
    cuts.sort_unstable();
    let homes: Vec<usize> = (0..layers)
        .map(|layer| {
            let run = cuts.iter().filter(|&&cut| cut <= layer).count();
            if run == 0 { host } else { order[run - 1] }
        })
        .collect();
    let mostly = |home: usize, random: &mut Random| {
        if random.one_in(3) { random.index(gpus + 1) } else { home }
    };
    let last = *homes.last().unwrap();
    let head = if tied { last } else { mostly(last, random) };
    let home = |id: ComponentId, random: &mut Random| match id {
        ComponentId::Embedding => host,
        ComponentId::FinalNorm | ComponentId::OutputHead => head,
        ComponentId::Attention(layer) | ComponentId::Router(layer) => homes[layer as usize],
        id => mostly(homes[id.layer().unwrap() as usize], random),
    };
    let ids: Vec<ComponentId> = problem.components.iter().map(|c| c.demand.id).collect();
    let mut device_of: Vec<usize> = ids.iter().map(|&id| home(id, random)).collect();
    // What lives with something is where that is.
    for (index, component) in problem.components.iter().enumerate() {
        device_of[index] = device_of[problem.index_of(component.lives_with).unwrap()];
    }
    Placement { device_of }
}

fn words(plan: &Plan<'_>, options: &Options) -> (String, Vec<String>) {
    let written = export(named("llama.cpp").unwrap(), plan, options).unwrap();
    let argv = written.beside.iter().find(|beside| beside.suffix == "argv.json").unwrap();
    (written.text, serde_json::from_str(&argv.text).unwrap())
}

/// The device of each component by where llama.cpp has its tensors; all of a component must be in one place.
fn followed(
    asked: &Scenario,
    problem: &Problem,
    words: &[String],
    called: &Called,
) -> BTreeMap<ComponentId, usize> {
    let storage = asked.demand().unwrap().storage;
    let kept: Vec<_> = storage.tensors.iter().filter(|t| !t.name.starts_with("rope_")).collect();
    let tensors: Vec<&str> = kept.iter().map(|tensor| tensor.name.as_str()).collect();
    let layers = usize::try_from(asked.model.gguf_counts.layers).unwrap();
    let free = vec![1; called.names.len()];
    let assigned = naive::assign(words, layers, &tensors, &called.names, &called.buffers, &free);
    let mut homes: BTreeMap<ComponentId, usize> = BTreeMap::new();
    for (tensor, device) in kept.iter().zip(assigned.tensors) {
        let before = homes.insert(tensor.component, device);
        assert!(before.is_none_or(|before| before == device), "{} is divided", tensor.component);
    }
    for (id, &device) in &homes {
        if let ComponentId::Attention(layer) = id {
            assert_eq!(device, assigned.layers[*layer as usize], "the cache of {id}");
        }
    }
    if problem.index_of(ComponentId::OutputHead).is_some() {
        homes.entry(ComponentId::OutputHead).or_insert(assigned.layers[layers]);
    }
    homes
}

#[test]
fn every_map_that_can_be_said_comes_back() {
    let mut random = Random::new(8);
    let models = [
        ("mixtral-8x7b", "q4_k_m"),
        ("deepseek-v2-lite", "q8_0"),
        ("gpt-oss-20b", "q8_0"),
        ("llama-3.1-8b", "q4_k_m"),
        ("gemma-3-1b", "q8_0"),
        ("phi-3.5-moe", "q4_k_m"),
    ];
    for (model, quant) in models {
        for round in 0..12 {
            let gpus = 1 + random.index(4);
            let granularity =
                if round % 2 == 0 { Granularity::FusedMatrix } else { Granularity::Experts };
            let mut asked = question(model, quant, &vec![1 << 40; gpus], granularity);
            asked.load.batch = random.within(1, 3);
            let problem = asked.problem().unwrap();
            let tied = asked.model.geometry.tied_head;
            let placement = sayable(&mut random, &problem, gpus, tied);
            let measured = verify(&problem, &placement).unwrap();
            let plan = Plan {
                scenario: &asked,
                problem: &problem,
                placement: &placement,
                measured: &measured,
            };
            let called = called(&mut random, gpus);
            let (text, words) = words(&plan, &called.options);

            let map =
                import::Question { scenario: &asked, problem: &problem, options: &called.options };
            let back = import::import(import::named("llama.cpp").unwrap(), &text, &map).unwrap();
            assert_eq!(back.placement, placement, "{model} {text}");

            let homes = followed(&asked, &problem, &words, &called);
            for (component, &device) in problem.components.iter().zip(&placement.device_of) {
                let id = component.demand.id;
                let kind = id.kind();
                let named = if kind == ComponentKind::Expert {
                    ComponentId::Expert(id.layer().unwrap(), 0)
                } else {
                    id
                };
                assert_eq!(homes.get(&named), Some(&device), "{model}, {id}: {text}");
            }
        }
    }
}
