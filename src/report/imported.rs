//! What `check --from` prints: what is wrong with a map, what it is worth, and what the optimum would save.

use serde_json::{Value, json};

use super::{Align, Table, decimal, holdings, objective_value, question, wrap};
use crate::error::printable;
use crate::objective::{Unit, law};
use crate::placement::{Placement, Status};
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};
use crate::scenario::Scenario;
use crate::sweep::Found;
use crate::units::{Ratio, format_bytes, format_time};
use crate::verify::Measured;

/// A map that was made elsewhere, and the answer to the same question.
#[derive(Clone, Debug)]
pub struct Imported<'a> {
    /// Its file.
    pub source: &'a str,
    /// The question.
    pub scenario: &'a Scenario,
    /// The problem it states.
    pub problem: &'a Problem,
    /// The map.
    pub placement: &'a Placement,
    /// What it is worth, valid or not.
    pub measured: &'a Measured,
    /// What is odd about it.
    pub notes: &'a [String],
    /// What it violates.
    pub violations: Vec<String>,
    /// The optimum, or why there is none.
    pub found: &'a Found,
}

impl Imported<'_> {
    fn optimum(&self) -> Option<(Status, &Measured)> {
        match self.found {
            Found::Placed(solved, measured) => Some((Status::of(solved), measured)),
            Found::Infeasible(_) | Found::Unknown(_) => None,
        }
    }

    fn kinds(&self) -> impl Iterator<Item = ObjectiveKind> {
        self.problem.objectives.iter().map(|objective| objective.kind)
    }
}

/// As text.
pub fn imported(imported: &Imported<'_>, width: usize) -> String {
    let Imported { source, scenario, problem, placement, measured, notes, violations, .. } =
        imported;
    let name = printable(source);
    let mut text = if violations.is_empty() {
        format!("valid: `{name}` respects every constraint\n")
    } else {
        let lines = violations.iter().map(|line| format!("  {}\n", printable(line)));
        format!("refused: `{name}`\n{}", lines.collect::<String>())
    };
    text.extend(notes.iter().map(|note| wrap(&format!("note: {}", printable(note)), width)));
    text.push_str(&question(scenario));
    text.push('\n');
    text.push_str(&holdings(problem, placement, measured, width));
    text.push('\n');
    text.push_str(&beside(imported));
    text
}

/// The map beside the optimum.
fn beside(imported: &Imported<'_>) -> String {
    let Imported { problem, measured, .. } = imported;
    let Some((status, best)) = imported.optimum() else {
        return match imported.found {
            Found::Infeasible(_) => {
                "infeasible: no placement satisfies the constraints; `solve` says why\n".to_owned()
            }
            _ => "unknown: a limit was reached before a placement was found\n".to_owned(),
        };
    };
    let columns = [
        ("", Align::Left),
        ("this map", Align::Right),
        (status.name(), Align::Right),
        ("saved", Align::Right),
    ];
    let mut table = Table::new(&columns);
    for kind in imported.kinds() {
        let [here, there] = [measured.value(kind), best.value(kind)];
        let cells = [here, there].map(|value| objective_value(kind, value));
        let saved = saved(kind, here, there);
        table.row([kind.name().to_owned()].into_iter().chain(cells).chain([saved]));
    }
    let transfers = [*measured, best].map(|m| m.traffic.expected_transfers_per_token());
    let cells = transfers.map(decimal);
    let saved = ratio_saved(transfers[0], transfers[1], 1, "");
    table.row(["transfers per token".to_owned()].into_iter().chain(cells).chain([saved]));
    for (index, device) in problem.devices.iter().enumerate() {
        let cells = [*measured, best].map(|m| format_bytes(m.devices[index].used_bytes));
        table.row([format!("used on {}", device.id)].into_iter().chain(cells));
    }
    table.render()
}

/// What is saved, with a minus where the optimum takes more of it for what is above.
fn saved(kind: ObjectiveKind, here: ObjectiveValue, there: ObjectiveValue) -> String {
    use ObjectiveValue::{Bytes, Count, Ratio, Time};
    match (here, there) {
        (Bytes(here), Bytes(there)) => signed(here, there, format_bytes),
        (Time(here), Time(there)) => signed(here, there, format_time),
        (Count(here), Count(there)) => signed(here, there, |count| count.to_string()),
        (Ratio(here), Ratio(there)) if law(kind).unit() == Unit::Share => {
            ratio_saved(here, there, 100, " points")
        }
        (Ratio(here), Ratio(there)) => ratio_saved(here, there, 1, ""),
        _ => String::new(),
    }
}

fn signed(here: u64, there: u64, text: impl Fn(u64) -> String) -> String {
    let minus = if there > here { "-" } else { "" };
    format!("{minus}{}", text(here.abs_diff(there)))
}

/// The difference of two ratios times a factor, in two decimals.
fn ratio_saved(here: Ratio, there: Ratio, factor: u32, unit: &str) -> String {
    let scaled = |ratio: Ratio| ratio.as_f64() * f64::from(factor);
    let difference = scaled(here) - scaled(there);
    // What rounds to nothing has no sign.
    let shown = if difference.abs() < 0.005 { 0.0 } else { difference };
    format!("{shown:.2}{unit}")
}

/// The same for programs.
pub fn imported_json(imported: &Imported<'_>) -> Value {
    let Imported { problem, placement, measured, notes, violations, .. } = imported;
    let best = imported.optimum();
    let objective = |kind: ObjectiveKind| {
        json!({
            "name": kind.name(),
            "map": super::json::number(measured.value(kind)),
            "optimum": best.map(|(_, best)| super::json::number(best.value(kind))),
        })
    };
    let transfers = |measured: &Measured| measured.traffic.expected_transfers_per_token().as_f64();
    let homes = problem.components.iter().zip(&placement.device_of);
    let homes: serde_json::Map<String, Value> = homes
        .map(|(c, &device)| (c.demand.id.to_string(), json!(problem.devices[device].id)))
        .collect();
    json!({
        "status": if violations.is_empty() { "valid" } else { "refused" },
        "violations": violations,
        "notes": notes,
        "objectives": imported.kinds().map(objective).collect::<Vec<_>>(),
        "expected_transfers_per_token": {
            "map": transfers(measured),
            "optimum": best.map(|(_, best)| transfers(best)),
        },
        "devices": super::json::devices(problem, measured),
        "optimum": match imported.found {
            Found::Placed(..) => json!({
                "status": best.map(|(status, _)| status.name()),
                "devices": best.map(|(_, best)| super::json::devices(problem, best)),
            }),
            Found::Infeasible(_) => json!({ "status": "infeasible" }),
            Found::Unknown(_) => json!({ "status": "unknown" }),
        },
        "placement": homes,
    })
}
