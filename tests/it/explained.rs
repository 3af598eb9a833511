//! What `solve --explain` says: bounds that hold, steps that end where the answer does, text and JSON.

use apportion::plan::{self, Method, Options, Outcome};
use apportion::problem::{Objective, ObjectiveKind, ObjectiveValue};
use apportion::units::Ratio;
use apportion::verify::verify;

use crate::binary::{Bench, golden};
use crate::support::{Random, Tiny, enumerate};

const UNEVEN: &str =
    "solve mixtral-8x7b --quant q4_k_m --gpu 24GiB --gpu 12GiB --gpu 8GiB --explain";

#[test]
fn the_text_is_as_kept() {
    let bench = Bench::new();
    for (name, line) in [
        ("explain.txt", UNEVEN.to_owned()),
        ("explain-host.txt", format!("{UNEVEN} --context 65536 --cpu 64GiB --max-devices 3")),
    ] {
        let run = bench.line(&line);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{line}");
        let widest = run.stdout.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 80, "{name} is {widest} columns wide");
        let (_, how) = run.stdout.split_once("how it was found\n").unwrap();
        golden(name, how);
        let again = bench.line(&line);
        assert!(again.stdout.ends_with(how), "the same question is explained in the same way");
    }
}

#[test]
fn without_being_asked_nothing_is_explained() {
    let bench = Bench::new();
    let plain = UNEVEN.strip_suffix(" --explain").unwrap();
    assert!(!bench.line(plain).stdout.contains("how it was found"));
    assert_eq!(bench.line(&format!("{plain} --json")).json().get("explanation"), None);
    let told = bench.line(&format!("{UNEVEN} --json")).json();
    let explanation = told["explanation"].as_object().unwrap();
    assert_eq!(explanation.keys().collect::<Vec<_>>(), ["merged", "settled", "stages"]);
    let stages = explanation["stages"].as_array().unwrap();
    let nodes: u64 = stages.iter().map(|stage| stage["nodes"].as_u64().unwrap()).sum();
    assert_eq!(told["solver"]["nodes"], nodes, "every node belongs to a stage");
    // 32 x 8 experts, attention with its router, the ends; the final norm is with the head.
    assert_eq!(explanation["merged"]["components"], 32 * 10 + 3);
    assert_eq!(explanation["merged"]["units"], 32 * 9 + 2);
}

/// By hand: 5 + 2 x (3 + 1 + 2 x 4) + 6 = 35 bytes on 40, the embedding pinned, 24 bytes of room at most on
/// the larger GPU, so that the smaller one must hold 11.
#[test]
fn a_small_problem_explained_by_hand() {
    let problem = Tiny::new(2, 2).gpu(24).gpu(16).pin(&["embedding"], 0).problem();
    let explained = plan::explain(&problem).unwrap();
    let merged = &explained.merged;
    assert_eq!((merged.components, merged.units), (11, 8));
    assert_eq!(merged.layers.len(), 1, "both layers are alike");
    assert_eq!(merged.layers[0].layers, [0, 1]);
    assert_eq!((merged.layers[0].items.len(), merged.layers[0].items[0].count), (1, 2));
    // Embedding 1, head 2, homes 2 x 2, experts 4 x 2; as counts 1 + 2 + 2 + 2.
    assert_eq!((merged.named, merged.counted), (15, 7));
    let cut = &explained.cut;
    assert_eq!(
        cut.pinned.iter().map(|p| (p.device, p.units, p.bytes)).collect::<Vec<_>>(),
        [(0, 1, 5)]
    );
    let must: Vec<_> = cut.must_use.iter().map(|m| (m.device, m.holds_bytes)).collect();
    assert_eq!(must, [(0, 19), (1, 11)]);
    let Outcome::Solved(solved) = plan::solve(&problem, &Options::default()).unwrap() else {
        panic!("35 bytes fit on 40")
    };
    let bounds = &solved.trace[0].bounds;
    let value = |n, d| ObjectiveValue::Ratio(Ratio::new(n, d));
    let values: Vec<_> = bounds.iter().map(|bound| bound.value).collect();
    // Everything over everything; the head on the larger GPU; the embedding where it is pinned.
    assert_eq!(values, [value(35, 40), value(6, 24), value(5, 24)]);
}

/// Bounds that take no search hold for every placement there is, under the caps of their stage.
#[test]
fn no_placement_is_below_a_bound() {
    let mut random = Random::new(71);
    let (mut checked, mut tight) = (0, 0);
    for _ in 0..300 {
        let mut problem = random.enumerable(3_000);
        let kinds =
            [ObjectiveKind::SpillBytes, ObjectiveKind::PeakUtilization, ObjectiveKind::DevicesUsed];
        let first = random.index(kinds.len());
        let tolerance = Ratio::new(random.below(3), 10);
        let stage = |index: usize| Objective { kind: kinds[index % 3], tolerance };
        problem.objectives = vec![stage(first), stage(first + 1), stage(first + 2)];
        problem.headroom_bytes = problem.devices.iter().map(|_| random.below(3)).collect();
        let Outcome::Solved(solved) = plan::solve(&problem, &Options::default()).unwrap() else {
            continue;
        };
        let all: Vec<_> =
            enumerate(&problem).filter_map(|place| verify(&problem, &place).ok()).collect();
        for (index, trace) in solved.trace.iter().filter(|trace| !trace.again).enumerate() {
            let earlier = &solved.stages[..index];
            let within = all.iter().filter(|m| earlier.iter().all(|s| m.value(s.kind) <= s.cap));
            let best = within.map(|measured| measured.value(trace.kind)).min().unwrap();
            for bound in &trace.bounds {
                assert!(bound.value <= best, "{bound:?} is above {best:?}\n{problem:#?}");
                checked += 1;
                tight += usize::from(bound.value == best);
            }
        }
    }
    assert!(checked > 300 && tight > 30, "{checked} bounds, {tight} of them attained");
}

/// The last step of a stage knows what the stage reports, bounds only rise, and nothing found is lost.
#[test]
fn steps_lead_to_the_answer() {
    let mut random = Random::new(72);
    let mut closed_by_program = 0;
    for case in 0..200 {
        let problem = random.tiny().problem();
        let node_limit = if case % 2 == 0 { 1 } else { 300 };
        let options = Options { node_limit, ..Options::default() };
        let Outcome::Solved(solved) = plan::solve(&problem, &options).unwrap() else { continue };
        let stages: Vec<_> = solved.trace.iter().filter(|trace| !trace.again).collect();
        assert_eq!(stages.len(), solved.stages.len());
        let nodes: u64 = solved.trace.iter().map(plan::StageTrace::nodes).sum();
        assert_eq!(nodes, solved.solver.nodes);
        for (trace, stage) in stages.into_iter().zip(&solved.stages) {
            assert_eq!(trace.kind, stage.kind);
            let last = trace.steps.last().unwrap();
            assert!(last.best.unwrap() >= stage.optimum && last.bound <= stage.bound);
            let found = trace.steps.iter().filter_map(|step| step.best);
            assert!(found.clone().zip(found.skip(1)).all(|(a, b)| b <= a), "{trace:?}");
            assert!(trace.closed_by().is_none() || stage.proven, "{trace:?}");
            closed_by_program +=
                usize::from(trace.closed_by().is_some_and(|s| s.method == Method::Relaxation));
        }
    }
    assert!(closed_by_program > 50, "only {closed_by_program}");
}
