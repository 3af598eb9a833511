//! The solver's door: the only place where exact numbers become floating point, and where they come back.
//!
//! A backend is one file behind [`Backend`]. To add one: lower a [`Program`] with [`Scaled`], translate
//! the answer into [`Run`], and say what stopped it. Backends promise nothing about exactness; what they
//! find is evaluated in integers, and what they prove is rounded down before anyone sees it. [`SolverKind`]
//! lists those of this build by name.

#[cfg(feature = "highs")]
mod highs;
mod kind;
mod microlp;
mod scale;
mod state;

#[cfg(feature = "highs")]
pub use highs::Highs;
pub use kind::SolverKind;
pub use microlp::Microlp;
pub use scale::Scaled;
pub(in crate::plan) use scale::to_f64;

use std::time::Duration;

use super::outcome::LimitReached;
use super::program::Program;
use crate::error::Error;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Branch-and-bound nodes.
    pub nodes: u64,
    /// Wall clock, if any.
    pub time: Option<Duration>,
    /// Relative gap at which the search for something better may stop once `nodes_exact` are spent.
    pub gap: f64,
    /// Nodes to spend on closing the gap entirely before `gap` is good enough.
    pub nodes_exact: u64,
}

/// What a backend found out.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The best point found, one value per variable, whole where the variable is.
    pub values: Option<Vec<f64>>,
    /// A proven lower bound on the objective, constant included; `None` when nothing is known.
    pub bound: Option<f64>,
    /// Proven that no point exists.
    pub infeasible: bool,
    /// Nodes known to have been used; a solver need not tell.
    pub nodes: u64,
    /// What stopped the search before it was finished.
    pub limit: Option<LimitReached>,
}

/// Something that solves integer programs.
pub trait Backend: Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Solves `program` within `limits`.
    ///
    /// # Errors
    /// When the backend fails numerically; running into a limit is not an error.
    fn run(&self, program: &Program, limits: &Limits) -> Result<Run, Error>;
}
