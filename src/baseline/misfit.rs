//! Where a load would die: the first component that does not fit on its device.

use crate::model::ComponentId;
use crate::placement::Placement;
use crate::problem::Problem;
use crate::verify::Load;

/// The allocation at which a placement runs out of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The component being loaded.
    pub component: ComponentId,
    /// Index of the device that has no room for it.
    pub device: usize,
    /// What the device requires with it, by the rule every placement is checked with.
    pub required_bytes: u64,
    /// What it may require at most: its capacity, headroom left free.
    pub limit_bytes: u64,
    /// What the device has.
    pub capacity_bytes: u64,
}

/// Loads the components in canonical order onto their devices and stops at the first that exceeds a
/// capacity; `None` when everything fits.
///
/// What is required so far counts the largest matrix staged so far. A host that cannot even stage what
/// passes through it fails at the first component. Entries naming no device are passed over; measuring
/// the placement reports them.
pub fn first_misfit(problem: &Problem, placement: &Placement) -> Option<Misfit> {
    let mut loads: Vec<Load<'_>> =
        (0..problem.devices.len()).map(|device| Load::empty(problem, device)).collect();
    let misfit = |component, device: usize, load: &Load<'_>| Misfit {
        component,
        device,
        required_bytes: load.required_bytes(),
        limit_bytes: load.limit_bytes(),
        capacity_bytes: problem.devices[device].capacity_bytes,
    };
    let first = problem.components.first()?.demand.id;
    if let Some(device) = loads.iter().position(|load| !load.fits()) {
        return Some(misfit(first, device, &loads[device]));
    }
    for (component, &device) in problem.components.iter().zip(&placement.device_of) {
        let Some(load) = loads.get_mut(device) else { continue };
        load.add(&component.demand);
        if !load.fits() {
            return Some(misfit(component.demand.id, device, load));
        }
    }
    None
}
