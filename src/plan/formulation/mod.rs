//! A placement problem as an integer program; the mathematics is in
//! [`crate::documentation::formulation`].
//!
//! [`counts`] is what solves; [`textbook`] is the obvious program, one binary per unit and device, kept as
//! the reference that tests and benchmarks compare with. [`memory`] is the same for both: what a device
//! must hold, given how many units of which profile live there.

pub(super) mod counts;
pub(super) mod memory;
pub(super) mod sends;
pub(super) mod textbook;
pub(super) mod traffic;

use super::caps::Caps;
use super::classes::Classes;
use super::outcome::{Formulation, StageReport};
use super::presolve;
use crate::error::Error;
use crate::objective::{ALL, Linear, Terms, law};
use crate::problem::{ObjectiveKind, Problem};
use crate::program::{Program, Var};
use counts::{Counts, Homes};
use textbook::Textbook;

/// What a program minimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// One of the objectives.
    Objective(ObjectiveKind),
    /// The bytes missing beyond the devices' limits, in total: 0 exactly when a placement exists.
    Shortfall,
}

/// A formulation that objectives can be stated in.
trait Stated: Terms {
    fn program(&mut self) -> &mut Program;
}

/// What is capped and what is minimised, each as its law says.
fn objectives(stated: &mut impl Stated, caps: &Caps, goal: Goal) {
    for kind in ALL {
        let (most, minimised) = (caps.most(kind), goal == Goal::Objective(kind));
        if most.is_none() && !minimised {
            continue;
        }
        let Some(form) = law(kind).linear(stated).map(Linear::merged) else { continue };
        let program = stated.program();
        if let Some(most) = most {
            // The constant may be negative, and a cap so large that nothing is left to subtract from.
            let left = signed(most).saturating_sub(form.constant);
            if !form.terms.is_empty() || left < 0 {
                program.at_most(law(kind).row().to_owned(), form.terms.clone(), left);
            }
        }
        if minimised {
            program.objective = form.terms;
            program.objective_constant = form.constant;
        }
    }
}

/// A variable per device where there can be one.
pub(super) type PerDevice = Vec<Option<Var>>;

/// The terms `coefficient * v` over the devices.
pub(super) fn times(vars: &PerDevice, coefficient: i64) -> impl Iterator<Item = (Var, i64)> + '_ {
    vars.iter().flatten().map(move |&v| (v, coefficient))
}

/// For a row. Byte counts stay below 2^60, which [`Problem::validate`](crate::problem::Problem::validate)
/// checks; only "no limit" is larger, and means the same as the largest number.
pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The program of one stage, e.g. to hand to another solver: `kind` minimised under the capacities and the
/// caps of the `earlier` stages.
///
/// As counts it bounds every placement from below; where the order of layers matters it does not by itself
/// say that the bound is attained.
///
/// # Errors
/// A malformed problem.
pub fn stage_program(
    problem: &Problem,
    formulation: Formulation,
    earlier: &[StageReport],
    kind: ObjectiveKind,
) -> Result<Program, Error> {
    let classes = Classes::of(problem)?;
    let mut caps = Caps::of(problem);
    for stage in earlier {
        caps.hold(problem, stage.kind, stage.cap);
    }
    let goal = Goal::Objective(kind);
    Ok(match formulation {
        Formulation::Textbook => Textbook::state(problem, &classes, &caps, goal).program,
        Formulation::Counts => {
            let forced = presolve::forced(problem, &classes, &caps);
            Counts::state(problem, &classes, &caps, goal, Homes::Free, &forced).program
        }
    })
}
