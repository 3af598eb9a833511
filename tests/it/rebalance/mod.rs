//! From one placement to the next: the fewest bytes there can be, an order of moves within every limit, plans that
//! say what is so.

mod commands;
mod files;
mod known;
mod orders;
mod walks;

use apportion::hardware::Hardware;
use apportion::memory::Load;
use apportion::migrate::{Changes, Goal, Next, rebalance};
use apportion::model::Model;
use apportion::placement::Record;
use apportion::plan::Options;
use apportion::quant::Scheme;
use apportion::scenario::{Limits, Scenario, default_objectives};
use apportion::sweep::{Found, answer};
use serde_json::json;

use super::support::Random;

/// A small Mixtral of any shape, on GPUs of which it needs about as much as there is.
fn small(random: &mut Random) -> Scenario {
    let config = json!({
        "model_type": "mixtral",
        "architectures": ["MixtralForCausalLM"],
        "hidden_size": 64 * random.within(1, 2),
        "intermediate_size": 64 * random.within(1, 4),
        "num_hidden_layers": random.within(1, 3),
        "num_attention_heads": 4,
        "num_key_value_heads": random.within(1, 2) * 2,
        "num_local_experts": random.within(2, 4),
        "num_experts_per_tok": random.within(1, 2),
        "vocab_size": 256 * random.within(1, 4),
        "max_position_embeddings": 512,
        "tie_word_embeddings": random.one_in(4),
        "torch_dtype": "float16",
    });
    let model = Model::from_config_json(&config.to_string(), "small").unwrap();
    let scheme = ["f16", "q8_0", "nf4"][random.index(3)];
    let mut scenario = Scenario {
        model,
        scheme: Scheme::parse(scheme).unwrap(),
        load: Load { context: random.within(16, 128), ..Load::default() },
        hardware: Hardware::from_sizes(&[1 << 30], None, 0).unwrap(),
        constraints: Vec::new(),
        default_pins: random.coin(),
        limits: Limits::default(),
        objectives: default_objectives(),
    };
    if random.one_in(3) {
        scenario.load.staging = Some(apportion::memory::Staging::Host);
    }
    let demand = scenario.demand().unwrap();
    let total = demand.weights_bytes() + demand.kv_cache_bytes();
    let gpus = random.within(1, 3);
    let workspace = demand.workspace.kinds().into_iter().max().unwrap();
    let mut size = || {
        let percent = random.within(60, 160);
        total * percent / 100 / gpus + workspace + random.below(4096)
    };
    let sizes: Vec<u64> = (0..gpus).map(|_| size()).collect();
    let cpu = random.one_in(4).then_some(total);
    scenario.hardware = Hardware::from_sizes(&sizes, cpu, random.below(2) * 4096).unwrap();
    scenario
}

/// The record of the best placement, if there is one.
fn solved(scenario: &Scenario) -> Option<Record> {
    let problem = scenario.problem().unwrap();
    match answer(&problem, &options()).unwrap() {
        Found::Placed(solved, measured) => Some(Record::of(scenario, &problem, &solved, &measured)),
        _ => None,
    }
}

fn options() -> Options {
    Options { node_limit: 200, ..Options::default() }
}

fn next(from: &Record, changes: &Changes, goal: Goal) -> Next {
    rebalance(from, changes, goal, None, &options()).unwrap()
}

/// The record of what was found, if anything was.
fn record(next: &Next) -> Option<Record> {
    match &next.found {
        Found::Placed(solved, measured) if next.least_bytes.is_none() => {
            Some(Record::of(&next.scenario, &next.problem, solved, measured))
        }
        _ => None,
    }
}
