//! The cheapest ways out of an infeasible case, each checked by solving.
//!
//! Nothing here is an estimate: a remedy is offered only when the changed problem was asked and found
//! feasible, and an amount only when the next smaller one was found infeasible. How problems are made is
//! the [`Case`]'s business, how they are decided the caller's; this room knows neither.

mod search;

use rayon::prelude::*;

use crate::error::Error;
use crate::hardware::Device;
use crate::problem::Problem;
use crate::units::BYTES_MAX;
use search::{Bracket, least, most};

const MIB: u64 = 1 << 20;

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

    /// The same with this much more on every device, in the problem's order. Amounts go up to
    /// [`BYTES_MAX`]; sums must not overflow.
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
    /// With a smaller context: the largest multiple of [`CONTEXT_STEP_TOKENS`] that is feasible.
    Context {
        /// Tokens.
        tokens: u64,
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

/// Decides a problem; must not answer "feasible" without a placement.
pub type Feasible<'a> = &'a (dyn Fn(&Problem) -> bool + Sync);

/// Every single change that makes the case feasible, cheapest intervention first: releasing pins, a
/// smaller context, a lighter quantization, more bytes (fewest first), one more device.
///
/// Empty when nothing helps, when the case is feasible as it is, or when it cannot be made at all.
pub fn remedies(case: &dyn Case, feasible: Feasible<'_>) -> Vec<Remedy> {
    let Ok(problem) = case.problem() else { return Vec::new() };
    if feasible(&problem) {
        return Vec::new();
    }
    let asked = Asked { case, problem: &problem, feasible };
    // The searches are independent; collecting them keeps their order whoever finishes first.
    let mut found: Vec<Remedy> =
        attempts(&problem).into_par_iter().filter_map(|attempt| asked.run(attempt)).collect();
    // The sort is stable: only amounts on single devices change places.
    found.sort_by_key(cost);
    found
}

/// Classes of intervention in order, and bytes within the class of those on one device.
fn cost(remedy: &Remedy) -> (u8, u64) {
    match remedy {
        Remedy::ReleaseDefaultPins | Remedy::ReleaseRule { .. } => (0, 0),
        Remedy::Context { .. } => (1, 0),
        Remedy::Quantization { .. } => (2, 0),
        Remedy::AddBytes { bytes, .. } => (3, *bytes),
        Remedy::AddBytesEach { .. } => (4, 0),
        Remedy::AddDevice { .. } => (5, 0),
    }
}

#[derive(Clone, Copy)]
enum Attempt {
    DefaultPins,
    Rule(usize),
    Context,
    Quantization,
    Bytes(usize),
    BytesEach,
    Device(usize),
}

fn attempts(problem: &Problem) -> Vec<Attempt> {
    let rules = || problem.rules.iter().enumerate();
    let default_pins = rules().any(|(_, rule)| rule.default).then_some(Attempt::DefaultPins);
    let single = rules().filter(|(_, rule)| !rule.default).map(|(i, _)| Attempt::Rule(i));
    let several_gpus = problem.gpus().nth(1).map(|_| Attempt::BytesEach);
    // A second device equal to an earlier one makes the same machine.
    let like = |a: &Device, b: &Device| {
        (a.kind, a.capacity_bytes, a.reserve_bytes) == (b.kind, b.capacity_bytes, b.reserve_bytes)
    };
    let devices = &problem.devices;
    let new_kind = |&d: &usize| !devices[..d].iter().any(|earlier| like(earlier, &devices[d]));
    default_pins
        .into_iter()
        .chain(single)
        .chain([Attempt::Context, Attempt::Quantization])
        .chain((0..devices.len()).map(Attempt::Bytes))
        .chain(several_gpus)
        .chain(problem.gpus().filter(new_kind).map(Attempt::Device))
        .collect()
}

struct Asked<'a> {
    case: &'a dyn Case,
    problem: &'a Problem,
    feasible: Feasible<'a>,
}

impl Asked<'_> {
    fn run(&self, attempt: Attempt) -> Option<Remedy> {
        match attempt {
            Attempt::DefaultPins => {
                self.works(self.case.without_default_pins()).then_some(Remedy::ReleaseDefaultPins)
            }
            Attempt::Rule(rule) => {
                self.works(self.case.without_rule(rule)).then_some(Remedy::ReleaseRule { rule })
            }
            Attempt::Context => self.context(),
            Attempt::Quantization => self.quantization(),
            Attempt::Bytes(device) => {
                let bytes = self.bytes(|d| d == device)?;
                Some(Remedy::AddBytes { device, bytes })
            }
            Attempt::BytesEach => {
                let gpus: Vec<usize> = self.problem.gpus().collect();
                let bytes = self.bytes(|d| gpus.contains(&d))?;
                Some(Remedy::AddBytesEach { bytes })
            }
            Attempt::Device(like) => self
                .works(self.case.with_added_device_like(like))
                .then_some(Remedy::AddDevice { like }),
        }
    }

    fn works(&self, changed: Result<Problem, Error>) -> bool {
        changed.is_ok_and(|problem| (self.feasible)(&problem))
    }

    fn context(&self) -> Option<Remedy> {
        // The asked context itself is known not to work; so is the next multiple from it on.
        let steps = Bracket { from: 1, to: self.case.context().div_ceil(CONTEXT_STEP_TOKENS) };
        let works = |step: u64| self.works(self.case.with_context(step * CONTEXT_STEP_TOKENS));
        let tokens = most(steps, works)? * CONTEXT_STEP_TOKENS;
        Some(Remedy::Context { tokens })
    }

    fn quantization(&self) -> Option<Remedy> {
        let schemes = self.case.alternative_schemes();
        // Runtimes stage differently, so lighter need not mean feasible: each is asked.
        let scheme =
            schemes.into_par_iter().find_first(|name| self.works(self.case.with_scheme(name)))?;
        Some(Remedy::Quantization { scheme })
    }

    /// The fewest bytes, in whole MiB, that are enough on every device that `gets` them.
    fn bytes(&self, gets: impl Fn(usize) -> bool + Sync) -> Option<u64> {
        let works = |mib: u64| {
            let extra: Vec<u64> = (0..self.problem.devices.len())
                .map(|device| if gets(device) { mib * MIB } else { 0 })
                .collect();
            self.works(self.case.with_extra_capacity(&extra))
        };
        let enough = everything_bytes(self.problem).div_ceil(MIB).max(1);
        least(Bracket { from: 0, to: enough }, works).map(|mib| mib * MIB)
    }
}

/// At least what the whole model needs on one device: more on it than this cannot help.
fn everything_bytes(problem: &Problem) -> u64 {
    let workspace = &problem.workspace;
    let largest_workspace = [
        workspace.embedding_bytes,
        workspace.attention_bytes,
        workspace.feed_forward_bytes,
        workspace.head_bytes,
    ];
    let components = problem.components.iter().map(|c| &c.demand).map(|demand| {
        let resident = u128::from(demand.weights_bytes) + u128::from(demand.kv_cache_bytes);
        resident + u128::from(demand.staging_bytes)
    });
    let reserve = problem.devices.iter().map(|d| u128::from(d.reserve_bytes));
    let once = largest_workspace.into_iter().chain([problem.host_staging_bytes]).map(u128::from);
    let total: u128 = components.chain(reserve).chain(once).sum();
    u64::try_from(total).unwrap_or(BYTES_MAX).min(BYTES_MAX)
}
