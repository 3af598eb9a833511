//! Laws the planner's answers obey on problems too large to enumerate.

/// How an answer moves when the question does.
mod laws;

use apportion::hardware::Hardware;
use apportion::memory::Load;
use apportion::model::Model;
use apportion::plan::{self, Options, Outcome, Solved};
use apportion::problem::{DeviceSet, Objective, ObjectiveKind, ObjectiveValue, Problem, Rule};
use apportion::quant::Scheme;
use apportion::scenario::{Limits, Scenario, default_objectives};
use apportion::units::Ratio;

use super::options;
use crate::support::{Random, Tiny};

fn solved(problem: &Problem) -> Option<Solved> {
    match plan::solve(problem, &options()).unwrap() {
        Outcome::Solved(solved) => Some(solved),
        Outcome::Infeasible(_) => None,
        Outcome::Unknown(limit) => panic!("{limit:?} {problem:#?}"),
    }
}

fn optimum(problem: &Problem) -> Option<ObjectiveValue> {
    solved(problem).map(|solved| {
        assert!(solved.stages[0].proven, "{:?}", solved.stages);
        solved.stages[0].optimum
    })
}

fn only(kind: ObjectiveKind) -> Vec<Objective> {
    vec![Objective { kind, tolerance: Ratio::ZERO }]
}

fn mixtral(scheme: &str, gpus: &[u64]) -> Problem {
    Scenario {
        model: Model::from_catalogue("mixtral-8x7b").unwrap(),
        scheme: Scheme::parse(scheme).unwrap(),
        load: Load::default(),
        hardware: Hardware::from_sizes(gpus, None, 0).unwrap(),
        constraints: Vec::new(),
        default_pins: true,
        limits: Limits::default(),
        objectives: default_objectives(),
    }
    .problem()
    .unwrap()
}

const GIB: u64 = 1 << 30;

/// Known answer, by hand: 32 equal layers, embedding and head of nearly equal size at the two ends. Half
/// of the layers each is the best balance, and the two halves touch once.
#[test]
fn mixtral_on_two_equal_gpus_is_cut_in_half() {
    let problem = mixtral("nf4-dq", &[16_750_372_454; 2]);
    let solved = solved(&problem).unwrap();
    assert_eq!(solved.limit, None);
    let [peak, traffic] = &solved.stages[..] else { panic!("{:?}", solved.stages) };
    assert_eq!(traffic.value, ObjectiveValue::Ratio(Ratio::new(1, 1)));
    // (24,482,994,048 weights + 8,192 more at the end) / 2 + 256 MiB cache + 128 MiB workspace.
    let fuller = 12_241_501_120 + (256 << 20) + (128 << 20);
    assert_eq!(peak.value, ObjectiveValue::Ratio(Ratio::new(fuller, 16_750_372_454)));
    assert!(peak.gap() <= 1e-4);
}

/// Layers of two sizes, interleaved, on uneven GPUs: proven, whatever the order of the devices.
#[test]
fn three_uneven_gpus_are_proven() {
    for gpus in [[24, 12, 8], [8, 12, 24], [16, 12, 8], [12, 11, 10], [20, 10, 7]] {
        let problem = mixtral("q4_k_m", &gpus.map(|g| g * GIB));
        let solved = solved(&problem).unwrap();
        assert_eq!(solved.limit, None, "{gpus:?}: {:?}", solved.stages);
    }
}

/// Four GPUs, even and uneven, where single runs cost 5 transfers and a device that is returned to 4.5.
#[test]
fn four_gpus_are_proven_and_may_return_to_a_device() {
    for gpus in [[12, 10, 8, 6], [8, 8, 8, 8]] {
        let problem = mixtral("q4_k_m", &gpus.map(|g| g * GIB));
        let solved = solved(&problem).unwrap();
        assert_eq!(solved.limit, None, "{gpus:?}: {:?}", solved.stages);
    }
}

/// A bound is a bound whatever the budget: with hardly any nodes it is below what a large budget finds.
#[test]
fn a_small_budget_gives_weaker_answers_but_true_ones() {
    let problem = mixtral("q4_k_m", &[12, 10, 8, 6].map(|g| g * GIB));
    let answer = |node_limit| {
        let options = Options { node_limit, ..options() };
        match plan::solve(&problem, &options).unwrap() {
            Outcome::Solved(solved) => solved,
            other => panic!("{other:?}"),
        }
    };
    let (hasty, patient) = (answer(1), answer(2_000));
    assert!(hasty.stages[0].bound <= patient.stages[0].optimum);
    assert!(patient.stages[0].bound <= hasty.stages[0].optimum);
    assert!(hasty.solver.nodes < patient.solver.nodes);
}

/// A time limit ends a search that would go on, and what it returns is verified all the same.
#[test]
fn a_time_limit_stops_the_search() {
    let problem = mixtral("q4_k_m", &[8, 6, 6, 5, 4, 4, 3, 3].map(|g| g * GIB));
    let time_limit = Some(std::time::Duration::from_millis(1));
    let options = Options { time_limit, node_limit: u64::MAX / 100, ..options() };
    let started = std::time::Instant::now();
    let outcome = plan::solve(&problem, &options).unwrap();
    assert!(started.elapsed().as_secs() < 20, "a millisecond was given");
    match outcome {
        Outcome::Solved(solved) => assert_eq!(solved.limit, Some(plan::LimitReached::Time)),
        other => assert!(matches!(other, Outcome::Unknown(plan::LimitReached::Time)), "{other:?}"),
    }
}

/// What is said to be missing is enough.
#[test]
fn shortfalls_are_all_that_is_missing() {
    let mut random = Random::new(14);
    let mut checked = 0;
    for _ in 0..400 {
        let shrink = random.within(2, 4);
        let tiny: Tiny = random.tiny().with(|t| {
            for device in &mut t.devices {
                device.capacity_bytes = (device.capacity_bytes * 2 / shrink).max(1);
            }
        });
        let problem = tiny.problem();
        let Outcome::Infeasible(why) = plan::solve(&problem, &options()).unwrap() else {
            continue;
        };
        checked += 1;
        let mut enlarged = problem.clone();
        for shortfall in &why.shortfalls {
            enlarged.devices[shortfall.device].capacity_bytes += shortfall.missing_bytes;
        }
        assert!(solved(&enlarged).is_some(), "the shortfall is not all that is missing");
    }
    assert!(checked > 50, "only {checked} were infeasible");
}

/// Makes a sound problem wrong in one way.
type Spoil = fn(&mut Problem);

/// A problem made by hand may be wrong in every way a type allows; it is refused, never indexed into.
#[test]
fn malformed_problems_are_refused() {
    let machine = || Tiny::new(2, 2).gpu(100).gpu(100).problem();
    let wrong: [(&str, Spoil); 7] = [
        ("no device", |p| p.devices.clear()),
        ("no place", |p| p.components[0].allowed = DeviceSet(0)),
        ("a device that is not there", |p| p.components[0].allowed = DeviceSet(0b100)),
        ("one twice", |p| p.components[1] = p.components[0].clone()),
        ("a rule about nothing", |p| p.rules.push(rule(99))),
        ("bytes beyond sums", |p| p.components[0].demand.weights_bytes = u64::MAX),
        ("no traffic unit", |p| p.traffic_denominator = 0),
    ];
    for (what, spoil) in wrong {
        let mut problem = machine();
        spoil(&mut problem);
        assert!(plan::solve(&problem, &options()).is_err(), "{what}");
    }
    assert!(plan::solve(&machine(), &options()).is_ok(), "the unspoiled one is sound");
}

fn rule(component: usize) -> Rule {
    let text = "--pin x=gpu0".to_owned();
    Rule {
        text,
        default: false,
        fixed: false,
        devices: DeviceSet::only(0),
        components: vec![component],
    }
}

/// Less headroom, one more device allowed: no optimum gets worse, and what was feasible stays so.
#[test]
fn lifting_a_limit_never_hurts() {
    let mut random = Random::new(17);
    let mut feasible = 0;
    for _ in 0..200 {
        let tiny = random.tiny();
        let kinds = [
            ObjectiveKind::PeakUtilization,
            ObjectiveKind::Traffic,
            ObjectiveKind::DevicesUsed,
            ObjectiveKind::Migration,
        ];
        let kind = kinds[random.index(kinds.len())];
        let mut problem = tiny.with(|t| t.objectives = Some(only(kind))).problem();
        problem.current = Some(random.placement(&problem));
        let devices = problem.devices.len();
        problem.headroom_bytes = (0..devices).map(|_| random.below(5)).collect();
        problem.devices_max = Some(1 + random.index(devices));
        let Some(tight) = optimum(&problem) else { continue };
        feasible += 1;
        let mut lifted = problem.clone();
        if random.coin() {
            lifted.devices_max = lifted.devices_max.map(|most| most + 1);
        } else {
            let device = random.index(devices);
            lifted.headroom_bytes[device] = lifted.headroom_bytes[device].saturating_sub(1);
        }
        let loose = optimum(&lifted).expect("feasible with less to respect").as_f64();
        let gap = if kind == ObjectiveKind::PeakUtilization { 1e-4 } else { 1e-8 };
        assert!(loose <= tight.as_f64() * (1.0 + gap), "{kind:?}: {loose} after {tight:?}");
    }
    assert!(feasible > 60, "only {feasible} were feasible");
}
