//! Placement compiler for large models.
pub mod error;
pub mod hardware;
pub mod memory;
pub mod model;
pub mod placement;
pub mod plan;
pub mod problem;
pub mod quant;
pub mod units;
pub mod yaml;

mod nearest;
mod strict;
