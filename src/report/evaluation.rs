//! What `evaluate` prints: what a placement was worth, and what it is worth now.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Align, Table, objective_value, question, solution};
use crate::error::printable;
use crate::problem::{ObjectiveKind, ObjectiveValue};
use crate::routing::Statistics;
use crate::routing::draws::kind;
use crate::scenario::Scenario;

/// A placement under other circumstances.
#[derive(Clone, Debug)]
pub struct Evaluation<'a> {
    /// The circumstances.
    pub scenario: &'a Scenario,
    /// The placement file.
    pub source: &'a str,
    /// Values under the circumstances it was solved for.
    pub recorded: Vec<(ObjectiveKind, ObjectiveValue)>,
    /// Values now, under the statistics it was solved for.
    pub now: Vec<(ObjectiveKind, ObjectiveValue)>,
    /// Values now, under other statistics.
    pub samples: Vec<Sample>,
    /// What it violates now.
    pub violations: Vec<String>,
}

/// What depends on routing, under the statistics of one file.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The file's name.
    pub name: String,
    /// What it holds.
    pub statistics: Arc<Statistics>,
    /// Values.
    pub values: Vec<(ObjectiveKind, ObjectiveValue)>,
}

impl Evaluation<'_> {
    /// Objectives that have a value then or now.
    fn kinds(&self) -> Vec<ObjectiveKind> {
        let mut kinds: Vec<ObjectiveKind> =
            self.recorded.iter().chain(&self.now).map(|&(kind, _)| kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}

fn value(
    values: &[(ObjectiveKind, ObjectiveValue)],
    kind: ObjectiveKind,
) -> Option<ObjectiveValue> {
    values.iter().find(|(other, _)| *other == kind).map(|&(_, value)| value)
}

/// A row per objective, a column per set of circumstances.
pub fn evaluation(evaluation: &Evaluation<'_>) -> String {
    let Evaluation { scenario, source, recorded, now, samples, violations } = evaluation;
    let name = printable(source);
    let mut text = if violations.is_empty() {
        format!("`{name}` fits\n")
    } else {
        let lines = violations.iter().map(|line| format!("  {}\n", printable(line)));
        format!("`{name}` does not fit\n{}", lines.collect::<String>())
    };
    text.push_str(&question(scenario));
    text.extend(samples.iter().map(|sample| {
        let said = solution::routing(&sample.statistics, scenario.load.batch);
        format!("{}: {said}\n", printable(&sample.name))
    }));
    text.push('\n');
    let names: Vec<String> = samples.iter().map(|sample| printable(&sample.name)).collect();
    let mut columns = vec![("objective", Align::Left), ("recorded", Align::Right)];
    columns.push(("now", Align::Right));
    columns.extend(names.iter().map(|name| (name.as_str(), Align::Right)));
    let mut table = Table::new(&columns);
    for kind in evaluation.kinds() {
        let cell = |values: &[(ObjectiveKind, ObjectiveValue)]| {
            value(values, kind).map_or_else(String::new, |value| objective_value(kind, value))
        };
        let cells = [kind.name().to_owned(), cell(recorded), cell(now)];
        table.row(cells.into_iter().chain(samples.iter().map(|sample| cell(&sample.values))));
    }
    text + &table.render()
}

/// The same for programs: `null` where an objective has no value.
pub fn evaluation_json(evaluation: &Evaluation<'_>) -> Value {
    let Evaluation { scenario, recorded, now, samples, violations, .. } = evaluation;
    let number = |values: &[(ObjectiveKind, ObjectiveValue)], kind: ObjectiveKind| {
        value(values, kind).map(super::json::number)
    };
    let objective = |kind: ObjectiveKind| {
        json!({
            "name": kind.name(),
            "recorded": number(recorded, kind),
            "now": number(now, kind),
            "routing": samples.iter().map(|s| number(&s.values, kind)).collect::<Vec<_>>(),
        })
    };
    let sample = |sample: &Sample| {
        json!({
            "file": sample.name,
            "text": sample.statistics.text,
            "tokens": sample.statistics.tokens,
            "kind": kind(Some(&sample.statistics), scenario.load.batch).name(),
        })
    };
    json!({
        "status": if violations.is_empty() { "fits" } else { "violated" },
        "violations": violations,
        "routing": samples.iter().map(sample).collect::<Vec<_>>(),
        "objectives": evaluation.kinds().into_iter().map(objective).collect::<Vec<_>>(),
    })
}
