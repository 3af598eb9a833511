//! The trade-off between peak utilization and traffic: every placement that is not beaten in both.
//!
//! Traffic takes few values, because hand-overs are whole and an expert away from home costs a fraction of
//! a transfer that all share; the peak takes nearly any. So the frontier is a staircase: at each amount of
//! traffic, the lowest peak. The two ends come first, each as a lexicographic question of its own. Between
//! them every question holds one of the two under a limit and minimises it and the other, exactly, with the
//! planner that `solve` uses; what one answer proves bounds its neighbours too, so that usually as many
//! questions as points prove that nothing lies between them.
//!
//! Value to value, like everything that plans. Where there is a CPU tier, bytes on it are minimised first
//! and held there.

mod ask;
mod known;

use rayon::prelude::*;

use crate::error::Error;
use crate::objective::law;
use crate::plan::{Infeasibility, LimitReached, Options, Solved, StageReport};
use crate::problem::{ObjectiveKind, Placement, Problem};
use crate::sweep::{Found as Single, answer};
use crate::units::Ratio;
use crate::verify::Measured;

use ask::{Asked, Asker, Reply, minimising};
use known::Known;

/// The most points that may be asked for.
pub const POINTS_MAX: usize = 1_000;

/// Points unless told otherwise: what a table and a picture show well.
pub const POINTS_DEFAULT: usize = 12;

/// A placement and what the verifier measured.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Where everything lives.
    pub placement: Placement,
    /// What it is worth.
    pub measured: Measured,
}

/// A placement that no other one found beats in both objectives, and what is proven about it.
#[derive(Clone, Debug)]
pub struct Point {
    /// The placement, as the verifier passed it.
    pub placed: Placed,
    /// Its peak utilization.
    pub peak: Ratio,
    /// Proven: no placement with at most this traffic has a lower peak.
    pub peak_bound: Ratio,
    /// Proven: no placement with less traffic than the next point, or than any where there is none, has a
    /// lower peak. Where this is well below `peak`, points may lie between the two.
    pub step_bound: Ratio,
    /// Its traffic, in transfers per token.
    pub traffic: Ratio,
    /// Proven: no placement with at most this peak has less.
    pub traffic_bound: Ratio,
    /// Whether both values are at their bounds, to the objectives' stated gaps (1e-4 for the peak): then no
    /// placement beats it.
    pub proven: bool,
}

impl Point {
    /// Nothing is known about it yet but what it is worth.
    fn of(placed: Placed, problem: &Problem) -> Self {
        let peak = placed.measured.peak();
        let traffic = placed.measured.traffic.expected_transfers_per_token();
        let traffic_bound = Ratio::new(0, problem.traffic_denominator);
        let (peak_bound, step_bound) = (Ratio::ZERO, Ratio::ZERO);
        Self { placed, peak, peak_bound, step_bound, traffic, traffic_bound, proven: false }
    }

    /// (peak - bound) / peak.
    pub fn gap(&self) -> f64 {
        let peak = self.peak.as_f64();
        if peak > 0.0 { ((peak - self.peak_bound.as_f64()) / peak).max(0.0) } else { 0.0 }
    }
}

/// The staircase.
#[derive(Clone, Debug)]
pub struct Frontier {
    /// Bytes on the CPU tier, minimised before all else and held; `None` without a CPU.
    pub spill: Option<StageReport>,
    /// At least one; traffic rises and peak falls.
    ///
    /// Peaks within the objective's stated gap of what is proven possible count as equal: of two such points
    /// the one with less traffic stands for both.
    pub points: Vec<Point>,
    /// The lowest peak found at any traffic: what `solve` has as its optimum, of which it may give up a
    /// share for less traffic.
    pub peak_lowest: Ratio,
    /// Whether every point is proven and nothing lies between or beyond them.
    pub complete: bool,
    /// Whether amounts of traffic remain that were not asked about, because that would have been more points
    /// than were wanted.
    pub more: bool,
    /// What stopped a proof first, if anything did.
    pub limit: Option<LimitReached>,
    /// Questions that the planner was asked.
    pub solves: u64,
    /// Branch-and-bound nodes over all of them.
    pub nodes: u64,
    /// The solver's name.
    pub solver: &'static str,
}

/// What came of the question.
#[derive(Clone, Debug)]
pub enum Found {
    /// At least one placement.
    Frontier(Box<Frontier>),
    /// Proven: there is no placement, and why.
    Infeasible(Infeasibility),
    /// A limit was reached before anything was known.
    Unknown(LimitReached),
}

/// Finds up to `points_max` points of the frontier: all of it where it has no more, else evenly spread over
/// the traffic between its ends.
///
/// The problem's own objectives are not read. Every question has the node limit and the time limit of
/// `options` to itself. `done` is called once per question that has been answered, from any thread. Without
/// a time limit the answer is the same on any number of threads.
///
/// # Errors
/// Fewer than two points or more than [`POINTS_MAX`]; as [`crate::plan::solve`]; a placement that the
/// verifier refuses.
pub fn frontier(
    problem: &Problem,
    points_max: usize,
    options: &Options,
    done: &(dyn Fn() + Sync),
) -> Result<Found, Error> {
    if !(2..=POINTS_MAX).contains(&points_max) {
        return Err(Error::new("trace the frontier")
            .expected(format!("2 to {POINTS_MAX} points"))
            .found(points_max.to_string()));
    }
    let mut asker = Asker::new(problem, options);
    let mut spill = None;
    if problem.cpus().next().is_some() {
        let first = minimising(problem, &[ObjectiveKind::SpillBytes]);
        match answer(&first, options)? {
            Single::Placed(solved, _) => spill = solved.stages.into_iter().next(),
            other => return Ok(nothing(other)),
        }
        done();
    }
    asker.spill = spill.as_ref().map(|stage| stage.optimum);
    let end = |kind| {
        let found = asker.end(kind);
        done();
        found
    };
    let (low, high) =
        rayon::join(|| end(ObjectiveKind::Traffic), || end(ObjectiveKind::PeakUtilization));
    let (low, high) = match (low?, high?) {
        (Single::Placed(low, at_low), Single::Placed(high, at_high)) => {
            ((low, at_low), (high, at_high))
        }
        (Single::Placed(..), other) | (other, _) => return Ok(nothing(other)),
    };
    let mut known = Known::new(problem);
    let solver = low.0.solver.name;
    known.add(asker.answer(Asked::TrafficUnder(Ratio::new(u64::MAX, 1)), &low.0, placed(&low)));
    known.add(asker.answer(Asked::LowestPeak, &high.0, placed(&high)));
    loop {
        let limits = known.next(points_max);
        if limits.is_empty() {
            break;
        }
        let starts = known.placements();
        let ask = |&limit: &Ratio| {
            let reply = asker.under(limit, &starts);
            done();
            reply
        };
        // Collected in order, so that it does not matter who is first.
        let replies: Vec<Reply> = limits.par_iter().map(ask).collect::<Result<_, _>>()?;
        for (limit, reply) in limits.into_iter().zip(replies) {
            known.learn(limit, reply);
        }
    }
    Ok(Found::Frontier(Box::new(known.frontier(points_max, spill, solver))))
}

fn placed((solved, measured): &(Solved, Measured)) -> Placed {
    Placed { placement: solved.placement.clone(), measured: measured.clone() }
}

/// What is said where there is no placement.
fn nothing(found: Single) -> Found {
    match found {
        Single::Infeasible(why) => Found::Infeasible(why),
        Single::Unknown(limit) => Found::Unknown(limit),
        Single::Placed(solved, _) => Found::Unknown(solved.limit.unwrap_or(LimitReached::Nodes)),
    }
}

/// Whether what was found is at its bound, to the objective's stated gap.
fn closes(problem: &Problem, kind: ObjectiveKind, found: Ratio, bound: Ratio) -> bool {
    let gap = law(kind).gap(problem).as_f64();
    found <= bound || found.as_f64() - bound.as_f64() <= gap * found.as_f64()
}
