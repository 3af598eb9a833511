//! What planning can answer, saying no more than is known.

use super::solver::SolverKind;
use super::trace::StageTrace;
use crate::problem::{ObjectiveKind, ObjectiveValue, Placement};
use crate::units::Ratio;

/// Which formulation states the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Formulation {
    /// Identical things counted; the default.
    #[default]
    Counts,
    /// One binary per (component, device): the reference.
    Textbook,
}

/// The default node budget of an integer program: seconds on eight GPUs, rarely reached on two or three.
pub const NODE_LIMIT: u64 = 10_000;

/// How to plan; nothing here changes what is optimal.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which formulation states the program.
    pub formulation: Formulation,
    /// What solves it.
    pub solver: SolverKind,
    /// Branch-and-bound nodes each integer program may use; beyond six devices fewer, by the square of
    /// their number, because each costs more and more programs need all they get.
    pub node_limit: u64,
    /// Wall clock for the whole plan; with it the same input need not give the same output.
    pub time_limit: Option<std::time::Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            formulation: Formulation::Counts,
            solver: SolverKind::default(),
            node_limit: NODE_LIMIT,
            time_limit: None,
        }
    }
}

/// What is given beside the problem.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// What objectives, stated by the problem or not, must not exceed; each in its own unit.
    pub held: &'a [(ObjectiveKind, ObjectiveValue)],
    /// Placements known already, as what people use today; the problem's
    /// [`current`](crate::problem::Problem::current) one is known without being named here.
    ///
    /// Nothing about them is trusted. Those that meet every constraint and what is held are candidates of
    /// every stage: none of them that is within the caps of the earlier stages is below the `optimum` of
    /// a stage, whatever the limits. The others, of other components or devices, misplaced, too large, are
    /// passed over in silence.
    pub starts: &'a [Placement],
}

/// What is known about one objective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageReport {
    /// Which objective.
    pub kind: ObjectiveKind,
    /// Its value in the returned placement. Above `optimum` where later stages spent of the tolerance; below
    /// it where the stage is not proven and a later one happened on something better.
    pub value: ObjectiveValue,
    /// The best value found when it was the one being minimised; of the last stage, the best found at all.
    pub optimum: ObjectiveValue,
    /// Proven: no placement that respects the earlier stages' caps is below it.
    pub bound: ObjectiveValue,
    /// What the later stages were allowed.
    pub cap: ObjectiveValue,
    /// The stated tolerance.
    pub tolerance: Ratio,
    /// Whether `optimum` and `bound` are within the objective's gap limit (1e-4 for peak, else 0).
    pub proven: bool,
}

impl StageReport {
    /// (optimum - bound) / optimum; 0 when both are 0.
    pub fn gap(&self) -> f64 {
        let optimum = self.optimum.as_f64();
        if optimum <= 0.0 { 0.0 } else { ((optimum - self.bound.as_f64()) / optimum).max(0.0) }
    }
}

/// What stopped an unfinished proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// The node budget.
    Nodes,
    /// The wall clock.
    Time,
    /// The solver's precision: it gave up on a program.
    Precision,
}

/// How the answer was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SolverReport {
    /// E.g. `microlp`.
    pub name: &'static str,
    /// Branch-and-bound nodes over all programs.
    pub nodes: u64,
    /// Integer programs solved.
    pub programs: u64,
}

/// A placement with what is proven about it.
#[derive(Clone, Debug)]
pub struct Solved {
    /// Where everything lives. Already passed [`crate::verify`].
    pub placement: Placement,
    /// One per objective, in order.
    pub stages: Vec<StageReport>,
    /// How it was found.
    pub solver: SolverReport,
    /// How it was found, stage by stage, then what was improved once more with the later objectives held.
    pub trace: Vec<StageTrace>,
    /// `None` when every stage is proven, i.e. the placement is optimal.
    pub limit: Option<LimitReached>,
}

/// Missing bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// Device index.
    pub device: usize,
    /// Bytes beyond its capacity in the placement that misses the least in total.
    pub missing_bytes: u64,
}

/// A constraint that a conflict may consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// A pin, a forbidden place, or what the runtime keeps where: an index into
    /// [`crate::problem::Problem::rules`].
    Rule(usize),
    /// The limit on devices.
    DevicesMax,
    /// What must stay free on a device, by its index.
    Headroom(usize),
    /// A device's capacity, with what is reserved of it.
    Capacity(usize),
}

/// Constraints that cannot all hold: even with all others relaxed there is no placement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflict {
    /// Each once, sorted. Without any one of them the rest can hold, unless `undecided`.
    pub members: Vec<Member>,
    /// Whether a limit left open if all of them are needed.
    pub undecided: bool,
}

/// Why there is no placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Infeasibility {
    /// The fewest bytes missing in total, and one way they can be divided among devices.
    pub shortfalls: Vec<Shortfall>,
    /// Which constraints are to blame; empty only when what was given beside the problem is.
    pub conflict: Conflict,
}

/// The answer.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A verified placement: optimal when [`Solved::limit`] is `None`, else feasible with gaps.
    Solved(Solved),
    /// Proven: no placement satisfies the constraints.
    Infeasible(Infeasibility),
    /// A limit was reached before anything was known.
    Unknown(LimitReached),
}
