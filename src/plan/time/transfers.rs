//! Traffic as a matter of time: every transfer takes as long as it is counted, and nothing else takes any.
//!
//! Where experts are placed matrix by matrix, what one of them costs depends on where the next one is, which
//! no sum over single parts says. Dealing out whole layers does not need one.

use std::borrow::Cow;

use crate::objective::timing;
use crate::problem::{Draw, ObjectiveKind, Problem, Sends, Timing};
use crate::runtime::{LayerDevices, SendRule};

/// Whether an objective is minimised layer by layer: a time, or transfers between matrices.
pub(in crate::plan) fn is_by_layer(problem: &Problem, kind: ObjectiveKind) -> bool {
    match kind {
        ObjectiveKind::DecodeLatency | ObjectiveKind::PrefillTime => true,
        ObjectiveKind::Traffic => problem.is_by_matrix(),
        _ => false,
    }
}

/// What steps of this objective take, in its units.
pub(super) fn timing_of(problem: &Problem, kind: ObjectiveKind) -> Option<Cow<'_, Timing>> {
    match kind {
        ObjectiveKind::Traffic => Some(Cow::Owned(transfers(problem))),
        _ => timing(problem, kind).map(Cow::Borrowed),
    }
}

/// A picosecond for a token that is sent, and as many tokens a step as the traffic denominator: times are units of
/// traffic.
fn transfers(problem: &Problem) -> Timing {
    let devices = problem.devices.len();
    let milli = |units: u64| units.saturating_mul(1000);
    let between = |from: usize| (0..devices).map(|to| u64::from(from != to)).collect();
    let components = &problem.components;
    let layers = usize::try_from(problem.layers()).unwrap_or(0);
    Timing {
        visit_ps: vec![vec![0; devices]; components.len()],
        latency_ps: vec![vec![0; devices]; devices],
        token_ps: (0..devices).map(between).collect(),
        tokens_milli: milli(problem.traffic_denominator),
        expert_tokens_milli: components.iter().map(|c| milli(c.visits)).collect(),
        sends: match problem.sends {
            Sends::PerExpert => SendRule::PerExpert,
            Sends::PerDevice { .. } => SendRule::PerDevice,
        },
        devices: LayerDevices::Sequential,
        draws: vec![vec![Draw::Even(Vec::new()); layers]],
    }
}
