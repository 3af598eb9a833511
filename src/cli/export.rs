//! `apportion export`: a verified placement in the words of another runtime.

use std::path::{Path, PathBuf};

use apportion::error::{Error, printable};
use apportion::export::{Export, Exporter, Options, Plan, Refusal, Stop};
use apportion::export::{command, export, named, project};
use apportion::files::{check_target, read_text, write_atomically};
use apportion::model::Model;
use apportion::placement::{Difference, Placement, Record, differences};
use apportion::problem::Problem;
use apportion::report::{self, Projection};
use apportion::verify::{Measured, Violation, verify};
use serde_json::{Value, json};

use super::args::ExportArgs;
use super::check::other_model;
use super::{Answer, say, width};

/// Verifies, projects where that is asked for, writes.
pub fn run(args: &ExportArgs) -> Result<Answer, Error> {
    if args.list {
        return Ok(if args.output.json {
            Answer::json(&report::consumers_json(), true)
        } else {
            Answer::new(report::consumers(width()), true)
        });
    }
    let (Some(path), Some(to)) = (&args.placement, &args.to) else {
        return Err(Error::new("export").expected("a placement and --to NAME"));
    };
    let exporter = named(to)?;
    let options = args.options();
    args.output_file.as_deref().map(check_target).transpose()?;
    let text = read_text(path, "read the placement")?;
    let model = args.model.as_deref().map(Model::resolve).transpose()?;
    let record = Record::from_yaml(&text, &path.display().to_string(), model.as_ref())?;
    let other = other_model(model.as_ref(), &record);
    if !other.is_empty() {
        return Ok(refused(args, "", &other, None));
    }
    let problem = record.scenario.problem()?;
    let placement = record.placement(&problem)?;
    let measured = match checked(&record, &problem, &placement) {
        Ok(measured) => measured,
        Err(wrong) => return Ok(refused(args, "", &wrong, None)),
    };
    let plan = Plan {
        scenario: &record.scenario,
        problem: &problem,
        placement: &placement,
        measured: &measured,
    };
    projected(args, exporter, &plan, &options)
}

/// What is wrong with the file, as `check` says it.
fn checked(
    record: &Record,
    problem: &Problem,
    placement: &Placement,
) -> Result<Measured, Vec<String>> {
    let measured = verify(problem, placement);
    let measured =
        measured.map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let wrong = differences(record, problem, &measured);
    let wrong: Vec<String> = wrong.iter().map(Difference::to_string).collect();
    if wrong.is_empty() { Ok(measured) } else { Err(wrong) }
}

/// With `--project` the map that the consumer can hold in the place of the recorded one.
fn projected(
    args: &ExportArgs,
    exporter: &dyn Exporter,
    plan: &Plan<'_>,
    options: &Options,
) -> Result<Answer, Error> {
    let other = if args.project { project(exporter, plan, options)? } else { None };
    let Some(placement) = other else {
        if args.project && !args.output.json {
            say("note: nothing had to be projected");
        }
        return written(args, exporter, plan, options, None);
    };
    let measured = match verify(plan.problem, &placement) {
        Ok(measured) => measured,
        Err(wrong) => {
            let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            let wishes = again(exporter, plan, options, &wrong);
            let again = (!wishes.is_empty()).then(|| command(plan.scenario, &wishes));
            let what = format!(", projected for {}", exporter.name());
            let answer = refused(args, &what, &lines, again);
            if !args.output.json {
                solve_again(plan, &wishes);
            }
            return Ok(answer);
        }
    };
    let projection = Projection {
        problem: plan.problem,
        before: plan.measured,
        after: &measured,
        moved: plan
            .placement
            .device_of
            .iter()
            .zip(&placement.device_of)
            .filter(|(a, b)| a != b)
            .count(),
    };
    let plan = Plan { placement: &placement, measured: &measured, ..*plan };
    written(args, exporter, &plan, options, Some(&projection))
}

fn written(
    args: &ExportArgs,
    exporter: &dyn Exporter,
    plan: &Plan<'_>,
    options: &Options,
    projection: Option<&Projection<'_>>,
) -> Result<Answer, Error> {
    let export = match export(exporter, plan, options) {
        Ok(export) => export,
        Err(Stop::Failed(error)) => return Err(error),
        Err(Stop::Refused(refusal)) => return Ok(unsayable(args, exporter, plan, &refusal)),
    };
    let files = files(args.output_file.as_deref(), &export);
    for (path, text) in &files {
        write_atomically(path, text)?;
    }
    if args.output.json {
        return Ok(Answer::json(&as_json(exporter, &export, projection), true));
    }
    if let Some(projection) = projection {
        say(report::projection(projection).trim_end());
    }
    for note in &export.notes {
        say(&format!("note: {}", printable(note)));
    }
    if args.output_file.is_some() {
        return Ok(Answer::new(String::new(), true));
    }
    for beside in &export.beside {
        say(&format!("note: with -o it also writes a file NAME.{}", beside.suffix));
    }
    Ok(Answer::new(export.text, true))
}

/// Every file to write, the main one last: who sees it finds the others there.
fn files<'a>(main: Option<&Path>, export: &'a Export) -> Vec<(PathBuf, &'a str)> {
    let Some(main) = main else { return Vec::new() };
    let beside = export.beside.iter().map(|b| (main.with_extension(b.suffix), b.text.as_str()));
    beside.chain([(main.to_owned(), export.text.as_str())]).collect()
}

fn as_json(exporter: &dyn Exporter, export: &Export, projection: Option<&Projection<'_>>) -> Value {
    let beside = export.beside.iter().map(|b| json!({ "suffix": b.suffix, "text": b.text }));
    json!({
        "status": "written",
        "to": exporter.name(),
        "text": export.text,
        "beside": beside.collect::<Vec<_>>(),
        "notes": export.notes,
        "projection": projection.map(report::projection_json),
    })
}

/// What to wish for so that nothing has to be projected: what the consumer needs, and where a default pin is in the
/// way none of these.
fn again(
    exporter: &dyn Exporter,
    plan: &Plan<'_>,
    options: &Options,
    wrong: &[Violation],
) -> Vec<String> {
    let mut wishes = match export(exporter, plan, options) {
        Err(Stop::Refused(refusal)) => refusal.wishes,
        _ => Vec::new(),
    };
    let default = |text: &String| plan.problem.rules.iter().any(|r| r.default && r.text == *text);
    let by_default = |violation: &Violation| match violation {
        Violation::NotAllowed { rule, .. } => rule.as_ref().is_some_and(default),
        _ => false,
    };
    if wrong.iter().any(by_default) {
        wishes.push("--free-default-pins".to_owned());
    }
    wishes
}

fn solve_again(plan: &Plan<'_>, wishes: &[String]) {
    if !wishes.is_empty() {
        let command = command(plan.scenario, wishes);
        say(&format!("solve again for it:\n  {command} -o placement.yaml"));
    }
}

/// The placement is not what it says, or its projection is none: then with the command that needs no projection.
fn refused(args: &ExportArgs, what: &str, wrong: &[String], again: Option<String>) -> Answer {
    const LISTED_MAX: usize = 8;
    if args.output.json {
        let mut value = json!({ "status": "refused", "differences": wrong });
        if let Some(again) = again {
            value["solve_again"] = again.into();
        }
        return Answer::json(&value, false);
    }
    let source = args.placement.as_ref().map(|path| path.display().to_string());
    say(&format!("refused: `{}`{what}", printable(&source.unwrap_or_default())));
    for line in wrong.iter().take(LISTED_MAX) {
        say(&format!("  {}", printable(line)));
    }
    if wrong.len() > LISTED_MAX {
        say(&format!("  and {} more", wrong.len() - LISTED_MAX));
    }
    Answer::new(String::new(), false)
}

/// The consumer cannot hold the map.
fn unsayable(
    args: &ExportArgs,
    exporter: &dyn Exporter,
    plan: &Plan<'_>,
    refusal: &Refusal,
) -> Answer {
    if args.output.json {
        let again = (!refusal.wishes.is_empty()).then(|| command(plan.scenario, &refusal.wishes));
        let value = json!({
            "status": "refused",
            "to": exporter.name(),
            "component": refusal.component.to_string(),
            "device": refusal.device,
            "reason": refusal.reason,
            "wishes": refusal.wishes,
            "solve_again": again,
            "can_project": refusal.can_project,
        });
        return Answer::json(&value, false);
    }
    say(&format!("refused: {}", refusal.sentence(exporter)));
    solve_again(plan, &refusal.wishes);
    if refusal.can_project {
        let or = if refusal.wishes.is_empty() { "" } else { "or " };
        say(&format!("{or}export with --project, which moves what has to be together"));
    }
    Answer::new(String::new(), false)
}
