//! One question, answered: planned, and verified by code that shares nothing with the planner.

use crate::baseline;
use crate::error::Error;
use crate::plan::{self, Given, Infeasibility, LimitReached, Options, Outcome, Solved};
use crate::problem::{Placement, Problem};
use crate::verify::{Measured, verify};

/// The planner's outcome; a placement is here only when the verifier has passed it.
#[derive(Clone, Debug)]
pub enum Found {
    /// A placement, and what the verifier measured.
    Placed(Solved, Measured),
    /// Proven: there is none, and why.
    Infeasible(Infeasibility),
    /// A limit was reached before anything was known.
    Unknown(LimitReached),
}

/// Solves and verifies. The answer is never worse than a placement people use today that meets the
/// constraints, whatever the limits; see [`Given::starts`].
///
/// # Errors
/// As [`plan::solve`], and a placement that the verifier refuses or values otherwise.
pub fn answer(problem: &Problem, options: &Options) -> Result<Found, Error> {
    answer_given(problem, options, &Given::default())
}

/// As [`answer`], with more given than the problem says.
pub(crate) fn answer_given(
    problem: &Problem,
    options: &Options,
    given: &Given<'_>,
) -> Result<Found, Error> {
    problem.validate()?;
    let mut starts = habits(problem);
    starts.extend(given.starts.iter().cloned());
    let given = Given { starts: &starts, ..*given };
    Ok(match plan::solve_given(problem, options, &given)? {
        Outcome::Solved(solved) => {
            let measured = verified(problem, &solved)?;
            Found::Placed(solved, measured)
        }
        Outcome::Infeasible(why) => Found::Infeasible(why),
        Outcome::Unknown(limit) => Found::Unknown(limit),
    })
}

/// Where each habit that has a placement for the problem puts everything; not all of them fit.
pub(super) fn habits(problem: &Problem) -> Vec<Placement> {
    baseline::all(problem).into_iter().filter_map(|named| named.placement).collect()
}

/// Nothing the planner says is passed on unless code that shares nothing with it agrees.
fn verified(problem: &Problem, solved: &Solved) -> Result<Measured, Error> {
    let refuse = |found: String| {
        Error::new("trust the planner")
            .expected("a placement that passes the verifier")
            .found(found)
            .hint("this is a defect of apportion, not of the question; please report it")
    };
    let measured = verify(problem, &solved.placement)
        .map_err(|wrong| refuse(wrong.first().map_or_else(String::new, ToString::to_string)))?;
    match solved.stages.iter().find(|stage| stage.value != measured.value(stage.kind)) {
        Some(stage) => Err(refuse(format!("another value of {}", stage.kind.name()))),
        None => Ok(measured),
    }
}
