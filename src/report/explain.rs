//! `solve --explain`: what was merged, settled and bounded before the search, and how each stage was closed.

use super::{objective_value, plural, wrap};
use crate::error::printable;
use crate::plan::{
    Bound, Cut, Explanation, Group, LayerKind, Merged, Method, Reason, Solved, StageTrace, Step,
};
use crate::problem::{DeviceSet, Problem};
use crate::units::format_bytes;

/// Places without room that are named; the rest are counted.
const TOO_SMALL_SHOWN: usize = 6;

/// The explanation as text, its lines at most `width` wide where words allow.
pub fn explanation(
    problem: &Problem,
    explanation: &Explanation,
    solved: &Solved,
    width: usize,
) -> String {
    let mut lines = vec!["how it was found".to_owned()];
    merged(problem, &explanation.merged, &mut lines);
    cut(problem, &explanation.cut, &mut lines);
    for (index, stage) in solved.trace.iter().enumerate() {
        traced(problem, solved, stage, index, &mut lines);
    }
    lines.iter().map(|line| indented(line, width)).collect()
}

/// A line wrapped, its own indentation kept.
fn indented(line: &str, width: usize) -> String {
    let text = line.trim_start();
    let indent = " ".repeat(line.len() - text.len());
    let wrapped = wrap(text, width.saturating_sub(indent.len()));
    wrapped.lines().flat_map(|line| [&indent, line, "\n"]).collect()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn merged(problem: &Problem, merged: &Merged, lines: &mut Vec<String>) {
    lines.push("merged:".to_owned());
    lines.push(format!(
        "  {}; those that share a device by rule are one: {} to place",
        plural(count(merged.components), "component"),
        merged.units
    ));
    for end in &merged.ends {
        lines.push(format!("  {}", group(problem, end)));
    }
    for kind in &merged.layers {
        lines.push(format!("  {}: each {}", layers(&kind.layers), layer(problem, kind)));
    }
    lines.push(format!(
        "  equal things are counted, not named: {} instead of {}",
        plural(merged.counted, "number"),
        plural(merged.named, "yes-or-no decision")
    ));
}

/// `layers 0-3, 5`.
fn layers(numbers: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let range = |&(first, last): &(usize, usize)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let ranges: Vec<String> = ranges.iter().map(range).collect();
    let noun = if numbers.len() == 1 { "layer" } else { "layers" };
    format!("{noun} {}", ranges.join(", "))
}

fn layer(problem: &Problem, kind: &LayerKind) -> String {
    let parts = std::iter::once(&kind.home).chain(&kind.items);
    parts.map(|part| group(problem, part)).collect::<Vec<_>>().join("; ")
}

/// `8 equal experts of 90.00 MiB, only on gpu0`.
fn group(problem: &Problem, group: &Group) -> String {
    let kind = group.component.to_string();
    let kind = kind.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let kind = kind.rsplit('.').next().unwrap_or(kind).replace('_', " ");
    let with = group.components.saturating_sub(1);
    let with = if with > 0 { format!(" and {with} with it") } else { String::new() };
    let what = if group.count > 1 {
        format!("{} equal {kind} of {}", group.count, format_bytes(group.bytes))
    } else {
        format!("{kind}{with} {}", format_bytes(group.bytes))
    };
    if group.allowed == DeviceSet::first(problem.devices.len()) {
        return what;
    }
    let all = (0..problem.devices.len()).filter(|&device| group.allowed.contains(device));
    let names: Vec<String> = all.map(|device| name(problem, device)).collect();
    format!("{what} (only on {})", names.join(", "))
}

fn name(problem: &Problem, device: usize) -> String {
    problem.devices.get(device).map_or_else(String::new, |device| printable(&device.id))
}

fn cut(problem: &Problem, cut: &Cut, lines: &mut Vec<String>) {
    lines.push("settled before the search:".to_owned());
    let before = lines.len();
    for pinned in &cut.pinned {
        lines.push(format!(
            "  {} can only be on {}: {}",
            plural(pinned.units, "thing"),
            name(problem, pinned.device),
            format_bytes(pinned.bytes)
        ));
    }
    if cut.forbidden > 0 {
        lines.push(format!("  {} excluded by rules", plural(cut.forbidden, "other place")));
    }
    for small in cut.too_small.iter().take(TOO_SMALL_SHOWN) {
        lines.push(format!(
            "  {} has no room for {}{}: {} alone, of {}",
            name(problem, small.device),
            small.component,
            if small.units > 1 {
                format!(" and {} like it", small.units - 1)
            } else {
                String::new()
            },
            format_bytes(small.required_bytes),
            format_bytes(small.limit_bytes)
        ));
    }
    if let Some(more @ 1..) = cut.too_small.len().checked_sub(TOO_SMALL_SHOWN) {
        lines.push(format!("  and {} like these", plural(count(more), "place")));
    }
    for must in &cut.must_use {
        lines.push(format!(
            "  {} must hold {} at least: the others have no room for it",
            name(problem, must.device),
            format_bytes(must.holds_bytes)
        ));
    }
    lines.extend(alike(problem, &cut.alike));
    if lines.len() == before {
        lines.push("  nothing".to_owned());
    }
}

/// One line per set of devices that nothing tells apart.
fn alike(problem: &Problem, pairs: &[(usize, usize)]) -> Vec<String> {
    let mut sets: Vec<Vec<usize>> = Vec::new();
    for &(later, earlier) in pairs {
        match sets.iter_mut().find(|set| set.contains(&earlier)) {
            Some(set) => set.push(later),
            None => sets.push(vec![earlier, later]),
        }
    }
    let line = |set: &Vec<usize>| {
        let names: Vec<String> = set.iter().map(|&device| name(problem, device)).collect();
        format!("  {} are alike: of exchanges between them one is looked at", names.join(", "))
    };
    sets.iter().map(line).collect()
}

fn traced(
    problem: &Problem,
    solved: &Solved,
    stage: &StageTrace,
    index: usize,
    lines: &mut Vec<String>,
) {
    let value = |value| objective_value(stage.kind, value);
    lines.push(if stage.again {
        format!("{} once more, with what came after it held:", stage.kind.name())
    } else {
        format!("stage {}: {}", index + 1, stage.kind.name())
    });
    for Bound { value: bound, reason } in &stage.bounds {
        lines.push(format!("  at least {}: {}", value(*bound), why(problem, *reason)));
    }
    for step in &stage.steps {
        let best = step.best.map_or_else(|| "no placement".to_owned(), value);
        let effort = effort(step);
        lines.push(format!(
            "  {}: {best}, at least {}{effort}",
            method(step.method),
            value(step.bound)
        ));
    }
    lines.extend(match stage.closed_by() {
        Some(step) if step.method == Method::Relaxation => {
            Some("  closed: the relaxation's bound is met by a placement".to_owned())
        }
        Some(step) if step.nodes == 0 && step.programs == 0 => {
            Some("  closed: what was known meets the bound".to_owned())
        }
        Some(_) => Some("  closed: the search met its bound".to_owned()),
        None if stage.again => None,
        None => Some(open(solved, stage)),
    });
}

/// What a stage leaves open.
fn open(solved: &Solved, stage: &StageTrace) -> String {
    let report = solved.stages.iter().find(|report| report.kind == stage.kind);
    let gap = report.map_or(0.0, |report| report.gap() * 100.0);
    format!("  open: a limit stopped it with a gap of {gap:.2} %")
}

fn effort(step: &Step) -> String {
    if step.programs == 0 {
        return String::new();
    }
    format!(" ({} in {})", plural(step.nodes, "node"), plural(step.programs, "program"))
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Carried => "the placement of the stage before",
        Method::Seed => "filled in greedily",
        Method::Start => "a placement known before planning",
        Method::Relaxation => "a program of counts that forgets the order of layers",
        Method::Levels => "halving the interval: does everything fit below, by prices",
        Method::Prices => "prices, as there are many devices",
        Method::Walks => "orders of layers one by one, as there are few devices",
        Method::Layers => "ways to deal out each layer, priced, and built up layer by layer",
        Method::Textbook => "a program with a yes or no for every thing and device",
        Method::Partitions => "a shortest path over partitions without names",
        Method::Labels => "a shortest path over divisions among named devices",
        Method::Descent => "layers divided anew one after the other",
        Method::Exchanges => "experts exchanged for room",
    }
}

fn why(problem: &Problem, reason: Reason) -> String {
    match reason {
        Reason::Total { held_bytes, beside_bytes, capacity_bytes } => format!(
            "{} on GPUs and {} of reserve and workspace, over {} in all",
            format_bytes(held_bytes),
            format_bytes(beside_bytes),
            format_bytes(capacity_bytes)
        ),
        Reason::LargestItem { component, device, required_bytes } => format!(
            "the largest thing, {component}, takes {} even on {}",
            format_bytes(required_bytes),
            name(problem, device)
        ),
        Reason::Pinned { device, required_bytes } => format!(
            "what can only be on {} takes {} there",
            name(problem, device),
            format_bytes(required_bytes)
        ),
        Reason::BeyondGpus { held_bytes, room_bytes } => format!(
            "{} to place, {} of room on GPUs",
            format_bytes(held_bytes),
            format_bytes(room_bytes)
        ),
        Reason::OnNoGpu { held_bytes } => {
            format!("no GPU may hold, or has room for, {}", format_bytes(held_bytes))
        }
        Reason::Room { held_bytes } => {
            format!("the roomiest devices, until {} have room", format_bytes(held_bytes))
        }
        Reason::PinnedDevices => "each is the only place of something".to_owned(),
    }
}
