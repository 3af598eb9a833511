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
    /// Its value in the returned placement.
    pub value: ObjectiveValue,
    /// The best value found when it was the one being minimised.
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

/// Why there is no placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Infeasibility {
    /// The fewest bytes missing in total, and one way they can be divided among devices.
    pub shortfalls: Vec<Shortfall>,
    /// Indices into [`crate::problem::Problem::rules`]: rules that conflict with the capacities, or with the limit on devices; without
    /// any one of them the rest of this set is satisfiable, or a limit left that undecided. Empty when
    /// capacity alone is the reason.
    pub conflicting_rules: Vec<usize>,
    /// Whether releasing the default pins alone makes it feasible.
    pub default_pins_alone: bool,
    /// Whether releasing the limit on devices alone does.
    pub devices_max_alone: bool,
    /// Whether giving up all headroom alone does.
    pub headroom_alone: bool,
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
