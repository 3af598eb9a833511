//! The peak where a time must be kept: is there a placement below a level that is quick enough?
//!
//! Every level that is asked about either yields a placement or is proven to admit none; the interval
//! between them is halved until it is within the gap of the peak.

use super::{capped, equal, timing_of};
use crate::plan::caps::Caps;
use crate::plan::search::{Search, StageAnswer};
use crate::plan::solver::Backend;
use crate::plan::value;
use crate::problem::{ObjectiveKind, ObjectiveValue};
use crate::units::Ratio;

/// Levels that are asked about.
const LEVELS_MAX: usize = 40;

/// Levels are multiples of one over this.
const GRID: u64 = 1_000_000_000;

impl<B: Backend> Search<'_, B> {
    /// Narrows the gap of a peak under caps of which one is a time.
    pub(in crate::plan) fn peak_within_time(&mut self, caps: &Caps, answer: &mut StageAnswer) {
        let peak = ObjectiveKind::PeakUtilization;
        let Some((kind, most)) = capped(self.problem, caps) else { return };
        for _ in 0..LEVELS_MAX {
            if self.closed(peak, answer) || self.out_of_time() {
                break;
            }
            let Some(best) = &answer.best else { break };
            let level = between(answer.bound, value::of(self.problem, &best.cost, peak));
            let mut below = caps.clone();
            let share = ObjectiveValue::Ratio(Ratio::new(level, GRID));
            below.hold(self.problem, peak, share);
            match self.reached(kind, most, &below) {
                Reached::Yes(found) => {
                    self.keep(peak, caps, found.assignment, &mut answer.best);
                }
                Reached::No => {
                    // Nothing is at the level, so everything is above it.
                    answer.bound = answer.bound.max(share);
                }
                Reached::Unknown => break,
            }
        }
    }

    /// Whether something within these caps takes at most so long.
    fn reached(&mut self, kind: ObjectiveKind, most: u64, caps: &Caps) -> Reached {
        let Some(timing) = timing_of(self.problem, kind) else { return Reached::Unknown };
        let nothing = value::bound(self.problem, kind, None);
        let answer = StageAnswer { best: None, bound: nothing, infeasible: false };
        let weights = equal(timing.draws.len());
        let answer = self.weighed(kind, caps, &timing, &weights, answer, Some(most));
        match answer.best {
            Some(found) if found.cost.within(caps) => Reached::Yes(found),
            _ if answer.infeasible || answer.bound > self.amount(kind, most) => Reached::No,
            _ => Reached::Unknown,
        }
    }
}

enum Reached {
    Yes(crate::plan::search::Candidate),
    No,
    Unknown,
}

/// The middle of an interval on the grid; just below the upper end when it is no wider than two steps.
fn between(bound: ObjectiveValue, best: ObjectiveValue) -> u64 {
    let (bound, best) = (bound.as_f64() * 1e9, best.as_f64() * 1e9);
    let middle = value::floor(f64::midpoint(bound, best));
    middle.min(value::floor(best).saturating_sub(1))
}
