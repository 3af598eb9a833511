//! `check --certificate`, on a real model.

use apportion::certificate::{Certificate, Proof, StageProof};
use apportion::model::ComponentKind;
use apportion::placement::Record;
use apportion::problem::{ObjectiveKind, ObjectiveValue, Problem};
use apportion::scenario::fingerprint;
use apportion::units::Ratio;

use super::{leaf, relaxation};
use crate::binary::Bench;

const INCIDENT: &str =
    "solve mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB -o map.yaml";

/// What the map says, and a certificate for it: bytes as prices for the peak, walks for the traffic.
fn solved(bench: &Bench) -> (Problem, Certificate) {
    assert_eq!(bench.line(INCIDENT).code, 0);
    let text = bench.read("map.yaml");
    let record = Record::from_yaml(&text, "map.yaml", None).unwrap();
    let problem = record.scenario.problem().unwrap();
    // Layer 0 is a class of its own: its experts are pinned.
    let homes = ["layers.0.attention", "layers.1.attention"];
    let all = ["embedding", homes[0], homes[1], "output_head"];
    let bytes = |id: &str| {
        let with = problem.components.iter().filter(|c| c.lives_with.to_string() == id);
        let bytes = with.map(|c| c.demand.weights_bytes + c.demand.kv_cache_bytes);
        i64::try_from(bytes.sum::<u64>()).unwrap()
    };
    let with_experts = [&all[..], &["layers.0.experts.0", "layers.1.experts.0"]].concat();
    let prices: Vec<(&str, i64)> = with_experts.iter().map(|&id| (id, bytes(id))).collect();
    let traffic = [(ObjectiveKind::Traffic, 1)];
    let proof = |kind| match kind {
        ObjectiveKind::PeakUtilization => relaxation(&[], &[], &prices),
        _ => Proof::Walks {
            single_runs: leaf(&traffic, &[], &[]),
            others: leaf(&traffic, &all, &[]),
        },
    };
    let stages = record.objectives.iter().map(|objective| StageProof {
        kind: objective.kind(),
        bound: objective.bound,
        cap: objective.cap,
        zones: Vec::new(),
        proof: proof(objective.kind()),
    });
    assert!(problem.components.iter().any(|c| c.demand.id.kind() == ComponentKind::Expert));
    (problem.clone(), Certificate { problem: fingerprint(&problem), stages: stages.collect() })
}

fn check(bench: &Bench, problem: &Problem, certificate: &Certificate) -> (i32, String) {
    bench.write("certificate.yaml", certificate.to_yaml(problem));
    let run = bench.line("check map.yaml --certificate certificate.yaml");
    (run.code, run.stdout)
}

#[test]
fn a_certificate_is_verified_with_the_map() {
    let bench = Bench::new();
    let (problem, certificate) = solved(&bench);
    let (code, text) = check(&bench, &problem, &certificate);
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches("  certified").count(), 2, "{text}");

    let mut by_search = certificate.clone();
    by_search.stages[1].proof = Proof::Search;
    let (code, text) = check(&bench, &problem, &by_search);
    assert_eq!(code, 0);
    assert!(text.contains("certified") && text.contains("proven by search only"), "{text}");
    let run = bench.line("check map.yaml --certificate certificate.yaml --json");
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json["bounds"][0]["proof"], "certified");
    assert_eq!(json["bounds"][1]["proof"], "search");

    let run = bench.line("check map.yaml");
    assert_eq!(run.stdout.matches("proven by search only").count(), 2, "{}", run.stdout);
}

#[test]
fn a_certificate_that_does_not_bear_out_the_map_is_refused() {
    let bench = Bench::new();
    let (problem, certificate) = solved(&bench);
    let mut wide = certificate.clone();
    wide.stages[0].cap = ObjectiveValue::Ratio(Ratio::new(1, 1));
    let (code, text) = check(&bench, &problem, &wide);
    assert!(code == 1 && text.contains("objectives.peak_utilization.cap"), "{text}");

    let mut less = certificate.clone();
    less.stages[1].bound = ObjectiveValue::Ratio(Ratio::ZERO);
    less.stages[1].proof = Proof::Zero;
    let (code, text) = check(&bench, &problem, &less);
    assert!(code == 1 && text.contains("objectives.traffic.bound"), "{text}");

    let mut more = certificate.clone();
    let ObjectiveValue::Ratio(bound) = more.stages[0].bound else { unreachable!() };
    more.stages[0].bound = ObjectiveValue::Ratio(Ratio::new(
        bound.numerator() / 1000 * 1005,
        bound.denominator() / 1000 * 1000,
    ));
    let (code, text) = check(&bench, &problem, &more);
    assert!(code == 1 && text.contains("expected a proof of"), "{text}");

    let mut other = certificate;
    other.problem = "0".repeat(64);
    let text = other.to_yaml(&problem);
    bench.write("certificate.yaml", &text);
    let run = bench.line("check map.yaml --certificate certificate.yaml");
    assert!(run.code == 2 && run.stderr.contains("at problem"), "{}", run.stderr);
}
