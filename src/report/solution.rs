//! What `solve` prints: the verdict and its proof, the bars, the map, the traffic.

use std::time::Duration;

use super::{Align, Table, bars, decimal, map, objective_value, plural};
use crate::baseline;
use crate::error::printable;
use crate::placement::Placement;
use crate::plan::{LimitReached, Solved};
use crate::problem::{ObjectiveKind, Problem};
use crate::routing::Statistics;
use crate::routing::draws::kind;
use crate::scenario::{Attention, Granularity, Limits, Scenario};
use crate::units::{format_bytes, grouped};
use crate::verify::{Measured, Traffic};

/// A solved problem and what the verifier measured.
#[derive(Clone, Copy, Debug)]
pub struct Solution<'a> {
    /// The question.
    pub scenario: &'a Scenario,
    /// The problem it states.
    pub problem: &'a Problem,
    /// The placement and its proof.
    pub solved: &'a Solved,
    /// What the placement is worth.
    pub measured: &'a Measured,
    /// How long solving took; only ever shown, never kept.
    pub elapsed: Duration,
}

/// The whole answer as text.
pub fn solution(solution: &Solution<'_>, width: usize) -> String {
    let Solution { scenario, problem, solved, measured, elapsed } = *solution;
    let mut text = verdict(solved, elapsed);
    text.push_str(&question(scenario));
    text.push('\n');
    text.push_str(&stages(solved));
    text.push('\n');
    text.push_str(&holdings(problem, &solved.placement, measured, width));
    text
}

/// Bars, map and traffic: what can be said about any measured placement.
pub fn holdings(
    problem: &Problem,
    placement: &Placement,
    measured: &Measured,
    width: usize,
) -> String {
    let bars = bars(problem, measured, width);
    let map = map(problem, placement, width);
    let sent = if problem.is_replicated() {
        crossings(problem, measured)
    } else {
        traffic(&measured.traffic)
    };
    format!("{bars}\n{map}\n{sent}\n")
}

fn verdict(solved: &Solved, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let effort = format!(
        "{} by {} in {seconds:.3} s",
        plural(solved.solver.nodes, "node"),
        solved.solver.name
    );
    match solved.limit {
        None => format!("optimal: every objective is proven ({effort})\n"),
        Some(limit) => {
            let limit = match limit {
                LimitReached::Nodes => "the node limit",
                LimitReached::Time => "the time limit",
                LimitReached::Precision => "the solver's precision",
            };
            format!("feasible: {limit} stopped the proof ({effort})\n")
        }
    }
}

/// What was asked, defaults included: each of them decides something.
pub fn question(scenario: &Scenario) -> String {
    let Scenario { model, scheme, load, .. } = scenario;
    let staging = load.staging_of(scheme);
    let runtime = runtime(scenario);
    let limits = limits(scenario);
    let pins = if scenario.default_pins { "default pins" } else { "no default pins" };
    format!(
        "{} {}, context {}, batch {}, KV {}, staging {}, {pins}{runtime}{limits}\n",
        printable(&model.name),
        super::quantization(scheme),
        load.context,
        load.batch,
        load.kv_type.name(),
        staging.name(),
    )
}

/// What was asked for beyond pins, on a line of its own.
fn limits(scenario: &Scenario) -> String {
    let Limits { headrooms, devices_max, sends, layer_devices, routing, granularity, .. } =
        &scenario.limits;
    let Limits { attention, current, moved_bytes_max, .. } = &scenario.limits;
    let mut said = Vec::new();
    if !headrooms.is_empty() {
        let sizes: Vec<String> = headrooms.iter().map(|h| printable(&h.to_string())).collect();
        said.push(format!("headroom {}", sizes.join(", ")));
    }
    if let Some(most) = devices_max {
        said.push(format!(
            "at most {}",
            plural(u64::try_from(*most).unwrap_or(u64::MAX), "device")
        ));
    }
    said.extend(sends.map(|sends| format!("sends {}", sends.name().replace('_', " "))));
    said.extend(layer_devices.map(|devices| format!("devices of a layer {}", devices.name())));
    if *granularity != Granularity::default() {
        said.push(format!("granularity {}", granularity.name().replace('_', "-")));
    }
    if *attention == Attention::Replicated {
        said.push("attention on every device, experts divided evenly".to_owned());
    }
    said.extend(current.as_ref().map(|_| "moving from another placement".to_owned()));
    said.extend(moved_bytes_max.map(|most| format!("at most {} of it", format_bytes(most))));
    let mut text = if said.is_empty() { String::new() } else { format!("\n{}", said.join("; ")) };
    for statistics in routing {
        text.push('\n');
        text.push_str(&self::routing(statistics, scenario.load.batch));
    }
    text
}

/// `routing: MMLU machine_learning, 14,283 tokens (modelled)`.
pub(super) fn routing(statistics: &Statistics, batch: u64) -> String {
    format!(
        "routing: {}, {} tokens ({})",
        printable(&statistics.text),
        grouped(statistics.tokens),
        kind(Some(statistics), batch).name()
    )
}

/// What does not run it is not named: the default runtime is part of the estimate's definition.
fn runtime(scenario: &Scenario) -> String {
    let runtime = &scenario.load.runtime;
    if runtime.is_default() {
        return String::new();
    }
    let corrected = match runtime.differences().len() {
        0 => String::new(),
        count => {
            format!(" with {}", plural(u64::try_from(count).unwrap_or(u64::MAX), "rule"))
                + " of yours"
        }
    };
    let outside = runtime.rules().embedding_on_host && !scenario.hardware.has_cpu();
    let outside = if outside { "\nthe token embedding stays in host memory" } else { "" };
    format!(",\nruntime {}{corrected}{outside}", printable(runtime.name()))
}

fn stages(solved: &Solved) -> String {
    let mut table = Table::new(&[
        ("objective", Align::Left),
        ("value", Align::Right),
        ("optimum", Align::Right),
        ("bound", Align::Right),
        ("gap", Align::Right),
        ("tolerance", Align::Right),
        ("cap", Align::Right),
    ]);
    for stage in &solved.stages {
        let value = |value| objective_value(stage.kind, value);
        table.row([
            stage.kind.name().to_owned(),
            value(stage.value),
            value(stage.optimum),
            value(stage.bound),
            if stage.gap() > 0.0 { format!("{:.1e}", stage.gap()) } else { "0".to_owned() },
            super::percent(stage.tolerance),
            value(stage.cap),
        ]);
    }
    table.render()
}

/// `1 hand-over, 0 remote experts; expected transfers per token: 1`.
pub(super) fn traffic(traffic: &Traffic) -> String {
    format!(
        "{}, {}; expected transfers per token: {}",
        plural(traffic.hand_overs, "hand-over"),
        plural(traffic.remote_experts, "remote expert"),
        decimal(traffic.expected_transfers_per_token())
    )
}

/// `crossings per token: 36.5; divided at random 46.5, contiguous 46.6, greedy packer 38`.
fn crossings(problem: &Problem, measured: &Measured) -> String {
    let Some(random) = baseline::random_crossings(problem) else {
        return "crossings per token: not known without pair counts".to_owned();
    };
    let kind = ObjectiveKind::Crossings;
    let others: Vec<String> = baseline::crossings(problem)
        .into_iter()
        .map(|(name, value)| format!("{name} {}", objective_value(kind, value)))
        .collect();
    let value = objective_value(kind, measured.value(kind));
    let random = decimal(random);
    format!("crossings per token: {value}; divided at random {random}, {}", others.join(", "))
}
