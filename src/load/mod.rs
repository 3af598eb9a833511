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

pub mod devices;
pub mod generate;
pub mod manifest;
pub mod pending;
mod placed;
mod weights;

pub use placed::Placed;

use crate::error::Error;

/// An error of candle in our words; `operation` completes "cannot ...".
fn failed(operation: &str) -> impl Fn(candle_core::Error) -> Error + '_ {
    move |error| Error::new(operation).found(error.to_string())
}
