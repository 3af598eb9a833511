//! One question to the planner: an end of the frontier, or the least traffic under a limit on the peak.

use super::known::Answer;
use super::{Placed, Point};
use crate::error::Error;
use crate::objective::law;
use crate::plan::{Given, LimitReached, Options, Solved, StageReport};
use crate::problem::{Objective, ObjectiveKind, ObjectiveValue, Placement, Problem};
use crate::sweep::{Found as Single, answer_given};
use crate::units::Ratio;

/// Who is asked, and what holds in every question.
#[derive(Debug)]
pub(super) struct Asker<'a> {
    /// With peak before traffic.
    peak_first: Problem,
    /// With traffic before peak.
    traffic_first: Problem,
    /// Bytes on the CPU tier, where there is one.
    pub(super) spill: Option<ObjectiveValue>,
    pub(super) options: &'a Options,
}

/// What a question was about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    /// The peak first, whatever the traffic.
    LowestPeak,
    /// The traffic first, with at most this peak.
    TrafficUnder(Ratio),
}

/// What came of a question.
#[derive(Debug)]
pub(super) enum Reply {
    Answer(Box<Answer>),
    /// Nothing was found; what was expected to be there is then not said to be absent.
    Nothing(LimitReached),
}

impl<'a> Asker<'a> {
    pub(super) fn new(problem: &Problem, options: &'a Options) -> Self {
        use ObjectiveKind::{PeakUtilization, Traffic};
        Self {
            peak_first: minimising(problem, &[PeakUtilization, Traffic]),
            traffic_first: minimising(problem, &[Traffic, PeakUtilization]),
            spill: None,
            options,
        }
    }

    /// The lowest peak, or the lowest traffic, and the best of the other there.
    pub(super) fn end(&self, first: ObjectiveKind) -> Result<Single, Error> {
        let problem = match first {
            ObjectiveKind::Traffic => &self.traffic_first,
            _ => &self.peak_first,
        };
        let held = self.held(None);
        answer_given(problem, self.options, &Given { held: &held, ..Given::default() })
    }

    /// The least traffic with at most this peak, which some placement has, and the lowest peak there; never
    /// worse than the placements in `starts`.
    pub(super) fn under(&self, peak: Ratio, starts: &[Placement]) -> Result<Reply, Error> {
        let cap = (ObjectiveKind::PeakUtilization, ObjectiveValue::Ratio(peak));
        let given = Given { held: &self.held(Some(cap)), starts };
        let found = answer_given(&self.traffic_first, self.options, &given)?;
        Ok(match found {
            Single::Placed(solved, measured) => {
                let placed = Placed { placement: solved.placement.clone(), measured };
                Reply::Answer(Box::new(self.answer(Asked::TrafficUnder(peak), &solved, placed)))
            }
            // Something keeps the limit, so this is not known to be so.
            Single::Infeasible(_) => Reply::Nothing(LimitReached::Precision),
            Single::Unknown(limit) => Reply::Nothing(limit),
        })
    }

    /// What a solved question proves.
    pub(super) fn answer(&self, asked: Asked, solved: &Solved, placed: Placed) -> Answer {
        let stage = |kind| solved.stages.iter().find(|stage| stage.kind == kind);
        let units = |value| self.units(value);
        let (mut peak_bound, mut peak_bound_to) = (Ratio::ZERO, 0);
        let (mut units_bound, mut units_bound_to) = (0, Ratio::ZERO);
        let traffic: Option<&StageReport> = stage(ObjectiveKind::Traffic);
        let peak = stage(ObjectiveKind::PeakUtilization);
        if let (Some(traffic), Some(peak)) = (traffic, peak) {
            let caps = (units(traffic.cap), ratio(peak.cap));
            peak_bound = ratio(peak.bound);
            units_bound = units(traffic.bound);
            (peak_bound_to, units_bound_to) = match asked {
                Asked::LowestPeak => (u64::MAX, caps.1),
                Asked::TrafficUnder(peak) => (caps.0, peak),
            };
        }
        let point = Point::of(placed, &self.peak_first);
        let (nodes, limit) = (solved.solver.nodes, solved.limit);
        Answer { point, peak_bound, peak_bound_to, units_bound, units_bound_to, nodes, limit }
    }

    fn units(&self, value: ObjectiveValue) -> u64 {
        let unit = law(ObjectiveKind::Traffic).unit();
        unit.most(&self.peak_first, value).unwrap_or(u64::MAX)
    }

    fn held(
        &self,
        cap: Option<(ObjectiveKind, ObjectiveValue)>,
    ) -> Vec<(ObjectiveKind, ObjectiveValue)> {
        let spill = self.spill.map(|most| (ObjectiveKind::SpillBytes, most));
        spill.into_iter().chain(cap).collect()
    }
}

fn ratio(value: ObjectiveValue) -> Ratio {
    match value {
        ObjectiveValue::Ratio(ratio) => ratio,
        ObjectiveValue::Bytes(_) | ObjectiveValue::Count(_) | ObjectiveValue::Time(_) => {
            Ratio::ZERO
        }
    }
}

/// The problem with these objectives instead of its own, none of them to be given up.
pub(super) fn minimising(problem: &Problem, kinds: &[ObjectiveKind]) -> Problem {
    let exact = |&kind| Objective { kind, tolerance: Ratio::ZERO };
    Problem { objectives: kinds.iter().map(exact).collect(), ..problem.clone() }
}
