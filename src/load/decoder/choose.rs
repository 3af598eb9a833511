//! Which experts a token goes to, and who must know.

use std::sync::{Arc, Mutex, PoisonError};

use crate::load::manifest::Architecture;

/// An expert chosen for a token and the weight of its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    pub(super) expert: usize,
    pub(super) weight: f32,
}

/// Hears which experts the tokens of a run were sent to.
pub trait Observer: Send {
    /// Of one layer: for every token of the run, in order, its experts, the likeliest first.
    fn chosen(&mut self, layer: u32, experts: &[Vec<u32>]);
}

/// For whoever wants to keep a hand on it.
impl<T: Observer> Observer for Arc<Mutex<T>> {
    fn chosen(&mut self, layer: u32, experts: &[Vec<u32>]) {
        self.lock().unwrap_or_else(PoisonError::into_inner).chosen(layer, experts);
    }
}

/// The likeliest experts by the router's scores, equal ones in their order.
///
/// Softmax over all experts in f32; where the model wants it, what the chosen ones have is made to sum to one.
pub(super) fn choose(scores: &[f32], architecture: &Architecture) -> Vec<Choice> {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let all: Vec<f32> = scores.iter().map(|score| (score - most).exp()).collect();
    let total: f32 = all.iter().sum();
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|&a, &b| all[b].total_cmp(&all[a]));
    order.truncate(architecture.experts_per_token);
    let chosen: f32 = order.iter().map(|&expert| all[expert] / total).sum();
    let divisor = if architecture.normalize_chosen { chosen } else { 1.0 };
    let choice = |expert: usize| Choice { expert, weight: all[expert] / total / divisor };
    order.into_iter().map(choice).collect()
}
