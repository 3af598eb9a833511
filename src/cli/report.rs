//! `apportion report`: a placement as a page or a picture.

use std::path::Path;

use apportion::baseline;
use apportion::error::Error;
use apportion::files::{check_not_input, check_target, read_text, write_atomically};
use apportion::migrate::Plan;
use apportion::model::Model;
use apportion::placement::{Difference, Placement, Record, differences};
use apportion::problem::Problem;
use apportion::report::json;
use apportion::report::page::{self, Page, Replay};
use apportion::simulate::{AllocatorKind, Choices, Machine, Order, Script, replay};
use apportion::verify::{Measured, verify};

use super::args::{PictureArg, ReportArgs};
use super::{Answer, check, say};

/// Verifies the file, then draws it; what is refused is not drawn.
pub fn run(args: &ReportArgs) -> Result<Answer, Error> {
    let kind = kind(args)?;
    if let Some(path) = &args.output_file {
        check_target(path)?;
        check_not_input(path, &args.placement)?;
    }
    let source = args.placement.display().to_string();
    let text = read_text(&args.placement, "read the placement")?;
    if Plan::is_one(&text) {
        return Err(Error::new("draw the placement")
            .object(source)
            .expected("a placement file")
            .found("a migration plan"));
    }
    let demanded = args.model.as_deref().map(Model::resolve).transpose()?;
    let record = Record::from_yaml(&text, &source, demanded.as_ref())?;
    let problem = record.scenario.problem()?;
    let placement = record.placement(&problem)?;
    let mut wrong = check::other_model(demanded.as_ref(), &record);
    let measured = verified(&record, &problem, &placement, &mut wrong);
    let Some(measured) = measured.filter(|_| wrong.is_empty()) else {
        return Ok(if args.output.json {
            Answer::json(&json::check(&problem, None, &[], &wrong), false)
        } else {
            Answer::new(check::refused(&source, &wrong), false)
        });
    };
    let drawn = Page {
        record: &record,
        problem: &problem,
        placement: &placement,
        measured: &measured,
        baselines: &baseline::compare(&problem),
        replay: &replayed(&record),
    };
    answer(args, &drawn, kind)
}

/// What was measured, as long as the map respects every constraint; what is not so is added to `wrong`.
fn verified(
    record: &Record,
    problem: &Problem,
    placement: &Placement,
    wrong: &mut Vec<String>,
) -> Option<Measured> {
    match verify(problem, placement) {
        Ok(measured) => {
            let found = differences(record, problem, &measured);
            wrong.extend(found.iter().map(Difference::to_string));
            Some(measured)
        }
        Err(violations) => {
            wrong.extend(violations.iter().map(ToString::to_string));
            None
        }
    }
}

fn answer(args: &ReportArgs, page: &Page<'_>, kind: PictureArg) -> Result<Answer, Error> {
    let picture = || match kind {
        PictureArg::Html => page::html(page),
        PictureArg::Svg => page::svg(page),
    };
    if let Some(path) = &args.output_file {
        write_atomically(path, &picture())?;
    }
    Ok(match (&args.output_file, args.output.json) {
        (_, true) => Answer::json(&page::json(page), true),
        (Some(path), false) => {
            say(&format!("wrote `{}`", apportion::error::printable(&path.display().to_string())));
            Answer::new(String::new(), true)
        }
        (None, false) => Answer::new(picture(), true),
    })
}

/// As asked, or as the name of the file ends.
fn kind(args: &ReportArgs) -> Result<PictureArg, Error> {
    let Some(path) = &args.output_file else { return Ok(args.format.unwrap_or(PictureArg::Html)) };
    let named = named(path);
    match (args.format, named) {
        (Some(format), named) if named.is_none_or(|named| named == format) => Ok(format),
        (None, Some(named)) => Ok(named),
        (format, _) => {
            let expected = match format {
                None => "a name that ends in .html or .svg, or --format",
                Some(PictureArg::Html) => "a name that does not end in .svg",
                Some(PictureArg::Svg) => "a name that does not end in .html",
            };
            Err(Error::new("draw the placement")
                .object(path.display().to_string())
                .expected(expected)
                .found("another"))
        }
    }
}

fn named(path: &Path) -> Option<PictureArg> {
    let ending = path.extension()?.to_ascii_lowercase();
    match ending.to_str()? {
        "html" | "htm" => Some(PictureArg::Html),
        "svg" => Some(PictureArg::Svg),
        _ => None,
    }
}

/// The load as the record's own runtime does it; what cannot be replayed is said in the page.
fn replayed(record: &Record) -> Replay {
    let load = &record.scenario.load;
    let choices = Choices {
        allocator: AllocatorKind::of(&load.runtime),
        order: Order::Checkpoint,
        warm_up: false,
        decode: Choices::DECODE_DEFAULT.min(load.context.saturating_sub(1)),
    };
    let machines = Machine::of(record);
    match Script::of(record, &record.scenario, &machines, &choices) {
        Ok(script) => {
            let simulation = replay(&script, &machines, choices.allocator);
            Replay::Done { choices, simulation }
        }
        Err(error) => Replay::Missing(error.to_string()),
    }
}
