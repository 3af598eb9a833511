//! Placement compiler for large models.
pub mod baseline;
pub mod error;
pub mod files;
pub mod hardware;
pub mod memory;
pub mod model;
pub mod placement;
pub mod plan;
pub mod problem;
pub mod quant;
pub mod remedy;
pub mod report;
pub mod scenario;
pub mod units;
pub mod verify;
pub mod yaml;

mod nearest;
mod strict;
