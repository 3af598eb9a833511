//! The frontier of peak and traffic, as a table and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::solution::question;
use super::{Align, Table, decimal, objective_value, percent, plural, wrap};
use crate::frontier::{Frontier, Point};
use crate::placement::limit_name;
use crate::plan::LimitReached;
use crate::problem::{ObjectiveKind, Problem};
use crate::scenario::Scenario;
use crate::units::Ratio;

/// `solve` accepts tolerances up to 1000 %.
const TOLERANCE_MAX: u64 = 10;

/// The staircase from the least traffic to the lowest peak, what is proven, and how to have each point.
pub fn text(scenario: &Scenario, frontier: &Frontier, elapsed: Duration, width: usize) -> String {
    let mut text = verdict(frontier, elapsed);
    text.push_str(&question(scenario));
    text.push_str(&spill(frontier));
    text.push('\n');
    text.push_str(&table(frontier));
    text.push('\n');
    for line in notes(frontier) {
        text.push_str(&wrap(&line, width));
    }
    text
}

/// One line: how much of the frontier this is.
pub(super) fn extent(frontier: &Frontier) -> String {
    let points = plural(count(frontier.points.len()), "point");
    let unproven = frontier.points.iter().filter(|point| !point.proven).count();
    match (frontier.complete, unproven, frontier.more) {
        (true, ..) => format!("{points}, proven: there are no others"),
        (_, 0, true) => format!("{points}, each proven; others lie between them"),
        (_, 0, false) => format!("{points}, each proven; not that there are no others"),
        _ => format!("{points}, {unproven} not proven"),
    }
}

fn verdict(frontier: &Frontier, elapsed: Duration) -> String {
    let effort = format!(
        "{}, {} by {} in {:.3} s",
        plural(frontier.solves, "solve"),
        plural(frontier.nodes, "node"),
        frontier.solver,
        elapsed.as_secs_f64()
    );
    format!("frontier: {}\n  ({effort})\n", extent(frontier))
}

fn spill(frontier: &Frontier) -> String {
    let Some(stage) = &frontier.spill else { return String::new() };
    let of = |value| objective_value(ObjectiveKind::SpillBytes, value);
    let proven = if stage.proven {
        "proven".to_owned()
    } else {
        format!("not proven; bound {}", of(stage.bound))
    };
    format!("spill_bytes held at its optimum, {} ({proven})\n", of(stage.optimum))
}

fn table(frontier: &Frontier) -> String {
    let mut table = Table::new(&[
        ("traffic", Align::Right),
        ("bound", Align::Right),
        ("peak", Align::Right),
        ("bound", Align::Right),
        ("gap", Align::Right),
        ("hand-overs", Align::Right),
        ("remote", Align::Right),
        ("tolerance", Align::Right),
        ("", Align::Left),
    ]);
    let tolerances = tolerances(frontier);
    for (point, tolerance) in frontier.points.iter().zip(tolerances) {
        let traffic = &point.placed.measured.traffic;
        table.row([
            decimal(point.traffic),
            decimal(point.traffic_bound),
            percent(point.peak),
            percent(point.peak_bound),
            if point.gap() > 0.0 { format!("{:.1e}", point.gap()) } else { "0".to_owned() },
            traffic.hand_overs.to_string(),
            traffic.remote_experts.to_string(),
            tolerance.map_or_else(String::new, |text| format!("{text} %")),
            if point.proven { String::new() } else { "not proven".to_owned() },
        ]);
    }
    table.render()
}

fn notes(frontier: &Frontier) -> Vec<String> {
    let mut notes = vec![
        "traffic: transfers per token; bounds: nothing with as little of the one has less of the \
         other; a peak within 1e-4 of its bound counts as proven"
            .to_owned(),
    ];
    notes.push(
        "tolerance: the placement of a row is that of `apportion solve` with `--objective \
         peak_utilization:TOLERANCE,traffic`"
            .to_owned(),
    );
    if frontier.more {
        notes.push(
            "points between these exist or are not excluded: a larger --points finds them"
                .to_owned(),
        );
    }
    notes.extend(frontier.limit.map(|limit| {
        let (limit, advice) = match limit {
            LimitReached::Nodes => ("the node limit", "; --node-limit raises it"),
            LimitReached::Time => ("the time limit", "; --time-limit raises it"),
            LimitReached::Precision => ("the solver's precision", ""),
        };
        format!("{limit} stopped a proof{advice}")
    }));
    notes
}

/// Per point, how much of the lowest peak `solve` may give up, in percent, so that it finds the point;
/// `None` where the next higher peak is too close to tell.
fn tolerances(frontier: &Frontier) -> Vec<Option<String>> {
    let points = &frontier.points;
    let of = |index: usize| {
        let higher = index.checked_sub(1).map(|left| points[left].peak);
        tolerance(points[index].peak, higher, frontier.peak_lowest)
    };
    (0..points.len()).map(of).collect()
}

/// The shortest percentage, in hundredths where they do, that admits `peak` above `lowest` and not `higher`.
fn tolerance(peak: Ratio, higher: Option<Ratio>, lowest: Ratio) -> Option<String> {
    // Places behind the point, and parts that a whole has at so many.
    for (places, scale) in [(2, 100), (3, 1_000), (4, 10_000), (5, 100_000), (6, 1_000_000)] {
        let parts = scale * 100;
        // What planning admits, to the byte; it may be one byte more.
        let cap = |extra: u64| {
            let more = Ratio::new(extra, parts).floor_of(lowest.numerator());
            lowest.numerator().saturating_add(more)
        };
        let admits = |extra: u64| peak <= Ratio::new(cap(extra), lowest.denominator());
        let least = least(parts.saturating_mul(TOLERANCE_MAX), admits)?;
        let excludes =
            |higher: Ratio| Ratio::new(cap(least).saturating_add(1), lowest.denominator()) < higher;
        if higher.is_none_or(excludes) {
            return Some(format!("{}.{:0places$}", least / scale, least % scale));
        }
    }
    None
}

/// The least number up to `most` that holds, of those from which on all do.
fn least(most: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut from, mut to) = (0, most);
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle) {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    holds(to).then_some(to)
}

/// `frontier --json`; ratios as numbers, traffic in transfers per token.
pub fn json(problem: &Problem, frontier: &Frontier, elapsed: Duration) -> Value {
    let tolerances = tolerances(frontier);
    let points = frontier.points.iter().zip(tolerances);
    let spill = frontier.spill.as_ref().map(|stage| {
        json!({
            "optimum": super::json::number(stage.optimum),
            "bound": super::json::number(stage.bound),
            "proven": stage.proven,
        })
    });
    json!({
        "status": if frontier.complete { "complete" } else { "incomplete" },
        "more": frontier.more,
        "limit": frontier.limit.map(limit_name),
        "spill_bytes": spill,
        "points": points.map(|(p, tolerance)| point(problem, p, tolerance)).collect::<Vec<_>>(),
        "solver": {
            "name": frontier.solver,
            "solves": frontier.solves,
            "nodes": frontier.nodes,
            "seconds": elapsed.as_secs_f64(),
        },
    })
}

fn point(problem: &Problem, point: &Point, tolerance: Option<String>) -> Value {
    let objective = |tolerance| format!("peak_utilization:{tolerance}%,traffic");
    let measured = &point.placed.measured;
    json!({
        "proven": point.proven,
        "peak": point.peak.as_f64(),
        "peak_bound": point.peak_bound.as_f64(),
        "step_bound": point.step_bound.as_f64(),
        "gap": point.gap(),
        "expected_transfers_per_token": point.traffic.as_f64(),
        "transfers_bound": point.traffic_bound.as_f64(),
        "hand_overs": measured.traffic.hand_overs,
        "remote_experts": measured.traffic.remote_experts,
        "objective": tolerance.map(objective),
        "devices": super::json::devices(problem, measured),
    })
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_are_as_short_as_tells_points_apart() {
        let of = |peak, higher: Option<u64>| {
            let at = |part| Ratio::new(part, 1_000_000_000);
            tolerance(at(peak), higher.map(at), at(500_000_000))
        };
        assert_eq!(of(500_000_000, None).as_deref(), Some("0.00"));
        assert_eq!(of(500_000_000, Some(500_040_000)).as_deref(), Some("0.00"));
        assert_eq!(of(500_010_000, Some(500_300_000)).as_deref(), Some("0.01"));
        assert_eq!(of(500_010_000, Some(500_045_000)).as_deref(), Some("0.002"));
        assert_eq!(of(750_000_000, None).as_deref(), Some("50.00"));
        assert_eq!(of(500_010_000, Some(500_010_002)).as_deref(), Some("0.002"));
        assert_eq!(of(500_010_000, Some(500_010_001)), None);
        assert_eq!(of(6_000_000_000, None), None, "more than solve accepts");
    }
}
