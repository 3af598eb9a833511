//! What `export` prints beside what it writes: the consumers, and what a projection costs.

use serde_json::{Value, json};

use super::{Align, Table, decimal, objective_value, plural, wrap};
use crate::export::{Exporter, Options, all};
use crate::problem::{ObjectiveKind, Problem};
use crate::units::format_bytes;
use crate::verify::Measured;

/// A map before and after its units were made whole.
#[derive(Clone, Copy, Debug)]
pub struct Projection<'a> {
    /// What both are placements of.
    pub problem: &'a Problem,
    /// The map that was solved for.
    pub before: &'a Measured,
    /// The one that is exported.
    pub after: &'a Measured,
    /// Components whose device differs.
    pub moved: usize,
}

/// The finest unit a consumer can place on its own.
fn unit(exporter: &dyn Exporter) -> &'static str {
    match exporter.unit(&Options::default()) {
        Ok(Some(unit)) => unit.name(),
        Ok(None) | Err(_) => "any",
    }
}

/// A line per consumer.
pub fn consumers(width: usize) -> String {
    let columns = [("consumer", Align::Left), ("unit", Align::Left), ("writes", Align::Left)];
    let mut table = Table::new(&columns);
    let named: usize = all().iter().map(|e| e.name().len()).max().unwrap_or(0);
    let units = all().iter().map(|&e| unit(e).len()).max().unwrap_or(0);
    let room = width.saturating_sub(named + units + 4).max(20);
    for exporter in all() {
        let mut cells = [exporter.name().to_owned(), unit(exporter).replace('_', "-")];
        for line in wrap(exporter.about(), room).lines() {
            table.row(cells.iter().cloned().chain([line.trim_start().to_owned()]));
            cells = [String::new(), String::new()];
        }
    }
    table.render()
}

/// The same for programs.
pub fn consumers_json() -> Value {
    let consumer = |exporter: &'static dyn Exporter| {
        json!({
            "name": exporter.name(),
            "unit": unit(exporter),
            "writes": exporter.about(),
            "options": exporter.options(),
            "replicated_attention": exporter.replicated(),
        })
    };
    json!({ "consumers": all().into_iter().map(consumer).collect::<Vec<_>>() })
}

/// The objectives of the question, then devices, each before and after.
pub fn projection(projection: &Projection<'_>) -> String {
    let Projection { problem, before, after, moved } = projection;
    let moved = plural(u64::try_from(*moved).unwrap_or(u64::MAX), "component");
    let columns = [("", Align::Left), ("solved", Align::Right), ("projected", Align::Right)];
    let mut table = Table::new(&columns);
    for kind in kinds(problem) {
        let value = |measured: &Measured| objective_value(kind, measured.value(kind));
        table.row([kind.name().to_owned(), value(before), value(after)]);
    }
    let transfers = |measured: &Measured| decimal(measured.traffic.expected_transfers_per_token());
    if !problem.is_replicated() {
        table.row(["transfers per token".to_owned(), transfers(before), transfers(after)]);
    }
    let used = before.devices.iter().zip(&after.devices);
    for (device, (before, after)) in problem.devices.iter().zip(used) {
        let bytes = [before.used_bytes, after.used_bytes].map(format_bytes);
        table.row([format!("used on {}", device.id)].into_iter().chain(bytes));
    }
    format!("projected: {moved} moved, which costs\n{}", table.render())
}

fn kinds(problem: &Problem) -> impl Iterator<Item = ObjectiveKind> {
    problem.objectives.iter().map(|objective| objective.kind)
}

/// The same for programs.
pub fn projection_json(projection: &Projection<'_>) -> Value {
    let Projection { problem, before, after, moved } = projection;
    let objective = |kind: ObjectiveKind| {
        let [before, after] =
            [before, after].map(|measured| super::json::number(measured.value(kind)));
        json!({ "name": kind.name(), "before": before, "after": after })
    };
    let device = |index: usize| {
        json!({
            "name": problem.devices[index].id,
            "before_bytes": before.devices[index].used_bytes,
            "after_bytes": after.devices[index].used_bytes,
        })
    };
    json!({
        "moved": moved,
        "objectives": kinds(problem).map(objective).collect::<Vec<_>>(),
        "devices": (0..problem.devices.len()).map(device).collect::<Vec<_>>(),
    })
}
