//! Asks the cases: a question is planned and verified as `solve` does, a placement file checked and solved
//! again; then what came of it is judged.

use std::path::PathBuf;

use rayon::prelude::*;
use serde_json::{Map, Value};

use super::facts;
use super::fields::{Fields, kind};
use super::judge::{self, Amount, Difference, Item, Relation};
use super::question::{self, EFFORT, KEYS, Models};
use super::read::{Case, Expectations};
use super::stated;
use super::wanted;
use super::why::{self, Reason};
use crate::error::Error;
use crate::files::read_text;
use crate::placement::{self, DeviceRecord, Line, ObjectiveRecord, Record, lines};
use crate::plan::Options;
use crate::problem::Problem;
use crate::scenario::{Scenario, fingerprint};
use crate::sweep::{Found, answer};
use crate::verify::verify;

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The name of the case.
    pub name: String,
    /// Whether it holds.
    pub verdict: Verdict,
    /// The answer there is now; `None` of a broken case.
    pub now: Option<Now>,
    /// Where it stands in the file.
    pub(super) index: usize,
    /// What the file is to say instead, where it can be rewritten.
    pub(super) wanted: Option<Rewrite>,
}

/// What `--update` would write.
#[derive(Clone, Debug)]
pub(super) enum Rewrite {
    /// The value of `expect`.
    Expect(Map<String, Value>),
    /// A placement file, by its path, with its new text.
    Placement(PathBuf, String),
}

/// Whether a case holds.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Everything that is expected is so.
    Holds,
    /// Something is not.
    Differs {
        /// What, in the order of the file.
        differences: Vec<Difference>,
        /// Why, as far as what was recorded tells.
        reasons: Vec<Reason>,
    },
    /// Nothing is expected yet, and that must not look like something that holds.
    Empty,
    /// It could not be asked or judged.
    Broken(Broken),
}

/// Why a case could not be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The message, with file, case and key.
    pub message: String,
    /// The next thing to try.
    pub hint: Option<String>,
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self { message: error.to_string(), hint: error.hint_text().map(str::to_owned) }
    }
}

/// An answer as far as it can be expected.
#[derive(Clone, Debug)]
pub struct Now {
    /// `optimal`, `feasible`, `infeasible` or `unknown`.
    pub status: &'static str,
    /// One per objective; none without a placement.
    pub objectives: Vec<ObjectiveRecord>,
    /// One per device; none without a placement.
    pub devices: Vec<DeviceRecord>,
    /// The lines of the map with the names of their devices; none without a placement.
    pub map: Vec<(String, String)>,
    /// SHA-256 over the problem.
    pub problem: String,
    /// Branch-and-bound nodes; 0 without a placement.
    pub nodes: u64,
    /// What explains a later difference.
    pub facts: Map<String, Value>,
}

impl Now {
    /// Asks and records.
    fn of(scenario: &Scenario, problem: &Problem, options: &Options) -> Result<Self, Error> {
        Ok(Self::found(scenario, problem, &answer(problem, options)?).0)
    }

    /// What is to be kept of an answer, and its record where there is a placement.
    fn found(scenario: &Scenario, problem: &Problem, found: &Found) -> (Self, Option<Record>) {
        let record = match found {
            Found::Placed(solved, measured) => {
                Some(Record::of(scenario, problem, solved, measured))
            }
            _ => None,
        };
        let status = match (found, &record) {
            (_, Some(record)) => record.status.name(),
            (Found::Infeasible(_), _) => "infeasible",
            _ => "unknown",
        };
        let id = |line: Line| (line.name, scenario.hardware.devices[line.device].id.clone());
        let mut now = Self {
            status,
            objectives: record.as_ref().map_or_else(Vec::new, |r| r.objectives.clone()),
            devices: record.as_ref().map_or_else(Vec::new, |r| r.devices.clone()),
            map: record
                .as_ref()
                .map_or_else(Vec::new, |r| lines(&r.homes).into_iter().map(id).collect()),
            problem: fingerprint(problem),
            nodes: record.as_ref().map_or(0, |record| record.nodes),
            facts: Map::new(),
        };
        now.facts = facts::of(scenario, problem, &now);
        (now, record)
    }

    /// SHA-256 over the lines of the map, `name: device`, each ended; in hex.
    pub fn map_digest(&self) -> String {
        facts::digest_of_map(&self.map)
    }
}

impl Expectations {
    /// Asks every case; outcomes come in the order of the file, whoever finishes first. `done` is called once
    /// per case, from any thread.
    pub fn run(&self, done: &(dyn Fn() + Sync)) -> Vec<Outcome> {
        let models = Models::default();
        let ask = |case: &Case| {
            let outcome = self.ask(case, &models);
            done();
            outcome
        };
        self.cases.par_iter().map(ask).collect()
    }

    fn ask(&self, case: &Case, models: &Models) -> Outcome {
        let (name, index) = (case.name.clone(), case.index);
        let asked = match &case.keys {
            Ok(keys) => self.judged(case, keys, models).map_err(Broken::from),
            Err((message, hint)) => Err(Broken { message: message.clone(), hint: hint.clone() }),
        };
        match asked {
            Ok((verdict, now, wanted)) => Outcome { name, verdict, now: Some(now), index, wanted },
            Err(broken) => {
                Outcome { name, verdict: Verdict::Broken(broken), now: None, index, wanted: None }
            }
        }
    }

    fn judged(
        &self,
        case: &Case,
        keys: &Map<String, Value>,
        models: &Models,
    ) -> Result<(Verdict, Now, Option<Rewrite>), Error> {
        let place = format!("case `{}` of `{}`", case.name, self.source);
        if keys.contains_key("placement") {
            return self.placement(&place, keys);
        }
        let all = question::with_defaults(&self.defaults, keys);
        let known: Vec<&str> = KEYS.into_iter().chain(["name", "expect", "placement"]).collect();
        let fields = Fields::new(&place, &all, &known)?;
        let expect = expected(&fields)?;
        judge::check(&fields, &expect)?;
        let options = question::options(&fields)?;
        let scenario = question::scenario(&fields, &self.folder, models)?;
        let at = |error: Error| error.place(place.clone());
        let now = Now::of(&scenario, &scenario.problem().map_err(at)?, &options).map_err(at)?;
        let items = judge::items(&fields, &expect, &now)?;
        let rewrite = Some(Rewrite::Expect(wanted::wanted(&expect, &items, &now)));
        if items.is_empty() {
            return Ok((Verdict::Empty, now, rewrite));
        }
        let differences: Vec<Difference> = items.into_iter().filter_map(Item::difference).collect();
        let verdict = if differences.is_empty() {
            Verdict::Holds
        } else {
            let recorded = expect.get("facts").and_then(Value::as_object);
            let reasons = why::reasons(recorded, &now, &differences);
            Verdict::Differs { differences, reasons }
        };
        Ok((verdict, now, rewrite))
    }

    /// A placement file: valid, and what solving its question gives now.
    fn placement(
        &self,
        place: &str,
        keys: &Map<String, Value>,
    ) -> Result<(Verdict, Now, Option<Rewrite>), Error> {
        let effort = self.defaults.iter().filter(|(key, _)| EFFORT.contains(&key.as_str()));
        let mut all: Map<String, Value> =
            effort.map(|(key, value)| (key.clone(), value.clone())).collect();
        all.extend(keys.clone());
        let known: Vec<&str> = ["name", "placement", "model"].into_iter().chain(EFFORT).collect();
        let fields = Fields::new(place, &all, &known)?;
        let options = question::options(&fields)?;
        let name = fields.text("placement")?.unwrap_or_default();
        let path = self.folder.join(&name);
        let text = fields.at("placement", read_text(&path, "read the placement"))?;
        let demanded = fields.text("model")?;
        let demanded = demanded
            .map(|name| fields.at("model", question::model(&name, &self.folder)))
            .transpose()?;
        let source = path.display().to_string();
        let read = Record::from_yaml(&text, &source, demanded.as_ref());
        let record = fields.at("placement", read)?;
        let problem = fields.at("placement", record.scenario.problem())?;
        let mut differences = Vec::new();
        // Whatever is written, the file is still of another model than the one demanded.
        let mut is_other_model = false;
        if let Some(model) = demanded.filter(|m| m.fingerprint != record.scenario.model.fingerprint)
        {
            is_other_model = true;
            differences.push(Difference {
                key: "model".to_owned(),
                relation: Relation::Is,
                expected: Amount::Text(format!("`{}`", record.scenario.model.name)),
                found: Amount::Text(format!("`{}`, which has other tensors", model.name)),
            });
        }
        let wrong = untrue(&record, &problem)?;
        let is_untrue = !wrong.is_empty();
        let found = fields.at("placement", answer(&problem, &options))?;
        let (now, fresh) = Now::found(&record.scenario, &problem, &found);
        let other = judge::against_record(&record, &now);
        // What is said of a word of the file beside what solving gives is not said of its own map too.
        let is_said = |one: &Difference| {
            let key = one.key.trim_end_matches("_bytes").trim_end_matches(".value");
            one.relation == Relation::Is && other.iter().any(|other| other.key == key)
        };
        differences.extend(wrong.into_iter().filter(|one| !is_said(one)));
        differences.extend(other);
        let wanted = fresh
            .filter(|_| !is_other_model)
            .map(|fresh| fresh.to_yaml())
            .filter(|fresh| *fresh != text && !differences.is_empty())
            .map(|fresh| Rewrite::Placement(path, fresh));
        if differences.is_empty() {
            return Ok((Verdict::Holds, now, wanted));
        }
        let recorded = facts::of_record(&record);
        let other_problem = if record.problem == now.problem {
            Vec::new()
        } else {
            stated::reasons(&record, &problem)?
        };
        let reasons = (other_problem, is_untrue);
        let reasons = why::reasons_of_placement(&recorded, &now, reasons, &differences);
        Ok((Verdict::Differs { differences, reasons }, now, wanted))
    }
}

/// What `apportion check` finds wrong in a file.
fn untrue(record: &Record, problem: &Problem) -> Result<Vec<Difference>, Error> {
    let said = |key: String, expected: String, found: String| match found.strip_prefix("at most ") {
        None => Difference {
            key,
            relation: Relation::Is,
            expected: Amount::Text(expected),
            found: Amount::Text(found),
        },
        // What it should be is a limit that what it is goes beyond.
        Some(most) => Difference {
            key,
            relation: Relation::AtMost,
            expected: Amount::Text(most.to_owned()),
            found: Amount::Text(expected),
        },
    };
    Ok(match verify(problem, &record.placement(problem)?) {
        Ok(measured) => placement::differences(record, problem, &measured)
            .into_iter()
            .map(|one| said(one.place, one.recorded, one.recomputed))
            .collect(),
        Err(violations) => violations
            .iter()
            .map(|violation| {
                said("valid".to_owned(), "a valid placement".to_owned(), violation.to_string())
            })
            .collect(),
    })
}

/// What is expected; an empty map where that is still to be filled.
fn expected(fields: &Fields<'_>) -> Result<Map<String, Value>, Error> {
    match fields.value("expect") {
        Some(Value::Object(expect)) => Ok(expect.clone()),
        None if fields.is_said("expect") => Ok(Map::new()),
        None => Err(fields
            .refuse("expect")
            .expected("what must hold")
            .found("nothing")
            .hint("write `expect: {}`, and let `apportion ci --update` fill it")),
        Some(other) => Err(fields.refuse("expect").expected("a map of keys").found(kind(other))),
    }
}
