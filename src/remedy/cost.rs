//! What a way out takes from whoever asked, and which takes less.

use super::{Case, Remedy};
use crate::problem::Problem;

/// What a remedy costs.
///
/// Kinds are ordered by what they take: first what nobody asked for, then wishes, then what the model does
/// with the machine there is, then what it does it with, then money. Within a kind, less is cheaper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// Defaults that were not asked for.
    Nothing,
    /// A pin or a forbidden place.
    Rule {
        /// Components that it no longer binds.
        components: u64,
    },
    /// Headroom.
    Headroom {
        /// How much of what was asked is given up.
        percent: u64,
    },
    /// Devices there are, but were not to be used.
    Devices {
        /// How many more than asked may be used.
        more: u64,
    },
    /// Context or sequences at once: the KV cache is as good as proportional to either.
    Service {
        /// How much less of it than asked, rounded up.
        percent: u64,
    },
    /// Precision.
    Weights {
        /// Fewer bytes of weights.
        bytes: u64,
    },
    /// Larger devices.
    Memory {
        /// More bytes on all of them together.
        bytes: u64,
    },
    /// One more device.
    Device {
        /// Its capacity.
        bytes: u64,
    },
}

impl Cost {
    /// What `remedy` costs in `case`, whose problem is `problem`.
    pub(super) fn of(case: &dyn Case, problem: &Problem, remedy: &Remedy) -> Self {
        match remedy {
            Remedy::ReleaseDefaultPins => Self::Nothing,
            Remedy::ReleaseRule { rule } => {
                Self::Rule { components: count(problem.rules[*rule].components.len()) }
            }
            Remedy::Headroom { percent } => Self::Headroom { percent: 100 - percent.min(&100) },
            Remedy::DevicesMax { devices } => {
                let asked = problem.devices_max.map_or(*devices, count);
                Self::Devices { more: devices.saturating_sub(asked) }
            }
            Remedy::Context { tokens } => lost(case.context(), *tokens),
            Remedy::Batch { sequences } => lost(case.batch(), *sequences),
            Remedy::Quantization { scheme } => {
                let lighter = case.with_scheme(scheme).map_or(0, |lighter| weights_bytes(&lighter));
                Self::Weights { bytes: weights_bytes(problem).saturating_sub(lighter) }
            }
            Remedy::AddBytes { bytes, .. } => Self::Memory { bytes: *bytes },
            Remedy::AddBytesEach { bytes } => {
                Self::Memory { bytes: bytes.saturating_mul(count(problem.gpus().count())) }
            }
            Remedy::AddDevice { like } => {
                Self::Device { bytes: problem.devices[*like].capacity_bytes }
            }
        }
    }
}

/// `left` of `asked`.
fn lost(asked: u64, left: u64) -> Cost {
    let lost = u128::from(asked.saturating_sub(left)) * 100;
    let percent = lost.div_ceil(u128::from(asked.max(1)));
    Cost::Service { percent: u64::try_from(percent).unwrap_or(100) }
}

fn weights_bytes(problem: &Problem) -> u64 {
    problem.components.iter().map(|c| c.demand.weights_bytes).fold(0, u64::saturating_add)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
