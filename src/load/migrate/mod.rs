//! A loaded model changes its placement while it runs: one component between two tokens.
//!
//! ```text
//!  plan ──► route ──► migrator ──► decoder.relocate
//!  from     places    position     one component: room on the target, a copy, the maps, the source's room
//!  one map  of this      │
//!  to the   decoder      ▼
//!  next               journal: what has moved, on the disk before and after every step
//! ```
//!
//! # What stays the same
//!
//! A component computes with the same bits wherever it is in CPU memory, and what it gets is copied bit by bit; so
//! does attention with the keys and values that move with it. The answers of a token's experts are added up per
//! device, then in the order of the devices: with two experts per token, as Mixtral has, sums of two do not depend on
//! their order, and every logit is that of a run without moves to the last bit. With more than two experts per token
//! the order of addition may change with the map, and with it the last bit of a sum; so it may between CPU and GPU,
//! which compute in other types.
//!
//! # What it takes
//!
//! A step is bounded by one component: the pause between two tokens is the copy of its weights and, for attention, of
//! its layer's caches. CPU devices are memories of their own, whatever the machine has, so a step is a real copy there
//! too; between GPUs it goes through host memory. The ledgers hold a component on both devices while it is copied, and
//! neither budget is ever passed.
//!
//! # What is left out
//!
//! Components that a plan parks in host memory stay in use: the decoder gets one more device for them. Steps that load
//! from files, and caches that are made anew for another context or batch, are for a program that loads anew: a plan
//! with such steps is refused here before anything moves.
//!
//! # When to move again
//!
//! [`Steady`] watches which experts are chosen and says when another placement is worth asking for; what is best then is
//! for the planner, which whoever runs the decoder asks ([`crate::migrate::rebalance`]).
//!
//! # Journal, version 1
//!
//! JSON lines in a file that is only added to; each is on the disk before the next thing happens. The first line has
//! `apportion` (`migration-journal`), `version` (`1`), `plan` (the plan's fingerprint) and `steps` (how many it has).
//! Then, for every step from 1 on, `{"begin": 3, "move": "layers.0.experts.5 gpu0 -> gpu1"}` before it and
//! `{"done": 3}` after it; a step that was not done may begin again. Where an earlier program was ended, the next one
//! adds `{"resume": 2}` with the steps that are done; lines right before it, and the last ones, may be cut off.

mod journal;
mod migrator;
mod route;
mod steady;

pub use journal::{Journal, Position};
pub use migrator::{Migrator, Peak};
pub use route::Route;
pub use steady::Steady;
