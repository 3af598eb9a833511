//! The integration tests: one crate, one module per promise.
mod facts;
