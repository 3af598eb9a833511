//! `apportion reconcile`: predicted against what a checkpoint's headers list.

use std::path::Path;

use apportion::error::Error;
use apportion::model::Model;
use apportion::quant::Scheme;
use apportion::reconcile::{likely_scheme, reconcile};
use apportion::report::{self, json};

use super::args::ReconcileArgs;
use super::{Answer, say};

/// Reads both sides, compares them and prints what differs.
pub fn run(args: &ReconcileArgs) -> Result<Answer, Error> {
    let model = Model::resolve(&args.model)?;
    let files = match &args.with {
        Some(path) => Some(Model::from_files(Path::new(path))?),
        None => None,
    };
    let source = files.as_ref().unwrap_or(&model);
    for notice in &source.notices {
        say(&format!("note: {notice}"));
    }
    let found = source.found.as_ref().ok_or_else(|| {
        Error::new("reconcile")
            .object(&args.model)
            .expected("files to compare with")
            .found("a model without weights")
            .hint("--with FILES, a checkpoint")
    })?;
    let scheme = match &args.quant {
        Some(name) => Scheme::parse(name)?,
        None => likely_scheme(&model, source)?,
    };
    let reconciliation = reconcile(&model, &scheme, found)?;
    let agrees = reconciliation.agrees();
    if args.output.json {
        return Ok(Answer::json(&json::reconciliation(&model, &reconciliation), agrees));
    }
    Ok(Answer::new(report::reconciliation(&model, &reconciliation), agrees))
}
