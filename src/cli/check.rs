//! `apportion check`: a placement file, verified from scratch.

use std::path::Path;

use apportion::certificate::Certificate;
use apportion::error::{Error, printable};
use apportion::files::read_text;
use apportion::migrate::Plan;
use apportion::model::Model;
use apportion::placement::{Difference, Record, differences, uncertified};
use apportion::problem::Problem;
use apportion::report::{self, json};
use apportion::verify::{Certified, Measured, Violation, prove, verify};

use super::args::CheckArgs;
use super::{Answer, imported, replay, width};

/// Reads the file, derives everything again, and says what differs.
pub fn run(args: &CheckArgs) -> Result<Answer, Error> {
    if let Some(from) = &args.from {
        return imported::run(args, from);
    }
    let source = args.placement.display().to_string();
    let text = read_text(&args.placement, "read the placement")?;
    if Plan::is_one(&text) {
        return replay::run(args, &text, &source);
    }
    let demanded = args.model().map(Model::resolve).transpose()?;
    let record = Record::from_yaml(&text, &source, demanded.as_ref())?;
    let problem = record.scenario.problem()?;
    let mut wrong = other_model(demanded.as_ref(), &record);
    let mut note = String::new();
    let measured = match verify(&problem, &record.placement(&problem)?) {
        Ok(measured) => {
            let found = differences(&record, &problem, &measured);
            wrong.extend(found.iter().map(Difference::to_string));
            Some(measured)
        }
        Err(violations) => {
            if violations.iter().any(|v| matches!(v, Violation::OverCapacity { .. })) {
                note = kept_by_runtime(&record, &problem)?;
            }
            wrong.extend(violations.iter().map(ToString::to_string));
            None
        }
    };
    let bounds = match &args.certificate {
        Some(path) => proven(path, &record, &problem, &mut wrong)?,
        None => claimed(&record),
    };
    let valid = wrong.is_empty();
    if args.output.json {
        return Ok(Answer::json(&json::check(&problem, measured.as_ref(), &bounds, &wrong), valid));
    }
    let text = match measured {
        Some(measured) if valid => {
            let certificate = args.certificate.as_deref();
            confirmed(&record, &problem, &measured, &source, &said(certificate, &bounds))?
        }
        _ => refused(&source, &wrong) + &note,
    };
    Ok(Answer::new(text, valid))
}

fn other_model(demanded: Option<&Model>, record: &Record) -> Vec<String> {
    let solved_for = &record.scenario.model;
    let other = demanded.filter(|model| model.fingerprint != solved_for.fingerprint);
    let line = |model: &Model| {
        format!(
            "model: the file was solved for another model, `{}` and not `{}`",
            solved_for.name, model.name
        )
    };
    other.map(line).into_iter().collect()
}

fn confirmed(
    record: &Record,
    problem: &Problem,
    measured: &Measured,
    source: &str,
    bounds: &str,
) -> Result<String, Error> {
    let placement = record.placement(problem)?;
    let name = printable(source);
    let holdings = report::holdings(problem, &placement, measured, width());
    Ok(format!(
        "valid: `{name}` respects every constraint and its figures are right\n\
         {bounds}\n{}\n{holdings}",
        report::question(&record.scenario)
    ))
}

/// The bounds as the file has them, for which there is the solver's word only.
fn claimed(record: &Record) -> Vec<Certified> {
    let objectives = record.objectives.iter();
    objectives.map(|o| Certified { kind: o.kind(), claimed: o.bound, proven: None }).collect()
}

/// The bounds as a certificate proves them; what it does not bear out is added to `wrong`.
fn proven(
    path: &Path,
    record: &Record,
    problem: &Problem,
    wrong: &mut Vec<String>,
) -> Result<Vec<Certified>, Error> {
    let text = read_text(path, "read the certificate")?;
    let certificate = Certificate::from_yaml(&text, &path.display().to_string(), problem)?;
    match prove(problem, &certificate) {
        Ok(certified) => {
            let differences = uncertified(record, &certificate, &certified);
            wrong.extend(differences.iter().map(Difference::to_string));
            Ok(certified)
        }
        Err(error) => {
            wrong.push(error.to_string());
            Ok(claimed(record))
        }
    }
}

/// Whose word the bounds are.
fn said(certificate: Option<&Path>, bounds: &[Certified]) -> String {
    let table = report::certified(bounds);
    if let Some(path) = certificate {
        let name = path.display().to_string();
        return format!(
            "bounds by the certificate `{}`, verified here:\n{table}",
            printable(&name)
        );
    }
    format!("(bounds are the solver's word; `apportion solve` proves them again)\n{table}")
}

/// What the runtime itself keeps on a GPU: part of why a device is over its capacity.
fn kept_by_runtime(record: &Record, problem: &Problem) -> Result<String, Error> {
    let runtime = &record.scenario.load.runtime;
    let names = record.scenario.demand()?.per_device.names(problem.gpus().count());
    if names.is_empty() {
        return Ok(String::new());
    }
    Ok(format!("{} itself keeps on each GPU: {}\n", printable(runtime.name()), names.join(", ")))
}

fn refused(source: &str, wrong: &[String]) -> String {
    let lines = wrong.iter().map(|line| format!("  {}\n", printable(line)));
    format!("refused: `{}`\n{}", printable(source), lines.collect::<String>())
}
