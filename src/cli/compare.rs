//! `apportion compare`: today's habits beside the optimum.

use std::path::Path;

use apportion::baseline;
use apportion::error::Error;
use apportion::files::{make_folder, write_atomically};
use apportion::placement::Record;
use apportion::plan::{Options, Solved};
use apportion::problem::Problem;
use apportion::report::{self, json};
use apportion::scenario::Scenario;
use apportion::verify::{Measured, measure};

use super::args::CompareArgs;
use super::flow::{self, Found};
use super::solve::unknown;
use super::{Answer, width};

/// Solves, measures every baseline, prints them side by side.
pub fn run(args: &CompareArgs) -> Result<Answer, Error> {
    let scenario = flow::scenario(&args.question)?;
    let options = flow::options(&args.question.effort)?;
    args.write_maps.as_deref().map(make_folder).transpose()?;
    flow::on_threads(args.question.effort.threads, || compare(args, &scenario, &options))
}

fn compare(args: &CompareArgs, scenario: &Scenario, options: &Options) -> Result<Answer, Error> {
    let asked = flow::ask(scenario, options)?;
    let problem = &asked.problem;
    let rows = baseline::compare(problem);
    let optimum = match &asked.found {
        Found::Placed(solved, measured) => Some((solved, measured)),
        Found::Infeasible(_) | Found::Unknown(_) => None,
    };
    let yes = optimum.is_some();
    if let Some(folder) = &args.write_maps {
        write_maps(folder, scenario, problem, optimum)?;
    }
    if args.output.json {
        return Ok(Answer::json(&json::comparison(problem, optimum, &rows), yes));
    }
    let note = match &asked.found {
        Found::Placed(..) => String::new(),
        Found::Infeasible(_) => {
            "\ninfeasible: no placement satisfies the constraints; `solve` says why\n".to_owned()
        }
        Found::Unknown(limit) => format!("\n{}", unknown(*limit)),
    };
    Ok(Answer::new(
        format!("{}{note}", report::comparison(scenario, problem, optimum, &rows, width())),
        yes,
    ))
}

/// Writes every map that is shown, those that do not fit too: `check` says what is wrong with them.
fn write_maps(
    folder: &Path,
    scenario: &Scenario,
    problem: &Problem,
    optimum: Option<(&Solved, &Measured)>,
) -> Result<(), Error> {
    if let Some((solved, measured)) = optimum {
        let record = Record::of(scenario, problem, solved, measured);
        write_atomically(&folder.join("apportion.yaml"), &record.to_yaml())?;
    }
    for named in baseline::all(problem) {
        let Some(placement) = named.placement else { continue };
        let Ok(measured) = measure(problem, &placement) else { continue };
        let name = file_name(named.name);
        let record = Record::of_map(scenario, problem, &placement, &measured, &name);
        write_atomically(&folder.join(format!("{name}.yaml")), &record.to_yaml())?;
    }
    Ok(())
}

/// `hand-written 12/20` as `hand-written-12-20`.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.chars().map(plain).collect()
}
