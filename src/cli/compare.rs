//! `apportion compare`: today's habits beside the optimum.

use apportion::baseline;
use apportion::error::Error;
use apportion::plan::Options;
use apportion::report::{self, json};
use apportion::scenario::Scenario;

use super::args::CompareArgs;
use super::flow::{self, Found};
use super::solve::unknown;
use super::{Answer, width};

/// Solves, measures every baseline, prints them side by side.
pub fn run(args: &CompareArgs) -> Result<Answer, Error> {
    let scenario = flow::scenario(&args.question)?;
    let options = flow::options(&args.question.effort)?;
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
