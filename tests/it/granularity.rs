//! What a runtime can hold apart: bytes stay what they are, and what cannot be asked is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use apportion::model::{ComponentId, ComponentKind, Matrix, Model};
use apportion::placement::Record;
use apportion::problem::{ObjectiveKind, ObjectiveValue, Placement, Problem};
use apportion::quant::Scheme;
use apportion::routing::Statistics;
use apportion::runtime::SendRule;
use apportion::scenario::{Granularity, Scenario, parse_objectives};
use apportion::units::Ratio;
use apportion::verify::verify;

use crate::binary::Bench;
use crate::evaluates::timed;
use crate::scenarios::scenario;
use crate::support::Random;

fn by_matrix(mut asked: Scenario) -> Scenario {
    asked.limits.granularity = Granularity::FusedMatrix;
    asked
}

/// Everything on device 0 but these.
fn placed(problem: &Problem, away: &[ComponentId]) -> Placement {
    let device = |c: &apportion::problem::Component| usize::from(away.contains(&c.demand.id));
    Placement { device_of: problem.components.iter().map(device).collect() }
}

fn layer_bytes(problem: &Problem, kind: ComponentKind) -> BTreeMap<u32, u64> {
    let mut bytes = BTreeMap::new();
    for component in problem.components.iter().filter(|c| c.demand.id.kind() == kind) {
        *bytes.entry(component.demand.id.layer().unwrap()).or_default() +=
            component.demand.weights_bytes;
    }
    bytes
}

/// In models of every kind of naming, layer by layer.
#[test]
fn matrices_weigh_together_what_experts_weigh_together() {
    for (model, quant, matrices) in [
        ("mixtral-8x7b", "q4_k_m", 3),
        ("mixtral-8x7b", "nf4-dq", 3),
        ("gpt-oss-20b", "f16", 2),
        ("gpt-oss-20b", "mxfp4", 2),
        ("gpt-oss-20b", "q8_0", 3),
        ("deepseek-v2-lite", "f16", 3),
        ("dbrx-base", "f16", 3),
        ("llama-4-scout", "f16", 2),
    ] {
        let Ok(found) = Model::from_catalogue(model) else { panic!("no {model}") };
        let Ok(scheme) = Scheme::parse(quant) else { panic!("no {quant}") };
        let mut asked = scenario("mixtral-8x7b", 8, true);
        (asked.model, asked.scheme) = (found, scheme);
        let experts = asked.problem().unwrap();
        let whole = by_matrix(asked).problem().unwrap();
        whole.validate().unwrap();
        let of_experts = layer_bytes(&experts, ComponentKind::Expert);
        assert!(!of_experts.is_empty());
        assert_eq!(layer_bytes(&whole, ComponentKind::ExpertMatrix), of_experts, "{model} {quant}");
        let layers = of_experts.len();
        let parts = whole.components.iter().filter(|c| c.demand.id.matrix().is_some());
        assert_eq!(parts.count(), layers * matrices, "{model} {quant}");
        let others = |problem: &Problem| {
            let rest = problem.components.iter().map(|c| (c.demand.id, c.demand.weights_bytes));
            let rest: Vec<_> =
                rest.filter(|(id, _)| id.expert().is_none() && id.matrix().is_none()).collect();
            rest
        };
        assert_eq!(others(&whole), others(&experts));
    }
}

/// Mixtral's experts are 14,336 wide, 3.5 times the model, and two are chosen: 7 activations between matrices.
#[test]
fn what_crosses_between_matrices_is_as_wide_as_the_chosen_experts() {
    let traffic = |sends, away: &[Matrix]| {
        let mut asked = by_matrix(scenario("mixtral-8x7b", 2, false));
        asked.hardware.devices.iter_mut().for_each(|device| device.capacity_bytes <<= 4);
        asked.default_pins = false;
        asked.limits.sends = Some(sends);
        let problem = asked.problem().unwrap();
        let away: Vec<_> =
            away.iter().map(|&matrix| ComponentId::ExpertMatrix(9, matrix)).collect();
        let Ok(measured) = verify(&problem, &placed(&problem, &away)) else { panic!("it fits") };
        assert_eq!(measured.traffic.remote_experts, u64::try_from(away.len()).unwrap());
        measured.value(ObjectiveKind::Traffic)
    };
    for (away, per_expert, per_device) in [
        (&[][..], 0, 0),
        // There, and what it gives to the gate.
        (&[Matrix::Up], 1 + 7, 1 + 7),
        (&[Matrix::Gate], 7 + 1 + 7, 7 + 1 + 7),
        (&[Matrix::Down], 7 + 1, 7 + 1),
        // Both receive the token, in one way or two; what they give together is brought home.
        (&[Matrix::Up, Matrix::Gate], 2 + 7, 1 + 7),
        (&[Matrix::Up, Matrix::Down], 1 + 7 + 7 + 1, 1 + 7 + 7 + 1),
        (&[Matrix::Up, Matrix::Gate, Matrix::Down], 2 + 1, 1 + 1),
    ] {
        for (sends, expected) in
            [(SendRule::PerExpert, per_expert), (SendRule::PerDevice, per_device)]
        {
            let expected = ObjectiveValue::Ratio(Ratio::new(expected, 1));
            assert_eq!(traffic(sends, away), expected, "{away:?} {sends:?}");
        }
    }
}

/// With all of a layer in one place a step reads the two experts it visits, whatever they are called: the two
/// granularities take as long.
#[test]
fn a_step_reads_of_matrices_what_it_visits() {
    let time = |asked: Scenario| {
        let problem = asked.problem().unwrap();
        let Ok(measured) = verify(&problem, &placed(&problem, &[])) else { panic!("it fits") };
        measured.value(ObjectiveKind::DecodeLatency).as_f64()
    };
    for batch in [1, 4] {
        let mut asked = timed("mixtral-8x7b", "f16");
        asked.load.batch = batch;
        let [whole, parts] = [time(asked.clone()), time(by_matrix(asked))];
        assert!((whole - parts).abs() < 1e-6 * whole, "batch {batch}: {whole} and {parts}");
    }
}

/// Coarser is never better: what is held together could have been held apart in the same place.
#[test]
fn finer_parts_take_no_longer() {
    let bench = Bench::new();
    let value = |granularity: &str| {
        let line = format!(
            "solve mixtral-8x7b --quant q4_0 --gpu 15GiB --gpu 14GiB --objective traffic --json \
             --granularity {granularity}"
        );
        let run = bench.line(&line);
        assert_eq!(run.code, 0, "{run:?}");
        let answer: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(answer["status"], "optimal", "{granularity}");
        answer["objectives"][0]["value"].as_f64().unwrap()
    };
    let [layer, experts, expert] = ["layer", "experts", "expert"].map(value);
    let matrix = value("fused-matrix");
    assert!(expert <= experts && experts <= layer, "{expert} {experts} {layer}");
    assert!(matrix <= layer, "{matrix} {layer}");
}

#[test]
fn files_name_matrices_and_read_back() {
    let mut asked = by_matrix(scenario("mixtral-8x7b", 2, false));
    asked.objectives = parse_objectives(&["traffic"]).unwrap();
    let record = crate::formats::arbitrary(&asked, &mut Random::new(5));
    let yaml = record.to_yaml();
    assert!(yaml.contains("  granularity: fused_matrix\n"), "{yaml}");
    assert!(yaml.contains(".experts.down: "), "{yaml}");
    let read = Record::from_yaml(&yaml, "x", None).unwrap();
    assert_eq!(read.homes, record.homes);
    assert_eq!(read.to_yaml(), yaml);
}

#[test]
fn a_solved_file_is_checked_and_what_cannot_be_done_with_it_is_refused() {
    let bench = Bench::new();
    let two = "solve mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB --granularity fused-matrix";
    let run = bench.line(&format!("{two} -o map.yaml --certificate map.cert.yaml"));
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("granularity fused-matrix\n"), "{run:?}");
    assert!(run.stdout.contains("  up 0  gate 0  down 0\n"), "{run:?}");
    let check = bench.line("check map.yaml --certificate map.cert.yaml");
    assert_eq!(check.code, 0, "{check:?}");
    bench.line(&format!("{two} --write-lp lp")).refuses(&["cannot write the programs `traffic`"]);
    bench
        .line("solve mixtral-8x7b --quant nf4 --gpu rtx-4090 --gpu rtx-4090 --link pcie-4-x16 --objective decode_latency --write-lp lp")
        .refuses(&["cannot write the programs `decode_latency`"]);
}

/// Each file would want other experts near, and there are none to move.
#[test]
fn several_statistics_do_not_place_whole_matrices() {
    let mut asked = by_matrix(timed("mixtral-8x7b", "f16"));
    let text = serde_json::json!({
        "model": "m", "text": "t", "tokens": 4, "top_k": 2, "counts": vec![[1; 8]; 32],
    });
    let statistics = Arc::new(Statistics::from_json(&text.to_string(), "x").unwrap());
    asked.limits.routing = vec![Arc::clone(&statistics)];
    asked.problem().unwrap().validate().unwrap();
    asked.limits.routing.push(statistics);
    let error = asked.problem().unwrap_err().to_string();
    assert!(error.contains("at most one file of routing statistics"), "{error}");
}

/// The table of `documentation::time`, as `apportion solve` prints it.
#[test]
fn what_finer_parts_are_worth_is_as_documented() {
    let text = include_str!("../../src/documentation/time.md");
    let bench = Bench::new();
    let machine =
        |name: &str| format!("{}/tests/data/machines/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    for granularity in ["layer", "experts", "fused-matrix", "expert"] {
        let found = ["slow-second", "host"].map(|name| {
            let hardware = machine(name);
            let run = bench.line(&format!(
                "solve mixtral-8x7b --quant q4_0 --hardware {hardware} --objective decode_latency \
                 --granularity {granularity}"
            ));
            assert!(run.stdout.starts_with("optimal"), "{run:?}");
            let line = run.stdout.lines().find(|line| line.starts_with("decode_latency")).unwrap();
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {}", words[1], words[2])
        });
        let row = format!("| `{granularity}` | {} | {} |\n", found[0], found[1]);
        assert!(text.contains(&row), "{row}");
    }
}
