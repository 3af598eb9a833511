//! Objectives in whole units: bytes, devices, and one over the traffic denominator.

use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};
use crate::units::{Ratio, greatest_common_divisor};

/// Whether a value is in the unit of an objective.
pub(super) fn fits(kind: ObjectiveKind, value: ObjectiveValue) -> bool {
    match kind {
        ObjectiveKind::SpillBytes | ObjectiveKind::Migration => {
            matches!(value, ObjectiveValue::Bytes(_))
        }
        ObjectiveKind::DevicesUsed => matches!(value, ObjectiveValue::Count(_)),
        ObjectiveKind::PeakUtilization | ObjectiveKind::Traffic | ObjectiveKind::Crossings => {
            matches!(value, ObjectiveValue::Ratio(_))
        }
        ObjectiveKind::DecodeLatency | ObjectiveKind::PrefillTime => {
            matches!(value, ObjectiveValue::Time(_))
        }
    }
}

/// The most whole units that are no more than a value.
pub(super) fn floor_units(value: ObjectiveValue, problem: &Problem) -> i128 {
    match value {
        ObjectiveValue::Bytes(number)
        | ObjectiveValue::Count(number)
        | ObjectiveValue::Time(number) => number.into(),
        ObjectiveValue::Ratio(r) => {
            let units = u128::from(r.numerator()) * u128::from(problem.traffic_denominator);
            // A denominator stays below 2^60, so this is below 2^124.
            i128::try_from(units / u128::from(r.denominator())).unwrap_or(i128::MAX)
        }
    }
}

/// The least whole units that are no less than a value.
pub(super) fn ceiling_units(value: ObjectiveValue, problem: &Problem) -> i128 {
    let floor = floor_units(value, problem);
    match value {
        ObjectiveValue::Ratio(r) => {
            let exact = u128::from(r.numerator()) * u128::from(problem.traffic_denominator);
            let whole = exact.is_multiple_of(u128::from(r.denominator()));
            floor + i128::from(!whole)
        }
        ObjectiveValue::Bytes(_) | ObjectiveValue::Count(_) | ObjectiveValue::Time(_) => floor,
    }
}

/// So many units as a value.
pub(super) fn of_units(kind: ObjectiveKind, units: i128, problem: &Problem) -> ObjectiveValue {
    let units = u64::try_from(units.max(0)).unwrap_or(u64::MAX);
    match kind {
        ObjectiveKind::SpillBytes | ObjectiveKind::Migration => ObjectiveValue::Bytes(units),
        ObjectiveKind::DevicesUsed => ObjectiveValue::Count(units),
        ObjectiveKind::PeakUtilization | ObjectiveKind::Traffic | ObjectiveKind::Crossings => {
            ObjectiveValue::Ratio(Ratio::new(units, problem.traffic_denominator))
        }
        ObjectiveKind::DecodeLatency | ObjectiveKind::PrefillTime => ObjectiveValue::Time(units),
    }
}

/// What every value of an objective is a multiple of: whatever it adds up divides by this.
pub(super) fn step(kind: ObjectiveKind, problem: &Problem) -> i128 {
    let demands = || problem.components.iter().map(|c| &c.demand);
    let common = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0, greatest_common_divisor);
    let step = match kind {
        ObjectiveKind::SpillBytes => common(
            &mut demands().flat_map(|d| [d.weights_bytes, d.rounding_bytes, d.kv_cache_bytes]),
        ),
        ObjectiveKind::Migration => common(&mut demands().map(|d| d.weights_bytes)),
        ObjectiveKind::Traffic if problem.sends == crate::problem::Sends::PerExpert => {
            let visits = problem.components.iter().map(|c| 2 * c.visits);
            common(&mut visits.chain([problem.traffic_denominator]))
        }
        _ => 1,
    };
    i128::from(step.max(1))
}
