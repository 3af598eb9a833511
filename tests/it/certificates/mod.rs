//! Certificates: bounds known by hand, bounds of random prices against complete enumeration, files, and
//! what is wrong with them.

mod command;
mod corrupted;
mod exact;
mod known;
mod soundness;
mod values;
mod written;

use apportion::certificate::{Prices, Proof, Tree};
use apportion::model::ComponentId;
use apportion::problem::ObjectiveKind;

/// A leaf: weights, tracked classes, prices.
fn leaf(weights: &[(ObjectiveKind, i64)], tracked: &[&str], prices: &[(&str, i64)]) -> Tree {
    Tree::Leaf(Prices {
        weights: weights.to_vec(),
        tracked: tracked.iter().map(|id| name(id)).collect(),
        prices: prices.iter().map(|&(id, price)| (name(id), price)).collect(),
        fractional: Vec::new(),
    })
}

fn relaxation(weights: &[(ObjectiveKind, i64)], tracked: &[&str], prices: &[(&str, i64)]) -> Proof {
    Proof::Relaxation(leaf(weights, tracked, prices))
}

fn name(id: &str) -> ComponentId {
    id.parse().unwrap()
}
