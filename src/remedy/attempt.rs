//! The single changes worth trying, and trying one of them.

use super::search::{Bracket, least, most};
use super::{CONTEXT_STEP_TOKENS, Case, Feasible, NotEnough, Remedy};
use crate::error::Error;
use crate::problem::Problem;
use crate::units::BYTES_MAX;

const MIB: u64 = 1 << 20;

/// One kind of change.
#[derive(Clone, Copy)]
pub(super) enum Attempt {
    DefaultPins,
    Rule(usize),
    Headroom,
    DevicesMax(usize),
    Context,
    Batch,
    Quantization,
    Bytes(usize),
    BytesEach,
    Device(usize),
}

/// What to try, in the order in which it is told what was in vain.
pub(super) fn attempts(problem: &Problem, case: &dyn Case) -> Vec<Attempt> {
    let devices = problem.devices.len();
    let rules = || problem.rules.iter().enumerate();
    let default_pins = rules().any(|(_, rule)| rule.default).then_some(Attempt::DefaultPins);
    let single =
        rules().filter(|(_, rule)| !rule.default && !rule.fixed).map(|(i, _)| Attempt::Rule(i));
    let batch = (case.batch() > 1).then_some(Attempt::Batch);
    let several_gpus = problem.gpus().nth(1).map(|_| Attempt::BytesEach);
    let new = |device: usize, same: fn(&Problem, usize, usize) -> bool| {
        !(0..device).any(|earlier| same(problem, earlier, device))
    };
    let of_its_own = (0..problem.devices.len()).filter(|&d| new(d, Problem::interchangeable));
    default_pins
        .into_iter()
        .chain(single)
        .chain(problem.headroom_bytes.iter().any(|&bytes| bytes > 0).then_some(Attempt::Headroom))
        .chain(problem.devices_max.filter(|&n| n < devices).map(Attempt::DevicesMax))
        .chain([Attempt::Context])
        .chain(batch)
        .chain([Attempt::Quantization])
        .chain(of_its_own.map(Attempt::Bytes))
        .chain(several_gpus)
        .chain(problem.gpus().filter(|&d| new(d, Problem::same_sizes)).map(Attempt::Device))
        .collect()
}

/// A case, its problem, and who decides.
pub(super) struct Asked<'a> {
    pub(super) case: &'a dyn Case,
    pub(super) problem: &'a Problem,
    pub(super) feasible: Feasible<'a>,
}

impl Asked<'_> {
    /// Tries one kind of change.
    pub(super) fn run(&self, attempt: Attempt) -> Result<Remedy, NotEnough> {
        let case = self.case;
        match attempt {
            Attempt::DefaultPins => self
                .works(case.without_default_pins())
                .then_some(Remedy::ReleaseDefaultPins)
                .ok_or(NotEnough::DefaultPins),
            Attempt::Rule(rule) => self
                .works(case.without_rule(rule))
                .then_some(Remedy::ReleaseRule { rule })
                .ok_or(NotEnough::Rule { rule }),
            Attempt::Headroom => {
                let works = |percent| self.works(case.with_headroom_percent(percent));
                let percent = most(Bracket { from: 0, to: 100 }, works);
                percent.map(|percent| Remedy::Headroom { percent }).ok_or(NotEnough::Headroom)
            }
            Attempt::DevicesMax(now) => self.more_devices(now),
            Attempt::Context => self.context(),
            Attempt::Batch => {
                let works = |sequences| self.works(case.with_batch(sequences));
                let sequences = most(Bracket { from: 1, to: case.batch() }, works);
                sequences.map(|sequences| Remedy::Batch { sequences }).ok_or(NotEnough::Batch)
            }
            Attempt::Quantization => self.quantization(),
            Attempt::Bytes(device) => self
                .bytes(|d| d == device)
                .map(|bytes| Remedy::AddBytes { device, bytes })
                .ok_or(NotEnough::Bytes { device }),
            Attempt::BytesEach => {
                let gpus: Vec<usize> = self.problem.gpus().collect();
                let bytes = self.bytes(|d| gpus.contains(&d));
                bytes.map(|bytes| Remedy::AddBytesEach { bytes }).ok_or(NotEnough::BytesEach)
            }
            Attempt::Device(like) => self
                .works(case.with_added_device_like(like))
                .then_some(Remedy::AddDevice { like })
                .ok_or(NotEnough::Device { like }),
        }
    }

    fn works(&self, changed: Result<Problem, Error>) -> bool {
        changed.is_ok_and(|problem| (self.feasible)(&problem))
    }

    /// The lowest limit on devices above `now` that is enough.
    fn more_devices(&self, now: usize) -> Result<Remedy, NotEnough> {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let works = |devices: u64| {
            let devices_max = usize::try_from(devices).ok();
            self.works(Ok(Problem { devices_max, ..self.problem.clone() }))
        };
        let bracket = Bracket { from: count(now), to: count(self.problem.devices.len()) };
        least(bracket, works)
            .map(|devices| Remedy::DevicesMax { devices })
            .ok_or(NotEnough::DevicesMax)
    }

    fn context(&self) -> Result<Remedy, NotEnough> {
        // The asked context itself is known not to work; so is the next multiple from it on.
        let steps = Bracket { from: 1, to: self.case.context().div_ceil(CONTEXT_STEP_TOKENS) };
        let works = |step: u64| self.works(self.case.with_context(step * CONTEXT_STEP_TOKENS));
        let shortest = (steps.to > steps.from).then_some(CONTEXT_STEP_TOKENS);
        most(steps, works)
            .map(|steps| Remedy::Context { tokens: steps * CONTEXT_STEP_TOKENS })
            .ok_or(NotEnough::Context { tokens: shortest })
    }

    fn quantization(&self) -> Result<Remedy, NotEnough> {
        let tried = self.case.alternative_schemes();
        // Runtimes stage differently, so lighter need not mean feasible: each is asked.
        // One after the other, because a trial ahead of the answer could be the only one left undecided,
        // and whether it is made would depend on how many threads are idle.
        let found = tried.iter().find(|name| self.works(self.case.with_scheme(name)));
        match found {
            Some(scheme) => Ok(Remedy::Quantization { scheme: scheme.clone() }),
            None => Err(NotEnough::Quantization { tried }),
        }
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
    let components = problem.components.iter().map(|c| &c.demand).map(|demand| {
        let resident = u128::from(demand.weights_bytes) + u128::from(demand.rounding_bytes);
        resident + u128::from(demand.kv_cache_bytes) + u128::from(demand.staging_bytes)
    });
    let reserve = problem.devices.iter().map(|d| u128::from(d.reserve_bytes));
    let workspace = problem.workspace.kinds().into_iter();
    let once = workspace.chain([problem.host_staging_bytes]).map(u128::from);
    let total: u128 = components.chain(reserve).chain(once).sum();
    // Headroom comes on top, and a share of the capacity grows with it.
    let with_headroom = (0..problem.devices.len()).map(|d| {
        let (capacity, limit) = (problem.devices[d].capacity_bytes, problem.limit_bytes(d));
        let headroom = u128::from(capacity - limit);
        total.saturating_mul(u128::from(capacity)) / u128::from(limit.max(1)) + headroom
    });
    let total = with_headroom.max().unwrap_or(total);
    u64::try_from(total).unwrap_or(BYTES_MAX).min(BYTES_MAX)
}
