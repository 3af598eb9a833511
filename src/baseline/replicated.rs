//! How experts are divided where attention is replicated, without looking for the best way.

use super::{Baseline, Named, all};
use crate::placement::Placement;
use crate::problem::{ExpertLayer, ObjectiveKind, ObjectiveValue, Problem};
use crate::units::Ratio;
use crate::verify::measure;

/// The crossings to expect of even divisions drawn at random, each layer's on its own; `None` where nothing
/// is known of pairs.
///
/// Two experts of different layers are then on one device once in `D` times, so all pairs cross but one in
/// `D`: `k x (layers with experts - 1) x (D - 1) / D`. Pins are not asked for.
pub fn random_crossings(problem: &Problem) -> Option<Ratio> {
    let affinity = problem.affinity.as_ref()?;
    let devices = u64::try_from(problem.devices.len()).ok()?;
    let pairs = u64::try_from(affinity.pair_counts.len()).ok()?;
    let chosen = affinity.top_k.checked_mul(pairs)?.checked_mul(devices.checked_sub(1)?)?;
    Some(Ratio::new(chosen, devices))
}

/// The crossings of what people do where attention is replicated, by name; pins and capacities are not asked
/// for. Empty where nothing is known of pairs.
pub fn crossings(problem: &Problem) -> Vec<(&'static str, ObjectiveValue)> {
    let known = problem.affinity.is_some();
    let kind = ObjectiveKind::Crossings;
    let value = |named: Named| {
        let measured = measure(problem, &named.placement?).ok()?;
        Some((named.name, measured.value(kind)))
    };
    if known { all(problem).into_iter().filter_map(value).collect() } else { Vec::new() }
}

/// The first experts of every layer on the first device.
pub(super) struct Contiguous;

impl Baseline for Contiguous {
    fn name(&self, _: &Problem) -> &'static str {
        "contiguous"
    }

    fn description(&self) -> &'static str {
        "the first experts of every layer on the first device, and so on, as serving engines do"
    }

    fn place(&self, problem: &Problem) -> Result<Placement, String> {
        let mut device_of = vec![0; problem.components.len()];
        for layer in problem.expert_layers() {
            contiguous(problem, &layer, &mut device_of);
        }
        Ok(Placement { device_of })
    }
}

/// Device `d` of `D` gets the experts from `E d / D` on.
fn contiguous(problem: &Problem, layer: &ExpertLayer, device_of: &mut [usize]) {
    let (experts, devices) = (layer.components.len(), problem.devices.len());
    for device in 0..devices {
        let [from, to] = [device, device + 1].map(|d| experts * d / devices);
        layer.components[from..to].iter().for_each(|&c| device_of[c] = device);
    }
}

/// The next layer's experts to where they have most in common with those of the layer before.
pub(super) struct Greedy;

impl Baseline for Greedy {
    fn name(&self, _: &Problem) -> &'static str {
        "greedy packer"
    }

    fn description(&self) -> &'static str {
        "layer by layer, the expert and the device that have most pairs in common first, while there is room"
    }

    fn place(&self, problem: &Problem) -> Result<Placement, String> {
        let Some(affinity) = &problem.affinity else {
            return Err("needs counts of how experts go together".to_owned());
        };
        let mut device_of = vec![0; problem.components.len()];
        let layers = problem.expert_layers();
        if let Some(first) = layers.first() {
            contiguous(problem, first, &mut device_of);
        }
        for (counts, ends) in affinity.pair_counts.iter().zip(layers.windows(2)) {
            pack(problem, counts, [&ends[0], &ends[1]], &mut device_of);
        }
        Ok(Placement { device_of })
    }
}

/// One layer, after the one before it.
fn pack(
    problem: &Problem,
    counts: &[Vec<u64>],
    [before, layer]: [&ExpertLayer; 2],
    device_of: &mut [usize],
) {
    let (experts, devices) = (layer.components.len(), problem.devices.len());
    let mut common = vec![vec![0_u64; devices]; experts];
    for (row, &from) in counts.iter().zip(&before.components) {
        for (sums, count) in common.iter_mut().zip(row) {
            sums[device_of[from]] += count;
        }
    }
    let mut pairs: Vec<(u64, usize, usize)> = (0..experts)
        .flat_map(|e| (0..devices).map(move |d| (e, d)))
        .map(|(e, d)| (common[e][d], e, d))
        .collect();
    pairs.sort_by_key(|&(common, e, d)| (std::cmp::Reverse(common), e, d));
    let [least, _] = layer.share(devices);
    let mut fuller = experts - least * devices;
    let mut here = vec![0; devices];
    let mut placed = vec![false; experts];
    for (_, expert, device) in pairs {
        let spare = here[device] == least && fuller > 0;
        if placed[expert] || (here[device] >= least && !spare) {
            continue;
        }
        fuller -= usize::from(spare);
        here[device] += 1;
        placed[expert] = true;
        device_of[layer.components[expert]] = device;
    }
}
