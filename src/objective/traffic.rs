//! `traffic`: expected activation transfers per token.
//!
//! ```text
//! traffic = changes of device along embedding, home 1, ..., home L, head
//!         + sends between each layer's home and its feed-forward parts elsewhere
//! ```
//!
//! Per expert, a part away from home costs there and back times the chance that a token visits it. Per
//! device, a device that holds parts of a layer away from home costs there and back once: always when a
//! part is there that every token visits (mlp, shared expert), else times the chance that at least one
//! of the `n` experts there is among the chosen ones,
//!
//! ```text
//! P(n) = 1 - C(E - n, k) / C(E, k)        rounded up to one over the traffic denominator
//! ```
//!
//! which is concave in `n`: remote experts like company.
//!
//! Experts that are placed matrix by matrix are passed in order. The home sends to those before the last one, there
//! only: once for each that is away, or once to each device. What a matrix gives crosses to the next if that
//! is elsewhere, and what the last one gives crosses home; each as often as [`Component::visits`] says, which
//! for the inner width of all chosen experts is more than once.

use std::collections::{BTreeMap, BTreeSet};

use super::{Facts, Law, LayerParts, Linear, Terms, Unit, chance, layer_parts, saturate};
use crate::model::ComponentKind;
use crate::problem::{Component, ObjectiveValue, Placement, Problem, Sends};
use crate::units::{Ratio, greatest_common_divisor};

/// The law.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrafficLaw;

impl Law for TrafficLaw {
    fn name(&self) -> &'static str {
        "traffic"
    }

    fn about(&self) -> &'static str {
        "expected activation transfers between devices per token"
    }

    fn unit(&self) -> Unit {
        Unit::Transfers
    }

    fn row(&self) -> &'static str {
        "traffic"
    }

    /// What is on every device is not sent for.
    fn applies(&self, problem: &Problem) -> bool {
        !problem.is_replicated()
    }

    /// Chances are rounded up at one over the traffic denominator, which sums of them can be told apart by
    /// only in exact arithmetic.
    fn gap(&self, problem: &Problem) -> Ratio {
        match problem.sends {
            Sends::PerExpert => Ratio::ZERO,
            Sends::PerDevice { .. } => Ratio::new(1, 100_000_000),
        }
    }

    fn evaluate(&self, facts: &Facts<'_>) -> ObjectiveValue {
        let traffic = traffic(facts.problem, facts.placement);
        ObjectiveValue::Ratio(traffic.expected_transfers_per_token())
    }

    /// None where experts are placed by matrix: what one costs depends on where the next one is.
    fn linear(&self, terms: &mut dyn Terms) -> Option<Linear> {
        if terms.problem().is_by_matrix() {
            return None;
        }
        let per_hand_over = i64::try_from(terms.problem().traffic_denominator).unwrap_or(i64::MAX);
        let mut traffic = Linear::default();
        traffic.add_form(&terms.hand_overs(), per_hand_over);
        traffic.add_form(&terms.sends(), 1);
        Some(traffic)
    }

    fn step(&self, problem: &Problem, sends_step: u64) -> u64 {
        let step = if problem.is_by_matrix() {
            let visits = problem.components.iter().map(|component| component.visits);
            visits.fold(0, greatest_common_divisor)
        } else {
            sends_step
        };
        greatest_common_divisor(problem.traffic_denominator, step).max(1)
    }
}

/// Activations sent between devices for one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Changes of device along embedding, attention blocks in layer order, output head.
    pub hand_overs: u64,
    /// Feed-forward components that are not on their layer's attention device.
    pub remote_experts: u64,
    /// Expected transfers, in units of one over `denominator`: every hand-over, and there and back for
    /// what is remote, as the problem's [`Sends`] say. Saturated.
    pub units: u64,
    /// [`crate::problem::Problem::traffic_denominator`].
    pub denominator: u64,
}

impl Traffic {
    /// `units / denominator`.
    pub fn expected_transfers_per_token(&self) -> Ratio {
        Ratio::new(self.units, self.denominator)
    }
}

/// What of one layer is on one device away from its home.
#[derive(Clone, Copy, Debug, Default)]
struct Away {
    /// A part that every token visits.
    always: bool,
    experts: u64,
    /// The sum over its parts of how often a token visits each.
    visits: u128,
}

/// What a token sends on its way into one layer and around in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerTraffic {
    /// The layer; `None` for the way from the last one to the head.
    pub layer: Option<u32>,
    /// Changes of device on the way to its home: 0 or 1.
    pub hand_overs: u64,
    /// Feed-forward components of it that are not on its home.
    pub remote_experts: u64,
    /// Expected transfers there and back, in the units of [`Traffic::units`]. Saturated.
    pub sends_units: u64,
}

/// The transfers of a structurally sound placement, layer by layer and then to the head: their sums are those of
/// [`Traffic`].
pub fn traffic_by_layer(problem: &Problem, placement: &Placement) -> Vec<LayerTraffic> {
    let attention = attention_homes(problem, placement);
    let (away, remote) = away(problem, placement, &attention);
    let parts = if problem.is_by_matrix() { layer_parts(problem) } else { Vec::new() };
    let (before, head) = ends(problem, placement);
    let mut last = before;
    let mut layers: Vec<LayerTraffic> = Vec::new();
    for (index, (&layer, &home)) in attention.iter().enumerate() {
        let here = away.range((layer, 0)..=(layer, usize::MAX));
        let whole: u128 = here.map(|(_, away)| sends(problem, away)).sum();
        let matrices = parts.get(index).map_or(0, |parts| matrix_sends(problem, placement, parts));
        layers.push(LayerTraffic {
            layer: Some(layer),
            hand_overs: u64::from(last.is_some_and(|last| last != home)),
            remote_experts: remote.get(&layer).copied().unwrap_or(0),
            sends_units: saturate(whole + matrices),
        });
        last = Some(home);
    }
    let arrives = head.zip(last).is_some_and(|(head, last)| head != last);
    layers.push(LayerTraffic { hand_overs: u64::from(arrives), ..LayerTraffic::default() });
    layers
}

/// Counts the transfers of a structurally sound placement.
pub(crate) fn traffic(problem: &Problem, placement: &Placement) -> Traffic {
    let attention = attention_homes(problem, placement);
    let hand_overs = hand_overs(problem, placement, &attention);
    let (away, remote) = away(problem, placement, &attention);
    let remote_experts = remote.values().sum();
    let sends: u128 = away.values().map(|away| sends(problem, away)).sum();
    let denominator = problem.traffic_denominator;
    let layers = if problem.is_by_matrix() { layer_parts(problem) } else { Vec::new() };
    let matrices = layers.iter().map(|parts| matrix_sends(problem, placement, parts));
    let units = u128::from(hand_overs) * u128::from(denominator) + sends + matrices.sum::<u128>();
    Traffic { hand_overs, remote_experts, units: saturate(units), denominator }
}

/// Where each layer's attention is.
fn attention_homes(problem: &Problem, placement: &Placement) -> BTreeMap<u32, usize> {
    homes(problem, placement)
        .filter(|(component, _)| component.demand.id.kind() == ComponentKind::Attention)
        .filter_map(|(component, device)| Some((component.demand.id.layer()?, device)))
        .collect()
}

/// What is away from home, by layer and device, matrices of experts left out; and how many feed-forward
/// components of each layer are.
fn away(
    problem: &Problem,
    placement: &Placement,
    attention: &BTreeMap<u32, usize>,
) -> (BTreeMap<(u32, usize), Away>, BTreeMap<u32, u64>) {
    let mut away: BTreeMap<(u32, usize), Away> = BTreeMap::new();
    let mut remote: BTreeMap<u32, u64> = BTreeMap::new();
    for (component, device) in homes(problem, placement) {
        let Some(layer) = component.demand.id.layer() else { continue };
        if attention.get(&layer).is_none_or(|&home| home == device) {
            continue;
        }
        let kind = component.demand.id.kind();
        *remote.entry(layer).or_default() += u64::from(kind.is_feed_forward());
        if kind == ComponentKind::ExpertMatrix {
            continue;
        }
        let here = away.entry((layer, device)).or_default();
        here.visits += u128::from(component.visits);
        here.experts += u64::from(kind == ComponentKind::Expert);
        here.always |= kind.is_feed_forward() && kind != ComponentKind::Expert;
    }
    (away, remote)
}

/// There and back, for what one device holds of a layer that lives elsewhere.
fn sends(problem: &Problem, away: &Away) -> u128 {
    let denominator = problem.traffic_denominator;
    2 * match problem.sends {
        Sends::PerExpert => away.visits,
        Sends::PerDevice { .. } if away.always => u128::from(denominator),
        Sends::PerDevice { experts, experts_per_token } => {
            u128::from(chance::any_visited(denominator, experts, experts_per_token, away.experts))
        }
    }
}

/// From home through the matrices of a layer's experts and back.
fn matrix_sends(problem: &Problem, placement: &Placement, parts: &LayerParts) -> u128 {
    let device = |part: usize| placement.device_of[part];
    let home = device(parts.attention);
    let Some((&(_, last), before)) = parts.matrices.split_last() else { return 0 };
    let away: Vec<usize> =
        before.iter().map(|&(_, part)| device(part)).filter(|&d| d != home).collect();
    let there = match problem.sends {
        Sends::PerExpert => away.len(),
        Sends::PerDevice { .. } => away.iter().collect::<BTreeSet<_>>().len(),
    };
    let there = u128::try_from(there).unwrap_or(u128::MAX);
    let crossing = |part: usize, to: usize| {
        let elsewhere = device(part) != to;
        if elsewhere { u128::from(problem.components[part].visits) } else { 0 }
    };
    let passed = parts.matrices.windows(2).map(|pair| crossing(pair[0].1, device(pair[1].1)));
    there * u128::from(problem.traffic_denominator) + passed.sum::<u128>() + crossing(last, home)
}

/// Each component with its device index, in the problem's order.
fn homes<'a>(
    problem: &'a Problem,
    placement: &'a Placement,
) -> impl Iterator<Item = (&'a Component, usize)> {
    problem.components.iter().zip(placement.device_of.iter().copied())
}

fn hand_overs(problem: &Problem, placement: &Placement, attention: &BTreeMap<u32, usize>) -> u64 {
    let (embedding, head) = ends(problem, placement);
    let chain: Vec<usize> =
        embedding.into_iter().chain(attention.values().copied()).chain(head).collect();
    chain.windows(2).map(|pair| u64::from(pair[0] != pair[1])).sum()
}

/// Where the chain begins and ends, as far as that is on a device.
fn ends(problem: &Problem, placement: &Placement) -> (Option<usize>, Option<usize>) {
    let device_of = |kind| {
        let mut homes = homes(problem, placement);
        homes.find(|(c, _)| c.demand.id.kind() == kind).map(|(_, device)| device)
    };
    let embedding = device_of(ComponentKind::Embedding);
    let head = if problem.tied_head { embedding } else { device_of(ComponentKind::OutputHead) };
    (embedding, head)
}
