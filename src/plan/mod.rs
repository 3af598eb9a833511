//! From a [`Problem`](crate::problem::Problem) to a proven best placement.

mod outcome;

pub use outcome::{
    Formulation, Infeasibility, LimitReached, ObjectiveValue, Options, Outcome, Shortfall, Solved,
    SolverReport, StageReport,
};
