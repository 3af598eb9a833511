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
//!
//! # Example
//!
//! A small random Mixtral, solved for two devices of 3 MiB, which here are CPU memory with that budget; loaded, and
//! asked to go on. The tokens are those that transformers generates.
//!
//! ```
//! use std::path::Path;
//! use std::sync::atomic::AtomicBool;
//! use std::time::Duration;
//!
//! use apportion::checkpoint::Checkpoint;
//! use apportion::hardware::Hardware;
//! use apportion::load::decoder::{Decoder, Mode};
//! use apportion::load::devices::{Planned, Wishes, bind};
//! use apportion::load::generate::{Hooks, Request, Sampling, generate};
//! use apportion::load::manifest::Manifest;
//! use apportion::load::{LoadOptions, Running, Tally, load};
//! use apportion::memory::Load;
//! use apportion::model::Model;
//! use apportion::placement::Record;
//! use apportion::plan::{self, Outcome};
//! use apportion::quant::Scheme;
//! use apportion::runtime::KvType;
//! use apportion::scenario::{Limits, Scenario, default_objectives};
//!
//! # fn main() -> Result<(), apportion::error::Error> {
//! let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/oracle/tiny-mixtral");
//! let checkpoint = Checkpoint::open(&weights)?;
//! let model = Model::from_checkpoint(&checkpoint, "tiny-mixtral")?;
//!
//! // Solve.
//! let scenario = Scenario {
//!     model: model.clone(),
//!     scheme: Scheme::parse("f32")?,
//!     load: Load { context: 128, kv_type: KvType::F32, ..Load::default() },
//!     hardware: Hardware::from_sizes(&[3 << 20, 3 << 20], None, 0)?,
//!     constraints: Vec::new(),
//!     default_pins: true,
//!     limits: Limits::default(),
//!     objectives: default_objectives(),
//! };
//! let problem = scenario.problem()?;
//! let Outcome::Solved(solved) = plan::solve(&problem, &plan::Options::default())? else {
//!     unreachable!("3.3 MiB fit on 6 MiB")
//! };
//! let measured = apportion::verify::verify(&problem, &solved.placement).expect("it was checked before");
//! let record = Record::of(&scenario, &problem, &solved, &measured);
//!
//! // Load.
//! let manifest = Manifest::new(&record, &checkpoint, &model)?;
//! let wishes = Wishes { bindings: Vec::new(), budgets: Vec::new(), threads: 1 };
//! let devices = bind(&Planned::of(&record)?, &wishes)?.devices;
//! let options = LoadOptions { threads: 2, cpu_repack: false, stop: None };
//! let placed = load(&manifest, devices, Running::of(&record)?, &options, &())?;
//! Tally::of(&manifest, &placed).check()?;
//!
//! // Generate.
//! let mut decoder = Decoder::new(placed, Mode::Concurrent)?;
//! let request = Request {
//!     prompt: &[1, 5, 17, 200, 33, 91, 4, 150],
//!     max_tokens: 4,
//!     sampling: Sampling { temperature: 0.0, top_p: 1.0, seed: 0 },
//!     last_tokens: &[],
//! };
//! let mut hooks = Hooks {
//!     stop: &AtomicBool::new(false),
//!     clock: &|| Duration::ZERO,
//!     on_token: &mut |_| Ok(()),
//! };
//! let generated = generate(&mut decoder, &request, &mut hooks)?;
//! assert_eq!(generated.tokens, [34, 90, 82, 203]);
//! # Ok(())
//! # }
//! ```
//!
//! # Changing places
//!
//! A loaded model is not bound to the placement it was loaded with. Between two tokens
//! [`relocate`](decoder::Decoder::relocate) takes one component to another device, with the keys and values of its
//! layer where it is an attention block: room is written down in the ledger there first, the copy is made beside the old
//! one, and only then do the maps change and the old memory goes. A [`Migrator`](migrate::Migrator) does so along a
//! [`Plan`](crate::migrate::Plan), a journal says on the disk how far it is, and [`migrate`] says what stays the same to
//! the last bit. The text of the first example, with an expert of layer 2 moved in the middle of it:
//!
//! ```
//! # use std::path::Path;
//! # use apportion::checkpoint::Checkpoint;
//! # use apportion::hardware::Hardware;
//! # use apportion::load::decoder::{Decoder, Mode, Wanted};
//! # use apportion::load::devices::{Planned, Wishes, bind};
//! # use apportion::load::manifest::Manifest;
//! # use apportion::load::{LoadOptions, Running, load};
//! # use apportion::memory::Load;
//! # use apportion::model::{ComponentId, Model};
//! # use apportion::placement::Record;
//! # use apportion::plan::{self, Outcome};
//! # use apportion::quant::Scheme;
//! # use apportion::runtime::KvType;
//! # use apportion::scenario::{Limits, Scenario, default_objectives};
//! # fn main() -> Result<(), apportion::error::Error> {
//! # let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/oracle/tiny-mixtral");
//! # let checkpoint = Checkpoint::open(&weights)?;
//! # let model = Model::from_checkpoint(&checkpoint, "tiny-mixtral")?;
//! # let scenario = Scenario {
//! #     model: model.clone(),
//! #     scheme: Scheme::parse("f32")?,
//! #     load: Load { context: 128, kv_type: KvType::F32, ..Load::default() },
//! #     hardware: Hardware::from_sizes(&[3 << 20, 3 << 20], None, 0)?,
//! #     constraints: Vec::new(),
//! #     default_pins: true,
//! #     limits: Limits::default(),
//! #     objectives: default_objectives(),
//! # };
//! # let problem = scenario.problem()?;
//! # let Outcome::Solved(solved) = plan::solve(&problem, &plan::Options::default())? else { unreachable!() };
//! # let measured = apportion::verify::verify(&problem, &solved.placement).expect("it was checked before");
//! # let record = Record::of(&scenario, &problem, &solved, &measured);
//! # let manifest = Manifest::new(&record, &checkpoint, &model)?;
//! # let wishes = Wishes { bindings: Vec::new(), budgets: Vec::new(), threads: 1 };
//! # let devices = bind(&Planned::of(&record)?, &wishes)?.devices;
//! # let options = LoadOptions { threads: 1, cpu_repack: false, stop: None };
//! # let placed = load(&manifest, devices, Running::of(&record)?, &options, &())?;
//! let mut decoder = Decoder::new(placed, Mode::Concurrent)?;
//! let prompt = [1, 5, 17, 200, 33, 91, 4, 150];
//! let best = |logits: &[Vec<f32>]| {
//!     let logits = &logits[0];
//!     (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap()
//! };
//! assert_eq!(best(&decoder.forward(0, &prompt, Wanted::Last)?), 34);
//! let expert = ComponentId::Expert(2, 5);
//! let home = decoder.placed().homes()[&expert];
//! let moved = decoder.relocate(expert, 1 - home)?;
//! assert_eq!(moved.weights_bytes, 3 * 64 * 128 * 4);
//! assert_eq!(best(&decoder.forward(0, &[34], Wanted::Last)?), 90);
//! # Ok(())
//! # }
//! ```
//!
//! What is on every device at one moment is a [`trace`](memory::trace_memory): the ledgers, and what a driver says.

pub mod calibrate;
pub mod decoder;
pub mod devices;
pub mod generate;
mod loader;
pub mod manifest;
pub mod memory;
pub mod migrate;
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
