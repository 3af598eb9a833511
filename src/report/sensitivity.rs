//! What more memory would buy, as a table and as JSON.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::{Align, Table, decimal, objective_value, percent, wrap};
use crate::error::printable;
use crate::objective::{Unit, law};
use crate::placement::limit_name;
use crate::plan::StageReport;
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};
use crate::sensitivity::{Trial, Verdict};
use crate::units::{Ratio, exact_size};

/// A row per change and objective; `now` is what holds without any, nothing where nothing fits.
pub fn text(
    problem: &Problem,
    extra_bytes: u64,
    now: &[StageReport],
    trials: &[Trial],
    width: usize,
) -> String {
    let mut table = Table::new(&[
        ("", Align::Left),
        ("objective", Align::Left),
        ("optimum", Align::Right),
        ("change", Align::Right),
        ("", Align::Left),
    ]);
    for stage in now {
        let who = if stage.kind == now[0].kind { "as it is" } else { "" };
        let proven = if stage.proven { "" } else { "not proven" };
        table.row([
            who.to_owned(),
            stage.kind.name().to_owned(),
            interval(stage),
            String::new(),
            proven.to_owned(),
        ]);
    }
    for trial in trials {
        rows(&mut table, problem, now, trial);
    }
    let mut text = format!("with {} more\n{}", exact_size(extra_bytes), table.render());
    if trials.iter().any(|trial| matches!(trial.verdict, Verdict::Solved(_))) && !now.is_empty() {
        text.push_str(&wrap(NOTE, width));
    }
    text
}

const NOTE: &str = "each was solved; the first objective never gets worse, a later one may where an \
                    earlier one's gain leaves it less room";

fn rows(table: &mut Table, problem: &Problem, now: &[StageReport], trial: &Trial) {
    let who = who(problem, trial);
    let stages = match &trial.verdict {
        Verdict::Solved(stages) => stages,
        Verdict::Infeasible => {
            return table.row([who, "does not fit".to_owned()]);
        }
        Verdict::Unknown(limit) => {
            return table.row([who, format!("unknown: limit {}", limit_name(*limit))]);
        }
    };
    for (index, stage) in stages.iter().enumerate() {
        let before = now.iter().find(|before| before.kind == stage.kind);
        table.row([
            if index == 0 { who.clone() } else { String::new() },
            stage.kind.name().to_owned(),
            interval(stage),
            before.map_or_else(|| "fits now".to_owned(), |before| change(before, stage)),
            if stage.proven { String::new() } else { "not proven".to_owned() },
        ]);
    }
}

/// `gpu0`, `gpu0 (or gpu1)`, `every GPU`.
fn who(problem: &Problem, trial: &Trial) -> String {
    let id = |&device: &usize| printable(&problem.devices[device].id);
    if trial.devices.len() > 1 {
        return "every GPU".to_owned();
    }
    let names: Vec<String> = trial.alike.iter().map(id).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [one, other] => format!("{one} (or {other})"),
        [one, .., last] => format!("{one} (or .. {last})"),
    }
}

/// The optimum, or what it lies between where it is not proven.
fn interval(stage: &StageReport) -> String {
    let of = |value| objective_value(stage.kind, value);
    if stage.proven {
        of(stage.optimum)
    } else {
        format!("{} .. {}", of(stage.bound), of(stage.optimum))
    }
}

/// How much the optimum changes; where one is not proven, the least and the most that it may.
fn change(before: &StageReport, after: &StageReport) -> String {
    let of = |from, to| difference(before.kind, from, to);
    if before.proven && after.proven {
        of(before.optimum, after.optimum)
    } else {
        let low = |stage: &StageReport| if stage.proven { stage.optimum } else { stage.bound };
        format!("{} .. {}", of(before.optimum, low(after)), of(low(before), after.optimum))
    }
}

/// `to - from` with its sign, in the unit people read; shares in percentage points.
fn difference(kind: ObjectiveKind, from: ObjectiveValue, to: ObjectiveValue) -> String {
    let sign = match to.cmp(&from) {
        Ordering::Less => "-",
        Ordering::Equal => "",
        Ordering::Greater => "+",
    };
    let size = match (law(kind).unit(), from, to) {
        // What is printed beside it is rounded to the same places.
        (Unit::Share, ObjectiveValue::Ratio(from), ObjectiveValue::Ratio(to)) => {
            percent(apart(from, to, 10_000)).replace(" %", " points")
        }
        (_, ObjectiveValue::Ratio(from), ObjectiveValue::Ratio(to)) => {
            decimal(apart(from, to, 1_000))
        }
        (_, ObjectiveValue::Bytes(from), ObjectiveValue::Bytes(to)) => {
            objective_value(kind, ObjectiveValue::Bytes(from.abs_diff(to)))
        }
        (_, ObjectiveValue::Count(from), ObjectiveValue::Count(to)) => {
            from.abs_diff(to).to_string()
        }
        // One objective has values of one kind.
        _ => String::new(),
    };
    format!("{sign}{size}")
}

/// How far two ratios are apart, both rounded to one over `parts`.
fn apart(a: Ratio, b: Ratio, parts: u64) -> Ratio {
    let rounded = |ratio: Ratio| ratio.floor_of(2 * parts).saturating_add(1) / 2;
    Ratio::new(rounded(a).abs_diff(rounded(b)), parts)
}

/// `sensitivity` in the JSON of `solve`.
pub fn json(problem: &Problem, extra_bytes: u64, trials: &[Trial]) -> Value {
    let ids = |devices: &[usize]| -> Vec<&str> {
        devices.iter().map(|&device| problem.devices[device].id.as_str()).collect()
    };
    let trial = |trial: &Trial| {
        let mut value = json!({ "devices": ids(&trial.devices), "alike": ids(&trial.alike) });
        match &trial.verdict {
            Verdict::Solved(stages) => {
                let optimal = stages.iter().all(|stage| stage.proven);
                value["status"] = json!(if optimal { "optimal" } else { "feasible" });
                value["objectives"] = stages.iter().map(objective).collect();
            }
            Verdict::Infeasible => value["status"] = json!("infeasible"),
            Verdict::Unknown(limit) => {
                value["status"] = json!("unknown");
                value["limit"] = json!(limit_name(*limit));
            }
        }
        value
    };
    json!({ "extra_bytes": extra_bytes, "trials": trials.iter().map(trial).collect::<Vec<_>>() })
}

fn objective(stage: &StageReport) -> Value {
    json!({
        "name": stage.kind.name(),
        "optimum": super::json::number(stage.optimum),
        "bound": super::json::number(stage.bound),
        "proven": stage.proven,
    })
}
