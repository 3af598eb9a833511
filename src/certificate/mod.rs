//! A certificate: why no placement can be better, as data that anyone can check.
//!
//! It says, for each objective, a lower bound and the prices that prove it. It is a claim and nothing
//! more: [`crate::verify`] rebuilds the priced relaxation from the problem alone and computes in exact
//! integers whether the claim holds; it shares no code with the planner that found the prices.
//!
//! # The argument
//!
//! Put a price on every component that is placed. A placement puts each somewhere exactly once, so the
//! prices of all that the devices hold always add up to the same total. Hence, for any placement,
//!
//! ```text
//! weighted objectives = sum over devices of (what the device contributes - the prices of what it holds)
//!                       + the prices of everything
//!                    >= sum over devices of the least that any set of components fitting there can make
//!                       of it + the prices of everything
//! ```
//!
//! and the right side is a bound that can be computed device by device. Counts that are *tracked* are not
//! priced but added up exactly, by a table over the devices. A tree of splits on counts tightens it: what
//! both sides of a split prove holds for all placements.
//!
//! # The file, version 1
//!
//! | key | holds |
//! |---|---|
//! | `apportion`, `version` | `certificate`, `1` |
//! | `problem` | SHA-256 over the problem it is about ([`crate::scenario::fingerprint`]) |
//! | `stages[]` | `objective`, `bound`, `cap`, `proof` (`zero`, `search`, `relaxation` or `walks`) |
//! | `tree`; `single_runs`, `others` | the tree of a relaxation; the two of walks |
//!
//! A tree is a split, `device`, `class`, `at`, and the trees `least` and `most`; or a leaf, `weights` by
//! objective, `tracked` and `fractional` as lists of classes, and `prices` by class. Values are exact: bytes
//! and counts as integers, ratios as fractions. Keys stand in this order, names in that of the components.

mod read;
mod write;

use crate::model::ComponentId;
use crate::problem::{ObjectiveKind, ObjectiveValue};

/// Lower bounds on a problem's objectives, stage by stage, with their proofs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The fingerprint of the problem it is about.
    pub problem: String,
    /// One per objective of the problem, in its order.
    pub stages: Vec<StageProof>,
}

/// The bound of one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageProof {
    /// What is bounded.
    pub kind: ObjectiveKind,
    /// Claimed: no placement that keeps the earlier stages' caps is below it.
    pub bound: ObjectiveValue,
    /// What later stages may spend of it.
    pub cap: ObjectiveValue,
    /// The first layers of zones: layers of different zones count as different, however alike they are.
    pub zones: Vec<u32>,
    /// Why.
    pub proof: Proof,
}

/// Why a bound holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is zero, and nothing is below zero.
    Zero,
    /// The planner's search says so; nothing here proves it.
    Search,
    /// Priced relaxations of all placements.
    Relaxation(Tree),
    /// Of a bound on traffic: one tree for the placements in which every device is home to at most one run
    /// of consecutive layers, and one for all others.
    Walks {
        /// Every device is home to one run of layers at most.
        single_runs: Tree,
        /// Some device is home to several runs, which costs one hand-over more than it has devices to
        /// visit.
        others: Tree,
    },
}

/// Leaves that together cover every placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A bound by prices.
    Leaf(Prices),
    /// Placements with at most `at` members of a class on a device, and those with more.
    Split {
        /// Index into the problem's devices.
        device: usize,
        /// The class, by its first member.
        class: ComponentId,
        /// The largest count of the first side.
        at: u64,
        /// Counts up to `at`.
        least: Box<Tree>,
        /// Counts from `at + 1`.
        most: Box<Tree>,
    },
}

/// A priced relaxation. Classes of components that cannot be told apart are named by their first member.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Prices {
    /// What each objective weighs: the one that is bounded, and earlier ones that have a cap. A bound on
    /// the peak is a proof that nothing fits below it, and weighs only caps.
    pub weights: Vec<(ObjectiveKind, i64)>,
    /// Classes whose counts are added up exactly.
    pub tracked: Vec<ComponentId>,
    /// The price of each member of a class; classes that are neither here nor tracked are free.
    pub prices: Vec<(ComponentId, i64)>,
    /// Priced classes of which parts may be held: weaker, and quicker to check.
    pub fractional: Vec<ComponentId>,
}
