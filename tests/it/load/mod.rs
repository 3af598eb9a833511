//! Placements made real: weights on devices, tokens out.

/// What `load`, `generate` and `profile` refuse before any work.
mod commands;
/// What they answer, against a reference made by others.
mod runs;
