//! What a load asks for is what its placement says: the same bytes, from another direction.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use apportion::hardware::{Hardware, Spec};
use apportion::memory::{Load, Staging};
use apportion::model::{ComponentId, Model};
use apportion::placement::{Placement, Record};
use apportion::quant::Scheme;
use apportion::runtime::{NAMES, Profile};
use apportion::scenario::{Limits, Scenario, default_objectives};
use apportion::simulate::{
    AllocatorKind, Choices, Event, Machine, Order, POINTS_MAX, Phase, Point, Purpose, Script,
    Simulation, replay,
};
use apportion::verify::{DeviceUse, measure};

use super::{GIB, MIB};

const BASE: Choices = Choices {
    allocator: AllocatorKind::Torch,
    order: Order::Checkpoint,
    warm_up: false,
    decode: 4,
};

/// A model on two GPUs and, if asked, host memory; layers take turns, experts too.
fn record(model: &str, quant: &str, runtime: &str, cpu: bool) -> (Record, Vec<DeviceUse>) {
    let gpu = Spec::of_size(900 * GIB);
    let cpu = cpu.then(|| Spec::of_size(2000 * GIB));
    let scenario = Scenario {
        model: Model::from_catalogue(model).unwrap(),
        scheme: Scheme::parse(quant).unwrap(),
        load: Load { context: 1000, runtime: Profile::shared(runtime).unwrap(), ..Load::default() },
        hardware: Hardware::from_specs(&[gpu.clone(), gpu], cpu, 0).unwrap(),
        constraints: Vec::new(),
        default_pins: false,
        limits: Limits::default(),
        objectives: default_objectives(),
    };
    let problem = scenario.problem().unwrap();
    let devices = scenario.hardware.devices.len();
    let home = |id: ComponentId| match id {
        // llama.cpp's embedding has one place only where there is a CPU.
        ComponentId::Embedding => devices - 1,
        ComponentId::Expert(layer, expert) => (layer as usize + expert as usize) % devices,
        other => other.layer().unwrap_or(0) as usize % 2,
    };
    let components = problem.components.iter();
    let placement =
        Placement { device_of: components.map(|component| home(component.demand.id)).collect() };
    let measured = measure(&problem, &placement).unwrap();
    let record = Record::of_map(&scenario, &problem, &placement, &measured, "test");
    (record, measured.devices)
}

fn script(record: &Record, choices: &Choices) -> Script {
    Script::of(record, &record.scenario, &Machine::of(record), choices).unwrap()
}

fn run(record: &Record, choices: &Choices) -> Simulation {
    let machines = Machine::of(record);
    replay(&script(record, choices), &machines, choices.allocator)
}

/// Bytes of each device and purpose that were never freed again.
fn kept(script: &Script) -> BTreeMap<(usize, Purpose), u64> {
    let mut live = BTreeMap::new();
    for event in &script.events {
        match *event {
            Event::Alloc { device, bytes, slot, cause } => {
                assert!(live.insert(slot, (device, cause.purpose, bytes)).is_none());
            }
            Event::Free { slot } => assert!(live.remove(&slot).is_some(), "freed twice"),
            Event::Outside { .. } => {}
        }
    }
    let mut sums = BTreeMap::new();
    for (device, purpose, bytes) in live.into_values() {
        *sums.entry((device, purpose)).or_default() += bytes;
    }
    sums
}

#[test]
fn what_stays_is_what_the_placement_counts() {
    for runtime in NAMES {
        for (model, quant) in [
            ("mixtral-8x7b", "nf4-dq"),
            ("mixtral-8x7b", "int8"),
            ("mixtral-8x7b", "nf4:v5"),
            ("mixtral-8x7b", "q4_k_m"),
            ("gpt-oss-20b", "mxfp4"),
            ("deepseek-v2-lite", "f16"),
            ("llama-3.2-1b", "q4_k_m"),
        ] {
            for cpu in [false, true] {
                let (record, measured) = record(model, quant, runtime, cpu);
                let kind = AllocatorKind::of(&record.scenario.load.runtime);
                let script = script(&record, &Choices { allocator: kind, ..BASE });
                let sums = kept(&script);
                let what = format!("{model} {quant} {runtime}, CPU {cpu}");
                for (device, used) in measured.iter().enumerate() {
                    let sum = |purpose| sums.get(&(device, purpose)).copied().unwrap_or(0);
                    // llama.cpp's buffers hold the padding too, on GPUs.
                    let padded = kind == AllocatorKind::LlamaCpp && device < 2;
                    let rounding = if padded { used.rounding_bytes } else { 0 };
                    assert_eq!(sum(Purpose::Weights), used.weights_bytes + rounding, "{what}");
                    assert_eq!(sum(Purpose::Cache), used.kv_cache_bytes, "{what}");
                    let gone = [Purpose::Staging, Purpose::Passing, Purpose::Unpacked];
                    assert!(gone.iter().all(|&purpose| sum(purpose) == 0), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_load_that_was_planned_stays_within_what_was_planned() {
    // Plain copies: nothing is staged and nothing unpacked, so only fragments can come on top; of candle, whose plan
    // rounds nothing, up to a granule for each of some hundred tensors.
    for (runtime, fragments) in
        [("transformers", 64 * MIB), ("candle", 512 * MIB), ("llama.cpp", 8 * MIB)]
    {
        let (record, measured) = record("mixtral-8x7b", "q4_k_m", runtime, false);
        let kind = AllocatorKind::of(&record.scenario.load.runtime);
        let simulation = run(&record, &Choices { allocator: kind, ..BASE });
        assert!(simulation.failure.is_none());
        for (device, used) in simulation.devices.iter().zip(&measured) {
            let peak = device.peak.point.filled_bytes();
            assert!(peak <= used.used_bytes + fragments, "{runtime}: {peak} {}", used.used_bytes);
            assert!(peak >= used.weights_bytes + used.kv_cache_bytes);
        }
    }
}

#[test]
fn order_changes_when_and_never_what() {
    let (record, _) = record("mixtral-8x7b", "nf4-dq", "transformers", false);
    let [checkpoint, device, largest] =
        Order::ALL.map(|order| script(&record, &Choices { order, ..BASE }));
    assert_eq!(kept(&checkpoint), kept(&device));
    assert_eq!(kept(&checkpoint), kept(&largest));
    let first = |script: &Script| {
        let staged = script.events.iter().filter_map(|event| match event {
            Event::Alloc { device, bytes, cause, .. } if cause.purpose == Purpose::Staging => {
                Some((*device, *bytes))
            }
            _ => None,
        });
        staged.collect::<Vec<_>>()
    };
    let [checkpoint, device, largest] = [checkpoint, device, largest].map(|script| first(&script));
    assert!(device.is_sorted_by_key(|staged| staged.0) && !checkpoint.is_sorted_by_key(|s| s.0));
    assert!(largest.is_sorted_by_key(|staged| std::cmp::Reverse(staged.1)));
}

#[test]
fn staging_on_the_host_asks_the_host() {
    let (mut record, _) = record("mixtral-8x7b", "nf4-dq", "transformers", true);
    record.scenario.load.staging = Some(Staging::Host);
    let script = script(&record, &BASE);
    let staged = script.events.iter().filter_map(|event| match event {
        Event::Alloc { device, cause, .. } if cause.purpose == Purpose::Staging => Some(*device),
        _ => None,
    });
    assert!(staged.clone().count() > 1000 && staged.clone().all(|device| device == 2));
}

#[test]
fn warm_up_asks_for_the_elements_of_4_bit_matrices_and_is_capped() {
    let (record, _) = record("mixtral-8x7b", "nf4-dq", "transformers", false);
    let choices = Choices { warm_up: true, ..BASE };
    let first = |usable_bytes: u64| {
        let machines: Vec<Machine> = Machine::of(&record)
            .into_iter()
            .map(|machine| Machine { usable_bytes, ..machine })
            .collect();
        let script = Script::of(&record, &record.scenario, &machines, &choices).unwrap();
        script.events.iter().find_map(|event| match event {
            Event::Alloc { bytes, cause, .. } if cause.purpose == Purpose::WarmUp => Some(*bytes),
            _ => None,
        })
    };
    let stored = record.scenario.demand().unwrap().storage;
    let homes: BTreeMap<ComponentId, usize> = record.homes.iter().copied().collect();
    let there = stored.tensors.iter().zip(&stored.stored);
    let there = there.filter(|(tensor, _)| homes[&tensor.component] == 0);
    let wanted =
        there.map(
            |(tensor, stored)| {
                if stored.staged_bytes > 0 { tensor.elements() / 2 } else { stored.bytes }
            },
        );
    assert_eq!(first(900 * GIB), Some(wanted.sum::<u64>()));
    // 10 GiB less 426 MiB of context, less 1.2 GiB rounded up: 9,001,964,... made even.
    let capped = 10 * GIB - 426 * MIB - 1_288_490_189;
    assert_eq!(first(10 * GIB), Some(capped / 2 * 2));
}

/// 32 layers x 2 x 8 heads x 128 x 2 B per token: keys of 1000 tokens grow to 1004 in place of the old ones.
#[test]
fn a_cache_of_transformers_grows_by_concatenation() {
    let (record, _) = record("mixtral-8x7b", "f16", "transformers", false);
    let script = script(&record, &BASE);
    let layer = Some(ComponentId::Attention(5));
    let sizes: Vec<u64> = script
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Alloc { bytes, cause, .. }
                if cause.purpose == Purpose::Cache && cause.component == layer =>
            {
                Some(*bytes)
            }
            _ => None,
        })
        .collect();
    let token = 8 * 128 * 2;
    let expected: Vec<u64> = (996..=1000).flat_map(|tokens| [tokens * token; 2]).collect();
    assert_eq!(sizes, expected);
    let phases: Vec<Phase> = script.phases.iter().map(|phase| phase.0).collect();
    assert_eq!(phases, [Phase::Load, Phase::Prefill, Phase::Decode]);
}

#[test]
fn a_replay_says_the_same_twice_and_is_bounded() {
    let (record, _) = record("mixtral-8x7b", "nf4-dq", "transformers", false);
    let first = run(&record, &BASE);
    assert_eq!(first, run(&record, &BASE));
    for device in &first.devices {
        assert!(device.timeline.len() <= POINTS_MAX);
        let most = device.timeline.iter().map(Point::filled_bytes).max().unwrap();
        assert_eq!(most, device.peak.point.filled_bytes());
        assert!(device.timeline.iter().all(|p| p.allocated_bytes <= p.reserved_bytes));
    }
}

/// On this map a larger device is never left earlier: what is freed is asked for again in the same sizes.
#[test]
fn the_incident_gets_further_with_more_memory() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/incident/hand-written-12-20.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let record = Record::from_yaml(&text, "the incident", None).unwrap();
    for kind in [AllocatorKind::Torch, AllocatorKind::TorchExpandable, AllocatorKind::Candle] {
        let choices = Choices { allocator: kind, ..BASE };
        let machines = Machine::of(&record);
        let script = Script::of(&record, &record.scenario, &machines, &choices).unwrap();
        let steps: Vec<usize> = (1..=24)
            .map(|gib| {
                let with =
                    |machine: &Machine| Machine { usable_bytes: gib * GIB, ..machine.clone() };
                let machines: Vec<Machine> = machines.iter().map(with).collect();
                replay(&script, &machines, kind).steps
            })
            .collect();
        assert!(steps.is_sorted(), "{kind:?}: {steps:?}");
        assert_eq!(*steps.last().unwrap(), script.events.len());
        assert!(steps[0] < steps[10] && steps[10] < steps[20]);
    }
}

#[test]
fn attention_on_every_device_and_matrices_of_experts_are_loaded_too() {
    let (record, _) = record("olmoe-1b-7b-0924", "f16", "candle", false);
    let mut scenario = record.scenario.clone();
    scenario.limits.granularity = apportion::scenario::Granularity::FusedMatrix;
    let problem = scenario.problem().unwrap();
    let placement = Placement { device_of: vec![1; problem.components.len()] };
    let measured = measure(&problem, &placement).unwrap();
    let by_matrix = Record::of_map(&scenario, &problem, &placement, &measured, "test");
    let choices = Choices { allocator: AllocatorKind::Candle, ..BASE };
    let sums = kept(&script(&by_matrix, &choices));
    assert_eq!(sums[&(1, Purpose::Weights)], measured.devices[1].weights_bytes);

    let mut scenario = record.scenario.clone();
    scenario.limits.attention = apportion::scenario::Attention::Replicated;
    scenario.objectives = apportion::scenario::default_objectives_replicated(false);
    let problem = scenario.problem().unwrap();
    let device_of = problem.components.iter().map(|component| match component.demand.id {
        ComponentId::Expert(_, expert) => expert as usize % 2,
        _ => 0,
    });
    let placement = Placement { device_of: device_of.collect() };
    let measured = measure(&problem, &placement).unwrap();
    let everywhere = Record::of_map(&scenario, &problem, &placement, &measured, "test");
    let sums = kept(&script(&everywhere, &choices));
    for device in 0..2 {
        let used = &measured.devices[device];
        assert_eq!(sums[&(device, Purpose::Weights)], used.weights_bytes);
        assert_eq!(sums[&(device, Purpose::Cache)], used.kv_cache_bytes);
    }
}

#[test]
fn profiles_of_ones_own_are_replayed_by_their_rules() {
    let (mut record, _) = record("mixtral-8x7b", "f16", "vllm", false);
    let text = "version: 1\nbased_on: vllm\nrules: {driver_context_bytes: 1GiB, blas_workspace_bytes: 0}\n";
    record.scenario.load.runtime = Arc::new(Profile::from_yaml(text, "x").unwrap());
    let simulation = run(&record, &BASE);
    assert!(simulation.devices.iter().all(|device| device.end.outside_bytes == GIB));
    let phases: Vec<Phase> = simulation.phases.iter().map(|start| start.phase).collect();
    assert_eq!(phases, [Phase::Load, Phase::Cache, Phase::Prefill, Phase::Decode], "pages first");
}

/// DeepSeek-V3's experts in 4 bit are 2048 x 7168 / 2 = 7,340,032 bytes, 7 MiB each: two share a segment of 20 MiB and
/// leave 6 MiB that no third fits into. No sum of sizes has that; a map that is loaded can.
#[test]
fn matrices_of_7_mib_leave_a_third_of_their_segments_empty() {
    let (record, measured) = record("deepseek-v3", "nf4-dq", "transformers", false);
    let matrices = record.scenario.demand().unwrap().storage;
    let homes: BTreeMap<ComponentId, usize> = record.homes.iter().copied().collect();
    let there = matrices
        .tensors
        .iter()
        .filter(|tensor| tensor.elements() == 2048 * 7168 && homes[&tensor.component] == 0);
    let empty = u64::try_from(there.count()).unwrap() / 2 * 6 * MIB;
    assert!(empty > 60 * GIB);
    for (kind, wasted) in [
        (AllocatorKind::Torch, empty / 10 * 9..empty / 10 * 11),
        (AllocatorKind::TorchExpandable, 0..GIB),
    ] {
        let simulation = run(&record, &Choices { allocator: kind, ..BASE });
        let point = simulation.devices[0].end;
        assert!(wasted.contains(&point.fragmented_bytes()), "{kind:?}: {point:?}, of {empty}");
        assert!(point.allocated_bytes < measured[0].used_bytes);
    }
}
