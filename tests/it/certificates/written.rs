//! What `plan::certify` writes is confirmed by the checker, on machines as people have them.

use apportion::certificate::{Certificate, Proof};
use apportion::hardware::Hardware;
use apportion::memory::Load;
use apportion::model::Model;
use apportion::plan::{Options, Outcome, certify, solve};
use apportion::problem::ObjectiveKind;
use apportion::quant::Scheme;
use apportion::scenario::{Limits, Scenario, default_objectives, fingerprint};
use apportion::verify::prove;

/// Solves, certifies, checks the certificate as a file; the objectives that are certified.
fn certified(model: &str, quant: &str, gib: &[u64], cpu_gib: Option<u64>) -> Vec<ObjectiveKind> {
    let gpus: Vec<u64> = gib.iter().map(|gib| gib << 30).collect();
    let problem = Scenario {
        model: Model::from_catalogue(model).unwrap(),
        scheme: Scheme::parse(quant).unwrap(),
        load: Load::default(),
        hardware: Hardware::from_sizes(&gpus, cpu_gib.map(|gib| gib << 30), 0).unwrap(),
        constraints: Vec::new(),
        default_pins: true,
        objectives: default_objectives(),
        limits: Limits::default(),
    }
    .problem()
    .unwrap();
    let options = Options::default();
    let Outcome::Solved(mut solved) = solve(&problem, &options).unwrap() else { panic!("{model}") };
    let id = fingerprint(&problem);
    let certificate = certify(&problem, &mut solved, &id, &options).unwrap();
    let text = certificate.to_yaml(&problem);
    let read = Certificate::from_yaml(&text, "certificate.yaml", &problem).unwrap();
    assert_eq!(read, certificate);
    let proven = prove(&problem, &read).unwrap();
    for (stage, proven) in solved.stages.iter().zip(&proven) {
        assert!(proven.proven.is_none_or(|proven| proven >= stage.bound), "{stage:?} {proven:?}");
    }
    let with_proof = read.stages.iter().filter(|stage| stage.proof != Proof::Search);
    with_proof.map(|stage| stage.kind).collect()
}

const BOTH: [ObjectiveKind; 2] = [ObjectiveKind::PeakUtilization, ObjectiveKind::Traffic];

#[test]
fn mixtral_is_certified_on_two_to_eight_gpus() {
    assert_eq!(certified("mixtral-8x7b", "nf4-dq", &[16, 16], None), BOTH);
    assert_eq!(certified("mixtral-8x7b", "q4_k_m", &[12, 10, 8, 6], None), BOTH);
    assert_eq!(certified("mixtral-8x7b", "q4_k_m", &[8, 8, 6, 6, 5, 5, 4, 4], None), BOTH);
}

#[test]
fn deepseek_is_certified_on_eight_gpus() {
    let gib = [80, 80, 80, 80, 96, 96, 141, 141];
    assert_eq!(certified("deepseek-v3", "fp8", &gib, None), BOTH);
}

#[test]
fn with_host_memory_what_is_spilled_is_certified_too() {
    let found = certified("mixtral-8x7b", "q4_k_m", &[10, 10], Some(64));
    assert_eq!(found, [&[ObjectiveKind::SpillBytes], &BOTH[..]].concat());
}
