//! The integration tests: one crate, one module per promise.

/// The planner agrees with complete enumeration, on every objective and bound.
mod enumeration;
