//! `apportion solve`: the placement.

use std::path::Path;

use apportion::error::Error;
use apportion::files::{TEXT_BYTES_MAX, check_target, make_folder, write_atomically};
use apportion::placement::Record;
use apportion::plan::{LimitReached, Options, StageReport, certify, explain};
use apportion::problem::Problem;
use apportion::report::{self, Solution, json, lp};
use apportion::scenario::{Scenario, fingerprint};

use super::args::SolveArgs;
use super::flow::{self, Asked, Found};
use super::sensitivity::{self, Sensitivity};
use super::{Answer, width};

/// Solves, verifies, writes, prints.
pub fn run(args: &SolveArgs) -> Result<Answer, Error> {
    let one_home = [
        ("--certificate", args.certificate.is_some()),
        ("--write-lp", args.write_lp.is_some()),
        ("--explain", args.explain),
    ];
    flow::single_only(&args.question.wishes, &one_home)?;
    let scenario = flow::scenario(&args.question)?;
    let options = flow::options(&args.question.effort)?;
    args.output_file.as_deref().map(check_target).transpose()?;
    args.certificate.as_deref().map(check_target).transpose()?;
    if let Some(folder) = &args.write_lp {
        lp::check(&scenario)?;
        make_folder(folder)?;
    }
    let extra = args.sensitivity.as_deref().map(sensitivity::read).transpose()?;
    flow::on_threads(args.question.effort.threads, || solve(args, &scenario, &options, extra))
}

fn solve(
    args: &SolveArgs,
    scenario: &Scenario,
    options: &Options,
    extra_bytes: Option<u64>,
) -> Result<Answer, Error> {
    let Asked { problem, found, elapsed } = flow::ask(scenario, options)?;
    let json = args.output.json;
    let stages = match &found {
        Found::Placed(solved, _) => solved.stages.as_slice(),
        Found::Infeasible(_) | Found::Unknown(_) => &[],
    };
    write_programs(args, &problem, stages)?;
    let ask = |bytes| Sensitivity::ask(scenario, &problem, stages, bytes, options);
    let more = extra_bytes.map(ask).transpose()?.unwrap_or_default();
    match found {
        Found::Placed(mut solved, measured) => {
            if let Some(path) = &args.certificate {
                let fingerprint = fingerprint(&problem);
                let certificate = certify(&problem, &mut solved, &fingerprint, options)?;
                write_atomically(path, &certificate.to_yaml(&problem))?;
            }
            let solution = Solution {
                scenario,
                problem: &problem,
                solved: &solved,
                measured: &measured,
                elapsed,
            };
            write(&solution, args.output_file.as_deref())?;
            placed(args, &solution, &more)
        }
        Found::Infeasible(why) => {
            let remedies = flow::ways_out(scenario, options, elapsed);
            Ok(if json {
                let value = json::infeasible(scenario, &problem, &why, &remedies);
                Answer::json(&more.json(value), false)
            } else {
                let text = report::infeasible(scenario, &problem, &why, &remedies);
                Answer::new(more.text(text), false)
            })
        }
        Found::Unknown(limit) => Ok(if json {
            Answer::json(&more.json(json::unknown(limit)), false)
        } else {
            Answer::new(more.text(unknown(limit)), false)
        }),
    }
}

/// The answer, and how it was found if that is asked.
fn placed(args: &SolveArgs, solution: &Solution<'_>, more: &Sensitivity) -> Result<Answer, Error> {
    let Solution { problem, solved, .. } = *solution;
    let explained = if args.explain { Some(explain(problem)?) } else { None };
    if args.output.json {
        let mut object = json::solution(solution);
        if let Some(explained) = &explained {
            object["explanation"] = report::explanation_json(problem, explained, solved);
        }
        return Ok(Answer::json(&more.json(object), true));
    }
    let mut text = report::solution(solution, width());
    if let Some(explained) = &explained {
        text.push('\n');
        text.push_str(&report::explanation(problem, explained, solved, width()));
    }
    Ok(Answer::new(more.text(text), true))
}

/// Writes the placement file, if one is wanted.
pub fn write(solution: &Solution<'_>, path: Option<&Path>) -> Result<(), Error> {
    let Some(path) = path else { return Ok(()) };
    let Solution { scenario, problem, solved, measured, .. } = *solution;
    let text = Record::of(scenario, problem, solved, measured).to_yaml();
    let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if bytes > TEXT_BYTES_MAX {
        return Err(Error::new("write the placement")
            .object(path.display().to_string())
            .expected(format!("at most {TEXT_BYTES_MAX} bytes, which can be read back"))
            .found(bytes.to_string())
            .hint("pair counts of many experts take most of it"));
    }
    write_atomically(path, &text)
}

/// Writes the programs as LP files, if they are wanted; one at a time, because they may be large.
fn write_programs(
    args: &SolveArgs,
    problem: &Problem,
    stages: &[StageReport],
) -> Result<(), Error> {
    let Some(folder) = &args.write_lp else { return Ok(()) };
    let how = args.lp_formulation.unwrap_or(args.question.effort.formulation);
    for index in 0..lp::lp_stages(problem, stages) {
        let file = lp::lp_file(problem, flow::formulation(how), stages, index)?;
        write_atomically(&folder.join(file.name), &file.text)?;
    }
    Ok(())
}

/// Neither a placement nor a proof that there is none.
pub fn unknown(limit: LimitReached) -> String {
    let (limit, advice) = match limit {
        LimitReached::Nodes => ("node limit", "a larger --node-limit"),
        LimitReached::Time => ("time limit", "a larger --time-limit"),
        LimitReached::Precision => ("solver's precision", "another --objective order"),
    };
    format!("unknown: the {limit} was reached before anything was known; try {advice}\n")
}
