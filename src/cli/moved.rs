//! Placements on the way to the next one: plans and journals as `load`, `generate` and `profile` read them.

use std::path::Path;

use apportion::error::Error;
use apportion::files::{is_missing, read_text};
use apportion::load::devices::Planned;
use apportion::load::manifest::Manifest;
use apportion::load::migrate::{Position, Route};
use apportion::migrate::Plan;
use apportion::model::Model;
use apportion::placement::Record;

use super::args::RuntimeArgs;

/// Where a model is to be loaded on the way.
pub struct OnTheWay {
    pub plan: Plan,
    pub route: Route,
    /// Steps that are done.
    pub done: usize,
}

/// Reads a plan.
pub fn plan(path: &Path, model: &Model) -> Result<Plan, Error> {
    let source = path.display().to_string();
    let text = read_text(path, "read the migration plan")?;
    Plan::from_yaml(&text, &source, Some(model))
}

/// What `--plan` and `--journal` say; `None` without them. A journal that is about to be written need not be there.
pub fn on_the_way(
    args: &RuntimeArgs,
    migrates: bool,
    record: &Record,
    model: &Model,
) -> Result<Option<OnTheWay>, Error> {
    let Some(path) = &args.plan else {
        if args.journal.is_some() && !migrates {
            return Err(Error::new("use --journal")
                .expected("the plan it is about, with --plan")
                .found("no plan"));
        }
        return Ok(None);
    };
    let plan = plan(path, model)?;
    let from = &plan.from;
    if (&from.problem, &from.homes) != (&record.problem, &record.homes) {
        return Err(Error::new("use the migration plan")
            .object(path.display().to_string())
            .expected("one that begins with the placement")
            .found("one that begins with another")
            .hint("name the placement that the model was loaded with before it moved"));
    }
    let route = Route::of(&plan).map_err(|error| error.object(path.display().to_string()))?;
    let done = match &args.journal {
        Some(journal) if !(migrates && is_missing(journal)) => Position::read(journal, &plan)?.done,
        _ => 0,
    };
    Ok(Some(OnTheWay { plan, route, done }))
}

impl OnTheWay {
    /// What the map puts on each device; the manifest follows it.
    pub fn apply(&self, manifest: &mut Manifest) -> Result<Vec<Planned>, Error> {
        manifest.rehome(&self.route.homes(&self.plan, self.done)?);
        Planned::after(&self.plan, &self.route, self.done)
    }
}
