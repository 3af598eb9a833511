//! The placement compiler for large models: which device holds the embedding, every layer's attention,
//! every single expert, the head; exact bytes in, a proven best placement out.
//!
//! # The pipeline on one page
//!
//! ```text
//!  facts ───────────► problem ───────► plan ──────────► verify ────────► effects
//!  model, quant,      components x     integer          exact integers,  placement file,
//!  memory, hardware   devices, rules,  program,         shares no code   report, compare
//!                     objectives       bounds           with plan
//! ```
//!
//! 1. [`model`] fills a family's template with a config and names every tensor. [`quant`] says how many
//!    bytes each takes under a scheme, [`memory`] adds KV cache, workspace and staging by the rules of a
//!    [`runtime`]: a demand per component. [`hardware`] says what the devices have, [`checkpoint`] which
//!    tensors are really in the files of a model, of which types ([`dtype`]). What else is in the memory of
//!    a device: [`documentation::memory`].
//! 2. [`scenario`] puts these together with the user's wishes into a [`problem::Problem`]: plain data,
//!    the one value that the next two rooms share.
//! 3. [`plan`] states it as an integer program over *counts* of identical things, closes every objective
//!    from both sides, and answers optimal, feasible with a gap, infeasible with why, or unknown. The
//!    mathematics: [`documentation::formulation`].
//! 4. [`verify`] recomputes bytes, constraints and objective values of the placement from the problem
//!    alone. Nothing is printed, written or used that it has not passed.
//! 5. [`placement`] is the file format, [`report`] what people read, [`baseline`] what people do today,
//!    [`remedy`] the ways out when nothing fits, [`sweep`] many questions at once and the most that fits,
//!    [`simulate`] a load replayed before there is a device, [`expectations`] what is held fixed and asked
//!    again ([`documentation::ci`]), [`explain`] what the words mean, [`schema`] what the files look like.
//! 6. [`migrate`] leads from one placement to the next: what changes, what moves, in which order.
//! 7. [`export`] says a placement in the words of other runtimes, [`import`] reads theirs.
//! 8. `load` (feature `candle`) makes a placement real: tensors on devices, a decoder across them, text.
//!
//! Everything between 1 and 4 is value to value: no clock, no environment, no hash order, so the same
//! question gets the same bytes of answer on any machine with any number of threads. Bytes are exact
//! integers; floating point carries the solver's numbers and guides heuristics inside [`plan`], where every
//! candidate is evaluated in integers and every bound rounded against us.
//!
//! # Example
//!
//! Mixtral 8x7B in 4 bit on two GPUs of 15.60 GiB: one hand-over per token, proven.
//!
//! ```
//! use apportion::hardware::Hardware;
//! use apportion::memory::Load;
//! use apportion::model::Model;
//! use apportion::plan::{self, Options, Outcome};
//! use apportion::quant::Scheme;
//! use apportion::scenario::{Limits, Scenario, default_objectives};
//! use apportion::units::parse_bytes;
//!
//! # fn main() -> Result<(), apportion::error::Error> {
//! let usable = parse_bytes("15.60GiB")?;
//! let scenario = Scenario {
//!     model: Model::from_catalogue("mixtral-8x7b")?,
//!     scheme: Scheme::parse("nf4-dq")?,
//!     load: Load::default(),
//!     hardware: Hardware::from_sizes(&[usable, usable], None, 0)?,
//!     constraints: Vec::new(),
//!     default_pins: true,
//!     limits: Limits::default(),
//!     objectives: default_objectives(),
//! };
//! let problem = scenario.problem()?;
//! let Outcome::Solved(solved) = plan::solve(&problem, &Options::default())? else {
//!     unreachable!("24.5 GB fit on 33.5 GB")
//! };
//! assert!(solved.stages.iter().all(|stage| stage.proven));
//!
//! let measured = apportion::verify::verify(&problem, &solved.placement).expect("it was checked before");
//! assert_eq!(measured.traffic.hand_overs, 1);
//! assert_eq!(measured.traffic.remote_experts, 0);
//! # Ok(())
//! # }
//! ```

pub mod documentation;

pub mod error;
pub mod files;
pub mod units;
pub mod yaml;

pub mod checkpoint;
pub mod dtype;
pub mod hardware;
pub mod memory;
pub mod model;
pub mod quant;
pub mod routing;
pub mod runtime;

pub mod certificate;
pub mod objective;
pub mod problem;
pub mod program;
pub mod scenario;

pub mod plan;
pub mod verify;

pub mod baseline;
pub mod expectations;
pub mod explain;
pub mod export;
pub mod frontier;
pub mod import;
pub mod migrate;
pub mod placement;
pub mod reconcile;
pub mod remedy;
pub mod report;
pub mod schema;
pub mod sensitivity;
pub mod simulate;
pub mod sweep;
pub mod trace;

#[cfg(feature = "candle")]
pub mod load;

mod nearest;
mod strict;
