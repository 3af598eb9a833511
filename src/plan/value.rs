//! Objective values: exact from a cost, rounded against us from a solver, capped by a tolerance.

use super::evaluate::Cost;
use super::sends;
use crate::objective::{Unit, law};
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};
use crate::units::{Ratio, greatest_common_divisor};

/// A peak within this relative gap of its bound counts as optimal: two megabytes on a 16 GiB GPU.
pub(super) const GAP_PEAK: f64 = 1e-4;

/// Denominator of a peak bound that comes from the solver.
pub(super) const PEAK_GRID: u64 = 1_000_000_000;

/// The exact value of `kind`.
pub(super) fn of(problem: &Problem, cost: &Cost, kind: ObjectiveKind) -> ObjectiveValue {
    match law(kind).unit() {
        Unit::Share => ObjectiveValue::Ratio(cost.peak),
        unit => unit.value(problem, cost.units(kind)),
    }
}

/// Traffic units as transfers per token.
pub(super) fn transfers(problem: &Problem, units: u64) -> ObjectiveValue {
    ObjectiveValue::Ratio(Ratio::new(units, problem.traffic_denominator))
}

/// What a solver's bound proves: less its numerical slack, then up to the next value the objective can
/// take at all. Nothing known is zero.
pub(super) fn bound(problem: &Problem, kind: ObjectiveKind, raw: Option<f64>) -> ObjectiveValue {
    let raw = raw.filter(|raw| raw.is_finite()).unwrap_or(0.0);
    match law(kind).unit() {
        Unit::Share => {
            let grid = floor((raw - 1e-8) * 1e9);
            ObjectiveValue::Ratio(Ratio::new(grid, PEAK_GRID))
        }
        unit => unit.value(problem, next_multiple(raw, step(problem, kind))),
    }
}

/// Every amount of `kind`, in its units, is a multiple of this.
pub(super) fn step(problem: &Problem, kind: ObjectiveKind) -> u64 {
    law(kind).step(problem, sends::step(problem))
}

/// The least multiple of `step` that is not below `raw`, after taking off what a solver may be wrong by.
fn next_multiple(raw: f64, step: u64) -> u64 {
    let certain = floor(raw - 1e-6 - raw.abs() * 1e-9).saturating_add(1);
    if raw <= 1e-6 { 0 } else { certain.div_ceil(step) * step }
}

/// The integer at or below a number, from 0 to 2^53.
pub(super) fn floor(number: f64) -> u64 {
    let clamped = number.floor().clamp(0.0, 9_007_199_254_740_992.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped above")]
    let whole = clamped as u64;
    whole
}

/// Whether `optimum` is proven by `bound` to the objective's stated gap.
pub(super) fn closes(
    problem: &Problem,
    kind: ObjectiveKind,
    optimum: ObjectiveValue,
    bound: ObjectiveValue,
) -> bool {
    let gap = law(kind).gap(problem).as_f64();
    let (found, proven) = (optimum.as_f64(), bound.as_f64());
    optimum <= bound || found - proven <= gap * found
}

/// What later stages may spend: the optimum and its tolerance on top, exactly.
pub(super) fn cap(optimum: ObjectiveValue, tolerance: Ratio) -> ObjectiveValue {
    match optimum {
        ObjectiveValue::Bytes(bytes) => {
            ObjectiveValue::Bytes(bytes.saturating_add(tolerance.floor_of(bytes)))
        }
        ObjectiveValue::Count(count) => {
            ObjectiveValue::Count(count.saturating_add(tolerance.floor_of(count)))
        }
        ObjectiveValue::Time(ps) => ObjectiveValue::Time(ps.saturating_add(tolerance.floor_of(ps))),
        ObjectiveValue::Ratio(r) => {
            ObjectiveValue::Ratio(exact_cap(r, tolerance).unwrap_or_else(|| {
                Ratio::new(
                    r.numerator().saturating_add(tolerance.floor_of(r.numerator())),
                    r.denominator(),
                )
            }))
        }
    }
}

/// `ratio * (1 + tolerance)`, unless that needs more than 64 bits.
fn exact_cap(ratio: Ratio, tolerance: Ratio) -> Option<Ratio> {
    let shared = greatest_common_divisor(tolerance.numerator(), tolerance.denominator()).max(1);
    let (extra, whole) = (tolerance.numerator() / shared, tolerance.denominator() / shared);
    let numerator = ratio.numerator().checked_mul(whole.checked_add(extra)?)?;
    Some(Ratio::new(numerator, ratio.denominator().checked_mul(whole)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_lifted_to_the_next_possible_value_but_not_by_noise() {
        assert_eq!(next_multiple(8.000_000_1, 4), 8);
        assert_eq!(next_multiple(8.1, 4), 12);
        assert_eq!(next_multiple(7.999_999_9, 4), 8);
        assert_eq!(next_multiple(0.0, 4), 0);
    }
}
