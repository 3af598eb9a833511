//! A solved placement made real with candle: every tensor on the device the map says, in the type the plan
//! says, and a decoder that runs across them.
//!
//! ```text
//!  placement, headers ──► manifest ──► weights ──► decoder ──► generate
//!  what goes where        bytes of     tensors,    tokens in,  text, routing
//!                         which file   to the      logits out  statistics
//!                         in which     byte
//!                         type
//!                  devices: real memory behind names, budgets, ledgers, threads
//! ```

pub mod decoder;
pub mod devices;
pub mod generate;
mod loader;
pub mod manifest;
mod placed;
mod tally;
#[cfg(test)]
mod tests;
mod traffic;
mod weights;

pub use loader::{LoadOptions, Running, load};
pub use placed::Placed;
pub use tally::{Bytes, DeviceTally, Tally};
pub use traffic::PlannedSends;
pub use weights::{Watch, Weight, holdable};

use crate::error::Error;

/// An error of candle in our words; `operation` completes "cannot ...".
fn failed(operation: &str) -> impl Fn(candle_core::Error) -> Error + '_ {
    move |error| Error::new(operation).found(error.to_string())
}
