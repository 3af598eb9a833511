//! The fingerprint of a problem: equal questions, and only those, have the same.
//!
//! A placement file records it, so that an edited capacity or a changed estimate shows even where the
//! placement still fits. It is defined by what is written below, line by line, and by nothing else.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::objective::timing;
use crate::problem::{NOWHERE, Problem, Sends};

/// SHA-256 over everything that decides an answer, in hex; rules are in it as the places they leave.
pub fn fingerprint(problem: &Problem) -> String {
    let mut lines: Vec<String> = vec![format!("version 1 tied {}", problem.tied_head)];
    lines.extend(problem.components.iter().map(|component| {
        let demand = &component.demand;
        let rounding = match demand.rounding_bytes {
            0 => String::new(),
            bytes => format!(" rounding {bytes}"),
        };
        format!(
            "component {} {} {} {} allowed {} with {} visits {}{rounding}",
            demand.id,
            demand.weights_bytes,
            demand.kv_cache_bytes,
            demand.staging_bytes,
            component.allowed.0,
            component.lives_with,
            component.visits
        )
    }));
    lines.extend(problem.devices.iter().map(|device| {
        let (kind, capacity) = (device.kind.name(), device.capacity_bytes);
        format!("device {} {kind} {capacity} {}", device.id, device.reserve_bytes)
    }));
    let workspace = &problem.workspace;
    lines.push(format!(
        "workspace {} {} {} {} host staging {} denominator {}",
        workspace.embedding_bytes,
        workspace.attention_bytes,
        workspace.feed_forward_bytes,
        workspace.head_bytes,
        problem.host_staging_bytes,
        problem.traffic_denominator
    ));
    lines.extend(limits(problem));
    lines.extend(times(problem));
    let objectives = problem.objectives.iter();
    lines.extend(objectives.map(|o| format!("objective {} {}", o.kind.name(), o.tolerance)));
    hex(&Sha256::digest(lines.join("\n")))
}

/// What few problems have; without it there is no line, as before there was such a thing.
fn limits(problem: &Problem) -> Vec<String> {
    let numbers = |numbers: &mut dyn Iterator<Item = String>| numbers.collect::<Vec<_>>().join(" ");
    let mut lines = Vec::new();
    if problem.headroom_bytes.iter().any(|&bytes| bytes > 0) {
        let bytes = &mut problem.headroom_bytes.iter().map(u64::to_string);
        lines.push(format!("headroom {}", numbers(bytes)));
    }
    lines.extend(problem.devices_max.map(|most| format!("devices at most {most}")));
    lines.extend(problem.moved_bytes_max.map(|most| format!("moved bytes at most {most}")));
    if let Sends::PerDevice { experts, experts_per_token } = problem.sends {
        lines.push(format!("sends per device {experts_per_token} of {experts}"));
    }
    lines.extend(problem.everywhere.iter().map(|demand| {
        let bytes = [
            demand.weights_bytes,
            demand.rounding_bytes,
            demand.kv_cache_bytes,
            demand.staging_bytes,
        ];
        format!("everywhere {} {}", demand.id, numbers(&mut bytes.iter().map(u64::to_string)))
    }));
    if let Some(affinity) = &problem.affinity {
        lines.push(format!("affinity tokens {} top {}", affinity.tokens, affinity.top_k));
        let rows = affinity.pair_counts.iter().flatten();
        lines.extend(
            rows.map(|row| format!("pairs {}", numbers(&mut row.iter().map(u64::to_string)))),
        );
    }
    if let Some(current) = &problem.current {
        let devices = &mut current.device_of.iter().map(|&device| match device {
            NOWHERE => "nowhere".to_owned(),
            device => device.to_string(),
        });
        lines.push(format!("current {}", numbers(devices)));
    }
    lines
}

/// What steps take, where that decides the answer.
fn times(problem: &Problem) -> Vec<String> {
    let mut lines = Vec::new();
    for objective in &problem.objectives {
        let Some(timing) = timing(problem, objective.kind) else { continue };
        let numbers = |row: &[u64]| row.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
        let mut table = |name: &str, rows: &[Vec<u64>]| {
            lines.extend(rows.iter().map(|row| format!("{name} {}", numbers(row))));
        };
        table("visit", &timing.visit_ps);
        table("latency", &timing.latency_ps);
        table("token", &timing.token_ps);
        table("expert tokens", std::slice::from_ref(&timing.expert_tokens_milli));
        lines.push(format!(
            "{} tokens {} sends {} devices {}",
            objective.kind.name(),
            timing.tokens_milli,
            timing.sends.name(),
            timing.devices.name()
        ));
        for (set, draws) in timing.draws.iter().enumerate() {
            lines.extend(draws.iter().map(|draw| format!("draw {set} {draw:?}")));
        }
    }
    lines
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
