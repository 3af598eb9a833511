//! What a consumer holds apart, beside what a map holds apart.
//!
//! A unit is all that goes to one device together. Units of a granularity are those of
//! [`Granularity`]: what lives with a layer's attention whatever is asked (its router), and by granularity its
//! feed-forward part and experts. A matrix of all experts and a single expert have parts in common, so to a
//! consumer of either kind all of a layer's experts are one unit where the map is of the other kind.

use std::collections::BTreeMap;

use super::{Exporter, Options, Plan, Refusal};
use crate::error::Error;
use crate::model::{ComponentId, ComponentKind};
use crate::problem::Placement;
use crate::scenario::Granularity;

/// The component that stands for a unit: the first of it in canonical order, or where that is none of the map's
/// the same for all of them.
fn leader(id: ComponentId, unit: Option<Granularity>, tied_head: bool) -> ComponentId {
    use ComponentId::{
        Attention, Embedding, Expert, ExpertMatrix, FinalNorm, Mlp, OutputHead, Router,
        SharedExpert,
    };
    let Some(unit) = unit else { return id };
    match (id, unit) {
        (Router(layer), _)
        | (
            Mlp(layer) | SharedExpert(layer) | Expert(layer, _) | ExpertMatrix(layer, _),
            Granularity::Layer,
        ) => Attention(layer),
        (Expert(layer, _) | ExpertMatrix(layer, _), Granularity::Experts)
        | (Expert(layer, _), Granularity::FusedMatrix)
        | (ExpertMatrix(layer, _), Granularity::Expert) => Expert(layer, 0),
        (FinalNorm, _) if tied_head => Embedding,
        (FinalNorm, _) => OutputHead,
        _ => id,
    }
}

/// The parts of a unit as a clause.
fn together(unit: Granularity) -> &'static str {
    match unit {
        Granularity::Layer => "a whole layer is one unit there",
        Granularity::Experts => "all experts of a layer are one unit there",
        Granularity::FusedMatrix => "a matrix of all experts of a layer is one unit there",
        Granularity::Expert => "an expert with all its matrices is one unit there",
    }
}

/// Components by unit, in canonical order of their first: indices into the problem's components.
fn units(plan: &Plan<'_>, unit: Option<Granularity>) -> Vec<Vec<usize>> {
    let tied = plan.problem.tied_head;
    let mut by_leader = BTreeMap::<ComponentId, Vec<usize>>::new();
    for (index, component) in plan.problem.components.iter().enumerate() {
        by_leader.entry(leader(component.demand.id, unit, tied)).or_default().push(index);
    }
    let mut units: Vec<Vec<usize>> = by_leader.into_values().collect();
    units.sort();
    units
}

/// The first component that the consumer cannot place where the map has it.
pub(super) fn first_split(
    exporter: &dyn Exporter,
    plan: &Plan<'_>,
    options: &Options,
) -> Result<Option<Refusal>, Error> {
    if plan.problem.is_replicated() && !exporter.replicated() {
        return Ok(replicated(plan));
    }
    let unit = exporter.unit_of(plan, options)?;
    let id = |index: usize| plan.problem.components[index].demand.id;
    let home = |index: usize| plan.placement.device_of[index];
    let mut found: Vec<(usize, String)> = Vec::new();
    for members in units(plan, unit) {
        let first = members[0];
        let apart = members.iter().copied().find(|&index| home(index) != home(first));
        if let (Some(index), Some(unit)) = (apart, unit) {
            let device = &plan.device(home(first)).id;
            found.push((index, format!("{}, and `{}` is on {device}", together(unit), id(first))));
        }
        for index in members {
            let Some((device, why)) = exporter.fixed(plan, options, id(index)) else { continue };
            if device != home(index) {
                found.push((index, format!("it goes to {}, {why}", plan.device(device).id)));
            }
        }
    }
    // Of two reasons for one component the first is that of its unit.
    let first = found.into_iter().min_by_key(|(index, _)| *index);
    Ok(first.map(|(index, reason)| Refusal {
        wishes: wishes(exporter, plan, options, unit),
        can_project: true,
        ..Refusal::new(plan, id(index), reason, [])
    }))
}

/// Options of `solve` under which all units are whole and everything fixed is where it is put.
fn wishes(
    exporter: &dyn Exporter,
    plan: &Plan<'_>,
    options: &Options,
    unit: Option<Granularity>,
) -> Vec<String> {
    let mut wishes = Vec::new();
    if let Some(unit) = unit.filter(|unit| *unit < plan.scenario.limits.granularity) {
        wishes.extend(["--granularity".to_owned(), unit.name().replace('_', "-")]);
    }
    let fixed_of = |id| exporter.fixed(plan, options, id).map(|(device, _)| device);
    // Where only experts can be told, a layer must not be one unit.
    let apart = unit == Some(Granularity::Expert)
        && plan.scenario.limits.granularity == Granularity::Layer
        && fixed_of(ComponentId::Attention(0)).is_some();
    if apart {
        wishes.extend(["--granularity".to_owned(), Granularity::Expert.name().to_owned()]);
    }
    // No pin moves an embedding that the planned runtime keeps on the host.
    let on_gpu = fixed_of(ComponentId::Embedding).is_some_and(|device| plan.is_gpu(device));
    if on_gpu && plan.scenario.load.runtime.rules().embedding_on_host {
        let runtime = exporter.runtime().map(|name| ["--runtime".to_owned(), name.to_owned()]);
        wishes.extend(runtime.into_iter().flatten());
    }
    if exporter.follows() {
        return wishes;
    }
    // By kind, the device where all of it is put, and whether some of it is elsewhere in the map.
    let mut kinds: BTreeMap<ComponentKind, (Option<usize>, bool)> = BTreeMap::new();
    for (component, &home) in plan.problem.components.iter().zip(&plan.placement.device_of) {
        let id = component.demand.id;
        // What lives with another follows its pin.
        if component.lives_with.kind() != id.kind() {
            continue;
        }
        let fixed = exporter.fixed(plan, options, id).map(|(device, _)| device);
        let (all, elsewhere) = kinds.entry(id.kind()).or_insert((fixed, false));
        *all = all.filter(|_| *all == fixed);
        *elsewhere |= fixed.is_some_and(|device| device != home);
    }
    for (kind, (device, elsewhere)) in kinds {
        if let Some(device) = device.filter(|_| elsewhere) {
            let device = &plan.device(device).id;
            wishes.extend(["--pin".to_owned(), format!("{}={device}", pattern(kind))]);
        }
    }
    wishes
}

/// What matches all components of a kind.
fn pattern(kind: ComponentKind) -> String {
    match kind {
        ComponentKind::Embedding | ComponentKind::FinalNorm | ComponentKind::OutputHead => {
            kind.name().to_owned()
        }
        ComponentKind::Expert | ComponentKind::ExpertMatrix => "layers.*.experts.*".to_owned(),
        kind => format!("layers.*.{}", kind.name()),
    }
}

fn replicated(plan: &Plan<'_>) -> Option<Refusal> {
    let first = plan.problem.components.first()?;
    let reason = "attention has one home per layer there, and the map has it on every device";
    Some(Refusal::new(plan, first.demand.id, reason, ["--attention", "single"]))
}

/// The map with every unit of the consumer whole: each goes to the device that holds most of its bytes (weights
/// and KV cache), of several to the one of its layer's attention, else to the first listed. What the consumer
/// places itself goes there, with its unit, and what it divides by a rule of its own is divided by that. `None`
/// when the map is so already.
///
/// It may not fit, or break a rule of the question: verify it again.
///
/// # Errors
/// An option with a value that the consumer does not know, and bytes that say nothing of it.
pub fn project(
    exporter: &dyn Exporter,
    plan: &Plan<'_>,
    options: &Options,
) -> Result<Option<Placement>, Error> {
    /// What goes with the first layer is known only when that has moved, and so on.
    const ROUNDS_MAX: usize = 4;
    options.check(exporter)?;
    exporter.check(plan)?;
    if plan.problem.is_replicated() && !exporter.replicated() {
        return Ok(None);
    }
    let unit = exporter.unit_of(plan, options)?;
    let mut placement = plan.placement.clone();
    for _ in 0..ROUNDS_MAX {
        let device_of = whole(exporter, &Plan { placement: &placement, ..*plan }, options, unit);
        let settled = device_of == placement.device_of;
        placement = Placement { device_of };
        if settled {
            break;
        }
    }
    if let Some(other) = exporter.reshape(&Plan { placement: &placement, ..*plan }, options) {
        placement = other;
    }
    Ok((placement != *plan.placement).then_some(placement))
}

/// Every unit on one device.
fn whole(
    exporter: &dyn Exporter,
    plan: &Plan<'_>,
    options: &Options,
    unit: Option<Granularity>,
) -> Vec<usize> {
    let mut device_of = plan.placement.device_of.clone();
    // A layer's attention comes first among its units, so that the others see where it went.
    for members in units(plan, unit) {
        let device = home_of(exporter, plan, options, &members, &device_of);
        for index in members {
            device_of[index] = device;
        }
    }
    device_of
}

fn home_of(
    exporter: &dyn Exporter,
    plan: &Plan<'_>,
    options: &Options,
    members: &[usize],
    device_of: &[usize],
) -> usize {
    let components = &plan.problem.components;
    let fixed = |&index: &usize| exporter.fixed(plan, options, components[index].demand.id);
    if let Some((device, _)) = members.iter().find_map(fixed) {
        return device;
    }
    let mut bytes = vec![0_u64; plan.problem.devices.len()];
    for &index in members {
        let demand = &components[index].demand;
        let held = &mut bytes[plan.placement.device_of[index]];
        *held = held.saturating_add(demand.weights_bytes).saturating_add(demand.kv_cache_bytes);
    }
    let most = bytes.iter().copied().max().unwrap_or(0);
    let layer = members.first().and_then(|&index| components[index].demand.id.layer());
    let attention = layer.and_then(|layer| plan.problem.index_of(ComponentId::Attention(layer)));
    let near = attention.map(|index| device_of[index]).filter(|&device| bytes[device] == most);
    near.or_else(|| bytes.iter().position(|&held| held == most)).unwrap_or(0)
}
