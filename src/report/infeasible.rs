//! "No" as an answer: what is missing where, which constraints cannot all hold, and what would help.

use super::conflict::conflict;
use super::remedy::{in_vain, meaning, options};
use super::solution::question;
use super::{WIDTH_DEFAULT, wrap};
use crate::error::printable;
use crate::plan::Infeasibility;
use crate::problem::{Component, Problem};
use crate::remedy::{Offer, Remedies};
use crate::scenario::Scenario;
use crate::units::format_bytes;

/// The whole answer as text.
pub fn infeasible(
    scenario: &Scenario,
    problem: &Problem,
    why: &Infeasibility,
    remedies: &Remedies,
) -> String {
    let mut lines = vec!["infeasible: no placement satisfies the constraints".to_owned()];
    lines.push(question(scenario).trim_end().to_owned());
    lines.push(String::new());
    lines.push(totals(problem));
    lines.extend(shortfalls(problem, why));
    lines.extend(kept_by_runtime(scenario, problem, why));
    lines.extend(conflict(problem, &why.conflict));
    lines.push(String::new());
    lines.extend(ways_out(scenario, problem, remedies));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn ways_out(scenario: &Scenario, problem: &Problem, remedies: &Remedies) -> Vec<String> {
    let mut lines = Vec::new();
    if remedies.enough.is_empty() {
        lines.push("nothing helps: no single change is enough".to_owned());
    } else {
        lines.push("any one of these is enough (each was solved), cheapest first:".to_owned());
        lines.extend(enough(scenario, problem, &remedies.enough));
    }
    if !remedies.not_enough.is_empty() {
        lines.push(String::new());
        lines.push("tried as well:".to_owned());
        let in_vain = remedies.not_enough.iter().map(|n| in_vain(scenario, problem, n));
        lines.extend(in_vain.map(|text| format!("  {text}")));
    }
    if remedies.undecided {
        lines.push(
            "a limit left some trials undecided; a larger --node-limit, or --time-limit if there is one, tries longer".to_owned(),
        );
    }
    lines
}

/// What to type, and beside or below it what it means; what cannot be typed stands alone.
fn enough(scenario: &Scenario, problem: &Problem, offers: &[Offer]) -> Vec<String> {
    /// Wider options leave no room beside them.
    const BESIDE_MAX: usize = 36;
    let said = |offer: &Offer| (options(scenario, &offer.remedy), meaning(problem, offer));
    let said: Vec<_> = offers.iter().map(said).collect();
    let typed = said.iter().filter_map(|(options, _)| options.as_ref());
    let width = typed.map(String::len).max().unwrap_or(0);
    let line = |(options, meaning): (Option<String>, String)| match options {
        Some(options) if width <= BESIDE_MAX => format!("  {options:width$}  {meaning}"),
        Some(options) => format!("  {options}\n      {meaning}"),
        None => format!("  {meaning}"),
    };
    said.into_iter().map(line).collect()
}

/// What there is to place and where, whatever the rules.
fn totals(problem: &Problem) -> String {
    let sum = |bytes: &dyn Fn(&Component) -> u64| {
        format_bytes(problem.components.iter().map(bytes).fold(0, u64::saturating_add))
    };
    let capacity = problem.devices.iter().map(|d| d.capacity_bytes).fold(0, u64::saturating_add);
    let limits = (0..problem.devices.len()).map(|d| problem.limit_bytes(d));
    let headroom = match capacity - limits.fold(0, u64::saturating_add) {
        0 => String::new(),
        bytes => format!(", {} of it headroom", format_bytes(bytes)),
    };
    format!(
        "to place: {} of weights, {} of KV cache; capacity: {}{headroom}",
        sum(&|c| c.demand.weights_bytes),
        sum(&|c| c.demand.kv_cache_bytes),
        format_bytes(capacity)
    )
}

fn shortfalls(problem: &Problem, why: &Infeasibility) -> Vec<String> {
    if why.shortfalls.is_empty() {
        return Vec::new();
    }
    let missing = why.shortfalls.iter().map(|s| s.missing_bytes);
    let total = missing.fold(0_u64, u64::saturating_add);
    let total = format_bytes(total);
    let mut lines =
        vec![format!("missing: {total} in total; the placement that comes closest lacks")];
    lines.extend(why.shortfalls.iter().map(|shortfall| {
        let device = &problem.devices[shortfall.device];
        let (missing, limit) = (shortfall.missing_bytes, problem.limit_bytes(shortfall.device));
        let left = if limit < device.capacity_bytes { " that its headroom leaves" } else { "" };
        format!(
            "  {}  {} ({missing} bytes) beyond its {}{left}",
            printable(&device.id),
            format_bytes(missing),
            format_bytes(limit)
        )
    }));
    lines
}

/// What the runtime keeps on a device, where without it the device would have enough.
fn kept_by_runtime(scenario: &Scenario, problem: &Problem, why: &Infeasibility) -> Option<String> {
    let demand = scenario.demand().ok()?;
    let gpus = problem.gpus().count();
    let rounding = |d: usize| {
        let allowed = problem.components.iter().filter(|c| c.allowed.contains(d));
        allowed.map(|c| c.demand.rounding_bytes).fold(0, u64::saturating_add)
    };
    let narrow = why.shortfalls.iter().any(|s| {
        let device = &problem.devices[s.device];
        let kept = demand.per_device.reserve_bytes(device, gpus);
        s.missing_bytes <= kept.saturating_add(rounding(s.device))
    });
    let mut names = demand.per_device.names(gpus);
    if demand.rounding_bytes() > 0 {
        names.push(format!("rounding {} in all", format_bytes(demand.rounding_bytes())));
    }
    let said = format!(
        "{} itself keeps on each GPU: {}",
        printable(scenario.load.runtime.name()),
        names.join(", ")
    );
    (narrow && !names.is_empty()).then(|| wrap(&said, WIDTH_DEFAULT).trim_end().to_owned())
}
