//! What would lower the peak of a load: other orders, other staging, another allocator. Each variant is replayed.

use rayon::prelude::*;

use super::allocator::AllocatorKind;
use super::choices::{Choices, Order};
use super::replay::{Simulation, replay};
use super::script::{Machine, Script};
use crate::error::Error;
use crate::hardware::DeviceKind;
use crate::memory::Staging;
use crate::placement::Record;
use crate::scenario::Scenario;
use crate::units::{BYTES_MAX, Ratio};

/// One way to load, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// How it is loaded.
    pub choices: Choices,
    /// Where quantizing stages.
    pub staging: Staging,
    /// What differs from what was asked, in words.
    pub changes: Vec<String>,
    /// Whether the last token comes.
    pub fits: bool,
    /// The most each device is filled with; where the load fails, what it would be filled with if it had the room.
    pub peak_bytes: Vec<u64>,
    /// What each device holds after the last token if it had the room: weights, cache, context and what the
    /// matrix library keeps.
    pub stays_bytes: Vec<u64>,
    /// The largest share of a device that is filled.
    pub worst: Ratio,
    /// The device that it is filled on.
    pub worst_device: usize,
}

/// What helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What was asked.
    pub asked: Variant,
    /// One change at a time, those that help most first.
    pub single: Vec<Variant>,
    /// The best of all combinations, of equal ones that with the fewest changes; what was asked, if nothing is better.
    pub best: Variant,
    /// How many variants were replayed.
    pub tried: usize,
    /// Devices on which what stays is larger than what may be used, whatever the order: no variant can help.
    pub too_large: Vec<usize>,
}

/// Replays all variants that the runtime allows.
///
/// # Errors
/// As [`Script::of`].
pub fn advise(
    record: &Record,
    scenario: &Scenario,
    machines: &[Machine],
    choices: &Choices,
) -> Result<Advice, Error> {
    let base = (*choices, scenario.load.staging_of(&scenario.scheme));
    let every = combinations(base);
    let tried: Vec<Variant> = every
        .par_iter()
        .map(|&(choices, staging)| variant(record, scenario, machines, base, (choices, staging)))
        .collect::<Result<_, Error>>()?;
    let asked = tried[0].clone();
    let mut single: Vec<Variant> =
        tried.iter().filter(|variant| variant.changes.len() == 1).cloned().collect();
    single.sort_by_key(rank);
    let best = tried.iter().min_by_key(|variant| rank(variant)).cloned();
    let stays = asked.stays_bytes.iter().zip(machines).enumerate();
    let too_large = stays.filter(|(_, (stays, machine))| **stays > machine.usable_bytes);
    Ok(Advice {
        too_large: too_large.map(|(device, _)| device).collect(),
        best: best.unwrap_or_else(|| asked.clone()),
        tried: tried.len(),
        single,
        asked,
    })
}

/// Those that fit first, then by how full a device gets, then by how much is changed.
fn rank(variant: &Variant) -> (bool, Ratio, usize) {
    (!variant.fits, variant.worst, variant.changes.len())
}

/// What was asked first, then everything else that can be.
fn combinations(base: (Choices, Staging)) -> Vec<(Choices, Staging)> {
    let (asked, staging) = base;
    let stagings = match staging {
        Staging::Device => vec![Staging::Device, Staging::Host],
        other => vec![other],
    };
    let (allocators, warm_ups) = if asked.allocator.is_torch() {
        (vec![AllocatorKind::Torch, AllocatorKind::TorchExpandable], vec![false, true])
    } else {
        (vec![asked.allocator], vec![false])
    };
    // One buffer has no order.
    let orders: &[Order] =
        if asked.allocator == AllocatorKind::LlamaCpp { &[asked.order] } else { &Order::ALL };
    let mut every = vec![base];
    for &order in orders {
        for &staging in &stagings {
            for &allocator in &allocators {
                for &warm_up in &warm_ups {
                    let one = (Choices { allocator, order, warm_up, ..asked }, staging);
                    if one != base {
                        every.push(one);
                    }
                }
            }
        }
    }
    every
}

fn variant(
    record: &Record,
    scenario: &Scenario,
    machines: &[Machine],
    base: (Choices, Staging),
    (choices, staging): (Choices, Staging),
) -> Result<Variant, Error> {
    let mut scenario = scenario.clone();
    scenario.load.staging = Some(staging);
    let script = Script::of(record, &scenario, machines, &choices)?;
    let limited = replay(&script, machines, choices.allocator);
    let roomy = |machine: &Machine| Machine { usable_bytes: BYTES_MAX, ..machine.clone() };
    let roomy: Vec<Machine> = machines.iter().map(roomy).collect();
    let free = replay(&script, &roomy, choices.allocator);
    let fits = limited.failure.is_none();
    let peaks = |run: &Simulation| -> Vec<u64> {
        run.devices.iter().map(|device| device.peak.point.filled_bytes()).collect()
    };
    let peak_bytes = peaks(if fits { &limited } else { &free });
    let shares = peak_bytes.iter().zip(machines).enumerate();
    let shares = shares.filter(|(_, (_, machine))| machine.kind == DeviceKind::Gpu);
    let share = |(at, (&peak, machine)): (usize, (&u64, &Machine))| {
        (Ratio::new(peak, machine.usable_bytes), std::cmp::Reverse(at))
    };
    let (worst, at) = shares.map(share).max().unwrap_or((Ratio::ZERO, std::cmp::Reverse(0)));
    let end = free.devices.iter().map(|device| device.end);
    let stays = end.map(|end| end.allocated_bytes.saturating_add(end.outside_bytes));
    Ok(Variant {
        choices,
        staging,
        changes: changes(base, (choices, staging)),
        fits,
        stays_bytes: stays.collect(),
        worst,
        worst_device: at.0,
        peak_bytes,
    })
}

/// What is different, as one would type it.
fn changes(base: (Choices, Staging), other: (Choices, Staging)) -> Vec<String> {
    let (asked, now) = (base.0, other.0);
    let mut changes = Vec::new();
    if now.order != asked.order {
        changes.push(format!("--order {}", now.order.name()));
    }
    if now.allocator != asked.allocator {
        changes.push(format!("--allocator {}", now.allocator.name()));
    }
    if other.1 != base.1 {
        changes.push(format!("--staging {}", other.1.name()));
    }
    if now.warm_up != asked.warm_up {
        changes.push(if now.warm_up { "--warm-up" } else { "no --warm-up" }.to_owned());
    }
    changes
}
