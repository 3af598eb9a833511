//! What `diff` prints: what is asked differently, what is elsewhere, what that costs and gains.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Align, Table, indented, objective_value, percent, plural, wrap};
use crate::error::printable;
use crate::model::ComponentId;
use crate::objective::{Unit, law};
use crate::placement::{Diff, Moved, Side, lines};
use crate::problem::{ObjectiveKind, ObjectiveValue};
use crate::units::{Ratio, format_bytes, format_time, grouped};

/// More lines of components are not printed.
const LINES_MAX: usize = 60;

/// More violations of a side are not.
const VIOLATIONS_MAX: usize = 8;

/// Two placements by the names of their files, and the first one's map under the second one's question where that
/// is another and it can be asked there.
#[derive(Clone, Debug)]
pub struct Compared<'a> {
    /// The files, as they were named.
    pub names: [&'a str; 2],
    /// How they differ.
    pub diff: &'a Diff,
    /// The first map under the second question.
    pub carried: Option<Side>,
}

/// For people.
pub fn difference(compared: &Compared<'_>, width: usize) -> String {
    let Compared { names, diff, .. } = compared;
    let [a, b] = names.map(printable);
    let mut text = String::new();
    for (name, side) in [(&a, &diff.before), (&b, &diff.after)] {
        if !side.violations.is_empty() {
            text.extend([format!("`{name}` does not hold:\n")]);
            text.push_str(&violations(side, width));
        }
    }
    if diff.is_empty() {
        return text
            + &format!("no difference: `{a}` and `{b}` ask the same and answer the same\n");
    }
    text.push_str(&wrap(&summary(diff, &a, &b), width));
    text.push_str(&question(diff, width));
    text.push_str(&elsewhere(diff));
    text.push('\n');
    text.push_str(&values(compared, width));
    text.push('\n');
    text.push_str(&devices(diff));
    text
}

fn violations(side: &Side, width: usize) -> String {
    let line = |line: String| indented(&printable(&line), width);
    let first = side.violations.iter().take(VIOLATIONS_MAX);
    let mut text: String = first.map(|violation| line(violation.to_string())).collect();
    let more = side.violations.len().saturating_sub(VIOLATIONS_MAX);
    if more > 0 {
        text.extend([format!("  ... and {more} more\n")]);
    }
    text
}

fn summary(diff: &Diff, a: &str, b: &str) -> String {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let moved = match diff.moved.len() {
        0 => "everything is where it was".to_owned(),
        number => format!(
            "{} of {} elsewhere, {} of weights from device to device",
            plural(count(number), "component"),
            diff.components,
            format_bytes(diff.moved_bytes())
        ),
    };
    let asked = if diff.same_question() { "same question" } else { "another question" };
    format!("A `{a}`, B `{b}`: {asked}; {moved}")
}

fn question(diff: &Diff, width: usize) -> String {
    if diff.same_question() {
        return String::new();
    }
    let lines = diff.question.iter().map(|changed| {
        let word = |word| said(&changed.place, word);
        let (before, after) = (word(changed.before.as_ref()), word(changed.after.as_ref()));
        indented(&format!("{}: {before} -> {after}", printable(&changed.place)), width)
    });
    let mut text = "\nasked differently\n".to_owned();
    text.extend(lines);
    if diff.question_more > 0 {
        text.extend([format!("  ... and {} more\n", diff.question_more)]);
    }
    text
}

/// A word of a question; bytes as people read them.
fn said(place: &str, word: Option<&String>) -> String {
    let Some(word) = word else { return "(none)".to_owned() };
    match word.parse() {
        Ok(bytes) if place.ends_with("_bytes") => {
            format!("{} ({} bytes)", format_bytes(bytes), grouped(bytes))
        }
        _ if word.is_empty() => "(empty)".to_owned(),
        _ => printable(word),
    }
}

/// Ways from device to device, with what went each of them.
fn elsewhere(diff: &Diff) -> String {
    if diff.moved.is_empty() {
        return String::new();
    }
    let mut ways: BTreeMap<(Option<&str>, Option<&str>), Vec<&Moved>> = BTreeMap::new();
    for moved in &diff.moved {
        ways.entry((moved.from.as_deref(), moved.to.as_deref())).or_default().push(moved);
    }
    let mut text = "\nelsewhere\n".to_owned();
    let mut printed = 0;
    for ((from, to), moved) in ways {
        let bytes = moved.iter().fold(0, |sum: u64, one| sum.saturating_add(one.weights_bytes));
        let [from, to] =
            [from, to].map(|name| name.map_or_else(|| "(not there)".to_owned(), printable));
        let count = u64::try_from(moved.len()).unwrap_or(u64::MAX);
        text.extend([format!(
            "  {from} -> {to}: {}, {}\n",
            plural(count, "component"),
            format_bytes(bytes)
        )]);
        let homes: Vec<(ComponentId, usize)> = moved.iter().map(|one| (one.component, 0)).collect();
        for line in lines(&homes) {
            if printed < LINES_MAX {
                text.extend([format!("    {}\n", line.name)]);
            }
            printed += 1;
        }
    }
    if printed > LINES_MAX {
        text.extend([format!("    ... and {} more lines\n", printed - LINES_MAX)]);
    }
    text
}

fn values(compared: &Compared<'_>, width: usize) -> String {
    let Compared { diff, carried, .. } = compared;
    let mut columns = vec![("objective", Align::Left), ("A", Align::Right)];
    if carried.is_some() {
        columns.push(("A asked as B", Align::Right));
    }
    columns.extend([("B", Align::Right), ("change", Align::Right)]);
    let mut table = Table::new(&columns);
    for kind in diff.kinds() {
        let cell = |side: &Side| {
            side.value(kind).map_or_else(String::new, |value| objective_value(kind, value))
        };
        // What is comparable: the same question, or the first map under the second one's.
        let base = carried.as_ref().or(diff.same_question().then_some(&diff.before));
        let pair = base.and_then(|base| base.value(kind)).zip(diff.after.value(kind));
        let change = pair.map_or_else(String::new, |(then, now)| change(kind, then, now));
        let cells = [Some(&diff.before), carried.as_ref(), Some(&diff.after)];
        let cells = cells.into_iter().flatten().map(cell);
        table.row(std::iter::once(kind.name().to_owned()).chain(cells).chain([change]));
    }
    let mut text = table.render();
    if let Some(side) = carried.as_ref().filter(|side| !side.violations.is_empty()) {
        text.push_str("A asked as B does not hold:\n");
        text.push_str(&violations(side, width));
    }
    text
}

/// By how much, with its sign; a tie is `=`.
fn change(kind: ObjectiveKind, then: ObjectiveValue, now: ObjectiveValue) -> String {
    let signed = |less: bool, text: String| format!("{}{text}", if less { '-' } else { '+' });
    match (then, now) {
        (then, now) if then == now => "=".to_owned(),
        (ObjectiveValue::Bytes(then), ObjectiveValue::Bytes(now)) => {
            signed(now < then, format_bytes(now.abs_diff(then)))
        }
        (ObjectiveValue::Time(then), ObjectiveValue::Time(now)) => {
            signed(now < then, format_time(now.abs_diff(then)))
        }
        (ObjectiveValue::Count(then), ObjectiveValue::Count(now)) => {
            signed(now < then, now.abs_diff(then).to_string())
        }
        (ObjectiveValue::Ratio(then), ObjectiveValue::Ratio(now)) => {
            let text =
                difference_of(then, now).map_or_else(String::new, |ratio| match law(kind).unit() {
                    Unit::Share => percent(ratio).replace(" %", " points"),
                    _ => super::decimal(ratio),
                });
            signed(now < then, text)
        }
        _ => String::new(),
    }
}

/// |a - b|, as near as 64 bits hold it; `None` where even that is too much.
fn difference_of(a: Ratio, b: Ratio) -> Option<Ratio> {
    let [an, ad, bn, bd] =
        [a.numerator(), a.denominator(), b.numerator(), b.denominator()].map(u128::from);
    let (mut numerator, mut denominator) = ((an * bd).abs_diff(bn * ad), ad * bd);
    while u64::try_from(numerator.max(denominator)).is_err() {
        (numerator, denominator) = (numerator >> 1, denominator >> 1);
    }
    let [numerator, denominator] = [numerator, denominator].map(|n| u64::try_from(n).ok());
    Some(Ratio::new(numerator?, denominator.filter(|&d| d > 0)?))
}

fn devices(diff: &Diff) -> String {
    let mut table = Table::new(&[
        ("device", Align::Left),
        ("A", Align::Right),
        ("B", Align::Right),
        ("change", Align::Right),
        ("weights", Align::Right),
        ("KV cache", Align::Right),
        ("workspace", Align::Right),
    ]);
    for id in diff.devices() {
        let (before, after) = (diff.before.device(id), diff.after.device(id));
        let used = |side: Option<&crate::placement::DeviceRecord>| {
            side.map_or_else(|| "(none)".to_owned(), |device| format_bytes(device.used_bytes))
        };
        let by = |bytes: fn(&crate::placement::DeviceRecord) -> u64| {
            let then = before.map_or(0, bytes);
            let now = after.map_or(0, bytes);
            change(
                ObjectiveKind::SpillBytes,
                ObjectiveValue::Bytes(then),
                ObjectiveValue::Bytes(now),
            )
        };
        table.row([
            printable(id),
            used(before),
            used(after),
            by(|device| device.used_bytes),
            by(|device| device.weights_bytes),
            by(|device| device.kv_cache_bytes),
            by(|device| device.workspace_bytes),
        ]);
    }
    table.render()
}

/// For programs.
pub fn difference_json(compared: &Compared<'_>) -> Value {
    let Compared { diff, carried, .. } = compared;
    let number =
        |side: Option<&Side>, kind| side.and_then(|side| side.value(kind)).map(super::json::number);
    let question = diff.question.iter().map(
        |changed| json!({"place": changed.place, "before": changed.before, "after": changed.after}),
    );
    let moved = diff.moved.iter().map(|moved| {
        json!({
            "component": moved.component.to_string(),
            "from": moved.from,
            "to": moved.to,
            "weights_bytes": moved.weights_bytes,
            "kv_cache_bytes": moved.kv_cache_bytes,
        })
    });
    let objectives = diff.kinds().into_iter().map(|kind| {
        json!({
            "name": kind.name(),
            "before": number(Some(&diff.before), kind),
            "before_asked_as_after": number(carried.as_ref(), kind),
            "after": number(Some(&diff.after), kind),
        })
    });
    let devices = diff.devices().into_iter().map(|id| {
        let used = |side: &Side| side.device(id).map(|device| device.used_bytes);
        json!({"id": id, "before_bytes": used(&diff.before), "after_bytes": used(&diff.after)})
    });
    let violations =
        |side: &Side| -> Vec<String> { side.violations.iter().map(ToString::to_string).collect() };
    json!({
        "same": diff.is_empty(),
        "question": question.collect::<Vec<_>>(),
        "question_more": diff.question_more,
        "moved_bytes": diff.moved_bytes(),
        "moved": moved.collect::<Vec<_>>(),
        "objectives": objectives.collect::<Vec<_>>(),
        "devices": devices.collect::<Vec<_>>(),
        "violations": {
            "before": violations(&diff.before),
            "before_asked_as_after": carried.as_ref().map(violations),
            "after": violations(&diff.after),
        },
    })
}
