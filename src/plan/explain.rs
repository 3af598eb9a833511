//! What is made of a problem before anything is solved: what is merged, what is settled.

use super::bounds::{alone_bytes, kinds};
use super::caps::Caps;
use super::classes::{Classes, LayerClass, Unit};
use super::presolve;
use crate::error::Error;
use crate::model::ComponentId;
use crate::problem::{DeviceSet, Problem};

/// A problem as the planner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What is told apart no more.
    pub merged: Merged,
    /// What is settled without a search.
    pub cut: Cut,
}

/// Identical things, counted instead of named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Components of the problem.
    pub components: usize,
    /// What is left to place when those that share a device by rule are one thing.
    pub units: usize,
    /// The embedding and the head, where they are on their own.
    pub ends: Vec<Group>,
    /// Layers that only their position tells apart.
    pub layers: Vec<LayerKind>,
    /// Decisions with a name: one per unit and device where it may be.
    pub named: u64,
    /// Decisions as counts: one per kind of unit and device where it may be.
    pub counted: u64,
}

/// Layers that agree in every byte, cost and permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerKind {
    /// Their numbers, ascending.
    pub layers: Vec<usize>,
    /// Attention, and what lives with it.
    pub home: Group,
    /// The rest of one layer, by kind.
    pub items: Vec<Group>,
}

/// Units that nothing tells apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The first component of the first of them.
    pub component: ComponentId,
    /// How many there are, in one layer.
    pub count: usize,
    /// Components that each is made of.
    pub components: usize,
    /// Weights and KV cache of each.
    pub bytes: u64,
    /// Where they may be.
    pub allowed: DeviceSet,
}

/// What rules and capacities settle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Devices that are the only place of something.
    pub pinned: Vec<Pinned>,
    /// Pairs of a unit and a device that rules exclude, of units that have a choice left.
    pub forbidden: u64,
    /// Places that lack the room even when nothing else is there.
    pub too_small: Vec<TooSmall>,
    /// Devices without which not everything has room.
    pub must_use: Vec<MustUse>,
    /// Pairs of devices that nothing tells apart, the later first: their exchange is not looked at.
    pub alike: Vec<(usize, usize)>,
}

/// What may live on one device only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// Index of the device.
    pub device: usize,
    /// Units there.
    pub units: u64,
    /// Their weights and KV cache.
    pub bytes: u64,
}

/// A unit that a device where it may be has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall {
    /// Index of the device.
    pub device: usize,
    /// The unit's first component.
    pub component: ComponentId,
    /// How many units there are like it.
    pub units: u64,
    /// What the device would require with nothing else on it.
    pub required_bytes: u64,
    /// What it may require.
    pub limit_bytes: u64,
}

/// A device that cannot stay empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MustUse {
    /// Index of the device.
    pub device: usize,
    /// Weights and KV cache that the others have no room for.
    pub holds_bytes: u64,
}

/// What the planner makes of `problem` before it solves anything. How its stages went is in
/// [`super::Solved::trace`].
///
/// # Errors
/// A malformed problem.
pub fn explain(problem: &Problem) -> Result<Explanation, Error> {
    let classes = Classes::unmoved(problem)?;
    Ok(Explanation { merged: merged(problem, &classes), cut: cut(problem, &classes) })
}

fn merged(problem: &Problem, classes: &Classes) -> Merged {
    let places = |allowed: DeviceSet| u64::from(allowed.0.count_ones());
    let kinds = kinds(classes);
    let ends = classes.ends().filter(|unit| !unit.components.is_empty());
    Merged {
        components: problem.components.len(),
        units: classes.units().filter(|unit| !unit.components.is_empty()).count(),
        ends: ends.filter_map(|unit| group(problem, unit, 1)).collect(),
        layers: classes.by_kind.iter().filter_map(|c| layer_kind(problem, classes, c)).collect(),
        named: kinds.iter().map(|(unit, count)| places(unit.profile.allowed) * count).sum(),
        counted: kinds.iter().map(|(unit, _)| places(unit.profile.allowed)).sum(),
    }
}

fn layer_kind(problem: &Problem, classes: &Classes, class: &LayerClass) -> Option<LayerKind> {
    let layer = &classes.layers[*class.layers.first()?];
    let items = class.items.iter().filter_map(|item| {
        let first = layer.items.iter().find(|unit| unit.profile == item.profile)?;
        group(problem, first, item.per_layer)
    });
    let mut items: Vec<Group> = items.collect();
    items.sort_by_key(|item| item.component);
    Some(LayerKind { layers: class.layers.clone(), home: group(problem, &layer.home, 1)?, items })
}

fn group(problem: &Problem, unit: &Unit, count: usize) -> Option<Group> {
    Some(Group {
        component: named(problem, unit)?,
        count,
        components: unit.components.len(),
        bytes: unit.profile.bytes(),
        allowed: unit.profile.allowed,
    })
}

/// The component that the others of a unit live with.
fn named(problem: &Problem, unit: &Unit) -> Option<ComponentId> {
    unit.components.first().map(|&component| problem.components[component].lives_with)
}

fn cut(problem: &Problem, classes: &Classes) -> Cut {
    let caps = Caps::of(problem);
    let kinds = kinds(classes);
    let devices = 0..problem.devices.len();
    let mut cut = Cut::default();
    for device in devices.clone() {
        let here = kinds.iter().filter(|(u, _)| u.profile.allowed == DeviceSet::only(device));
        let sum = |(units, bytes), (unit, count): &(&Unit, u64)| {
            (units + count, bytes + unit.profile.bytes() * count)
        };
        let (units, bytes) = here.fold((0, 0), sum);
        if units > 0 && problem.devices.len() > 1 {
            cut.pinned.push(Pinned { device, units, bytes });
        }
        let limit_bytes = caps.device_bytes[device];
        for (unit, units) in kinds.iter().filter(|(u, _)| u.profile.allowed.contains(device)) {
            let required_bytes = alone_bytes(problem, &unit.profile, device);
            if let Some(component) = named(problem, unit).filter(|_| required_bytes > limit_bytes) {
                let units = *units;
                let found = TooSmall { device, component, units, required_bytes, limit_bytes };
                cut.too_small.push(found);
            }
        }
        let holds_bytes = presolve::needed_on(problem, classes, &caps, device);
        if holds_bytes > 0 {
            cut.must_use.push(MustUse { device, holds_bytes });
        }
    }
    let every = u64::try_from(problem.devices.len()).unwrap_or(u64::MAX);
    let excluded = |(unit, count): &(&Unit, u64)| {
        let places = u64::from(unit.profile.allowed.0.count_ones());
        if places > 1 { every.saturating_sub(places) * count } else { 0 }
    };
    cut.forbidden = kinds.iter().map(excluded).sum();
    let twin = |device| presolve::twin(problem, classes, &caps, device).map(|twin| (device, twin));
    cut.alike = devices.filter_map(twin).collect();
    cut
}
