//! The independent checker: what a placement is worth, in exact integers.
//!
//! It knows the [`Problem`] and the [`Placement`] and nothing else. It must not import anything from
//! [`crate::plan`] and must not use floating point: a mistake of the planner, its solver or its scaling
//! has to show here, so nothing may be shared with them.

mod bound;
mod load;
mod measured;
mod violation;

pub use crate::objective::Traffic;
pub use bound::{Certified, prove};
pub(crate) use load::Load;
pub use measured::{DeviceUse, Measured};
pub use violation::Violation;

use crate::objective::{ALL, Facts, law, traffic};
use crate::problem::{Component, DeviceSet, Placement, Problem};

/// Measures a placement and checks everything the problem demands of it.
///
/// # Errors
/// Every violation there is, in this order: structural ones alone (nothing can be measured then), else
/// components where they may not be, components apart that belong together,
/// experts divided unevenly where attention is replicated, devices over capacity, too many devices, too much moved.
pub fn verify(problem: &Problem, placement: &Placement) -> Result<Measured, Vec<Violation>> {
    check_structure(problem, placement)?;
    let loads = loads(problem, placement);
    let mut violations = misplaced(problem, placement);
    violations.extend(separated(problem, placement));
    violations.extend(uneven(problem, placement));
    violations.extend(over_capacity(problem, &loads));
    violations.extend(too_many_devices(problem, &loads));
    violations.extend(moved_too_much(problem, placement));
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

/// Where attention is replicated, every device has its share of each layer's experts.
fn uneven(problem: &Problem, placement: &Placement) -> Vec<Violation> {
    if !problem.is_replicated() {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for layer in problem.expert_layers() {
        let share = layer.share(problem.devices.len());
        for (device, of) in problem.devices.iter().enumerate() {
            let here = layer.components.iter().filter(|&&c| placement.device_of[c] == device);
            let found = here.count();
            if !(share[0]..=share[1]).contains(&found) {
                let device = of.id.clone();
                violations.push(Violation::Uneven { layer: layer.layer, device, share, found });
            }
        }
    }
    violations
}

fn over_capacity(problem: &Problem, loads: &[Load<'_>]) -> Vec<Violation> {
    let over = problem.devices.iter().zip(loads).filter(|(_, load)| !load.fits());
    over.map(|(device, load)| Violation::OverCapacity {
        device: device.id.clone(),
        required_bytes: load.required_bytes(),
        limit_bytes: load.limit_bytes(),
        capacity_bytes: device.capacity_bytes,
    })
    .collect()
}

fn too_many_devices(problem: &Problem, loads: &[Load<'_>]) -> Option<Violation> {
    let most = problem.devices_max?;
    let found = loads.iter().filter(|load| load.hosts_anything()).count();
    (found > most).then_some(Violation::TooManyDevices { most, found })
}

fn moved_too_much(problem: &Problem, placement: &Placement) -> Option<Violation> {
    let (most_bytes, current) = (problem.moved_bytes_max?, problem.current.as_ref()?);
    let pairs = homes(problem, placement).zip(&current.device_of);
    let moved = pairs.filter(|((_, device), there)| device != *there);
    let found = moved.map(|((component, _), _)| u128::from(component.demand.weights_bytes)).sum();
    let found_bytes = saturate(found);
    (found_bytes > most_bytes).then_some(Violation::MovedTooMuch { most_bytes, found_bytes })
}

fn measured(problem: &Problem, placement: &Placement, loads: &[Load<'_>]) -> Measured {
    let required_bytes: Vec<u64> = loads.iter().map(Load::required_bytes).collect();
    let facts = Facts { problem, placement, required_bytes: &required_bytes };
    Measured {
        devices: loads.iter().map(Load::device_use).collect(),
        values: ALL
            .into_iter()
            .filter(|&kind| law(kind).applies(problem))
            .map(|kind| (kind, law(kind).evaluate(&facts)))
            .collect(),
        traffic: traffic(problem, placement),
    }
}

/// Sums are taken in 128 bits, where no number of `u64` terms that fits in memory can overflow; only
/// reporting returns to 64.
fn saturate(sum: u128) -> u64 {
    u64::try_from(sum).unwrap_or(u64::MAX)
}
