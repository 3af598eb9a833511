//! One layer's feed-forward part: what every device is busy with, for as many experts as are visited there.

use std::collections::{BTreeMap, BTreeSet};

use super::{even, matrices, sets};
use crate::model::{ComponentId, ComponentKind, Matrix};
use crate::problem::{Draw, Problem, Timing};
use crate::runtime::{LayerDevices, SendRule};

/// The components of one layer, as indices into [`Problem::components`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LayerParts {
    /// The layer's home is where this is.
    pub(crate) attention: usize,
    /// Mlp and shared expert: what every token visits.
    pub(crate) always: Vec<usize>,
    /// Experts by their number within the layer, and where they are among the components; ascending.
    pub(crate) experts: Vec<(u32, usize)>,
    /// Matrices of all experts in their place, in the order in which a token passes them.
    pub(crate) matrices: Vec<(Matrix, usize)>,
}

/// The layers of a problem in order.
pub(crate) fn layer_parts(problem: &Problem) -> Vec<LayerParts> {
    let mut layers: BTreeMap<u32, LayerParts> = BTreeMap::new();
    for (index, component) in problem.components.iter().enumerate() {
        let id = component.demand.id;
        let Some(layer) = id.layer() else { continue };
        let parts = layers.entry(layer).or_default();
        match (id, id.kind()) {
            (ComponentId::Expert(_, expert), _) => parts.experts.push((expert, index)),
            (ComponentId::ExpertMatrix(_, matrix), _) => parts.matrices.push((matrix, index)),
            (_, ComponentKind::Attention) => parts.attention = index,
            (_, kind) if kind.is_feed_forward() => parts.always.push(index),
            _ => {}
        }
    }
    layers.into_values().collect()
}

/// What one device holds of a layer's feed-forward part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) device: usize,
    /// Component indices.
    pub(crate) always: Vec<usize>,
    /// Numbers within the layer and component indices.
    pub(crate) experts: Vec<(u32, usize)>,
}

/// A layer's feed-forward part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// Whole experts and what every token visits, in ascending order of devices.
    pub(crate) devices: Vec<Piece>,
    /// Matrices of experts: component index and device, in the order in which a token passes them.
    pub(crate) matrices: Vec<(usize, usize)>,
}

impl Pieces {
    /// Where the parts are.
    pub(crate) fn of(parts: &LayerParts, device_of: impl Fn(usize) -> usize) -> Self {
        let parts_of_all = parts.always.iter().copied().chain(parts.experts.iter().map(|e| e.1));
        let devices: BTreeSet<usize> = parts_of_all.map(&device_of).collect();
        let mut pieces: Vec<Piece> =
            devices.into_iter().map(|device| Piece { device, ..Piece::default() }).collect();
        for piece in &mut pieces {
            let here = |index: &usize| device_of(*index) == piece.device;
            piece.always = parts.always.iter().copied().filter(here).collect();
            let here = |part: &&(u32, usize)| device_of(part.1) == piece.device;
            piece.experts = parts.experts.iter().filter(here).copied().collect();
        }
        let matrices = parts.matrices.iter().map(|&(_, part)| (part, device_of(part))).collect();
        Self { devices: pieces, matrices }
    }
}

/// What a device is busy with when a step visits some of a layer's parts there.
pub(super) struct Busy<'a> {
    timing: &'a Timing,
    home: usize,
    device: usize,
    /// Visits of what every token visits, and under sends per expert the ways to it.
    always_ps: u64,
    /// Whether there is such a part.
    always: bool,
}

impl<'a> Busy<'a> {
    pub(super) fn of(timing: &'a Timing, home: usize, piece: &Piece) -> Self {
        let Piece { device, ref always, .. } = *piece;
        let way = match timing.sends {
            SendRule::PerExpert => timing.round_trip_ps(home, device, timing.tokens_milli),
            SendRule::PerDevice => 0,
        };
        let visits = always.iter().map(|&part| timing.visit_ps[part][device]);
        let always_ps = visits.fold(0, |sum: u64, ps| sum.saturating_add(ps).saturating_add(way));
        Self { timing, home, device, always_ps, always: !always.is_empty() }
    }

    /// With experts of these component indices visited.
    pub(super) fn with_experts(&self, experts: impl Iterator<Item = usize>) -> u64 {
        let Self { timing, home, device, .. } = *self;
        let (mut visits, mut tokens_milli, mut ways) = (0_u64, 0_u64, 0_u64);
        let mut any = false;
        for expert in experts {
            any = true;
            let tokens = timing.expert_tokens_milli[expert];
            visits = visits.saturating_add(timing.visit_ps[expert][device]);
            tokens_milli = tokens_milli.saturating_add(tokens);
            if timing.sends == SendRule::PerExpert {
                ways = ways.saturating_add(timing.round_trip_ps(home, device, tokens));
            }
        }
        self.busy(visits, tokens_milli, ways, any)
    }

    /// With so many experts visited, each like this one.
    pub(super) fn with_alike(&self, expert: usize, count: u64) -> u64 {
        let Self { timing, home, device, .. } = *self;
        let tokens = timing.expert_tokens_milli[expert];
        let visits = timing.visit_ps[expert][device].saturating_mul(count);
        let ways = match timing.sends {
            SendRule::PerExpert => timing.round_trip_ps(home, device, tokens).saturating_mul(count),
            SendRule::PerDevice => 0,
        };
        self.busy(visits, tokens.saturating_mul(count), ways, count > 0)
    }

    fn busy(&self, visits: u64, tokens_milli: u64, ways: u64, any: bool) -> u64 {
        let Self { timing, home, device, always_ps, always } = *self;
        let way = match timing.sends {
            SendRule::PerExpert => ways,
            SendRule::PerDevice if always => {
                timing.round_trip_ps(home, device, timing.tokens_milli)
            }
            SendRule::PerDevice if any => {
                timing.round_trip_ps(home, device, tokens_milli.min(timing.tokens_milli))
            }
            SendRule::PerDevice => 0,
        };
        always_ps.saturating_add(visits).saturating_add(way)
    }
}

/// The expected time of a layer's feed-forward part, with its devices as `pieces` say.
pub(crate) fn feed_forward_ps(timing: &Timing, draw: &Draw, home: usize, pieces: &Pieces) -> u64 {
    if !pieces.matrices.is_empty() {
        return matrices::feed_forward_ps(timing, home, pieces);
    }
    let busy: Vec<(Busy<'_>, &Piece)> =
        pieces.devices.iter().map(|piece| (Busy::of(timing, home, piece), piece)).collect();
    match draw {
        Draw::Even(sizes) => even::expected_ps(sizes, timing.devices, &busy),
        Draw::Sets(listed) => sets::expected_ps(listed, timing.devices, &busy),
    }
}

/// What devices that are busy so long take together.
pub(super) fn together(devices: LayerDevices, busy_ps: impl Iterator<Item = u64>) -> u64 {
    match devices {
        LayerDevices::Sequential => busy_ps.fold(0, u64::saturating_add),
        LayerDevices::Concurrent => busy_ps.max().unwrap_or(0),
    }
}
