//! `apportion fit`: the longest context, the best quantization or the fewest GPUs, and the placement there.

use apportion::error::Error;
use apportion::files::check_target;
use apportion::memory::Load;
use apportion::plan::Options;
use apportion::quant::Scheme;
use apportion::report::fit::{self as print, Sought};
use apportion::report::{self, Solution, json};
use apportion::scenario::Scenario;
use apportion::sweep::{fewest_gpus, longest_context, schemes_that_fit};
use serde_json::Value;

use super::args::{FindArg, FitArgs};
use super::flow::{self, Asked, Found};
use super::solve::{unknown, write};
use super::{Answer, width};

/// Searches, solves at the answer, writes, prints.
pub fn run(args: &FitArgs) -> Result<Answer, Error> {
    check_options(args)?;
    args.output_file.as_deref().map(check_target).transpose()?;
    let options = flow::options(&args.question.effort)?;
    flow::on_threads(args.question.effort.threads, || {
        let (sought, scenario) = search(args, &options)?;
        answer_at(args, &sought, &scenario, &options)
    })
}

/// Options that only one search reads are refused with another, rather than not read.
fn check_options(args: &FitArgs) -> Result<(), Error> {
    let given = [
        ("--step", args.step.is_some(), FindArg::Context),
        ("--max-context", args.max_context.is_some(), FindArg::Context),
        ("--quants", !args.quants.is_empty(), FindArg::Quant),
    ];
    match given.into_iter().find(|&(_, given, find)| given && args.find != find) {
        None => Ok(()),
        Some((option, _, find)) => Err(Error::new("use the option")
            .object(option)
            .expected(format!("--find {}", format!("{find:?}").to_lowercase()))
            .found("another search")),
    }
}

/// What was found, and the question to ask there: at the answer, or nearest to one when there is none.
fn search(args: &FitArgs, options: &Options) -> Result<(Sought, Scenario), Error> {
    let question = &args.question;
    match args.find {
        FindArg::Context => {
            let mut scenario = flow::scenario(question)?;
            let step = args.step.unwrap_or(1);
            let most = args.max_context.unwrap_or(Load::CONTEXT_MAX);
            if !(1..=Load::CONTEXT_MAX).contains(&most) {
                return Err(Error::new("use --max-context")
                    .expected(format!("1 to {}", Load::CONTEXT_MAX))
                    .found(most.to_string()));
            }
            let edge = longest_context(&scenario, step, most, options)?;
            scenario.load.context = edge.fits.unwrap_or(step);
            Ok((Sought::Context { edge, step, most }, scenario))
        }
        FindArg::Quant => {
            let model = flow::model(&question.model)?;
            let schemes = flow::schemes(&args.quants, &question.model, &model)?;
            let Some(any) = schemes.first() else {
                return Err(Error::new("choose a quantization").found("none to choose from"));
            };
            twice(&schemes)?;
            let scenario = flow::scenario_under(question, model, any.clone())?;
            let trials = schemes_that_fit(&scenario, &schemes, options)?;
            let best = trials.iter().position(|trial| trial.fits == Some(true));
            let at = best.or(trials.len().checked_sub(1)).and_then(|index| trials.get(index));
            let scheme = at.map_or(any, |trial| &trial.scheme).clone();
            Ok((Sought::Quant { trials, best }, Scenario { scheme, ..scenario }))
        }
        FindArg::Gpus => {
            let scenario = flow::scenario(question)?;
            let gpus = fewest_gpus(&scenario, options)?;
            let hardware = gpus.hardware.clone();
            Ok((Sought::Gpus(gpus), Scenario { hardware, ..scenario }))
        }
    }
}

fn twice(schemes: &[Scheme]) -> Result<(), Error> {
    let again = |(index, scheme): &(usize, &Scheme)| schemes[..*index].contains(scheme);
    match schemes.iter().enumerate().find(again) {
        None => Ok(()),
        Some((_, scheme)) => Err(Error::new("choose a quantization")
            .place("--quants")
            .expected("each once")
            .found(format!("`{}` twice", scheme.name()))),
    }
}

fn answer_at(
    args: &FitArgs,
    sought: &Sought,
    scenario: &Scenario,
    options: &Options,
) -> Result<Answer, Error> {
    let Asked { problem, found, elapsed } = flow::ask(scenario, options)?;
    let (text, value, placed) = match found {
        Found::Placed(solved, measured) => {
            let solution = Solution {
                scenario,
                problem: &problem,
                solved: &solved,
                measured: &measured,
                elapsed,
            };
            write(&solution, args.output_file.as_deref())?;
            let value = json::solution(&solution);
            (report::solution(&solution, width()), value, true)
        }
        Found::Infeasible(why) => {
            let remedies = flow::ways_out(scenario, options, elapsed);
            let value = json::infeasible(scenario, &problem, &why, &remedies);
            (report::infeasible(scenario, &problem, &why, &remedies), value, false)
        }
        Found::Unknown(limit) => (unknown(limit), json::unknown(limit), false),
    };
    let yes = placed && sought.found();
    if args.output.json {
        let mut object: Value = print::json(sought);
        object["at"] = value;
        return Ok(Answer::json(&object, yes));
    }
    Ok(Answer::new(format!("{}\n{text}", print::text(sought)), yes))
}
