//! Placements made real: what is loaded from which bytes, on which memory.

/// Names of a placement become memory with budgets.
mod devices;
mod files;
/// Placement and headers become rows of files.
mod manifest;
/// Logits and choices are those of the reference.
mod oracle;
/// Quantized files give what others make of them.
mod peers;
mod placed;
