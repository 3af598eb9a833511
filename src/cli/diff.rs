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
        let record = Record::from_yaml(&text, &path.display().to_string(), model.as_ref())?;
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
