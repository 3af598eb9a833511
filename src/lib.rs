//! Placement compiler for large models.
pub mod baseline;
pub mod error;
pub mod hardware;
pub mod memory;
pub mod model;
pub mod placement;
pub mod plan;
pub mod problem;
pub mod quant;
pub mod remedy;
pub mod units;
pub mod verify;
pub mod yaml;

mod nearest;
mod strict;
