//! A program in good_lp's terms, for any solver that good_lp knows.

use good_lp::variable::UnsolvedProblem;
use good_lp::{Expression, ProblemVariables, SolverModel, constraint, variable};

use super::Scaled;
use crate::plan::program::{Program, Sense, Var};

/// States the scaled program for `solver`, variables and rows in the program's order.
pub(super) fn state<M: SolverModel>(
    program: &Program,
    scaled: &Scaled,
    solver: impl FnOnce(UnsolvedProblem) -> M,
) -> M {
    let mut variables = ProblemVariables::new();
    let handles: Vec<good_lp::Variable> = program
        .variables
        .iter()
        .map(|v| {
            let mut definition = variable().min(v.lower);
            if let Some(upper) = v.upper {
                definition = definition.max(upper);
            }
            if v.integer {
                definition = definition.integer();
            }
            variables.add(definition)
        })
        .collect();
    let linear = |terms: &[(Var, i64)], coefficients: &[f64]| {
        let mut expression = Expression::with_capacity(terms.len());
        for ((var, _), &coefficient) in terms.iter().zip(coefficients) {
            expression.add_mul(coefficient, handles[var.0]);
        }
        expression
    };
    let mut model = solver(variables.minimise(linear(&program.objective, &scaled.objective)));
    for (row, (coefficients, rhs)) in program.rows.iter().zip(&scaled.rows) {
        let expression = linear(&row.terms, coefficients);
        model.add_constraint(match row.sense {
            Sense::Le => constraint::leq(expression, *rhs),
            Sense::Eq => constraint::eq(expression, *rhs),
        });
    }
    model
}
