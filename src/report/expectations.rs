//! What came of expectations: a table, then what differs and why; and JSON.

use serde_json::{Value, json};

use super::{Align, Table, objective_value, plural, wrap};
use crate::error::printable;
use crate::expectations::{Amount, Difference, Now, Outcome, Relation, Verdict, Written};
use crate::placement::ObjectiveRecord;
use crate::problem::ObjectiveValue;
use crate::units::{format_bytes, told};

/// Said of a case without expectations.
pub(super) const NOTHING: &str = "nothing is expected yet; `apportion ci --update` fills it";

/// How many cases hold, do not, and could not be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Everything expected is so.
    pub passed: u64,
    /// Something is not.
    pub failed: u64,
    /// Could not be asked.
    pub broken: u64,
}

impl Counts {
    /// Of these outcomes.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes {
            match outcome.verdict {
                Verdict::Holds => counts.passed += 1,
                Verdict::Differs { .. } | Verdict::Empty => counts.failed += 1,
                Verdict::Broken(_) => counts.broken += 1,
            }
        }
        counts
    }
}

/// A line for every case, then what differs and why.
pub fn text(outcomes: &[Outcome], width: usize) -> String {
    let Counts { passed, failed, broken } = Counts::of(outcomes);
    let total = passed + failed + broken;
    let hold = if total == 1 { "holds" } else { "hold" };
    let verdict = if failed + broken == 0 { "PASS" } else { "FAIL" };
    let mut parts = vec![format!("{verdict}: {passed} of {} {hold}", plural(total, "case"))];
    if failed > 0 {
        parts.push(format!("{failed} {}", if failed == 1 { "does not" } else { "do not" }));
    }
    if broken > 0 {
        parts.push(format!("{broken} could not be asked"));
    }
    let mut text = parts.join(", ") + "\n\n";
    text += &table(outcomes, width, |outcome| word(&outcome.verdict).to_owned());
    for outcome in outcomes {
        text += &details(outcome, "FAIL", width);
    }
    text
}

/// What an update wrote, and why what it replaced no longer held.
pub fn updated(outcomes: &[Outcome], written: &[Written], width: usize) -> String {
    let changed = written.iter().filter(|written| **written == Written::Changed).count();
    let broken = Counts::of(outcomes).broken;
    let cases = u64::try_from(outcomes.len()).unwrap_or(u64::MAX);
    let mut parts = vec![format!("updated: {changed} of {}", plural(cases, "case"))];
    if broken > 0 {
        parts.push(format!("{broken} could not be asked"));
    }
    let unwritable = written.iter().filter(|one| **one == Written::Unwritable).count();
    if unwritable > 0 {
        parts.push(format!("{unwritable} cannot be made to hold by writing"));
    }
    let mut text = parts.join(", ") + "\n\n";
    let mut words = written.iter().map(|written| word_written(*written));
    text += &table(outcomes, width, |_| words.next().unwrap_or_default().to_owned());
    for (outcome, written) in
        outcomes.iter().zip(written).filter(|(o, _)| !matches!(o.verdict, Verdict::Empty))
    {
        text += &details(outcome, word_written(*written), width);
    }
    text
}

fn word_written(written: Written) -> &'static str {
    match written {
        Written::Kept => "kept",
        Written::Changed => "WRITTEN",
        Written::Left => "ERROR",
        Written::Unwritable => "FAIL",
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "PASS",
        Verdict::Differs { .. } | Verdict::Empty => "FAIL",
        Verdict::Broken(_) => "ERROR",
    }
}

fn table(outcomes: &[Outcome], width: usize, mut word: impl FnMut(&Outcome) -> String) -> String {
    // What the other columns take, so that a line fits.
    const OTHERS: usize = 46;
    let mut table = Table::new(&[
        ("result", Align::Left),
        ("case", Align::Left),
        ("status", Align::Left),
        ("peak", Align::Right),
        ("traffic", Align::Right),
        ("nodes", Align::Right),
    ]);
    for outcome in outcomes {
        let word = word(outcome);
        let name = cut(&printable(&outcome.name), width.saturating_sub(OTHERS).max(12));
        let mut row = vec![word, name];
        if let Some(now) = &outcome.now {
            let value = |name: &str| {
                let found = now.objectives.iter().find(|record| record.kind().name() == name);
                found.map_or_else(String::new, said)
            };
            let nodes = if now.devices.is_empty() { String::new() } else { now.nodes.to_string() };
            row.extend([now.status.to_owned(), value("peak_utilization"), value("traffic"), nodes]);
        }
        table.row(row);
    }
    table.render()
}

fn said(record: &ObjectiveRecord) -> String {
    objective_value(record.kind(), record.value)
}

fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars.saturating_sub(3)).collect();
    kept + "..."
}

/// What differs in a case, and why; nothing where it holds. `word` is what is said of a difference.
pub(super) fn details(outcome: &Outcome, word: &str, width: usize) -> String {
    let heading = |word: &str| wrap(&format!("{word} {}", printable(&outcome.name)), width);
    match &outcome.verdict {
        Verdict::Holds => String::new(),
        Verdict::Empty => {
            let line = format!("  {NOTHING}");
            format!("\n{}{}", heading(word), wrap(&line, width))
        }
        Verdict::Broken(broken) => {
            let mut text = format!("\n{}", heading("ERROR"));
            text += &wrap(&format!("  {}", broken.message), width);
            if let Some(hint) = &broken.hint {
                text += &wrap(&format!("  hint: {}", printable(hint)), width);
            }
            text
        }
        Verdict::Differs { differences, reasons } => {
            let mut text = format!("\n{}", heading(word));
            for difference in differences {
                text += &wrap(&format!("  {}", line(difference)), width);
            }
            for reason in reasons {
                let line = format!("  why: {}: {}", reason.class.name(), printable(&reason.text));
                text += &wrap(&line, width);
            }
            text
        }
    }
}

/// `traffic: expected at most 1, is 3`.
pub(super) fn line(difference: &Difference) -> String {
    let Difference { key, relation, expected, found } = difference;
    let relation = match relation {
        Relation::Is => "",
        Relation::AtMost => "at most ",
        Relation::AtLeast => "at least ",
    };
    let both = (eye(expected), eye(found));
    // Where rounding hides the difference, exactly.
    let (expected_text, found_text) = match both {
        (a, b) if a == b => (exact(expected), exact(found)),
        other => other,
    };
    let change = match (expected, found) {
        (
            Amount::Bytes(from) | Amount::Value(_, ObjectiveValue::Bytes(from)),
            Amount::Bytes(to) | Amount::Value(_, ObjectiveValue::Bytes(to)),
        ) => change(*from, *to),
        _ => String::new(),
    };
    format!("{}: expected {relation}{expected_text}, is {found_text}{change}", printable(key))
}

fn change(from: u64, to: u64) -> String {
    let sign = if to > from { '+' } else { '-' };
    format!(" ({sign}{})", told(from.abs_diff(to)))
}

fn eye(amount: &Amount) -> String {
    match amount {
        Amount::Text(text) if is_digest(text) => cut(text, 15),
        Amount::Text(text) => printable(&cut(text, 200)),
        Amount::Bytes(bytes) => format_bytes(*bytes),
        Amount::Count(count) => count.to_string(),
        Amount::Value(kind, value) => objective_value(*kind, *value),
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn exact(amount: &Amount) -> String {
    match amount {
        Amount::Text(text) => printable(text),
        Amount::Bytes(bytes) | Amount::Value(_, ObjectiveValue::Bytes(bytes)) => {
            format!("{bytes} bytes")
        }
        Amount::Value(_, ObjectiveValue::Ratio(ratio)) => ratio.to_string(),
        Amount::Value(_, ObjectiveValue::Time(ps)) => format!("{ps} ps"),
        other => eye(other),
    }
}

/// `ci --json`: exact values as files have them.
pub fn json(outcomes: &[Outcome], written: Option<&[Written]>) -> Value {
    let Counts { passed, failed, broken } = Counts::of(outcomes);
    let written = |index: usize| written.and_then(|written| written.get(index).copied());
    let cases = outcomes.iter().enumerate().map(|(index, outcome)| case(outcome, written(index)));
    json!({
        "passed": passed,
        "failed": failed,
        "errors": broken,
        "cases": cases.collect::<Vec<_>>(),
    })
}

fn case(outcome: &Outcome, written: Option<Written>) -> Value {
    let mut case = json!({
        "name": outcome.name,
        "result": match outcome.verdict {
            Verdict::Holds => "pass",
            Verdict::Differs { .. } | Verdict::Empty => "fail",
            Verdict::Broken(_) => "error",
        },
    });
    if let Some(written) = written {
        case["written"] = json!(written == Written::Changed);
    }
    match &outcome.verdict {
        Verdict::Holds => {}
        Verdict::Empty => case["differences"] = json!([]),
        Verdict::Differs { differences, reasons } => {
            let difference = |d: &Difference| {
                json!({
                    "key": d.key,
                    "relation": match d.relation {
                        Relation::Is => "is",
                        Relation::AtMost => "at_most",
                        Relation::AtLeast => "at_least",
                    },
                    "expected": amount(&d.expected),
                    "found": amount(&d.found),
                })
            };
            case["differences"] = differences.iter().map(difference).collect();
            let reason =
                |r: &crate::expectations::Reason| json!({"class": r.class.name(), "text": r.text});
            case["reasons"] = reasons.iter().map(reason).collect();
        }
        Verdict::Broken(broken) => {
            case["error"] = json!(broken.message);
            case["hint"] = json!(broken.hint);
        }
    }
    if let Some(now) = &outcome.now {
        case["now"] = answer(now);
    }
    case
}

fn answer(now: &Now) -> Value {
    let objective = |record: &ObjectiveRecord| {
        json!({
            "name": record.kind().name(),
            "value": amount(&Amount::Value(record.kind(), record.value)),
            "optimum": amount(&Amount::Value(record.kind(), record.optimum)),
            "bound": amount(&Amount::Value(record.kind(), record.bound)),
        })
    };
    json!({
        "status": now.status,
        "objectives": now.objectives.iter().map(objective).collect::<Vec<_>>(),
        "map": (!now.devices.is_empty()).then(|| now.map_digest()),
        "problem": now.problem,
        "nodes": now.nodes,
    })
}

fn amount(amount: &Amount) -> Value {
    match amount {
        Amount::Text(text) => json!(text),
        Amount::Bytes(number) | Amount::Count(number) => json!(number),
        Amount::Value(_, value) => match value {
            ObjectiveValue::Bytes(number)
            | ObjectiveValue::Count(number)
            | ObjectiveValue::Time(number) => json!(number),
            ObjectiveValue::Ratio(ratio) => json!(ratio.to_string()),
        },
    }
}
