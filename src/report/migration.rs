//! What `rebalance` prints of the moves: how much, in which order, what every device goes through.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Align, Table, objective_value, percent, plural, wrap};
use crate::error::printable;
use crate::migrate::{Caches, Horizon, Place, Plan, Replayed, Slack, Step};
use crate::model::ComponentId;
use crate::placement::lines;
use crate::problem::ObjectiveValue;
use crate::units::{Ratio, format_bytes, format_time, grouped};

/// More lines of moves are not printed.
const LINES_MAX: usize = 40;

/// The plan for people.
pub fn migration(plan: &Plan, replayed: &Replayed) -> String {
    let mut text = summary(plan, replayed);
    if plan.steps.is_empty() && plan.caches == Caches::Kept {
        return text;
    }
    text.push('\n');
    text.push_str(&devices(plan, replayed));
    text.push('\n');
    text.push_str(&steps(plan));
    text
}

fn summary(plan: &Plan, replayed: &Replayed) -> String {
    let count = u64::try_from(plan.steps.len()).unwrap_or(u64::MAX);
    if count == 0 {
        return format!("nothing moves{}\n", caches(plan.caches));
    }
    let mut text = format!(
        "{}: {} ({} bytes) moved",
        plural(count, "move"),
        format_bytes(replayed.moved_bytes),
        grouped(replayed.moved_bytes)
    );
    if replayed.loaded_bytes > 0 {
        text.extend([format!(", {} loaded from files", format_bytes(replayed.loaded_bytes))]);
    }
    if let Some(ps) = plan.total_ps() {
        text.extend([format!(", about {} by the links", format_time(ps))]);
    }
    text.push_str(caches(plan.caches));
    text.push('\n');
    if replayed.host_bytes > 0 {
        let bytes = format_bytes(replayed.host_bytes);
        text.extend([format!("up to {bytes} wait in host memory on the way\n")]);
    }
    if !replayed.whole {
        text.push_str("the model cannot run until the last step: parts of it are in no memory\n");
    }
    text
}

fn caches(caches: Caches) -> &'static str {
    match caches {
        Caches::Kept => "",
        Caches::First => "; caches are made anew before",
        Caches::Last => "; caches are made anew after",
    }
}

fn devices(plan: &Plan, replayed: &Replayed) -> String {
    let mut table = Table::new(&[
        ("device", Align::Left),
        ("may hold", Align::Right),
        ("at the start", Align::Right),
        ("at most", Align::Right),
        ("at the end", Align::Right),
    ]);
    for (index, device) in plan.devices.iter().enumerate() {
        let over = replayed.start_bytes[index] > device.limit_bytes;
        table.row([
            printable(&device.id),
            format_bytes(device.limit_bytes),
            format!(
                "{}{}",
                format_bytes(replayed.start_bytes[index]),
                if over { " !" } else { "" }
            ),
            format_bytes(replayed.peak_bytes[index]),
            format_bytes(replayed.end_bytes[index]),
        ]);
    }
    let over = |(start, device): (&u64, &crate::migrate::PlanDevice)| *start > device.limit_bytes;
    let mut text = table.render();
    if replayed.start_bytes.iter().zip(&plan.devices).any(over) {
        text.push_str("! more than it may: until it is not, it only gives\n");
    }
    text
}

/// Steps in a row that go the same way share a line.
fn steps(plan: &Plan) -> String {
    let mut text = String::new();
    let mut printed = 0;
    let mut first = 1;
    for run in plan.steps.chunk_by(|a, b| (a.from, a.to) == (b.from, b.to)) {
        if printed >= LINES_MAX {
            let left = u64::try_from(plan.steps.len() + 1 - first).unwrap_or(u64::MAX);
            text.extend([format!("... and {}\n", plural(left, "more step"))]);
            break;
        }
        let bytes: u64 = run.iter().map(|step| step.weights_bytes + step.kv_cache_bytes).sum();
        let numbers = match run.len() {
            1 => first.to_string(),
            count => format!("{first}-{}", first + count - 1),
        };
        let way = format!("{} -> {}", plan.name(run[0].from), plan.name(run[0].to));
        let (way, bytes) = (printable(&way), format_bytes(bytes));
        text.extend([format!("{numbers:>9}  {way}  {bytes}\n")]);
        for name in names(run) {
            text.extend([format!("{:11}{name}\n", "")]);
            printed += 1;
        }
        first += run.len();
    }
    text
}

/// The components of some steps, with ranges.
fn names(run: &[Step]) -> Vec<String> {
    let sorted: BTreeMap<ComponentId, usize> = run.iter().map(|step| (step.component, 0)).collect();
    let homes: Vec<(ComponentId, usize)> = sorted.into_iter().collect();
    lines(&homes).into_iter().map(|line| line.name).collect()
}

/// How moving was weighed against time.
pub fn horizon(horizon: &Horizon) -> String {
    let Horizon { tokens, total_ps, bound_ps, moving_ps, bytes_per_second } = *horizon;
    let kept = if bound_ps >= total_ps {
        "proven best".to_owned()
    } else {
        format!("no placement takes less than {}", format_time(bound_ps))
    };
    format!(
        "{} for {} tokens, of which {} for moving weights at {}/s; {kept}\n",
        format_time(total_ps),
        grouped(tokens),
        format_time(moving_ps),
        format_bytes(bytes_per_second)
    )
}

/// That more has to move than was allowed.
pub fn too_little(least_bytes: u64) -> String {
    let (size, bytes) = (format_bytes(least_bytes), grouped(least_bytes));
    format!("infeasible: at least {size} ({bytes} bytes) must move, which is proven\n")
}

/// What moving a little more would buy, with the words that ask for it.
pub fn slack(slack: &Slack, width: usize) -> String {
    let Slack { objectives, moved_bytes, kind, values: [now, then] } = slack;
    let words: Vec<String> = objectives
        .iter()
        .map(|objective| match objective.tolerance {
            tolerance if tolerance == Ratio::ZERO => objective.kind.name().to_owned(),
            tolerance => {
                let tolerance = percent(tolerance).replace(' ', "");
                format!("{}:{}", objective.kind.name(), tolerance.replace(".00", ""))
            }
        })
        .collect();
    let line = format!(
        "moving {} of weights instead makes {} {} rather than {}:",
        format_bytes(*moved_bytes),
        kind.name(),
        objective_value(*kind, *then),
        objective_value(*kind, *now)
    );
    format!("{}  --objective {}\n", wrap(&line, width), words.join(","))
}

/// As `slack`, for programs.
pub fn slack_json(slack: &Slack) -> Value {
    let [now, then] = slack.values.map(ObjectiveValue::as_f64);
    let objectives = slack.objectives.iter().map(|o| o.kind.name());
    json!({
        "objectives": objectives.collect::<Vec<_>>(),
        "moved_bytes": slack.moved_bytes,
        "objective": slack.kind.name(),
        "now": now,
        "then": then,
    })
}

/// The plan for programs.
pub fn migration_json(plan: &Plan, replayed: &Replayed) -> Value {
    let devices = plan.devices.iter().enumerate().map(|(index, device)| {
        json!({
            "id": device.id,
            "limit_bytes": device.limit_bytes,
            "start_bytes": replayed.start_bytes[index],
            "peak_bytes": replayed.peak_bytes[index],
            "end_bytes": replayed.end_bytes[index],
        })
    });
    let place = |place: Place| match place {
        Place::Device(_) => json!(plan.name(place)),
        Place::Host => json!("(host)"),
        Place::Files => json!("(files)"),
    };
    let steps = plan.steps.iter().zip(&replayed.steps).map(|(step, of)| {
        json!({
            "component": step.component.to_string(),
            "from": place(step.from),
            "to": place(step.to),
            "weights_bytes": step.weights_bytes,
            "kv_cache_bytes": step.kv_cache_bytes,
            "peak_bytes": of.peak_bytes,
            "estimated_ps": plan.step_ps(step),
        })
    });
    json!({
        "caches": plan.caches.name(),
        "moved_bytes": replayed.moved_bytes,
        "loaded_bytes": replayed.loaded_bytes,
        "host_bytes": replayed.host_bytes,
        "whole": replayed.whole,
        "estimated_ps": plan.total_ps(),
        "devices": devices.collect::<Vec<_>>(),
        "steps": steps.collect::<Vec<_>>(),
    })
}

/// As `migration_json`, for programs.
pub fn horizon_json(horizon: &Horizon) -> Value {
    json!({
        "tokens": horizon.tokens,
        "total_ps": horizon.total_ps,
        "bound_ps": horizon.bound_ps,
        "moving_ps": horizon.moving_ps,
        "bytes_per_second": horizon.bytes_per_second,
    })
}
