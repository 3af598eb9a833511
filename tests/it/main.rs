//! The integration tests: one crate, one module per promise.

mod baselines;
mod remedies;
mod support;
mod verify;
