//! Placements made real: what is loaded from which bytes, on which memory; tokens out.

/// The devices at hand become a hardware file.
mod calibrates;
/// What `load`, `generate` and `profile` refuse before any work.
mod commands;
/// Names of a placement become memory with budgets.
mod devices;
/// Models that are no Mixtral.
mod families;
mod files;
/// What needs a GPU.
#[cfg(feature = "cuda")]
mod gpu;
/// Placement and headers become rows of files.
mod manifest;
/// Components change devices while text is generated, and nothing else changes.
mod migrate;
/// Logits and choices are those of the reference.
mod oracle;
/// Quantized files give what others make of them.
mod peers;
mod placed;
/// What the commands answer, against a reference made by others.
mod runs;
