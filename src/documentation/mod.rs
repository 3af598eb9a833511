//! Pages to read: why things are as they are.

#[doc = include_str!("ci.md")]
pub mod ci {}

#[doc = include_str!("cluster.md")]
pub mod cluster {}

#[doc = include_str!("formulation.md")]
pub mod formulation {}

#[doc = include_str!("memory.md")]
pub mod memory {}

#[doc = include_str!("time.md")]
pub mod time {}
