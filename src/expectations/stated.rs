//! Which part of the question of a placement file became another one, as far as the file tells.
//!
//! A file states its question once, so its old words are gone. But it also says what its map came to: bytes by
//! purpose, transfers, values and caps. Measured again, they tell the estimate from the machine and the rules.

use super::why::{Class, Reason};
use crate::error::Error;
use crate::placement::{self, Difference, Record};
use crate::problem::Problem;
use crate::verify::{measure, verify};

/// Why the file states another problem than the one it was solved for.
pub(super) fn reasons(record: &Record, problem: &Problem) -> Result<Vec<Reason>, Error> {
    let map = record.placement(problem)?;
    let reason = |class, text: String| Reason { class, text };
    let other = "the question of the file states another problem than it did";
    // What cannot even be measured is a map of other components.
    let Ok(measured) = measure(problem, &map) else {
        return Ok(vec![reason(Class::Estimate, other.to_owned())]);
    };
    let found = placement::differences(record, problem, &measured);
    let mut reasons: Vec<Reason> = Vec::new();
    if found.iter().any(is_estimate) {
        reasons.push(reason(Class::Estimate, other.to_owned()));
    }
    for Difference { place, recorded, recomputed } in &found {
        let parts: Vec<&str> = place.split('.').collect();
        let (class, text) = match (parts.first(), parts.last()) {
            (Some(&"devices"), Some(&"devices")) => {
                (Class::Constraint, format!("devices from {recorded} to {recomputed}"))
            }
            (Some(&"devices"), Some(&"reserve_bytes")) => {
                let id = place.trim_start_matches("devices.").trim_end_matches(".reserve_bytes");
                (
                    Class::Constraint,
                    format!("reserve of {id} from {recorded} to {recomputed} bytes"),
                )
            }
            (Some(&"objectives"), Some(&"objectives")) => {
                (Class::Objective, format!("objectives from {recorded} to {recomputed}"))
            }
            (Some(&"objectives"), Some(&"cap")) => {
                let name = parts.get(1).copied().unwrap_or_default();
                let cap = format!("the cap of {name} from {recorded} to {recomputed}");
                (Class::Objective, format!("another tolerance makes {cap}"))
            }
            _ => continue,
        };
        reasons.push(reason(class, text));
    }
    let shares = |one: &Difference| one.place == "objectives.peak_utilization.value";
    if reasons.is_empty() && found.iter().any(shares) {
        let text = "the same bytes are another share of a device: its capacity is another";
        reasons.push(reason(Class::Constraint, text.to_owned()));
    }
    if reasons.is_empty()
        && let Some(first) = verify(problem, &map).err().iter().flatten().next()
    {
        let text = format!("with the bytes that were recorded: {first}");
        reasons.push(reason(Class::Constraint, text));
    }
    if reasons.is_empty() {
        let text = "the file states another problem; its bytes and transfers are as recorded, so a \
            capacity, a rule, a cost or an objective is another";
        reasons.push(reason(Class::Unrecorded, text.to_owned()));
    }
    Ok(reasons)
}

/// Bytes that components take, and transfers; not what is kept free, which the machine says.
fn is_estimate(difference: &Difference) -> bool {
    let place = &difference.place;
    let needs = ["weights_bytes", "rounding_bytes", "kv_cache_bytes", "workspace_bytes"];
    place.starts_with("traffic.")
        || place.starts_with("devices.")
            && (needs.iter().any(|need| place.ends_with(need)) || place.ends_with("staging_bytes"))
}
