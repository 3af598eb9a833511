//! No answer is worse than a placement that was known before, however little may be searched.

use apportion::hardware::Hardware;
use apportion::memory::Load;
use apportion::model::Model;
use apportion::plan::solver::SolverKind;
use apportion::plan::{self, Formulation, Given, Options, Outcome, Solved};
use apportion::problem::{Objective, ObjectiveKind, ObjectiveValue, Placement, Problem};
use apportion::quant::Scheme;
use apportion::scenario::{Limits, Scenario, default_objectives};
use apportion::units::Ratio;
use apportion::verify::verify;

use super::options;
use crate::support::{Random, Tiny, place, placements_of_habit};

const GIB: u64 = 1 << 30;

fn hasty() -> Options {
    Options { node_limit: 1, ..options() }
}

fn from(problem: &Problem, starts: &[Placement], options: &Options) -> Option<Solved> {
    let given = Given { starts, ..Given::default() };
    match plan::solve_given(problem, options, &given).unwrap() {
        Outcome::Solved(solved) => Some(solved),
        Outcome::Infeasible(_) | Outcome::Unknown(_) => None,
    }
}

/// Whether `start` meets the constraints; if so, no stage's optimum is above it, as far as it is within the
/// caps of the stages before.
fn holds_against(problem: &Problem, solved: Option<&Solved>, start: &Placement) -> bool {
    let Ok(measured) = verify(problem, start) else { return false };
    let solved = solved.unwrap_or_else(|| panic!("{start:?} meets the constraints\n{problem:#?}"));
    for stage in &solved.stages {
        let value = measured.value(stage.kind);
        assert!(stage.optimum <= value, "{value:?} was known: {:?}", solved.stages);
        if value > stage.cap {
            break;
        }
    }
    true
}

/// Any order of objectives, any tolerances.
fn wishes(random: &mut Random, problem: &mut Problem) {
    let mut kinds = vec![
        ObjectiveKind::SpillBytes,
        ObjectiveKind::PeakUtilization,
        ObjectiveKind::Traffic,
        ObjectiveKind::DevicesUsed,
        ObjectiveKind::Migration,
    ];
    let mut objectives = Vec::new();
    for _ in 0..random.within(1, 3) {
        let kind = kinds.remove(random.index(kinds.len()));
        let tolerance = Ratio::new(random.below(4), 10);
        objectives.push(Objective { kind, tolerance });
    }
    problem.objectives = objectives;
    problem.current = Some(random.placement(problem));
}

/// Whether one node is little: HiGHS solves tiny programs before its first.
fn starves() -> bool {
    options().solver == SolverKind::Microlp
}

#[test]
fn no_answer_is_worse_than_a_habit_that_fits() {
    let mut random = Random::new(41);
    let (mut fitting, mut mattered) = (0, 0);
    for _ in 0..600 {
        let mut problem = random.tiny().problem();
        wishes(&mut random, &mut problem);
        let starts = placements_of_habit(&problem);
        for options in [hasty(), options()] {
            let solved = from(&problem, &starts, &options);
            for start in starts.iter().chain(&problem.current) {
                fitting += usize::from(holds_against(&problem, solved.as_ref(), start));
            }
            let cold = from(&problem, &[], &options);
            let optima = |s: &Option<Solved>| {
                s.as_ref().map(|s| s.stages.iter().map(|stage| stage.optimum).collect::<Vec<_>>())
            };
            mattered += usize::from(optima(&solved) != optima(&cold));
        }
    }
    assert!(fitting > 500, "only {fitting} placements of habit were within the constraints");
    assert!(mattered > 0 || !starves(), "a habit was never any help");
}

/// Handed an optimum, a planner that may do next to nothing returns one as good, in both formulations.
#[test]
fn what_is_known_is_not_lost_for_want_of_nodes() {
    let mut random = Random::new(42);
    let mut lost_without = 0;
    for case in 0..300 {
        let mut problem = random.tiny().problem();
        wishes(&mut random, &mut problem);
        for objective in &mut problem.objectives {
            objective.tolerance = Ratio::ZERO;
        }
        let Some(best) = from(&problem, &[], &options()) else { continue };
        let formulation = [Formulation::Counts, Formulation::Textbook][case % 2];
        let options = Options { formulation, ..hasty() };
        let known = from(&problem, std::slice::from_ref(&best.placement), &options).unwrap();
        let values = |s: &Solved| s.stages.iter().map(|stage| stage.value).collect::<Vec<_>>();
        assert!(values(&known) <= values(&best), "{known:?} after {best:?}");
        let cold = from(&problem, &[], &options);
        lost_without += usize::from(cold.is_none_or(|cold| values(&cold) > values(&best)));
    }
    assert!(lost_without > 10 || !starves(), "only {lost_without} answers needed what was known");
}

#[test]
fn no_answer_for_a_known_model_is_worse_than_a_habit_that_fits() {
    let machines: [(&[u64], Option<u64>); 4] = [
        (&[24, 24], None),
        (&[24, 12, 8], Some(64)),
        (&[40, 24, 24, 16], None),
        (&[16, 16, 12, 12, 8, 8, 8, 8], None),
    ];
    let mut fitting = 0;
    for (model, scheme) in
        [("mixtral-8x7b", "q4_k_m"), ("gpt-oss-20b", "mxfp4"), ("qwen3-30b-a3b", "q4_k_m")]
    {
        for (gpus, cpu) in machines {
            let gpus: Vec<u64> = gpus.iter().map(|gib| gib * GIB).collect();
            let problem = Scenario {
                model: Model::from_catalogue(model).unwrap(),
                scheme: Scheme::parse(scheme).unwrap(),
                load: Load::default(),
                hardware: Hardware::from_sizes(&gpus, cpu.map(|gib| gib * GIB), 0).unwrap(),
                constraints: Vec::new(),
                default_pins: false,
                limits: Limits::default(),
                objectives: default_objectives(),
            }
            .problem()
            .unwrap();
            let starts = placements_of_habit(&problem);
            let solved = from(&problem, &starts, &hasty());
            for start in &starts {
                fitting += usize::from(holds_against(&problem, solved.as_ref(), start));
            }
        }
    }
    assert!(fitting > 20, "only {fitting} placements of habit fit");
}

/// Two layers of one expert each on two devices, all of it wrong in one way at a time.
#[test]
fn what_is_no_placement_is_passed_over() {
    let problem = Tiny::new(2, 1).gpu(100).gpu(20).pin(&["embedding"], 0).problem();
    let good = place(&problem, &[]);
    let of = |device_of: Vec<usize>| Placement { device_of };
    let mut router_apart = good.clone();
    let router = problem.index_of("layers.1.router".parse().unwrap()).unwrap();
    router_apart.device_of[router] = 1;
    let hostile = [
        of(Vec::new()),
        of(vec![0; problem.components.len() - 1]),
        of(vec![0; problem.components.len() + 1]),
        of(vec![2; problem.components.len()]),
        of(vec![usize::MAX; problem.components.len()]),
        place(&problem, &[("embedding", 1)]),
        of(vec![1; problem.components.len()]),
        router_apart,
        place(&problem, &[("layers.0.experts.0", 1), ("layers.1.experts.0", 64)]),
    ];
    let cold = from(&problem, &[], &options()).unwrap();
    let warm = from(&problem, &hostile, &options()).unwrap();
    assert_eq!((&warm.placement, &warm.stages), (&cold.placement, &cold.stages));
    for (index, start) in hostile.iter().enumerate() {
        assert!(verify(&problem, start).is_err(), "number {index} is a placement");
    }
}

/// What is held is held against what is known too.
#[test]
fn a_start_beyond_what_is_held_is_passed_over() {
    let problem = Tiny::new(2, 2)
        .gpus(2, 40)
        .with(|t| {
            let kind = ObjectiveKind::PeakUtilization;
            t.objectives = Some(vec![Objective { kind, tolerance: Ratio::ZERO }]);
        })
        .problem();
    let even = from(&problem, &[], &options()).unwrap().placement;
    assert!(verify(&problem, &even).unwrap().traffic.hand_overs > 0, "an even answer divides it");
    let held = [(ObjectiveKind::Traffic, ObjectiveValue::Ratio(Ratio::ZERO))];
    let given = Given { starts: std::slice::from_ref(&even), held: &held };
    let Outcome::Solved(solved) = plan::solve_given(&problem, &hasty(), &given).unwrap() else {
        panic!("all of it fits on one device")
    };
    assert_eq!(verify(&problem, &solved.placement).unwrap().traffic.hand_overs, 0);
}

/// Where everything is now costs no move, and is known without being named.
#[test]
fn the_current_placement_is_a_start() {
    let mut random = Random::new(43);
    let mut stays = 0;
    for _ in 0..200 {
        let mut problem = random.tiny().problem();
        let Some(somewhere) = from(&problem, &[], &options()) else { continue };
        let exact = |kind| Objective { kind, tolerance: Ratio::ZERO };
        problem.objectives = vec![exact(ObjectiveKind::Migration), exact(ObjectiveKind::Traffic)];
        problem.current = Some(somewhere.placement);
        let stayed = from(&problem, &[], &hasty()).unwrap();
        assert_eq!(stayed.stages[0].value, ObjectiveValue::Bytes(0));
        stays += 1;
    }
    assert!(stays > 50, "only {stays} had a placement to start from");
}
