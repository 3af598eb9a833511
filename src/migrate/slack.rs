//! What moving a little more than need be would buy.
//!
//! The fewest bytes are often not whole layers, and single experts away from home cost transfers for every token from
//! then on. That is what was asked for, but whoever asks may not know what it costs.

use super::rebalance::Next;
use crate::error::Error;
use crate::objective::{Unit, law};
use crate::plan::{Given, Options};
use crate::problem::{Objective, ObjectiveKind, ObjectiveValue};
use crate::scenario::Scenario;
use crate::sweep::{Found, answer_given};
use crate::units::Ratio;

/// A better placement for a quarter more bytes moved.
#[derive(Clone, Debug)]
pub struct Slack {
    /// The objectives that lead to it.
    pub objectives: Vec<Objective>,
    /// What they lead to: bytes moved.
    pub moved_bytes: u64,
    /// What becomes better.
    pub kind: ObjectiveKind,
    /// Its value with the fewest bytes, and with these.
    pub values: [ObjectiveValue; 2],
}

/// What moving up to a quarter more would buy of the first objective that every token pays; `None` where it buys
/// nothing, nothing has to move, or tokens pay nothing that is minimised.
///
/// # Errors
/// As [`crate::plan::solve`].
pub fn slack(next: &Next, options: &Options) -> Result<Option<Slack>, Error> {
    let Found::Placed(solved, _) = &next.found else { return Ok(None) };
    let before = &next.scenario.objectives;
    let per_token = |o: &&Objective| matches!(law(o.kind).unit(), Unit::Transfers | Unit::Time);
    let Some(wanted) = before.iter().find(per_token).copied() else { return Ok(None) };
    let stage = |kind| solved.stages.iter().find(|stage| stage.kind == kind);
    let (Some(moved), Some(now)) = (stage(ObjectiveKind::Migration), stage(wanted.kind)) else {
        return Ok(None);
    };
    if moved.value == ObjectiveValue::Bytes(0) {
        return Ok(None);
    }
    let first = Objective { kind: ObjectiveKind::Migration, tolerance: Ratio::new(1, 4) };
    let others = before
        .iter()
        .copied()
        .filter(|o| ![ObjectiveKind::Migration, wanted.kind].contains(&o.kind));
    let objectives: Vec<Objective> = [first, wanted].into_iter().chain(others).collect();
    let scenario = Scenario { objectives: objectives.clone(), ..next.scenario.clone() };
    let problem = scenario.problem()?;
    let Found::Placed(better, _) = answer_given(&problem, options, &Given::default())? else {
        return Ok(None);
    };
    let value = |kind| better.stages.iter().find(|stage| stage.kind == kind).map(|s| s.value);
    let (Some(ObjectiveValue::Bytes(moved_bytes)), Some(then)) =
        (value(ObjectiveKind::Migration), value(wanted.kind))
    else {
        return Ok(None);
    };
    let buys = then < now.value;
    let values = [now.value, then];
    Ok(buys.then_some(Slack { objectives, moved_bytes, kind: wanted.kind, values }))
}
