//! The integration tests: one crate, one module per promise.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like the tests themselves")]

mod accelerate;
mod baselines;
/// The planner agrees with complete enumeration, on every objective and bound.
mod enumeration;
mod facts;
mod remedies;
mod support;
mod verify;
mod verify_properties;
