//! A layer whose experts are placed matrix by matrix, each holding its part of every expert.
//!
//! ```text
//! time = together(devices that hold a matrix before the last, or a part that every token visits)
//!      + sends from each matrix to the next, from the last one home
//!      + visit(last matrix)
//! ```
//!
//! To the matrices before the last the home sends the step's tokens: once to each device, or once for each
//! of them where sends are per expert. What one of them gives goes to the next, and is as wide as
//! [`Timing::expert_tokens_milli`] says of it.

use std::collections::BTreeSet;

use super::layer::{Busy, Piece, Pieces, together};
use crate::problem::Timing;
use crate::runtime::SendRule;

/// The time of such a layer's feed-forward part.
pub(super) fn feed_forward_ps(timing: &Timing, home: usize, pieces: &Pieces) -> u64 {
    let Some((&last, before)) = pieces.matrices.split_last() else { return 0 };
    let mut devices: BTreeSet<usize> = pieces.devices.iter().map(|piece| piece.device).collect();
    devices.extend(before.iter().map(|matrix| matrix.1));
    let busy = devices.into_iter().map(|device| {
        let piece = pieces.devices.iter().find(|piece| piece.device == device);
        always_ps(timing, home, piece).saturating_add(matrices_ps(timing, home, device, before))
    });
    let passed = pieces.matrices.windows(2).map(|pair| {
        let [(matrix, from), (_, to)] = [pair[0], pair[1]];
        sent_ps(timing, from, to, timing.expert_tokens_milli[matrix])
    });
    let (matrix, device) = last;
    let back = sent_ps(timing, device, home, timing.expert_tokens_milli[matrix]);
    let first = together(timing.devices, busy);
    [timing.visit_ps[matrix][device], back]
        .into_iter()
        .chain(passed)
        .fold(first, u64::saturating_add)
}

/// What every token visits, with the ways there and back.
fn always_ps(timing: &Timing, home: usize, piece: Option<&Piece>) -> u64 {
    piece.map_or(0, |piece| Busy::of(timing, home, piece).with_experts(std::iter::empty()))
}

/// The matrices of these that are on the device, with the ways there.
fn matrices_ps(timing: &Timing, home: usize, device: usize, matrices: &[(usize, usize)]) -> u64 {
    let way = sent_ps(timing, home, device, timing.tokens_milli);
    let here = matrices.iter().filter(|matrix| matrix.1 == device);
    let ways = match timing.sends {
        SendRule::PerExpert => here.clone().count(),
        SendRule::PerDevice => here.clone().count().min(1),
    };
    let ways = way.saturating_mul(u64::try_from(ways).unwrap_or(u64::MAX));
    here.map(|&(matrix, _)| timing.visit_ps[matrix][device]).fold(ways, u64::saturating_add)
}

fn sent_ps(timing: &Timing, from: usize, to: usize, tokens_milli: u64) -> u64 {
    if from == to { 0 } else { timing.send_ps(from, to, tokens_milli) }
}
