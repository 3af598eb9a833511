//! `decode_latency` and `prefill_time`: what a step takes, in expectation.
//!
//! ```text
//! time = visit(embedding) + hand-overs along embedding, home 1, ..., home L, head
//!      + sum over layers l of [visit(attention, router) + E(feed-forward part of l)]
//!      + visit(final norm) + visit(head)
//! ```
//!
//! In a layer whose home is `h`, a device `d` is busy with the parts `V` of it that the step visits there:
//!
//! ```text
//! busy(d, V) = sum over parts v in V of visit(v, d) + sends(h, d, V)          sends(h, h, V) = 0
//! sends per expert:  a way there and back for every part in V
//! sends per device:  one way there and back if V is not empty, with as many tokens as the parts need, at
//!                    most those of the step
//! ```
//!
//! Where the devices of a layer take turns, its feed-forward part takes the sum of that over devices; where
//! they work at the same time, the maximum. Parts that every token visits (mlp, shared expert) are in
//! every `V`; which experts are is drawn as [`Draw`] says, and the expectation is taken over the draw:
//! exactly over listed sets, and by the hypergeometric law where every set of a size is as likely as any
//! other (see `even`). Every layer is rounded to the nearest picosecond. Experts that are placed matrix by
//! matrix are passed as `matrices` says.
//!
//! With several sets of routing statistics the value is the largest of theirs.

mod even;
mod layer;
mod matrices;
mod sets;

pub(crate) use layer::{LayerParts, Piece, Pieces, feed_forward_ps, layer_parts};

use super::{Facts, Law, Linear, Terms, Unit};
use crate::model::ComponentKind;
use crate::problem::{Draw, ObjectiveKind, ObjectiveValue, Placement, Problem, Timing};
use crate::units::Ratio;

/// The law; the two objectives differ in what their [`Timing`] says.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeLaw(pub(super) ObjectiveKind);

impl Law for TimeLaw {
    fn name(&self) -> &'static str {
        if self.is_decode() { "decode_latency" } else { "prefill_time" }
    }

    fn about(&self) -> &'static str {
        if self.is_decode() {
            "expected time of a step that makes one token of every sequence"
        } else {
            "expected time to read prompts as long as the context"
        }
    }

    fn unit(&self) -> Unit {
        Unit::Time
    }

    fn row(&self) -> &'static str {
        self.name()
    }

    fn applies(&self, problem: &Problem) -> bool {
        timing(problem, self.0).is_some()
    }

    /// A tenth of a per mille: far below what a machine repeats from run to run.
    fn gap(&self, _problem: &Problem) -> Ratio {
        Ratio::new(1, 10_000)
    }

    fn evaluate(&self, facts: &Facts<'_>) -> ObjectiveValue {
        let timing = timing(facts.problem, self.0);
        let ps = timing.map_or(0, |timing| time_ps(facts.problem, timing, facts.placement));
        ObjectiveValue::Time(ps)
    }

    /// An expected maximum is no sum of terms: programs do not state it.
    fn linear(&self, _terms: &mut dyn Terms) -> Option<Linear> {
        None
    }
}

impl TimeLaw {
    fn is_decode(self) -> bool {
        self.0 == ObjectiveKind::DecodeLatency
    }
}

/// What steps of this objective take; `None` where it is no time or speeds are not known.
pub(crate) fn timing(problem: &Problem, kind: ObjectiveKind) -> Option<&Timing> {
    match kind {
        ObjectiveKind::DecodeLatency => problem.decode.as_deref(),
        ObjectiveKind::PrefillTime => problem.prefill.as_deref(),
        _ => None,
    }
}

/// The time of a structurally sound placement, under the statistics that make it longest.
pub(crate) fn time_ps(problem: &Problem, timing: &Timing, placement: &Placement) -> u64 {
    times_ps(problem, timing, placement).into_iter().max().unwrap_or(0)
}

/// The same under each set of statistics.
pub(crate) fn times_ps(problem: &Problem, timing: &Timing, placement: &Placement) -> Vec<u64> {
    let layers = layer_parts(problem);
    let chain = chain_ps(problem, timing, placement, &layers);
    let of = |draws: &Vec<Draw>| {
        let layers = layers.iter().zip(draws).map(|(parts, draw)| {
            let home = placement.device_of[parts.attention];
            let pieces = Pieces::of(parts, |component| placement.device_of[component]);
            feed_forward_ps(timing, draw, home, &pieces)
        });
        layers.fold(chain, u64::saturating_add)
    };
    timing.draws.iter().map(of).collect()
}

/// Everything but the feed-forward parts.
fn chain_ps(
    problem: &Problem,
    timing: &Timing,
    placement: &Placement,
    layers: &[LayerParts],
) -> u64 {
    let mut sum = 0_u64;
    let mut device_of = [None; 2];
    for (index, component) in problem.components.iter().enumerate() {
        let kind = component.demand.id.kind();
        let device = placement.device_of[index];
        if !kind.is_feed_forward() {
            sum = sum.saturating_add(timing.visit_ps[index][device]);
        }
        match kind {
            ComponentKind::Embedding => device_of[0] = Some(device),
            ComponentKind::OutputHead => device_of[1] = Some(device),
            _ => {}
        }
    }
    let [embedding, head] = device_of;
    let head = if problem.tied_head { embedding } else { head };
    let homes = layers.iter().map(|parts| placement.device_of[parts.attention]);
    let chain: Vec<usize> = embedding.into_iter().chain(homes).chain(head).collect();
    let hand_overs = chain.windows(2).map(|pair| timing.hand_over_ps(pair[0], pair[1]));
    hand_overs.fold(sum, u64::saturating_add)
}
