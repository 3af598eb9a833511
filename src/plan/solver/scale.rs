//! Exact coefficients to well-scaled floating point.

use crate::plan::program::{Program, Row};

/// A [`Program`] in floating point, each row and the objective divided by a power of two of its own.
///
/// Powers of two keep every coefficient below 2^53 exact. Solvers accept a violation of about 1e-7 in the
/// units they see; with the largest number of a row near a thousand that is a byte or two on a GPU,
/// which the exact evaluation afterwards refuses.
#[derive(Clone, Debug)]
pub struct Scaled {
    /// Per row: coefficients in the order of its terms, and the right-hand side.
    pub rows: Vec<(Vec<f64>, f64)>,
    /// Coefficients in the order of the objective's terms.
    pub objective: Vec<f64>,
    /// What an objective value must be multiplied with to be in the program's units.
    pub objective_unit: f64,
}

/// Rows whose largest number exceeds this are divided down to it.
const ROW_TARGET: u64 = 1 << 10;

impl Scaled {
    /// Scales every row of `program`.
    pub fn of(program: &Program) -> Self {
        let rows = program.rows.iter().map(scaled_row).collect();
        let largest = program.objective.iter().map(|(_, c)| c.unsigned_abs()).max().unwrap_or(1);
        let unit = unit_for(largest);
        let objective = program.objective.iter().map(|&(_, c)| to_f64(c) / unit).collect();
        Self { rows, objective, objective_unit: unit }
    }
}

fn scaled_row(row: &Row) -> (Vec<f64>, f64) {
    let largest = row.terms.iter().map(|(_, c)| c.unsigned_abs()).chain([row.rhs.unsigned_abs()]);
    let unit = unit_for(largest.max().unwrap_or(1));
    (row.terms.iter().map(|&(_, c)| to_f64(c) / unit).collect(), to_f64(row.rhs) / unit)
}

/// The smallest power of two that brings `largest` down to the target.
fn unit_for(largest: u64) -> f64 {
    let mut unit = 1_u64;
    while largest / unit > ROW_TARGET {
        unit <<= 1;
    }
    to_f64(i64::try_from(unit).unwrap_or(i64::MAX))
}

/// Byte counts stay below 2^60; beyond 2^53 the nearest double is used, far inside the solver's tolerance.
#[expect(clippy::cast_precision_loss, reason = "this is the door")]
pub(in crate::plan) fn to_f64(value: i64) -> f64 {
    value as f64
}
