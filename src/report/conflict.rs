//! Constraints that cannot all hold, in words.

use super::{WIDTH_DEFAULT, plural, wrap};
use crate::error::printable;
use crate::plan::{Conflict, Member};
use crate::problem::Problem;
use crate::units::format_bytes;

/// More names than these are counted instead.
const NAMES_MAX: usize = 8;

/// One line for each constraint, but for equal ones of several devices.
pub fn conflict(problem: &Problem, conflict: &Conflict) -> Vec<String> {
    let members = &conflict.members;
    let heading = match (members.len(), conflict.undecided) {
        (0, _) => return Vec::new(),
        (_, true) => "these cannot all hold; a limit left open whether all are needed for that:",
        (1, false) => "this cannot hold, whatever else is given up:",
        (_, false) => "these cannot all hold; without any one of them the rest can:",
    };
    let rules = members.iter().filter_map(|&member| match member {
        Member::Rule(rule) => problem.rules.get(rule),
        _ => None,
    });
    let rules = rules.map(|rule| {
        let default = if rule.default { "  (default pin)" } else { "" };
        format!("{}{default}", printable(&rule.text))
    });
    let limit = members.contains(&Member::DevicesMax).then_some(problem.devices_max).flatten();
    let limit = limit.map(|most| {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        format!("the limit of {}", plural(most, "device"))
    });
    let headrooms = sized(problem, members, "headroom", |member| match member {
        Member::Headroom(device) => {
            let bytes = problem.headroom_bytes.get(device).copied().unwrap_or(0);
            Some((device, format_bytes(bytes)))
        }
        _ => None,
    });
    let capacities = sized(problem, members, "capacity", |member| match member {
        Member::Capacity(device) => Some((device, capacity(problem, device))),
        _ => None,
    });
    let named = rules.chain(limit).chain(headrooms).chain(capacities);
    let named = named.map(|text| wrap(&format!("  {text}"), WIDTH_DEFAULT).trim_end().to_owned());
    let mut lines = vec![heading.to_owned()];
    lines.extend(named);
    let free = |member: &Member| matches!(member, Member::Capacity(_));
    if !problem.rules.is_empty() && members.iter().all(free) {
        lines.push("no pin is to blame: without any rule it does not fit either".to_owned());
    }
    lines
}

fn capacity(problem: &Problem, device: usize) -> String {
    let device = &problem.devices[device];
    let reserved = match device.reserve_bytes {
        0 => String::new(),
        bytes if bytes < device.capacity_bytes => {
            format!(", {} of it reserved", format_bytes(bytes))
        }
        bytes => format!(", less than the {} reserved on it", format_bytes(bytes)),
    };
    format!("{}{reserved}", format_bytes(device.capacity_bytes))
}

/// The devices of each size together, in the order of the first of them.
fn sized(
    problem: &Problem,
    members: &[Member],
    what: &str,
    size: impl Fn(Member) -> Option<(usize, String)>,
) -> Vec<String> {
    let mut by_size: Vec<(String, Vec<usize>)> = Vec::new();
    for (device, size) in members.iter().filter_map(|&member| size(member)) {
        match by_size.iter_mut().find(|(other, _)| *other == size) {
            Some((_, devices)) => devices.push(device),
            None => by_size.push((size, vec![device])),
        }
    }
    let line = |(size, devices): (String, Vec<usize>)| {
        let names = devices.iter().map(|&device| printable(&problem.devices[device].id));
        let names: Vec<String> = names.collect();
        match names.as_slice() {
            [one] => format!("the {what} of {one}: {size}"),
            [several @ .., last] if names.len() <= NAMES_MAX => {
                format!("the {what} of each of {} and {last}: {size}", several.join(", "))
            }
            [first, .., last] => {
                let count = names.len();
                format!("the {what} of each of {count} devices, {first} to {last}: {size}")
            }
            [] => String::new(),
        }
    };
    by_size.into_iter().map(line).collect()
}
