//! A valid certificate, and every way to spoil it: each is refused, and the message says what is wrong.

use apportion::certificate::{Certificate, Prices, Proof, StageProof, Tree};
use apportion::problem::{ObjectiveKind, ObjectiveValue, Problem};
use apportion::scenario::fingerprint;
use apportion::units::Ratio;
use apportion::verify::prove;

use super::known::BYTES;
use super::{leaf, name};
use crate::support::Tiny;

fn problem() -> Problem {
    Tiny::new(2, 2).gpus(2, 100).problem()
}

/// A peak of 18/100, and under that one hand-over of 2/2.
fn valid(problem: &Problem) -> Certificate {
    let ratio = |n, d| ObjectiveValue::Ratio(Ratio::new(n, d));
    let tracked = ["embedding", "layers.0.attention", "layers.0.experts.0", "output_head"];
    let peak = Tree::Split {
        device: 1,
        class: name("embedding"),
        at: 0,
        least: Box::new(leaf(&[], &[], &BYTES)),
        most: Box::new(leaf(&[], &[], &BYTES)),
    };
    let walks = Proof::Walks {
        single_runs: leaf(&[(ObjectiveKind::Traffic, 1)], &[], &[("layers.0.experts.0", 0)]),
        others: leaf(&[(ObjectiveKind::Traffic, 1)], &tracked, &[]),
    };
    let stage = |kind, bound, cap, proof| StageProof { kind, bound, cap, zones: Vec::new(), proof };
    Certificate {
        problem: fingerprint(problem),
        stages: vec![
            stage(
                ObjectiveKind::PeakUtilization,
                ratio(18, 100),
                ratio(18, 100),
                Proof::Relaxation(peak),
            ),
            stage(ObjectiveKind::Traffic, ratio(2, 2), ratio(2, 2), walks),
        ],
    }
}

/// Why the text is refused, reading or proving.
fn refusal(text: &str, problem: &Problem) -> Option<String> {
    let answer = Certificate::from_yaml(text, "certificate.yaml", problem)
        .and_then(|certificate| prove(problem, &certificate));
    answer.err().map(|error| error.to_string())
}

#[test]
fn files_read_back_as_what_was_written() {
    let problem = problem();
    let certificate = valid(&problem);
    let text = certificate.to_yaml(&problem);
    let read = Certificate::from_yaml(&text, "certificate.yaml", &problem).unwrap();
    assert_eq!(read, certificate);
    assert_eq!(read.to_yaml(&problem), text);
    let proven = prove(&problem, &read).unwrap();
    assert!(proven.iter().all(|stage| stage.proven == Some(stage.claimed)), "{proven:?}");
}

#[test]
fn every_corruption_is_refused_by_name() {
    let problem = problem();
    let text = valid(&problem).to_yaml(&problem);
    let hash = &fingerprint(&problem)[..8];
    let huge = "layers.0.attention: 9223372036854775807";
    for (from, to, why) in [
        (hash, "00000000", "at problem: expected"),
        ("apportion: certificate", "apportion: placement", "at apportion"),
        ("version: 1", "version: 2", "at version"),
        ("embedding: 5", "embedding: 2", "expected a proof of 18/100"),
        ("18/100", "19/100", "expected a proof of 19/100"),
        ("bound: 2/2", "bound: 5/2", "at cap: expected at least the bound"),
        ("2/2", "5/2", "expected a proof of 5/2, found 2/2"),
        ("cap: 18/100", "cap: 40/100", "`traffic`, at the bound"),
        ("cap: 18/100", "cap: 17/100", "at cap: expected at least the bound, 18/100"),
        ("bound: 18/100", "bound: 18", "bytes, a count, or a fraction"),
        ("bound: 18/100", "bound: 18/0", "bytes, a count, or a fraction"),
        ("{traffic: 1}", "{traffic: -1}", "a negative weight"),
        ("{traffic: 1}", "{traffic: 0}", "no weight on the objective that is bounded"),
        ("{traffic: 1}", "{traffic: 1, devices_used: 1}", "an objective that has no cap"),
        ("{traffic: 1}", "{traffic: 1, peak_utilization: 1}", "an objective that has no cap"),
        ("{traffic: 1}", "{traffic: 1, traffic: 1}", "appears twice"),
        ("{traffic: 1}", "{traffic: 1, speed: 1}", "the name of an objective"),
        ("{traffic: 1}", "{traffic: 1.5}", "invalid type"),
        ("layers.0.attention: 4", huge, "expected a proof of 18/100"),
        ("layers.0.attention: 4", "layers.0.attention: 9223372036854775808", "invalid"),
        ("layers.0.attention: 4", "layers.7.attention: 4", "a component of the problem"),
        ("layers.0.attention: 4", "layers.1.attention: 4", "not the first of a class"),
        ("layers.0.attention: 4", "layers.0.router: 4", "not the first of a class"),
        ("layers.0.attention: 4", "attention: 4", "a name such as"),
        ("layers.0.attention: 4", "embedding: 4", "appears twice"),
        ("at: 0", "at: 1", "nothing on one side"),
        ("at: 0", "at: 18446744073709551615", "nothing on one side"),
        ("at: 0", "at: -1", "invalid"),
        ("device: gpu1", "device: gpu2", "a device of the problem"),
        ("class: embedding", "class: layers.1.attention", "not the first of a class"),
        ("class: embedding", "klass: embedding", "unknown field"),
        ("      most:\n", "      extra:\n", "unknown field"),
        ("proof: relaxation", "proof: walks", "`tree` for a relaxation"),
        ("proof: relaxation", "proof: faith", "unknown variant"),
        ("proof: walks", "proof: relaxation", "`tree` for a relaxation"),
        ("objective: traffic", "objective: spill_bytes", "bytes, a count, or a fraction"),
        ("tracked: [embedding,", "tracked: [embedding, embedding,", "tracked twice"),
        ("tracked: [embedding,", "fractional: [embedding]\n      tracked: [", "parts of what can"),
        ("at: 0", "at: &a 0", "an anchor"),
        ("at: 0", "at: *a", "an alias"),
    ] {
        let spoiled = text.replace(from, to);
        assert_ne!(spoiled, text, "{from}");
        let message = refusal(&spoiled, &problem);
        let message = message.unwrap_or_else(|| panic!("{from} -> {to} is accepted:\n{spoiled}"));
        assert!(message.contains(why), "{from} -> {to}: {message}\n{spoiled}");
    }
}

#[test]
fn what_is_cut_off_is_missed() {
    let problem = problem();
    let text = valid(&problem).to_yaml(&problem);
    let walks = text.find("    others:").unwrap();
    let lines: Vec<usize> = text[..walks].match_indices('\n').map(|(at, _)| at + 1).collect();
    for end in lines {
        assert!(refusal(&text[..end], &problem).is_some(), "{}", &text[..end]);
    }
    let most = text.find("      most:").unwrap();
    let next = text.find("  - objective: traffic").unwrap();
    let one_side = format!("{}{}", &text[..most], &text[next..]);
    let message = refusal(&one_side, &problem).unwrap();
    assert!(message.contains("`least` and `most` of a split"), "{message}");
}

#[test]
fn stages_are_those_of_the_problem_in_order() {
    let problem = problem();
    let whole = valid(&problem);
    let of = |stages: Vec<StageProof>| Certificate { stages, ..whole.clone() };
    let reversed = of(whole.stages.iter().rev().cloned().collect());
    let missing = of(whole.stages[..1].to_vec());
    let twice = of([&whole.stages[..], &whole.stages[..1]].concat());
    for spoiled in [reversed, missing, twice] {
        let message = prove(&problem, &spoiled).unwrap_err().to_string();
        assert!(message.contains("at stages: expected peak_utilization, traffic"), "{message}");
    }
}

#[test]
fn another_problem_is_another_fingerprint() {
    let text = valid(&problem()).to_yaml(&problem());
    let other = Tiny::new(2, 2).gpus(2, 101).problem();
    let message = refusal(&text, &other).unwrap();
    assert!(message.contains("at problem: expected"), "{message}");
}

#[test]
fn tables_beyond_what_anyone_waits_for_are_refused() {
    let problem = Tiny::new(60, 64).gpus(8, 4_000).problem();
    let mut certificate = valid(&problem);
    for tracked in [
        &["layers.0.attention", "layers.0.experts.0"][..],
        &["embedding", "layers.0.attention", "layers.0.experts.0", "output_head"][..],
    ] {
        certificate.stages[0].proof = Proof::Relaxation(leaf(&[], tracked, &[]));
        let message = prove(&problem, &certificate).unwrap_err().to_string();
        assert!(message.contains("steps of work for a set of prices"), "{message}");
    }
}

#[test]
fn what_cannot_be_added_up_is_refused() {
    let problem = Tiny::new(2, 8).gpus(2, 200).problem();
    let mut certificate = valid(&problem);
    certificate.stages[0].bound = ObjectiveValue::Ratio(Ratio::ZERO);
    certificate.stages[0].proof = Proof::Zero;
    let huge = leaf(&[(ObjectiveKind::Traffic, i64::MAX)], &[], &[]);
    certificate.stages[1].proof = Proof::Relaxation(huge);
    let message = prove(&problem, &certificate).unwrap_err().to_string();
    assert!(message.contains("numbers too large"), "{message}");
}

#[test]
fn trees_are_bounded() {
    let problem = problem();
    let mut certificate = valid(&problem);
    let mut tree = Tree::Leaf(Prices::default());
    for _ in 0..70 {
        let least = Box::new(Tree::Leaf(Prices::default()));
        let class = name("embedding");
        tree = Tree::Split { device: 0, class, at: 0, least, most: Box::new(tree) };
    }
    certificate.stages[0].proof = Proof::Relaxation(tree);
    let message = prove(&problem, &certificate).unwrap_err().to_string();
    assert!(message.contains("nothing on one side, or too deep"), "{message}");
    let text = certificate.to_yaml(&problem);
    assert!(Certificate::from_yaml(&text, "certificate.yaml", &problem).is_err());
}
