//! `apportion frontier`: what less traffic costs in peak, as a table and a picture.

use std::path::Path;
use std::time::{Duration, Instant};

use apportion::error::Error;
use apportion::files::{check_target, write_atomically};
use apportion::frontier::{Found, Frontier, POINTS_MAX, frontier};
use apportion::plan::Options;
use apportion::problem::Problem;
use apportion::report::frontier as print;
use apportion::report::{self, json};
use apportion::scenario::Scenario;

use super::args::FrontierArgs;
use super::progress::Progress;
use super::solve::unknown;
use super::{Answer, flow, width};

/// Asks, draws, prints.
pub fn run(args: &FrontierArgs) -> Result<Answer, Error> {
    check_options(args)?;
    let points = points(args.points)?;
    args.output_file.as_deref().map(check_picture).transpose()?;
    let scenario = flow::scenario(&args.question)?;
    let options = flow::options(&args.question.effort)?;
    flow::on_threads(args.question.effort.threads, || trace(args, &scenario, points, &options))
}

/// What the other commands read, but has no meaning here, is refused rather than not read.
fn check_options(args: &FrontierArgs) -> Result<(), Error> {
    let wishes = &args.question.wishes;
    flow::single_only(wishes, &[("frontier", true)])?;
    let given = [
        ("--objective", !wishes.objective.is_empty()),
        ("--migrate-from", wishes.migrate_from.is_some()),
    ];
    match given.into_iter().find(|&(_, given)| given) {
        None => Ok(()),
        Some((option, _)) => Err(Error::new("use the option")
            .object(option)
            .expected("only what holds for both objectives, peak_utilization and traffic")
            .found("objectives of your own")
            .hint("`apportion solve` takes them")),
    }
}

fn points(typed: u64) -> Result<usize, Error> {
    let points = usize::try_from(typed).ok().filter(|points| (2..=POINTS_MAX).contains(points));
    points.ok_or_else(|| {
        Error::new("use --points")
            .object(typed.to_string())
            .expected(format!("2 to {POINTS_MAX} points: both ends and what is between"))
    })
}

/// Refuses a name that is no picture's, before there is anything to draw.
pub(super) fn check_picture(path: &Path) -> Result<(), Error> {
    if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("svg")) {
        return Err(Error::new("draw the picture")
            .object(path.display().to_string())
            .expected("a name that ends in .svg")
            .found("another"));
    }
    check_target(path)
}

fn trace(
    args: &FrontierArgs,
    scenario: &Scenario,
    points: usize,
    options: &Options,
) -> Result<Answer, Error> {
    let problem = scenario.problem()?;
    let started = Instant::now();
    let found = {
        let progress = Progress::new("solves", points);
        frontier(&problem, points, options, &|| progress.step())?
    };
    let elapsed = started.elapsed();
    match found {
        Found::Frontier(frontier) => answer(args, scenario, &problem, &frontier, elapsed),
        Found::Infeasible(why) => {
            let remedies = flow::ways_out(scenario, options, elapsed);
            Ok(if args.output.json {
                Answer::json(&json::infeasible(scenario, &problem, &why, &remedies), false)
            } else {
                Answer::new(report::infeasible(scenario, &problem, &why, &remedies), false)
            })
        }
        Found::Unknown(limit) => Ok(if args.output.json {
            Answer::json(&json::unknown(limit), false)
        } else {
            Answer::new(unknown(limit), false)
        }),
    }
}

fn answer(
    args: &FrontierArgs,
    scenario: &Scenario,
    problem: &Problem,
    frontier: &Frontier,
    elapsed: Duration,
) -> Result<Answer, Error> {
    if let Some(path) = &args.output_file {
        write_atomically(path, &report::frontier_svg::draw(scenario, frontier))?;
    }
    Ok(if args.output.json {
        Answer::json(&print::json(problem, frontier, elapsed), true)
    } else {
        Answer::new(print::text(scenario, frontier, elapsed, width()), true)
    })
}
