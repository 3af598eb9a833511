//! placement.yaml: reads back as itself, and nothing in it can be changed unnoticed.

use apportion::hardware::{Hardware, Link, Network, Speed};
use apportion::model::ComponentId;
use apportion::placement::{
    DeviceRecord, ObjectiveRecord, Placement, Record, Status, TrafficRecord, differences,
};
use apportion::plan::{LimitReached, Options, Outcome, solve};
use apportion::problem::{ObjectiveKind, ObjectiveValue, Problem};
use apportion::quant::{Override, Scheme};
use apportion::scenario::{Constraint, ConstraintKind, Scenario, parse_objectives};
use apportion::units::Ratio;
use apportion::verify::{Measured, measure, verify};

use super::binary::golden;
use super::scenarios::scenario;
use super::support::Random;

fn solved(scenario: &Scenario) -> (Problem, Record) {
    let problem = scenario.problem().unwrap();
    let Outcome::Solved(solved) = solve(&problem, &Options::default()).unwrap() else {
        panic!("no placement")
    };
    let measured = verify(&problem, &solved.placement).unwrap();
    let record = Record::of(scenario, &problem, &solved, &measured);
    (problem, record)
}

/// A record of a random map, whether or not any planner would make it.
pub fn arbitrary(scenario: &Scenario, random: &mut Random) -> Record {
    let problem = scenario.problem().unwrap();
    let runs = random.within(1, 40);
    let mut device = 0;
    let mut next = || {
        if random.below(runs) == 0 {
            device = random.index(problem.devices.len());
        }
        device
    };
    let device_of: Vec<usize> = problem.components.iter().map(|_| next()).collect();
    let measured = measure(&problem, &Placement { device_of: device_of.clone() }).unwrap();
    let ids = problem.components.iter().map(|c| c.demand.id);
    let pairs = problem.devices.iter().zip(&measured.devices);
    let objective = |objective: &apportion::problem::Objective| ObjectiveRecord {
        objective: *objective,
        value: measured.value(objective.kind),
        optimum: measured.value(objective.kind),
        bound: match objective.kind {
            ObjectiveKind::SpillBytes => ObjectiveValue::Bytes(0),
            _ => ObjectiveValue::Ratio(Ratio::new(1, 7)),
        },
        cap: measured.value(objective.kind),
        gap: "0.125000000".to_owned(),
    };
    Record {
        scenario: Scenario { objectives: problem.objectives.clone(), ..scenario.clone() },
        problem: "0".repeat(64),
        status: [
            Status::Optimal,
            Status::Feasible(LimitReached::Nodes),
            Status::Feasible(LimitReached::Time),
        ][random.index(3)],
        objectives: problem.objectives.iter().map(objective).collect(),
        traffic: TrafficRecord {
            hand_overs: measured.traffic.hand_overs,
            remote_experts: measured.traffic.remote_experts,
            expected: measured.traffic.expected_transfers_per_token(),
        },
        solver: "microlp".to_owned(),
        nodes: random.below(1000),
        devices: pairs.map(|(device, used)| DeviceRecord::of(&device.id, used)).collect(),
        homes: ids.zip(device_of).collect(),
    }
}

/// The machine with speeds of some of its devices, nodes and links.
fn networked(hardware: &Hardware, random: &mut Random) -> Hardware {
    let mut network = Network::default();
    let link = |random: &mut Random| Link {
        latency_ps: random.below(1_000_000_000),
        bytes_per_second: random.within(1_000, 1_000_000_000_000),
    };
    for (index, device) in hardware.devices.iter().enumerate() {
        network.nodes.insert(device.id.clone(), ["yes", "n.1"][random.index(2)].to_owned());
        if random.coin() {
            let by_type = random.coin().then(|| ("q4_k".to_owned(), random.within(1_000, 1 << 40)));
            let speed = Speed {
                bytes_per_second: random.within(1_000, 1 << 40),
                by_type: by_type.into_iter().collect(),
                flops: random.coin().then(|| random.within(1_000_000, 1 << 50)),
            };
            network.speeds.insert(device.id.clone(), speed);
        }
        for other in &hardware.devices[..index] {
            if random.coin() {
                continue;
            }
            let (a, b) = (device.id.clone(), other.id.clone());
            network.links.insert((a.clone().min(b.clone()), a.max(b)), link(random));
        }
    }
    let nodes: Vec<String> = network.nodes.values().cloned().collect();
    network.node_links.extend(nodes.into_iter().map(|node| (node, link(random))));
    network.default_link = random.coin().then(|| link(random));
    hardware.clone().with_network(network).unwrap()
}

#[test]
fn networks_that_cannot_be_are_refused() {
    let mut asked = scenario("mixtral-8x7b", 2, true);
    let ids = ["gpu0", "gpu1", "cpu"].map(str::to_owned);
    let speed = Speed {
        bytes_per_second: 1_000_000_000_000,
        by_type: [("q4_k".to_owned(), 800_000_000_000)].into(),
        flops: Some(100_000_000_000_000),
    };
    let link = Link { latency_ps: 5_000_000, bytes_per_second: 32_000_000_000 };
    asked.hardware = asked
        .hardware
        .with_network(Network {
            speeds: ids.clone().map(|id| (id, speed.clone())).into(),
            nodes: ids.clone().map(|id| (id, "box".to_owned())).into(),
            links: [(("gpu0".to_owned(), "gpu1".to_owned()), link)].into(),
            node_links: [("box".to_owned(), link)].into(),
            default_link: Some(link),
        })
        .unwrap();
    let text = arbitrary(&asked, &mut Random::new(3)).to_yaml();
    assert!(Record::from_yaml(&text, "map.yaml", None).is_ok());
    let bandwidth = "bandwidth_bytes_per_second: 1000000000000";
    for (from, to, word) in [
        (bandwidth, "bandwidth_bytes_per_second: 0", "1KB/s"),
        (bandwidth, "bandwidth_bytes_per_second: -1", "-1"),
        (bandwidth, "bandwidth_bytes_per_second: 1e12", "bandwidth"),
        (bandwidth, "bandwidth_bytes_per_second: 18446744073709551615", "1000TB/s"),
        ("    bandwidth_bytes_per_second: 1000000000000\n", "", "beside"),
        ("q4_k: ", "q4_kk: ", "q4_kk"),
        ("flops: 100000000000000", "flops: 0", "GFLOPS"),
        ("ends: [gpu0, gpu1]", "ends: [gpu0, gpu9]", "gpu9"),
        ("ends: [gpu0, gpu1]", "ends: [gpu1, gpu1]", "different ends"),
        ("ends: [gpu0, gpu1]", "ends: [gpu1, gpu0]", "lesser name"),
        ("ends: [gpu0, gpu1]", "ends: [gpu0]", "ends"),
        ("- node: box", "- node: gpu0", "gpu0"),
        ("    node: box\n", "    node: gpu0\n", "gpu0"),
        ("    node: box\n", "    node: \"b x\"\n", "b x"),
        ("latency_ps: 5000000", "latency_ps: 18446744073709551615", "1000 s"),
        ("latency_ps: 5000000", "latency_ps: 5000000\n      colour: red", "colour"),
        ("  default:", "  defaults:", "defaults"),
    ] {
        let edited = text.replacen(from, to, 1);
        assert_ne!(edited, text, "{from}");
        let error = Record::from_yaml(&edited, "map.yaml", None).expect_err(to).to_string();
        assert!(error.contains(word) && error.contains("map.yaml"), "{to}: {error}");
    }
}

#[test]
fn what_is_written_reads_back_as_itself() {
    let mut random = Random::new(7);
    for model in ["mixtral-8x7b", "llama-3.2-1b", "qwen3-30b-a3b"] {
        for round in 0..8 {
            let mut scenario = scenario(model, 1 + random.index(5), random.coin());
            let schemes = Scheme::all();
            scenario.scheme = schemes[random.index(schemes.len())].clone();
            if random.coin() {
                let kept =
                    ["layers.*.attention=skip", "*[\"':#]\u{85}{a,b}?=skip?"].map(Override::parse);
                let overrides = kept.into_iter().map(Result::unwrap).collect();
                scenario.scheme = scenario.scheme.with_overrides(overrides).unwrap();
            }
            scenario.default_pins = random.coin();
            scenario.load.context = random.within(1, 100_000);
            if random.coin() {
                scenario.constraints = vec![
                    Constraint::parse(ConstraintKind::Pin, "layers.1.a*=gpu0").unwrap(),
                    Constraint::parse(ConstraintKind::Pin, "{embedding,final_*}=gpu0").unwrap(),
                ];
            }
            if random.coin() {
                scenario.model.name = "w\u{1b}[2J \"x\": [&a *a #\u{85}\u{202e}".to_owned();
            }
            if random.coin() {
                scenario.hardware = networked(&scenario.hardware, &mut random);
            }
            let record = arbitrary(&scenario, &mut random);
            let text = record.to_yaml();
            let read = Record::from_yaml(&text, "map.yaml", None).unwrap();
            assert_eq!(read.scenario.hardware, record.scenario.hardware, "{model} {round}");
            assert_eq!(read.homes, record.homes, "{model} {round}");
            assert_eq!(read.scenario.scheme, record.scenario.scheme, "{model} {round}");
            assert_eq!(read.to_yaml(), text, "{model} {round}");
        }
    }
}

#[test]
fn a_solved_file_is_true_and_stable() {
    let mut asked = scenario("mixtral-8x7b", 2, true);
    asked.constraints =
        vec![Constraint::parse(ConstraintKind::Forbid, "layers.31.*=gpu0").unwrap()];
    asked.objectives = parse_objectives(&["peak_utilization:0.5%,traffic"]).unwrap();
    let (problem, record) = solved(&asked);
    let text = record.to_yaml();
    golden("placement.yaml", &text);
    let read = Record::from_yaml(&text, "map.yaml", None).unwrap();
    assert_eq!(read.scenario.problem().unwrap(), problem);
    let placement = read.placement(&problem).unwrap();
    let measured: Measured = verify(&problem, &placement).unwrap();
    assert_eq!(differences(&read, &problem, &measured), []);
}

/// Whether `check` would accept the text.
fn is_accepted(text: &str) -> bool {
    let Ok(record) = Record::from_yaml(text, "map.yaml", None) else { return false };
    let Ok(problem) = record.scenario.problem() else { return false };
    let Ok(placement) = record.placement(&problem) else { return false };
    let Ok(measured) = verify(&problem, &placement) else { return false };
    differences(&record, &problem, &measured).is_empty()
}

#[test]
fn no_figure_can_be_changed_unnoticed() {
    let (_, record) = solved(&scenario("mixtral-8x7b", 2, false));
    let text = record.to_yaml();
    assert!(is_accepted(&text));
    let lines: Vec<&str> = text.lines().collect();
    let mut changed = 0;
    for (index, line) in lines.iter().enumerate() {
        let content = line.split(" # ").next().unwrap();
        let Some((key, value)) = content.split_once(": ") else { continue };
        // Effort is not recomputed; a name is a name; what a component is not bound to may be free.
        let free = ["nodes", "name", "- name", "- id"].contains(&key.trim());
        let Some(at) = value.find(|c: char| c.is_ascii_digit()) else { continue };
        if free || line.starts_with('#') {
            continue;
        }
        let at = key.len() + 2 + at;
        let digit = if &line[at..=at] == "9" { "8" } else { "9" };
        let mut edited = lines.clone();
        let line = format!("{}{digit}{}", &line[..at], &line[at + 1..]);
        edited[index] = &line;
        assert!(!is_accepted(&edited.join("\n")), "line {}: {line}", index + 1);
        changed += 1;
    }
    assert!(changed > 40, "{changed} lines were tried");
}

#[test]
fn any_part_of_a_file_is_refused_and_none_panics() {
    let (_, record) = solved(&scenario("llama-3.2-1b", 2, false));
    let text = record.to_yaml();
    for end in 0..text.len() - 1 {
        if !text.is_char_boundary(end) || end % 7 != 0 {
            continue;
        }
        // The last line may be cut inside a device name only to an unknown one.
        assert!(!is_accepted(&text[..end]), "the first {end} bytes");
    }
}

#[test]
fn no_stray_byte_changes_the_map_or_panics() {
    let (_, record) = solved(&scenario("llama-3.2-1b", 2, false));
    let text = record.to_yaml();
    let mut random = Random::new(11);
    for _ in 0..600 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..random.within(1, 3) {
            let at = random.index(bytes.len());
            bytes[at] = u8::try_from(random.within(9, 126)).unwrap();
        }
        let edited = String::from_utf8(bytes).unwrap();
        if is_accepted(&edited) {
            let read = Record::from_yaml(&edited, "map.yaml", None).unwrap();
            assert_eq!(read.homes, record.homes, "{edited}");
        }
    }
}

#[test]
fn a_map_names_layers_in_ranges() {
    let (_, record) = solved(&scenario("mixtral-8x7b", 2, false));
    let text = record.to_yaml();
    assert!(text.contains("  layers.0-15.attention: gpu0\n"), "{text}");
    assert!(record.homes.iter().any(|&(id, _)| id == ComponentId::Expert(31, 7)));
    assert!(text.lines().count() < 100, "{text}");
}

/// Two names in one entry would shift every later figure to another objective.
#[test]
fn a_recorded_objective_has_one_name() {
    let (_, record) = solved(&scenario("mixtral-8x7b", 2, false));
    let text = record.to_yaml();
    let edited = text.replace("- name: traffic\n", "- name: traffic,spill_bytes\n");
    assert_ne!(edited, text, "the file names its objectives otherwise");
    assert!(Record::from_yaml(&text, "map.yaml", None).is_ok());
    assert!(Record::from_yaml(&edited, "map.yaml", None).is_err());
}
