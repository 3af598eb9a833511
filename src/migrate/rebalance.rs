//! The next placement: what is best now, bytes moved among its objectives.

use super::weigh::{Horizon, weigh};
use super::{Changes, facts};
use crate::error::Error;
use crate::placement::Record;
use crate::plan::{Given, Options};
use crate::problem::{DeviceSet, Objective, ObjectiveKind, ObjectiveValue, Problem};
use crate::scenario::{Attention, Current, Scenario, with_spill_first};
use crate::sweep::{Found, answer_given};
use crate::units::Ratio;
use crate::verify::verify;

/// What moving is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// As few bytes as possible, then the objectives of the placement.
    LeastMoved,
    /// The objectives of the placement, moving at most so many bytes; of equals the fewest.
    AtMost(u64),
    /// The least time over so many tokens, moving included: steps of `decode_latency`, and bytes at the rate of the
    /// slowest link.
    Horizon(u64),
}

/// The answer to what is best now.
#[derive(Clone, Debug)]
pub struct Next {
    /// The question: the placement's own, under the new circumstances.
    pub scenario: Scenario,
    /// The problem it states.
    pub problem: Problem,
    /// What came of it.
    pub found: Found,
    /// Where moving was weighed against time: what that came to.
    pub horizon: Option<Horizon>,
    /// Where no placement moves as little as was asked for: proven, what has to move at least, in bytes. What was
    /// found moves that or more.
    pub least_bytes: Option<u64>,
}

/// Solves for the placement that is best now; `objectives` instead of those of the goal, if there are any.
///
/// # Errors
/// Changes that cannot be, replicated attention, `migration` not among given objectives; a horizon where speeds or
/// links are not known; as [`crate::plan::solve`].
pub fn rebalance(
    from: &Record,
    changes: &Changes,
    goal: Goal,
    objectives: Option<Vec<Objective>>,
    options: &Options,
) -> Result<Next, Error> {
    if from.scenario.limits.attention == Attention::Replicated {
        return Err(Error::new("rebalance")
            .expected("attention with one home for each layer")
            .found("a placement of replicated attention")
            .hint("solve it anew"));
    }
    let mut scenario = changes.apply(&from.scenario)?;
    scenario.limits.current = None;
    scenario.limits.moved_bytes_max = None;
    scenario.objectives = if let Some(objectives) = objectives {
        with_migration(objectives)?
    } else {
        let has_cpu = scenario.hardware.has_cpu();
        goal.objectives(&with_spill_first(&from.scenario.objectives, has_cpu))
    };
    let homes = facts::current(from, &scenario)?;
    scenario.limits.current = Some(Current { homes });
    let problem = scenario.problem()?;
    if let Goal::Horizon(tokens) = goal {
        return weigh(scenario, problem, tokens, options);
    }
    if let Goal::AtMost(bytes) = goal {
        return at_most(scenario, problem, bytes, options);
    }
    let narrowed = staying(&problem);
    let found = answer_given(narrowed.as_ref().unwrap_or(&problem), options, &Given::default())?;
    Ok(Next { scenario, problem, found, horizon: None, least_bytes: None })
}

/// The problem with everything where it is, where that is an answer and moving nothing comes before all else: there is
/// no other answer then, and nothing to search for.
fn staying(problem: &Problem) -> Option<Problem> {
    let current = problem.current.as_ref()?;
    let first = problem.objectives.first()?;
    if *first != MIGRATION || verify(problem, current).is_err() {
        return None;
    }
    let mut narrowed = problem.clone();
    for (component, &device) in narrowed.components.iter_mut().zip(&current.device_of) {
        // What weighs nothing moves for nothing.
        if component.demand.weights_bytes > 0 {
            component.allowed = DeviceSet::only(device);
        }
    }
    Some(narrowed)
}

/// The best that moves at most so much. What has to move at least is asked first: it is quickly proven, and where it
/// is little enough there is something to begin with.
fn at_most(
    mut scenario: Scenario,
    mut problem: Problem,
    bytes: u64,
    options: &Options,
) -> Result<Next, Error> {
    let objectives = std::mem::replace(&mut problem.objectives, vec![MIGRATION]);
    let least = answer_given(&problem, options, &Given::default())?;
    problem.objectives = objectives;
    let Found::Placed(solved, _) = &least else {
        return Ok(Next { scenario, problem, found: least, horizon: None, least_bytes: None });
    };
    let bound = solved.stages.first().map(|stage| stage.bound);
    if let Some(ObjectiveValue::Bytes(bound)) = bound.filter(|b| *b > ObjectiveValue::Bytes(bytes))
    {
        let least_bytes = Some(bound);
        return Ok(Next { scenario, problem, found: least, horizon: None, least_bytes });
    }
    scenario.limits.moved_bytes_max = Some(bytes);
    problem.moved_bytes_max = Some(bytes);
    let starts = [solved.placement.clone()];
    let found = answer_given(&problem, options, &Given { held: &[], starts: &starts })?;
    Ok(Next { scenario, problem, found, horizon: None, least_bytes: None })
}

/// What must not cost a byte more than need be.
pub(super) const MIGRATION: Objective =
    Objective { kind: ObjectiveKind::Migration, tolerance: Ratio::ZERO };

impl Goal {
    fn objectives(self, before: &[Objective]) -> Vec<Objective> {
        let others = || before.iter().copied().filter(|o| o.kind != ObjectiveKind::Migration);
        match self {
            Self::LeastMoved => std::iter::once(MIGRATION).chain(others()).collect(),
            Self::AtMost(_) => others().chain([MIGRATION]).collect(),
            Self::Horizon(_) => {
                let time = Objective { kind: ObjectiveKind::DecodeLatency, tolerance: Ratio::ZERO };
                vec![time, MIGRATION]
            }
        }
    }
}

fn with_migration(objectives: Vec<Objective>) -> Result<Vec<Objective>, Error> {
    if objectives.iter().any(|objective| objective.kind == ObjectiveKind::Migration) {
        return Ok(objectives);
    }
    Err(Error::new("rebalance")
        .place("the objectives")
        .expected("`migration` among them")
        .found("objectives that moving costs nothing for")
        .hint("put it where it matters to you, as in `--objective traffic,migration`"))
}
