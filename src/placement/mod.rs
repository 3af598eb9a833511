//! The map: which device each component lives on, in memory and on disk.

mod check;
mod emit;
mod ranges;
mod read;
mod record;
mod write;

pub use check::{Difference, differences};
pub use ranges::{Line, expand, lines};
pub(crate) use record::limit_name;
pub use record::{DeviceRecord, ObjectiveRecord, Record, Status, TrafficRecord};

/// A complete assignment: one device index per component of a [`crate::problem::Problem`], in its order.
///
/// Nothing about it is trusted; [`crate::verify`] says what it is worth.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placement {
    /// Device index per component index.
    pub device_of: Vec<usize>,
}
