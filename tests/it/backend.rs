//! A solver from outside the crate: everything it needs to read a program is public.

use apportion::error::Error;
use apportion::plan::solver::{Backend, Limits, Microlp, Run};
use apportion::plan::{self, Options, Outcome, Program, Row, Sense};

use crate::support::Tiny;

/// Lets the embedded solver work and reads program and point the way another solver would.
struct Outsider;

impl Backend for Outsider {
    fn name(&self) -> &'static str {
        "outsider"
    }

    fn run(&self, program: &Program, limits: &Limits) -> Result<Run, Error> {
        let run = Microlp.run(program, limits)?;
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
    let outcome = plan::solve_with(&problem, &Options::default(), &Outsider).unwrap();
    let Outcome::Solved(solved) = outcome else { panic!("{outcome:?}") };
    assert_eq!(solved.solver.name, "outsider");
    assert!(solved.solver.programs > 0, "nothing was asked of the backend");
    assert_eq!(solved.limit, None);
}
