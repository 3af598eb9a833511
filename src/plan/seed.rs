//! Placements to start from, without solving anything: whole runs of layers dealt to devices by their
//! capacity, the experts filled in greedily.
//!
//! A tree search over tight capacities may find no point at all before its budget ends. These are found in
//! microseconds, so there is something to improve, and an answer where there is one to be had easily.

use super::caps::Caps;
use super::classes::Classes;
use super::evaluate::Assignment;
use super::fill;
use super::formulation::counts::CountSolution;
use super::{balance, decode, presolve};
use crate::problem::Problem;

/// A starting point: counts, and the homes that realise them.
#[derive(Clone, Debug)]
pub(super) struct Seed {
    pub(super) solution: CountSolution,
    pub(super) homes: Vec<usize>,
}

impl Seed {
    fn assignment(&self, classes: &Classes) -> Option<Assignment> {
        decode::assignment(classes, &self.solution, &self.homes)
    }
}

/// All starting points for `caps`; they need not satisfy them.
pub(super) fn seeds(problem: &Problem, classes: &Classes, caps: &Caps) -> Vec<Seed> {
    let gpus: Vec<usize> = problem.gpus().collect();
    let all: Vec<usize> = (0..problem.devices.len()).collect();
    let mut seeds = Vec::new();
    for devices in [gpus, all] {
        let devices = presolve::largest(problem, caps, devices);
        // All of the capacities, or only a part of the host's, so that it does not take all layers.
        for host_share in [1, 4, 16] {
            let Some(homes) = deal(problem, classes, caps, &devices, host_share) else { continue };
            let counts = home_counts(problem, classes, &homes);
            let filled = fill::fill(problem, classes, caps, &homes, &counts);
            seeds.extend(filled.map(|solution| Seed { solution, homes }));
        }
    }
    let topped: Vec<Seed> =
        seeds.iter().filter_map(|s| topped_up(problem, classes, caps, s)).collect();
    seeds.extend(topped);
    seeds
}

/// The seed with host memory emptied into what the GPUs have left.
pub(super) fn topped_up(
    problem: &Problem,
    classes: &Classes,
    caps: &Caps,
    seed: &Seed,
) -> Option<Seed> {
    problem.cpus().next()?;
    let required = seed.assignment(classes)?.cost(problem, classes).required_bytes;
    let mut topped = seed.clone();
    balance::top_up(problem, classes, caps, &mut topped.solution, &required);
    Some(topped)
}

/// Layers dealt front to back in proportion to the capacities of `devices`; `None` when some layer may
/// live on none of them.
fn deal(
    problem: &Problem,
    classes: &Classes,
    caps: &Caps,
    devices: &[usize],
    host_share: u64,
) -> Option<Vec<usize>> {
    let cpus: Vec<usize> = problem.cpus().collect();
    let weight = |d: &usize| {
        let bytes = u128::from(caps.device_bytes[*d]);
        if cpus.contains(d) { bytes / u128::from(host_share) } else { bytes }
    };
    let total: u128 = devices.iter().map(weight).sum();
    let layers = u128::try_from(classes.layers.len()).ok()?;
    let mut homes = Vec::with_capacity(classes.layers.len());
    for (l, layer) in classes.layers.iter().enumerate() {
        // The device in whose share of the capacity the middle of this layer's share falls.
        let middle = (2 * u128::try_from(l).ok()? + 1) * total;
        let mut reached = 0;
        let by_share = devices.iter().find(|d| {
            reached += weight(d);
            middle < 2 * layers * reached
        });
        let allowed = |d: &&usize| layer.home.profile.allowed.contains(**d);
        homes.push(*by_share.filter(allowed).or_else(|| devices.iter().find(allowed))?);
    }
    Some(homes)
}

/// How many layers of each class live on each device.
pub(super) fn home_counts(
    problem: &Problem,
    classes: &Classes,
    homes: &[usize],
) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; problem.devices.len()]; classes.by_kind.len()];
    for (layer, &home) in classes.layers.iter().zip(homes) {
        counts[layer.class][home] += 1;
    }
    counts
}
