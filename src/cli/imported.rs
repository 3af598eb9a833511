//! `apportion check --from`: another runtime's map, verified, priced, and put beside the optimum.

use apportion::error::Error;
use apportion::export::Options;
use apportion::files::read_text;
use apportion::import::{Question, import, named};
use apportion::report::{self, Imported};
use apportion::verify::{measure, verify};

use super::args::CheckArgs;
use super::flow::{self, Asked};
use super::{Answer, width};

/// Reads the map as an answer to the question that was typed, and asks it.
pub fn run(args: &CheckArgs, from: &str) -> Result<Answer, Error> {
    let importer = named(from)?;
    if args.model().is_none() {
        return Err(Error::new("read the map")
            .object(args.placement.display().to_string())
            .expected("--model MODEL, and the rest of the question as `apportion solve` reads it")
            .found("no model"));
    }
    let text = read_text(&args.placement, "read the map")?;
    let mut scenario = flow::scenario(&args.question)?;
    scenario.default_pins = false;
    let options = flow::options(&args.question.effort)?;
    let problem = scenario.problem()?;
    let source = args.placement.display().to_string();
    let called = args.llama_cpp.add(Options::default());
    let question = Question { scenario: &scenario, problem: &problem, options: &called };
    let map = import(importer, &text, &question).map_err(|error| error.object(&source))?;
    let wrong = verify(&problem, &map.placement).err().unwrap_or_default();
    let measured = measure(&problem, &map.placement).map_err(|wrong| {
        let first = wrong.first().map(ToString::to_string);
        Error::new("measure the map").found(first.unwrap_or_default())
    })?;
    let Asked { found, .. } =
        flow::on_threads(args.question.effort.threads, || flow::ask(&scenario, &options))?;
    let beside = Imported {
        source: &source,
        scenario: &scenario,
        problem: &problem,
        placement: &map.placement,
        measured: &measured,
        notes: &map.notes,
        violations: wrong.iter().map(ToString::to_string).collect(),
        found: &found,
    };
    let valid = beside.violations.is_empty();
    Ok(if args.output.json {
        Answer::json(&report::imported_json(&beside), valid)
    } else {
        Answer::new(report::imported(&beside, width()), valid)
    })
}
