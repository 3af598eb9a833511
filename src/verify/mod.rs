//! The independent checker: what a placement is worth, in exact integers.
//!
//! It knows the [`Problem`] and the [`Placement`] and nothing else. It must not import anything from
//! [`crate::plan`] and must not use floating point: a mistake of the planner, its solver or its scaling
//! has to show here, so nothing may be shared with them.

mod bound;
mod load;
mod measured;
mod traffic;
mod violation;

pub use bound::{Certified, prove};
pub(crate) use load::Load;
pub use measured::{DeviceUse, Measured, Traffic};
pub use violation::Violation;

use crate::hardware::DeviceKind;
use crate::problem::{Component, DeviceSet, Placement, Problem};
use crate::units::Ratio;

/// Measures a placement and checks everything the problem demands of it.
///
/// # Errors
/// Every violation there is, in this order: structural ones alone (nothing can be measured then), else
/// components where they may not be, components apart that belong together, devices over capacity.
pub fn verify(problem: &Problem, placement: &Placement) -> Result<Measured, Vec<Violation>> {
    check_structure(problem, placement)?;
    let loads = loads(problem, placement);
    let mut violations = misplaced(problem, placement);
    violations.extend(separated(problem, placement));
    violations.extend(over_capacity(problem, &loads));
    if violations.is_empty() { Ok(measured(problem, placement, &loads)) } else { Err(violations) }
}

/// Measures a placement whatever it respects: for maps other people made.
///
/// # Errors
/// Structural violations only: a wrong number of entries, a device that does not exist.
pub fn measure(problem: &Problem, placement: &Placement) -> Result<Measured, Vec<Violation>> {
    check_structure(problem, placement)?;
    Ok(measured(problem, placement, &loads(problem, placement)))
}

fn check_structure(problem: &Problem, placement: &Placement) -> Result<(), Vec<Violation>> {
    let (expected, found) = (problem.components.len(), placement.device_of.len());
    if expected != found {
        return Err(vec![Violation::WrongLength { expected, found }]);
    }
    let unknown: Vec<Violation> = homes(problem, placement)
        .filter(|&(_, device)| device >= problem.devices.len())
        .map(|(component, device)| Violation::UnknownDevice {
            component: component.demand.id,
            device,
            devices: problem.devices.len(),
        })
        .collect();
    if unknown.is_empty() { Ok(()) } else { Err(unknown) }
}

/// Each component with its device index, in the problem's order.
fn homes<'a>(
    problem: &'a Problem,
    placement: &'a Placement,
) -> impl Iterator<Item = (&'a Component, usize)> {
    problem.components.iter().zip(placement.device_of.iter().copied())
}

fn loads<'a>(problem: &'a Problem, placement: &Placement) -> Vec<Load<'a>> {
    let mut loads: Vec<Load<'a>> =
        (0..problem.devices.len()).map(|device| Load::empty(problem, device)).collect();
    for (component, device) in homes(problem, placement) {
        loads[device].add(&component.demand);
    }
    loads
}

fn misplaced(problem: &Problem, placement: &Placement) -> Vec<Violation> {
    homes(problem, placement)
        .enumerate()
        .filter(|&(_, (component, device))| !component.allowed.contains(device))
        .map(|(index, (component, device))| Violation::NotAllowed {
            component: component.demand.id,
            device: problem.devices[device].id.clone(),
            allowed: names(problem, component.allowed),
            rule: problem
                .rules
                .iter()
                .find(|rule| rule.components.contains(&index) && !rule.devices.contains(device))
                .map(|rule| rule.text.clone()),
        })
        .collect()
}

fn names(problem: &Problem, set: DeviceSet) -> Vec<String> {
    set.iter().filter_map(|device| problem.devices.get(device)).map(|d| d.id.clone()).collect()
}

fn separated(problem: &Problem, placement: &Placement) -> Vec<Violation> {
    homes(problem, placement)
        .filter(|(component, _)| component.lives_with != component.demand.id)
        .filter_map(|(component, device)| {
            let partner = problem.index_of(component.lives_with).map(|i| placement.device_of[i]);
            (partner != Some(device)).then(|| Violation::NotTogether {
                component: component.demand.id,
                device: problem.devices[device].id.clone(),
                with: component.lives_with,
                with_device: partner.map(|device| problem.devices[device].id.clone()),
            })
        })
        .collect()
}

fn over_capacity(problem: &Problem, loads: &[Load<'_>]) -> Vec<Violation> {
    let over = problem.devices.iter().zip(loads).filter(|(_, load)| !load.fits());
    over.map(|(device, load)| Violation::OverCapacity {
        device: device.id.clone(),
        required_bytes: load.required_bytes(),
        capacity_bytes: device.capacity_bytes,
    })
    .collect()
}

fn measured(problem: &Problem, placement: &Placement, loads: &[Load<'_>]) -> Measured {
    let devices: Vec<DeviceUse> = loads.iter().map(Load::device_use).collect();
    let hosting = problem.gpus().filter(|&gpu| loads[gpu].hosts_anything());
    let peak = hosting.map(|gpu| devices[gpu].utilization()).max().unwrap_or(Ratio::ZERO);
    let spilled = homes(problem, placement)
        .filter(|&(_, device)| problem.devices[device].kind == DeviceKind::Cpu)
        .flat_map(|(c, _)| {
            [c.demand.weights_bytes, c.demand.rounding_bytes, c.demand.kv_cache_bytes]
        })
        .map(u128::from)
        .sum();
    Measured {
        devices,
        spill_bytes: saturate(spilled),
        peak,
        traffic: traffic::traffic(problem, placement),
        devices_used: loads.iter().map(|load| u64::from(load.hosts_anything())).sum(),
        migration_bytes: migrated(problem, placement),
    }
}

/// Weights on another device than the current placement's.
fn migrated(problem: &Problem, placement: &Placement) -> u64 {
    let Some(current) = &problem.current else { return 0 };
    let moved = homes(problem, placement).zip(&current.device_of);
    let moved = moved.filter(|((_, device), from)| device != *from);
    saturate(moved.map(|((component, _), _)| u128::from(component.demand.weights_bytes)).sum())
}

/// Sums are taken in 128 bits, where no number of `u64` terms that fits in memory can overflow; only
/// reporting returns to 64.
fn saturate(sum: u128) -> u64 {
    u64::try_from(sum).unwrap_or(u64::MAX)
}
