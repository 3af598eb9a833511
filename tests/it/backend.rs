//! What every solver owes the planner, and that one from outside the crate can take their place: everything
//! it needs to read a program is public.

use std::time::Duration;

use apportion::error::Error;
use apportion::hardware::Hardware;
use apportion::memory::Load;
use apportion::model::Model;
use apportion::plan::solver::{Backend, Limits, Run, SolverKind};
use apportion::plan::{
    self, Formulation, LimitReached, Options, Outcome, Program, Row, Sense, stage_program,
};
use apportion::problem::{ObjectiveKind, Problem};
use apportion::quant::Scheme;
use apportion::scenario::{Scenario, default_objectives};

use crate::support::Tiny;

/// Lets another solver work and reads program and point the way a third one would.
struct Outsider(SolverKind);

impl Backend for Outsider {
    fn name(&self) -> &'static str {
        "outsider"
    }

    fn run(&self, program: &Program, limits: &Limits) -> Result<Run, Error> {
        let run = self.0.run(program, limits)?;
        if let Some(values) = &run.values {
            assert_eq!(values.len(), program.variables.len());
            let broken = program.rows.iter().find(|row| !holds(row, values));
            assert!(broken.is_none(), "{broken:?}");
        }
        Ok(run)
    }
}

/// Whether the point satisfies the row, up to the solver's noise.
#[expect(clippy::cast_precision_loss, reason = "the numbers of tiny problems are exact")]
fn holds(row: &Row, values: &[f64]) -> bool {
    let terms = row.terms.iter();
    let left: f64 = terms.map(|&(var, factor)| factor as f64 * values[var.index()]).sum();
    let over = left - row.rhs as f64;
    match row.sense {
        Sense::Le => over < 1e-4,
        Sense::Eq => over.abs() < 1e-4,
    }
}

#[test]
fn another_backend_reads_the_program_and_gives_the_answer() {
    let problem = Tiny::new(3, 3).gpu(45).gpu(40).cpu(30).problem();
    for &solver in SolverKind::ALL {
        let outcome = plan::solve_with(&problem, &Options::default(), &Outsider(solver)).unwrap();
        let Outcome::Solved(solved) = outcome else { panic!("{outcome:?}") };
        assert_eq!(solved.solver.name, "outsider");
        assert!(solved.solver.programs > 0, "nothing was asked of the backend");
        assert_eq!(solved.limit, None);
    }
}

const PLENTY: Limits = Limits { nodes: 50_000, time: None, gap: 0.0, nodes_exact: 50_000 };

fn mixtral(gibibytes: &[u64]) -> Problem {
    let gpus: Vec<u64> = gibibytes.iter().map(|gib| gib << 30).collect();
    Scenario {
        limits: apportion::scenario::Limits::default(),
        model: Model::from_catalogue("mixtral-8x7b").unwrap(),
        scheme: Scheme::parse("q4_k_m").unwrap(),
        load: Load::default(),
        hardware: Hardware::from_sizes(&gpus, None, 0).unwrap(),
        constraints: Vec::new(),
        default_pins: true,
        objectives: default_objectives(),
    }
    .problem()
    .unwrap()
}

/// The textbook program of the peak, on four GPUs: beyond any solver for a while.
fn hard() -> Program {
    let problem = mixtral(&[12, 10, 8, 6]);
    stage_program(&problem, Formulation::Textbook, &[], ObjectiveKind::PeakUtilization).unwrap()
}

/// Known answer: 45 + 40 + 30 bytes of capacity, 36 + 12 + 4 + 11 = 60 to place; at most half of it fits
/// on the two GPUs of a smaller machine.
#[test]
fn every_solver_finds_what_it_proves() {
    let problem = Tiny::new(3, 3).gpu(20).gpu(15).cpu(60).problem();
    let kind = ObjectiveKind::SpillBytes;
    for formulation in [Formulation::Counts, Formulation::Textbook] {
        let program = stage_program(&problem, formulation, &[], kind).unwrap();
        for &solver in SolverKind::ALL {
            let run = solver.run(&program, &PLENTY).unwrap();
            let values = run.values.unwrap();
            let found = objective(&program, &values);
            assert!(
                (found - run.bound.unwrap()).abs() < 1e-4,
                "{solver:?} {found} {:?}",
                run.bound
            );
            assert!(program.rows.iter().all(|row| holds(row, &values)), "{solver:?}");
            assert_eq!((run.limit, run.infeasible), (None, false));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "the numbers of tiny problems are exact")]
fn objective(program: &Program, values: &[f64]) -> f64 {
    let terms = program.objective.iter().map(|&(var, factor)| factor as f64 * values[var.index()]);
    terms.sum::<f64>() + program.objective_constant as f64
}

#[test]
fn every_solver_knows_when_there_is_no_point() {
    let problem = Tiny::new(3, 3).gpu(20).gpu(20).problem();
    let kind = ObjectiveKind::PeakUtilization;
    for formulation in [Formulation::Counts, Formulation::Textbook] {
        let program = stage_program(&problem, formulation, &[], kind).unwrap();
        for &solver in SolverKind::ALL {
            let run = solver.run(&program, &PLENTY).unwrap();
            assert!(run.infeasible && run.values.is_none(), "{solver:?}: {run:?}");
        }
    }
}

#[test]
fn every_solver_stops_at_its_limits_and_says_so() {
    let program = hard();
    for &solver in SolverKind::ALL {
        let nodes = Limits { nodes: 3, nodes_exact: 3, ..PLENTY };
        assert_eq!(solver.run(&program, &nodes).unwrap().limit, Some(LimitReached::Nodes));
        let time = Limits { time: Some(Duration::from_millis(10)), ..PLENTY };
        assert_eq!(solver.run(&program, &time).unwrap().limit, Some(LimitReached::Time));
    }
}

#[test]
fn every_solver_repeats_itself_under_a_limit_on_nodes() {
    let program = hard();
    let limits = Limits { nodes: 40, nodes_exact: 10, gap: 1e-6, time: None };
    for &solver in SolverKind::ALL {
        let answers = [(); 2].map(|()| solver.run(&program, &limits).unwrap());
        let bits = |run: &Run| {
            let values = run.values.iter().flatten().map(|value| value.to_bits());
            (values.collect::<Vec<u64>>(), run.bound.map(f64::to_bits), run.limit)
        };
        assert_eq!(bits(&answers[0]), bits(&answers[1]), "{solver:?}");
    }
}

/// On problems too large to enumerate the solvers are each other's witness: no bound of one is above what
/// another finds.
#[test]
fn solvers_do_not_contradict_each_other() {
    for gpus in [&[24, 12, 8][..], &[16, 12, 8], &[12, 10, 8, 6], &[8, 8, 8, 8]] {
        let problem = mixtral(gpus);
        let all: Vec<_> = SolverKind::ALL
            .iter()
            .map(|&solver| {
                let options = Options { solver, ..Options::default() };
                match plan::solve(&problem, &options).unwrap() {
                    Outcome::Solved(solved) => solved,
                    other => panic!("{solver:?} {gpus:?}: {other:?}"),
                }
            })
            .collect();
        for one in &all {
            assert_eq!(one.limit, None, "{}: {:?}", one.solver.name, one.stages);
            for other in &all {
                // The first stage has the same caps under any solver.
                assert!(one.stages[0].bound <= other.stages[0].optimum, "{gpus:?}");
            }
        }
    }
}
