//! Placements known before planning: what people use today, where everything is now.
//!
//! Each one that may be an answer is a candidate of every stage, so that no answer is worse than it. What
//! components share a device is a constraint, and units are made of nothing else: a placement that splits
//! a unit breaks a constraint, and every other one is a choice of a device per unit, exactly.

use super::caps::Caps;
use super::classes::{Classes, Unit};
use super::evaluate::Assignment;
use super::search::{Candidate, Search};
use crate::problem::{ObjectiveKind, Placement, Problem};

/// Those of `placements` that keep together what belongs together and put nothing where it may not be, each
/// once. Whether they keep to caps is seen at each stage.
pub(super) fn candidates<'a>(
    problem: &Problem,
    classes: &Classes,
    placements: impl Iterator<Item = &'a Placement>,
) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for placement in placements {
        let Some(assignment) = assignment(problem, classes, placement) else { continue };
        if found.iter().all(|known| known.assignment != assignment) {
            let cost = assignment.cost(problem, classes);
            found.push(Candidate { assignment, cost });
        }
    }
    found
}

/// The placement by unit; `None` when it is of other components, or splits or misplaces a unit.
fn assignment(problem: &Problem, classes: &Classes, placement: &Placement) -> Option<Assignment> {
    if placement.device_of.len() != problem.components.len() {
        return None;
    }
    // Permissions name only devices there are, so that a place that is allowed is a place.
    let device = |unit: &Unit| {
        let mut homes = unit.components.iter().map(|&component| placement.device_of[component]);
        let first = homes.next()?;
        (unit.profile.allowed.contains(first) && homes.all(|home| home == first)).then_some(first)
    };
    let homes: Option<Vec<usize>> = classes.layers.iter().map(|l| device(&l.home)).collect();
    let homes = homes?;
    let absent = classes.embedding.components.is_empty();
    let embedding = if absent { *homes.first()? } else { device(&classes.embedding)? };
    let items = classes.layers.iter().map(|layer| layer.items.iter().map(device).collect());
    Some(Assignment {
        embedding,
        head: classes.head.as_ref().map_or(Some(embedding), device)?,
        items: items.collect::<Option<Vec<Vec<usize>>>>()?,
        homes,
    })
}

impl<B> Search<'_, B> {
    /// The best of the placements known already that satisfy the caps, if it is better than `best`.
    pub(super) fn better_start(
        &self,
        kind: ObjectiveKind,
        caps: &Caps,
        best: Option<&Candidate>,
    ) -> Option<Candidate> {
        let within = self.starts.iter().filter(|start| start.cost.within(caps));
        let better = within.fold(best, |best, start| match best {
            Some(known) if !start.cost.better(&known.cost, kind) => best,
            _ => Some(start),
        });
        better
            .filter(|better| best.is_none_or(|best| better.cost.better(&best.cost, kind)))
            .cloned()
    }
}
