//! `apportion diff`: how one placement differs from another, and what that costs and gains.

use std::path::Path;

use apportion::error::Error;
use apportion::files::read_text;
use apportion::model::Model;
use apportion::placement::{Diff, Record, Side};
use apportion::report::{self, Compared};

use super::args::DiffArgs;
use super::{Answer, evaluate, width};

/// Reads both, derives everything again, compares.
pub fn run(args: &DiffArgs) -> Result<Answer, Error> {
    let model = args.model.as_deref().map(Model::resolve).transpose()?;
    let read = |path: &Path| {
        let text = read_text(path, "read the placement")?;
        let source = path.display().to_string();
        let record = Record::from_yaml(&text, &source, model.as_ref())?;
        // The option says what the files are about; it is not only for those that need it.
        if let Some(model) =
            model.as_ref().filter(|m| m.fingerprint != record.scenario.model.fingerprint)
        {
            return Err(Error::new("compare the placements")
                .object(source)
                .expected(format!("a placement of `{}`, as --model says", model.name))
                .found(format!("one of `{}`", record.scenario.model.name)));
        }
        let problem = record.scenario.problem()?;
        Ok::<_, Error>((record, problem))
    };
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let diff = Diff::of((&before.0, &before.1), (&after.0, &after.1))?;
    // A map of other components or devices has no value under the other question.
    let carried = if diff.same_question() {
        None
    } else {
        let stated = evaluate::stated(&before.0, &after.0.scenario).ok();
        stated.and_then(|(problem, placement)| Side::of(&problem, &placement).ok())
    };
    let names = [&args.before, &args.after].map(|path| path.display().to_string());
    let compared = Compared { names: [&names[0], &names[1]], diff: &diff, carried };
    let same = diff.is_empty();
    Ok(if args.output.json {
        Answer::json(&report::difference_json(&compared), same)
    } else {
        Answer::new(report::difference(&compared, width()), same)
    })
}
