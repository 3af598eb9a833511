//! "No" as an answer: what is missing where, which rules conflict, and what would help.

use super::solution::question;
use crate::error::printable;
use crate::plan::Infeasibility;
use crate::problem::Problem;
use crate::remedy::Remedy;
use crate::scenario::Scenario;
use crate::units::format_bytes;

/// The whole answer as text.
pub fn infeasible(
    scenario: &Scenario,
    problem: &Problem,
    why: &Infeasibility,
    remedies: &[Remedy],
) -> String {
    let mut lines = vec!["infeasible: no placement satisfies the constraints".to_owned()];
    lines.push(question(scenario).trim_end().to_owned());
    lines.push(String::new());
    lines.extend(shortfalls(problem, why));
    lines.extend(conflicts(problem, why));
    lines.push(String::new());
    if remedies.is_empty() {
        lines.push(
            "nothing helps: no single change of pins, context, quantization or memory is enough"
                .to_owned(),
        );
    } else {
        lines.push("any one of these is enough (each was solved):".to_owned());
        lines.extend(remedies.iter().map(|remedy| format!("  {}", remedy_text(problem, remedy))));
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn shortfalls(problem: &Problem, why: &Infeasibility) -> Vec<String> {
    if why.shortfalls.is_empty() {
        return Vec::new();
    }
    let missing = why.shortfalls.iter().map(|s| s.missing_bytes);
    let total = missing.fold(0_u64, u64::saturating_add);
    let mut lines = vec![format!("missing: {} in total, for instance", format_bytes(total))];
    lines.extend(why.shortfalls.iter().map(|shortfall| {
        let device = &problem.devices[shortfall.device];
        let (missing, capacity) = (shortfall.missing_bytes, device.capacity_bytes);
        format!(
            "  {}  {} ({missing} bytes) beyond its {}",
            printable(&device.id),
            format_bytes(missing),
            format_bytes(capacity)
        )
    }));
    lines
}

fn conflicts(problem: &Problem, why: &Infeasibility) -> Vec<String> {
    let mut lines = Vec::new();
    if !why.conflicting_rules.is_empty() {
        lines.push("these rules conflict with the memory there is:".to_owned());
        let rules = why.conflicting_rules.iter().filter_map(|&rule| problem.rules.get(rule));
        lines.extend(rules.map(|rule| {
            let default = if rule.default { " (default pin)" } else { "" };
            format!("  {}{default}", printable(&rule.text))
        }));
    }
    if why.default_pins_alone {
        lines.push("the default pins alone make it infeasible".to_owned());
    }
    lines
}

/// The remedy as a change of the command line.
pub fn remedy_text(problem: &Problem, remedy: &Remedy) -> String {
    let device = |index: usize| printable(&problem.devices[index].id);
    match remedy {
        Remedy::ReleaseDefaultPins => "--free-default-pins".to_owned(),
        Remedy::ReleaseRule { rule } => {
            format!("without `{}`", printable(&problem.rules[*rule].text))
        }
        Remedy::Context { tokens } => format!("--context {tokens}"),
        Remedy::Quantization { scheme } => format!("--quant {scheme}"),
        Remedy::AddBytes { device: index, bytes } => {
            format!("{} more on {}", format_bytes(*bytes), device(*index))
        }
        Remedy::AddBytesEach { bytes } => format!("{} more on every GPU", format_bytes(*bytes)),
        Remedy::AddDevice { like } => format!(
            "one more GPU like {} ({})",
            device(*like),
            format_bytes(problem.devices[*like].capacity_bytes)
        ),
    }
}
