//! Replicated attention: experts divided evenly, with as few crossings from layer to layer as can be.

mod cases;
mod commands;

use apportion::model::ComponentId;
use apportion::placement::Placement;
use apportion::plan::{Member, Options, Outcome, Solved, is_feasible, solve};
use apportion::problem::{ObjectiveKind, ObjectiveValue, Problem};
use apportion::units::Ratio;
use apportion::verify::{Violation, measure, verify};

use crate::support::{Random, enumerate};
use cases::{costs, counted, exact, pairs, plain, random};

fn solved(problem: &Problem) -> Solved {
    match solve(problem, &Options::default()).unwrap() {
        Outcome::Solved(solved) => solved,
        other => panic!("{other:?}"),
    }
}

/// The best of all divisions, stage by stage; empty when there is none.
fn by_enumeration(problem: &Problem) -> Vec<ObjectiveValue> {
    let mut left: Vec<(u64, Ratio)> =
        enumerate(problem).filter_map(|placement| costs(problem, &placement)).collect();
    let mut optima = Vec::new();
    for objective in &problem.objectives {
        let value = |&(crossing, peak): &(u64, Ratio)| match objective.kind {
            ObjectiveKind::Crossings => Ratio::new(crossing, problem.traffic_denominator),
            _ => peak,
        };
        let Some(best) = left.iter().map(value).min() else { return Vec::new() };
        optima.push(ObjectiveValue::Ratio(best));
        let tolerance = objective.tolerance;
        // best x (1 + tolerance), exactly: numbers are tiny here.
        let cap = Ratio::new(
            best.numerator() * (tolerance.denominator() + tolerance.numerator()),
            best.denominator() * tolerance.denominator(),
        );
        left.retain(|costs| value(costs) <= cap);
    }
    optima
}

#[test]
fn no_division_is_better_than_the_one_that_is_proven() {
    let (mut feasible, mut infeasible, mut bound_by_memory) = (0, 0, 0);
    for seed in 0..900 {
        let problem = random(&mut Random::new(seed));
        problem.validate().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let best = by_enumeration(&problem);
        let exists = is_feasible(&problem, &Options::default()).unwrap();
        assert_eq!(exists, Some(!best.is_empty()), "seed {seed}");
        match solve(&problem, &Options::default()).unwrap() {
            Outcome::Solved(solved) => {
                let found: Vec<_> = solved.stages.iter().map(|stage| stage.optimum).collect();
                assert_eq!(found, best, "seed {seed}");
                for stage in &solved.stages {
                    assert!(stage.proven && stage.bound <= stage.optimum, "seed {seed}: {stage:?}");
                    assert!(stage.value <= stage.cap, "seed {seed}: {stage:?}");
                }
                let measured = verify(&problem, &solved.placement).unwrap();
                let (crossing, peak) = costs(&problem, &solved.placement).unwrap();
                let crossing = Ratio::new(crossing, problem.traffic_denominator);
                let value = measured.value(ObjectiveKind::Crossings);
                assert_eq!(value, ObjectiveValue::Ratio(crossing), "seed {seed}");
                assert_eq!(measured.peak(), peak, "seed {seed}");
                feasible += 1;
                let memory_free = counted_alone(&problem);
                bound_by_memory += usize::from(solved.stages.iter().any(|stage| {
                    stage.kind == ObjectiveKind::Crossings && stage.optimum > memory_free
                }));
            }
            Outcome::Infeasible(why) => {
                assert!(best.is_empty(), "seed {seed}");
                assert!(!why.conflict.members.is_empty(), "seed {seed}");
                infeasible += 1;
            }
            Outcome::Unknown(limit) => panic!("seed {seed}: {limit:?}"),
        }
    }
    assert!(
        feasible > 400 && infeasible > 50 && bound_by_memory > 20,
        "{feasible} {infeasible} {bound_by_memory}"
    );
}

/// Its fewest crossings with all the memory in the world, and nothing else to minimise.
fn counted_alone(problem: &Problem) -> ObjectiveValue {
    let mut roomy = problem.clone();
    roomy.objectives = vec![exact(ObjectiveKind::Crossings)];
    roomy.headroom_bytes.clear();
    roomy.devices.iter_mut().for_each(|device| device.capacity_bytes = 100_000);
    solved(&roomy).stages[0].optimum
}

/// The verifier and the enumeration agree on every division, not only on the best.
#[test]
fn every_division_is_measured_as_it_is_defined() {
    let mut measured_ones = 0;
    for seed in 0..200 {
        let problem = random(&mut Random::new(seed));
        for placement in enumerate(&problem).step_by(3) {
            match (costs(&problem, &placement), verify(&problem, &placement)) {
                (Some((crossing, peak)), Ok(measured)) => {
                    let crossing = Ratio::new(crossing, problem.traffic_denominator);
                    let value = measured.value(ObjectiveKind::Crossings);
                    assert_eq!(value, ObjectiveValue::Ratio(crossing), "seed {seed}");
                    assert_eq!(measured.peak(), peak, "seed {seed}");
                    measured_ones += 1;
                }
                (None, Err(_)) => {}
                (mine, theirs) => panic!("seed {seed}: {mine:?} and {theirs:?}"),
            }
        }
    }
    assert!(measured_ones > 200, "{measured_ones}");
}

/// Two layers of two experts: whoever chooses one chooses its namesake nine times in ten.
#[test]
fn experts_that_go_together_are_put_together() {
    let problem = plain(2, 2, &[1000, 1000]);
    let problem = counted(problem, 10, 1, vec![vec![vec![1, 4], vec![5, 0]]]);
    let solved = solved(&problem);
    let homes = &solved.placement.device_of;
    assert_eq!((homes[0], homes[1]), (homes[3], homes[2]));
    assert_eq!(solved.stages[0].optimum, ObjectiveValue::Ratio(Ratio::new(1, 10)));
    assert!(solved.stages[0].proven);
}

/// 2 x 3 attention everywhere, four experts of 4, two on each device.
#[test]
fn what_is_everywhere_counts_on_every_device() {
    let problem = plain(2, 2, &[100, 200]);
    let placement = Placement { device_of: vec![0, 1, 0, 1] };
    let measured = verify(&problem, &placement).unwrap();
    assert_eq!(measured.devices.iter().map(|d| d.used_bytes).collect::<Vec<_>>(), [14, 14]);
    assert_eq!(measured.peak(), Ratio::new(14, 100));
    let devices = measured.value(ObjectiveKind::DevicesUsed);
    assert_eq!(devices, ObjectiveValue::Count(2));
    let tight = plain(2, 2, &[13, 200]);
    let violations = verify(&tight, &placement).unwrap_err();
    assert!(matches!(violations[..], [Violation::OverCapacity { required_bytes: 14, .. }]));
}

#[test]
fn uneven_divisions_are_refused_and_still_measured() {
    let problem = plain(1, 4, &[100, 100]);
    let placement = Placement { device_of: vec![0, 0, 0, 1] };
    let violations = verify(&problem, &placement).unwrap_err();
    let said: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "layers.0.experts: expected 2 to 2 on gpu0, found 3",
            "layers.0.experts: expected 2 to 2 on gpu1, found 1"
        ]
    );
    assert_eq!(measure(&problem, &placement).unwrap().devices[0].used_bytes, 15);
}

#[test]
fn what_is_to_blame_is_named() {
    let problem = plain(2, 2, &[100, 13]);
    let Outcome::Infeasible(why) = solve(&problem, &Options::default()).unwrap() else { panic!() };
    assert_eq!(why.conflict.members, [Member::Capacity(1)]);
    assert_eq!((why.shortfalls[0].device, why.shortfalls[0].missing_bytes), (1, 1));
}

#[test]
fn problems_that_do_not_hold_together_are_refused() {
    let sound = counted(plain(2, 2, &[100, 100]), 10, 1, vec![vec![vec![1, 4], vec![5, 0]]]);
    sound.validate().unwrap();
    let refused = |change: &dyn Fn(&mut Problem)| {
        let mut problem = sound.clone();
        change(&mut problem);
        problem.validate().unwrap_err().to_string()
    };
    let objective = |kind| move |p: &mut Problem| p.objectives = vec![exact(kind)];
    for kind in [ObjectiveKind::Traffic, ObjectiveKind::SpillBytes, ObjectiveKind::DecodeLatency] {
        assert!(refused(&objective(kind)).contains("one home"), "{kind:?}");
    }
    assert!(refused(&|p| p.affinity = None).contains("pair counts"));
    assert!(refused(&|p| p.everywhere.clear()).contains("crossings without"));
    assert!(refused(&|p| p.traffic_denominator = 9).contains("units"));
    assert!(refused(&|p| p.devices_max = Some(1)).contains("fewer devices"));
    assert!(refused(&|p| p.devices[1].kind = apportion::hardware::DeviceKind::Cpu).contains("GPU"));
    assert!(
        refused(&|p| p.everywhere[0].id = ComponentId::Attention(7)).contains("canonical order")
    );
    let with = |pairs: Vec<Vec<Vec<u64>>>| {
        move |p: &mut Problem| *p = counted(p.clone(), 10, 1, pairs.clone())
    };
    assert!(refused(&with(vec![])).contains("other layers"));
    assert!(refused(&with(vec![vec![vec![10]]])).contains("other experts"));
    assert!(refused(&with(vec![vec![vec![1, 4], vec![5, 1]]])).contains("sum"));
}

/// Where the exact methods are given no work the answer is valid, its bound holds, and it says it is open.
#[test]
fn without_work_there_is_an_answer_and_an_honest_gap() {
    let mut open = 0;
    for seed in 0..60 {
        let mut numbers = Random::new(seed);
        let devices = usize::try_from(numbers.within(2, 3)).unwrap();
        let counts = (0..3).map(|_| pairs(&mut numbers, 6, 40)).collect();
        let problem = counted(plain(4, 6, &vec![1000; devices]), 40, 1, counts);
        let exact = solved(&problem);
        let options = Options { node_limit: 0, ..Options::default() };
        let Outcome::Solved(found) = solve(&problem, &options).unwrap() else { panic!() };
        assert!(exact.stages[0].proven);
        assert!(found.stages[0].bound <= exact.stages[0].optimum, "seed {seed}");
        assert!(found.stages[0].optimum >= exact.stages[0].optimum, "seed {seed}");
        assert_eq!(found.limit.is_some(), !found.stages[0].proven);
        open += usize::from(!found.stages[0].proven);
    }
    assert!(open > 20, "{open}");
}
