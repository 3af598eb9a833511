//! The integration tests: one crate, one module per promise.

mod baselines;
/// The planner agrees with complete enumeration, on every objective and bound.
mod enumeration;
mod facts;
mod remedies;
mod support;
mod verify;
