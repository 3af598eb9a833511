//! What can be minimised: one file per objective, with its law, its exact value and its linear form.
//!
//! A [`Law`] says in one place what an objective means. [`Law::evaluate`] measures a finished placement in
//! exact integers, and is what [`crate::verify`] uses; [`Law::linear`] states the same as a sum of terms,
//! and is what programs minimise or cap. The two share nothing but the file, so that each can be read
//! against the other; the planner never evaluates, the checker never states.
//!
//! To add an objective: a variant of [`ObjectiveKind`], a file here, a line in [`law`] and one in [`ALL`].

mod chance;
mod crossings;
mod devices_used;
mod migration;
mod peak_utilization;
mod spill_bytes;
mod terms;
mod time;
mod traffic;

pub use crossings::crossings_by_layer;
pub use terms::{Amount, Linear, Placed, Terms};
pub use traffic::{LayerTraffic, Traffic, traffic_by_layer};

pub(crate) use time::{
    LayerParts, Piece, Pieces, feed_forward_ps, layer_parts, time_ps, times_ps, timing,
};
pub(crate) use traffic::traffic;

use crate::problem::{ObjectiveKind, ObjectiveValue, Placement, Problem};
use crate::units::Ratio;

/// Every objective, in the order in which files and messages list them.
pub const ALL: [ObjectiveKind; 8] = [
    ObjectiveKind::SpillBytes,
    ObjectiveKind::PeakUtilization,
    ObjectiveKind::Traffic,
    ObjectiveKind::DevicesUsed,
    ObjectiveKind::Migration,
    ObjectiveKind::DecodeLatency,
    ObjectiveKind::PrefillTime,
    ObjectiveKind::Crossings,
];

/// What an objective means.
pub fn law(kind: ObjectiveKind) -> &'static dyn Law {
    match kind {
        ObjectiveKind::SpillBytes => &spill_bytes::SpillBytes,
        ObjectiveKind::PeakUtilization => &peak_utilization::PeakUtilization,
        ObjectiveKind::Traffic => &traffic::TrafficLaw,
        ObjectiveKind::DevicesUsed => &devices_used::DevicesUsed,
        ObjectiveKind::Migration => &migration::Migration,
        ObjectiveKind::DecodeLatency => &time::TimeLaw(ObjectiveKind::DecodeLatency),
        ObjectiveKind::PrefillTime => &time::TimeLaw(ObjectiveKind::PrefillTime),
        ObjectiveKind::Crossings => &crossings::Crossings,
    }
}

/// The meaning of one objective.
pub trait Law: Sync {
    /// The name in files, in JSON and on the command line.
    fn name(&self) -> &'static str;

    /// The law in one line.
    fn about(&self) -> &'static str;

    /// What its values count.
    fn unit(&self) -> Unit;

    /// The name of the row that caps it in a program.
    fn row(&self) -> &'static str;

    /// How much of it later objectives may give up, unless the user says.
    fn default_tolerance(&self) -> Ratio {
        Ratio::ZERO
    }

    /// The relative gap between the best found and its bound at which it counts as proven.
    fn gap(&self, _problem: &Problem) -> Ratio {
        Ratio::ZERO
    }

    /// Whether the problem says what it takes to measure it.
    fn applies(&self, _problem: &Problem) -> bool {
        true
    }

    /// Its value in a placement, exactly.
    fn evaluate(&self, facts: &Facts<'_>) -> ObjectiveValue;

    /// The same as a sum of terms, in whole units (see [`Unit`]); `None` where it is no such sum.
    fn linear(&self, terms: &mut dyn Terms) -> Option<Linear>;

    /// Every value it can take is a multiple of this many units, given one number that divides whatever a
    /// layer's sends to a device cost.
    fn step(&self, _problem: &Problem, _sends_step: u64) -> u64 {
        1
    }
}

/// What the values of an objective count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things.
    Count,
    /// Transfers per token, in units of one over the problem's traffic denominator.
    Transfers,
    /// A share of a device's capacity; not a whole number of anything.
    Share,
    /// Picoseconds.
    Time,
}

impl Unit {
    /// So many units as a value.
    pub fn value(self, problem: &Problem, units: u64) -> ObjectiveValue {
        match self {
            Self::Bytes => ObjectiveValue::Bytes(units),
            Self::Count => ObjectiveValue::Count(units),
            Self::Transfers => {
                ObjectiveValue::Ratio(Ratio::new(units, problem.traffic_denominator))
            }
            Self::Share => ObjectiveValue::Ratio(Ratio::new(units, 1)),
            Self::Time => ObjectiveValue::Time(units),
        }
    }

    /// The most whole units within a value; `None` where units are not whole.
    pub fn most(self, problem: &Problem, value: ObjectiveValue) -> Option<u64> {
        match (self, value) {
            (Self::Share, _) => None,
            (
                _,
                ObjectiveValue::Bytes(units)
                | ObjectiveValue::Count(units)
                | ObjectiveValue::Time(units),
            ) => Some(units),
            (_, ObjectiveValue::Ratio(ratio)) => Some(ratio.floor_of(problem.traffic_denominator)),
        }
    }

    /// A number that a file states, as a value of this unit.
    pub fn whole(self, number: u64) -> ObjectiveValue {
        match self {
            Self::Count => ObjectiveValue::Count(number),
            Self::Time => ObjectiveValue::Time(number),
            _ => ObjectiveValue::Bytes(number),
        }
    }
}

/// A placement and what its devices require, as the checker measured it.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The problem.
    pub problem: &'a Problem,
    /// A structurally sound placement of its components.
    pub placement: &'a Placement,
    /// Per device, all that must fit.
    pub required_bytes: &'a [u64],
}

impl Facts<'_> {
    /// Whether a component lives on the device; where attention is replicated, one does on each.
    pub fn hosts_anything(&self, device: usize) -> bool {
        self.problem.is_replicated() || self.placement.device_of.contains(&device)
    }
}

impl ObjectiveKind {
    /// The name in files, JSON and on the command line.
    pub fn name(self) -> &'static str {
        law(self).name()
    }

    /// The objective of this name.
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Sums are taken in 128 bits, where no number of `u64` terms that fits in memory can overflow; only
/// reporting returns to 64.
fn saturate(sum: u128) -> u64 {
    u64::try_from(sum).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_objective_has_a_name_and_a_row_of_its_own() {
        for (index, kind) in ALL.into_iter().enumerate() {
            assert_eq!(ObjectiveKind::named(kind.name()), Some(kind));
            assert!(ALL[..index].iter().all(|other| law(*other).row() != law(kind).row()));
            assert!(ALL[..index].iter().all(|other| *other < kind), "in the order of the enum");
            assert!(law(kind).about().len() > 20);
        }
    }
}
