//! The most that fits: the longest context, the quantizations that fit, the fewest GPUs.
//!
//! Nothing is inferred where it can be asked: "fits" means that a placement was found, "does not fit" that
//! there is proven to be none. Feasibility is monotone in contexts (cache and workspace only grow with
//! them) and in GPUs (one more may stay empty), so a binary search asks few points; where a limit leaves a
//! point undecided, both ends of what is not known are sought and said.

use rayon::prelude::*;

use super::answer::habits;
use super::plainly_short;
use crate::error::Error;
use crate::hardware::{Device, DeviceKind, Hardware};
use crate::plan::{self, Options};
use crate::problem::{DeviceSet, Problem};
use crate::quant::Scheme;
use crate::scenario::Scenario;
use crate::verify::verify;

/// Where an amount stops fitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The best amount that a placement was found for.
    pub fits: Option<u64>,
    /// The nearest amount beyond it that is proven not to fit; next to it unless a limit left what is
    /// between undecided. `None` when everything that was allowed fits.
    pub misses: Option<u64>,
}

/// A quantization that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The quantization.
    pub scheme: Scheme,
    /// Resident bytes of all weights.
    pub weights_bytes: u64,
    /// Elements of all tensors in its layout.
    pub elements: u64,
    /// Whether it fits; `None` when a limit left that undecided.
    pub fits: Option<bool>,
}

/// How many GPUs there must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpus {
    /// Numbers of GPUs; fewer is better.
    pub edge: Edge,
    /// The machine with the fewest that fit; when none do, a small one to say what is in the way.
    pub hardware: Hardware,
    /// The most GPUs that were allowed for.
    pub most: u64,
}

/// Whether a placement exists, by the cheapest proof there is. Where the planner reaches a limit, one that
/// people use today may do.
fn fits(problem: &Problem, options: &Options) -> Result<Option<bool>, Error> {
    if plainly_short(problem) {
        return Ok(Some(false));
    }
    let planned = plan::is_feasible(problem, options)?;
    let habit = || habits(problem).iter().any(|placement| verify(problem, placement).is_ok());
    Ok(planned.or_else(|| habit().then_some(true)))
}

/// The longest context that fits, in multiples of `step`, of at most `most` tokens.
///
/// # Errors
/// A scenario that states no problem even at one step, a step of 0 or beyond `most`.
pub fn longest_context(
    scenario: &Scenario,
    step: u64,
    most: u64,
    options: &Options,
) -> Result<Edge, Error> {
    if step == 0 || step > most {
        return Err(Error::new("look for the longest context")
            .place("--step")
            .expected(format!("1 to {most} tokens"))
            .found(step.to_string()));
    }
    let stored = scenario.scheme.store(&scenario.model)?;
    let at = |tokens: u64| {
        let mut scenario = scenario.clone();
        scenario.load.context = tokens;
        scenario.problem_of(&scenario.demand_of_stored(stored.clone())?)
    };
    at(step)?;
    let edge = edge(most / step, |steps| match at(steps * step) {
        Ok(problem) => fits(&problem, options),
        // The shortest was stated, so what is wrong with a longer one is its size: beyond what all
        // machines may have.
        Err(_) => Ok(Some(false)),
    })?;
    let tokens = |steps: Option<u64>| steps.map(|steps| steps * step);
    Ok(Edge { fits: tokens(edge.fits), misses: tokens(edge.misses) })
}

/// Asks each quantization, heaviest first. Of two of one weight the first listed comes first.
///
/// # Errors
/// A quantization that cannot hold the model, a scenario that states no problem.
pub fn schemes_that_fit(
    scenario: &Scenario,
    schemes: &[Scheme],
    options: &Options,
) -> Result<Vec<Trial>, Error> {
    let trial = |scheme: &Scheme| {
        let scenario = Scenario { scheme: scheme.clone(), ..scenario.clone() };
        let demand = scenario.demand()?;
        let fits = fits(&scenario.problem_of(&demand)?, options)?;
        let storage = &demand.storage;
        let (weights_bytes, elements) = (storage.bytes(), storage.elements());
        Ok(Trial { scheme: scheme.clone(), weights_bytes, elements, fits })
    };
    let trials: Result<Vec<Trial>, Error> = schemes.par_iter().map(trial).collect();
    let mut trials = trials?;
    // Bits per weight, compared as fractions: layouts differ in their elements by a few.
    let bits = |a: &Trial, b: &Trial| u128::from(a.weights_bytes) * u128::from(b.elements);
    trials.sort_by(|a, b| bits(b, a).cmp(&bits(a, b)));
    Ok(trials)
}

/// The fewest GPUs like those of the scenario's machine, beside its CPU.
///
/// # Errors
/// GPUs of different sizes, and a scenario that states no problem on any number of them.
pub fn fewest_gpus(scenario: &Scenario, options: &Options) -> Result<Gpus, Error> {
    let demand = scenario.demand()?;
    let machines = machines(&scenario.hardware)?;
    let at = |count: u64| -> Result<Problem, Error> {
        let hardware = machine(&machines, count)?.clone();
        Scenario { hardware, ..scenario.clone() }.problem_of(&demand)
    };
    let most = u64::try_from(machines.len()).unwrap_or(u64::MAX);
    // Pins name devices, so there is a least number of them.
    let given = scenario.hardware.devices.iter().filter(|d| d.kind == DeviceKind::Gpu).count();
    let least = (1..=most).find(|&count| at(count).is_ok());
    let Some(least) = least else {
        return Err(at(u64::try_from(given).unwrap_or(1).min(most)).err().unwrap_or_else(|| {
            Error::new("state the problem").found("no number of GPUs for which it can be")
        }));
    };
    let ask = |count: u64| fits(&at(count)?, options);
    // Where bytes alone do not forbid it: the smallest machine worth looking at, and worth explaining.
    let start = (least..=most).find(|&count| at(count).is_ok_and(|p| !plainly_short(&p)));
    let Some(start) = start else {
        let edge = Edge { fits: None, misses: Some(most) };
        return Ok(Gpus { edge, hardware: machine(&machines, least)?.clone(), most });
    };
    let (mut enough, mut step) = (start, 1);
    while ask(enough)? != Some(true) {
        if enough == most {
            let edge = Edge { fits: None, misses: (ask(most)? == Some(false)).then_some(most) };
            return Ok(Gpus { edge, hardware: machine(&machines, start)?.clone(), most });
        }
        enough = enough.saturating_add(step).min(most);
        step *= 2;
    }
    // Counted down from what is enough, fewer GPUs are an amount that stops fitting.
    let fewer = edge(enough + 1 - least, |down| ask(enough + 1 - down))?;
    let count = |down: Option<u64>| down.map(|down| enough + 1 - down);
    let found = Edge { fits: count(fewer.fits), misses: count(fewer.misses) };
    let hardware = machine(&machines, found.fits.unwrap_or(enough))?.clone();
    Ok(Gpus { edge: found, hardware, most })
}

/// Machines of 1, 2, ... GPUs like those given, as many as a machine may have.
fn machines(given: &Hardware) -> Result<Vec<Hardware>, Error> {
    let (gpus, rest): (Vec<&Device>, Vec<&Device>) =
        given.devices.iter().partition(|device| device.kind == DeviceKind::Gpu);
    let size = |device: &Device| {
        (device.capacity_bytes, device.reserve_bytes, given.network.speeds.get(&device.id))
    };
    if let Some(other) = gpus.iter().find(|gpu| size(gpu) != size(gpus[0])) {
        return Err(Error::new("look for the fewest GPUs")
            .expected("GPUs of one size and speed")
            .found(format!("`{}` of another than `{}`", other.id, gpus[0].id))
            .hint("give one GPU; how many of it there must be is the answer"));
    }
    let taken = |id: &String| given.index_of(id).is_some();
    let names = (0..DeviceSet::DEVICES_MAX * 2).map(|n| format!("gpu{n}"));
    let own = gpus.iter().map(|gpu| gpu.id.clone());
    let names: Vec<String> = own.chain(names.filter(|id| !taken(id))).collect();
    let of = |count: usize| {
        let like = names[..count].iter().map(|id| Device { id: id.clone(), ..gpus[0].clone() });
        given.with_devices(like.chain(rest.iter().copied().cloned()).collect(), &gpus[0].id)
    };
    let most = DeviceSet::DEVICES_MAX - rest.len().min(DeviceSet::DEVICES_MAX);
    let machines: Vec<Hardware> = (1..=most).map_while(|count| of(count).ok()).collect();
    if machines.is_empty() { of(1).map(|one| vec![one]) } else { Ok(machines) }
}

fn machine(machines: &[Hardware], gpus: u64) -> Result<&Hardware, Error> {
    let index = usize::try_from(gpus).ok().and_then(|gpus| gpus.checked_sub(1));
    index.and_then(|index| machines.get(index)).ok_or_else(|| {
        Error::new("use as many GPUs").object(gpus.to_string()).found("more than there may be")
    })
}

/// Where `1..=most` stops fitting, by asking.
fn edge(most: u64, ask: impl Fn(u64) -> Result<Option<bool>, Error>) -> Result<Edge, Error> {
    // Up to `fits` it fits; from `misses` on it does not; `open` is known only not to be known to fit.
    let (mut fits, mut open, mut misses) = (0, most + 1, most + 1);
    while open - fits > 1 {
        let middle = fits + (open - fits) / 2;
        match ask(middle)? {
            Some(true) => fits = middle,
            Some(false) => (open, misses) = (middle, middle),
            None => open = middle,
        }
    }
    while misses - open > 1 {
        let middle = open + (misses - open) / 2;
        match ask(middle)? {
            Some(true) => (fits, open) = (middle, middle),
            Some(false) => misses = middle,
            None => open = middle,
        }
    }
    let known = |amount: u64, none: u64| (amount != none).then_some(amount);
    Ok(Edge { fits: known(fits, 0), misses: known(misses, most + 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_is_found_and_what_is_open_is_said() {
        for most in 1..=12_u64 {
            for last in 0..=most {
                for open in 0..=most - last {
                    let ask = |x| Ok((x <= last || x > last + open).then_some(x <= last));
                    let found = edge(most, ask).unwrap();
                    assert_eq!(found.fits, (last > 0).then_some(last));
                    let first = last + open + 1;
                    assert_eq!(found.misses, (first <= most).then_some(first));
                }
            }
        }
    }

    #[test]
    fn a_long_range_takes_few_questions() {
        let asked = std::cell::Cell::new(0);
        let found = edge(1 << 31, |x| {
            asked.set(asked.get() + 1);
            Ok(Some(x <= 123_456_789))
        });
        assert_eq!(found.unwrap().fits, Some(123_456_789));
        assert!(asked.get() <= 32, "{}", asked.get());
    }
}
