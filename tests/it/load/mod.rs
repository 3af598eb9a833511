//! Placements made real: what is loaded from which bytes, on which memory.

/// Names of a placement become memory with budgets.
mod devices;
mod files;
/// Placement and headers become rows of files.
mod manifest;
