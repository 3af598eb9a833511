//! `solve --write-lp`: the integer programs of a plan as LP files, for any other solver.
//!
//! What stands above a program, as comments: its stage, the caps it is under, and what was found and proven,
//! in the program's own units, so that another solver's answer can be held against it.

use std::fmt::Write;

use crate::error::Error;
use crate::plan::{Formulation, StageReport, stage_program};
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};
use crate::scenario::{Granularity, Scenario};

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LpFile {
    /// E.g. `2-traffic.lp`.
    pub name: String,
    /// The whole file.
    pub text: String,
}

/// Whether every objective is a sum of terms, which programs are made of.
///
/// # Errors
/// One that is not.
pub fn check(scenario: &Scenario) -> Result<(), Error> {
    let by_matrix = scenario.limits.granularity == Granularity::FusedMatrix;
    let refuse = |kind: ObjectiveKind, found: &str| {
        Err(Error::new("write the programs")
            .object(kind.name())
            .expected("objectives that are sums over what is placed")
            .found(found)
            .hint("leave it out of --objective, or leave out --write-lp"))
    };
    for objective in &scenario.objectives {
        match objective.kind {
            ObjectiveKind::DecodeLatency | ObjectiveKind::PrefillTime => {
                return refuse(objective.kind, "an expected time, which is none");
            }
            ObjectiveKind::Traffic if by_matrix => {
                let found = "transfers between matrices of experts, which depend on where both are";
                return refuse(objective.kind, found);
            }
            _ => {}
        }
    }
    Ok(())
}

/// How many stages have a program: all of a plan, and the first of a problem that has none.
pub fn lp_stages(problem: &Problem, stages: &[StageReport]) -> usize {
    problem.objectives.len().min(stages.len().max(1))
}

/// The program of the stage at `index`, from 0, under the caps of the `stages` before it.
///
/// # Errors
/// A malformed problem; a stage that there is not.
pub fn lp_file(
    problem: &Problem,
    formulation: Formulation,
    stages: &[StageReport],
    index: usize,
) -> Result<LpFile, Error> {
    let objective = problem.objectives.get(index).filter(|_| index <= stages.len());
    let kind = objective.ok_or_else(|| Error::new("write a program").found("no such stage"))?.kind;
    let earlier = &stages[..index];
    let program = stage_program(problem, formulation, earlier, kind)?;
    let name = format!("{}-{}", index + 1, kind.name());
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ =
        writeln!(text, "\\ stage {}: {}, as {}", index + 1, kind.name(), described(formulation));
    for stage in earlier {
        let cap = in_units(problem, stage.kind, stage.cap);
        let _ = writeln!(text, "\\ under {} {cap}", stage.kind.name());
    }
    if let Some(stage) = stages.get(index) {
        let [optimum, bound] =
            [stage.optimum, stage.bound].map(|value| in_units(problem, kind, value));
        let _ = writeln!(text, "\\ apportion {optimum} {bound}");
    }
    let _ = write!(text, "{program}");
    Ok(LpFile { name: format!("{name}.lp"), text })
}

fn described(formulation: Formulation) -> &'static str {
    match formulation {
        Formulation::Counts => "counts; where the order of layers matters, a lower bound",
        Formulation::Textbook => "one binary per component and device",
    }
}

/// In the units of the program's objective: bytes, a share of the capacity, transfers times the traffic
/// denominator, devices.
fn in_units(problem: &Problem, kind: ObjectiveKind, value: ObjectiveValue) -> String {
    match value {
        ObjectiveValue::Bytes(number)
        | ObjectiveValue::Count(number)
        | ObjectiveValue::Time(number) => number.to_string(),
        ObjectiveValue::Ratio(ratio) if kind == ObjectiveKind::Traffic => {
            ratio.floor_of(problem.traffic_denominator).to_string()
        }
        ObjectiveValue::Ratio(ratio) => ratio.as_f64().to_string(),
    }
}
