//! Ways out of an infeasible case, each checked by solving, ranked by what they cost.
//!
//! Nothing here is an estimate: a remedy is offered only when the changed problem was asked and found
//! feasible, and an amount only when the next smaller one was found infeasible. How problems are made is
//! the [`Case`]'s business, how they are decided the caller's; this room knows neither.

mod attempt;
mod cost;
mod search;

use rayon::prelude::*;

use crate::error::Error;
use crate::problem::Problem;
use attempt::{Asked, attempts};

pub use cost::Cost;

/// Contexts are offered in multiples of this many tokens.
pub const CONTEXT_STEP_TOKENS: u64 = 256;

/// A question that was answered "infeasible", and the variations of it.
///
/// A variation that cannot be made is an error; it is then not among the remedies.
pub trait Case: Sync {
    /// The problem as it was asked.
    fn problem(&self) -> Result<Problem, Error>;

    /// The same under another quantization.
    fn with_scheme(&self, name: &str) -> Result<Problem, Error>;

    /// Schemes with fewer bytes that the same runtimes can load, in decreasing bytes.
    fn alternative_schemes(&self) -> Vec<String>;

    /// The context that was asked for, in tokens.
    fn context(&self) -> u64;

    /// The same with another context.
    fn with_context(&self, tokens: u64) -> Result<Problem, Error>;

    /// How many sequences at once were asked for.
    fn batch(&self) -> u64;

    /// The same with another number of sequences at once.
    fn with_batch(&self, sequences: u64) -> Result<Problem, Error>;

    /// The same with this share of all the headroom that was asked, each amount rounded down.
    fn with_headroom_percent(&self, percent: u64) -> Result<Problem, Error>;

    /// The same with this much more on every device, in the problem's order. Amounts go up to
    /// [`BYTES_MAX`](crate::units::BYTES_MAX); sums must not overflow.
    fn with_extra_capacity(&self, per_device_bytes: &[u64]) -> Result<Problem, Error>;

    /// The same with one more device like that one.
    fn with_added_device_like(&self, device: usize) -> Result<Problem, Error>;

    /// The same without one rule, an index into [`Problem::rules`].
    fn without_rule(&self, rule: usize) -> Result<Problem, Error>;

    /// The same without any default pin.
    fn without_default_pins(&self) -> Result<Problem, Error>;
}

/// One change that is enough by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Without the default pins.
    ReleaseDefaultPins,
    /// Without one of the user's rules.
    ReleaseRule {
        /// Index into [`Problem::rules`].
        rule: usize,
    },
    /// With less headroom: the largest share of all that was asked, in whole percent, that is feasible.
    Headroom {
        /// What is left of it; 0 when none may be.
        percent: u64,
    },
    /// With a higher limit on devices: the lowest that is feasible.
    DevicesMax {
        /// Devices.
        devices: u64,
    },
    /// With a smaller context: the largest multiple of [`CONTEXT_STEP_TOKENS`] that is feasible.
    Context {
        /// Tokens.
        tokens: u64,
    },
    /// With fewer sequences at once: the most that are feasible.
    Batch {
        /// Sequences.
        sequences: u64,
    },
    /// With a lighter quantization: the heaviest that is feasible.
    Quantization {
        /// The scheme's name.
        scheme: String,
    },
    /// With more memory on one device alone: the fewest MiB that are enough.
    AddBytes {
        /// Device index.
        device: usize,
        /// How much more.
        bytes: u64,
    },
    /// With the same amount more on every GPU: the fewest MiB that are enough.
    AddBytesEach {
        /// How much more on each.
        bytes: u64,
    },
    /// With one more device.
    AddDevice {
        /// Index of the device it is like.
        like: usize,
    },
}

/// A kind of change that was tried and is not enough by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotEnough {
    /// Releasing the default pins.
    DefaultPins,
    /// Releasing one of the user's rules.
    Rule {
        /// Index into [`Problem::rules`].
        rule: usize,
    },
    /// Giving up all headroom.
    Headroom,
    /// A higher limit on devices, or none.
    DevicesMax,
    /// A smaller context.
    Context {
        /// The shortest that was tried; `None` when the asked one is no longer than that.
        tokens: Option<u64>,
    },
    /// Fewer sequences at once, down to one.
    Batch,
    /// A lighter quantization.
    Quantization {
        /// What was tried; empty when the asked one is the lightest of its runtimes.
        tried: Vec<String>,
    },
    /// More memory on one device alone.
    Bytes {
        /// Device index.
        device: usize,
    },
    /// More memory on every GPU.
    BytesEach,
    /// One more device.
    Device {
        /// Index of the device it is like.
        like: usize,
    },
}

/// A change that is enough, and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The change.
    pub remedy: Remedy,
    /// By which offers are ranked.
    pub cost: Cost,
}

/// What was tried and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remedies {
    /// Every single change that is enough, cheapest first, as [`Cost`] orders them.
    pub enough: Vec<Offer>,
    /// The others, in the order in which they were tried.
    pub not_enough: Vec<NotEnough>,
    /// Whether a limit left some trial undecided, so that "not enough" means "not found to be". Set by the
    /// caller, who decides.
    pub undecided: bool,
}

/// Decides a problem; must not answer "feasible" without a placement.
pub type Feasible<'a> = &'a (dyn Fn(&Problem) -> bool + Sync);

/// Tries every single change.
///
/// Both lists are empty when the case is feasible as it is, or when it cannot be made at all.
pub fn remedies(case: &dyn Case, feasible: Feasible<'_>) -> Remedies {
    let Ok(problem) = case.problem() else { return Remedies::default() };
    if feasible(&problem) {
        return Remedies::default();
    }
    let asked = Asked { case, problem: &problem, feasible };
    // The searches are independent; collecting them keeps their order whoever finishes first.
    let results: Vec<Result<Remedy, NotEnough>> =
        attempts(&problem, case).into_par_iter().map(|attempt| asked.run(attempt)).collect();
    let mut found = Remedies::default();
    for result in results {
        match result {
            Ok(remedy) => {
                let cost = Cost::of(case, &problem, &remedy);
                found.enough.push(Offer { remedy, cost });
            }
            Err(not_enough) => found.not_enough.push(not_enough),
        }
    }
    // The sort is stable: what costs the same stays in the order in which it was tried.
    found.enough.sort_by_key(|offer| offer.cost);
    found
}
