//! The map: which device each component lives on.

/// A complete assignment: one device index per component of a [`crate::problem::Problem`], in its order.
///
/// Nothing about it is trusted; [`crate::verify`] says what it is worth.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placement {
    /// Device index per component index.
    pub device_of: Vec<usize>,
}
