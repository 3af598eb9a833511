//! Identical things, found once: what the counting formulation counts.
//!
//! Components that must live together become one [`Unit`]. Layers whose units agree in every number and
//! every permission form a [`LayerClass`], and within a class the feed-forward units that agree form an
//! [`ItemClass`]. Exchanging two members of a class changes no byte, no cost and no permission, so an
//! answer in counts loses nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::sends::Prices;
use crate::error::Error;
use crate::model::{ComponentId, ComponentKind};
use crate::problem::{DeviceSet, Placement, Problem, Sends};

/// What decides where a unit may go and what it costs there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Profile {
    /// As allocated: with what rounding adds.
    pub(super) weights_bytes: u64,
    pub(super) kv_cache_bytes: u64,
    pub(super) presence: Presence,
    pub(super) allowed: DeviceSet,
    /// Visits per token in units of one over the traffic denominator; 0 on the chain.
    pub(super) visits: u64,
    /// Whether it is an expert that is sent to together with others; see [`Classes::sends`].
    pub(super) routed: bool,
    /// Where its weights are now: an index into [`Classes::stays`].
    pub(super) origin: usize,
    /// Weights without what rounding adds: what a move moves.
    pub(super) moved_bytes: u64,
}

/// What a device pays once, however many units of the kind it hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Presence {
    pub(super) workspace_bytes: u64,
    pub(super) staging_bytes: u64,
}

impl Profile {
    /// Weights and KV cache.
    pub(super) fn bytes(&self) -> u64 {
        self.weights_bytes + self.kv_cache_bytes
    }
}

/// Components that share one device.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) profile: Profile,
    /// Indices into [`Problem::components`].
    pub(super) components: Vec<usize>,
}

/// One decoder layer: its home (attention and router) and what may live elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) home: Unit,
    /// Mlp, shared expert, experts, in component order.
    pub(super) items: Vec<Unit>,
    /// Index into [`Classes::by_kind`].
    pub(super) class: usize,
}

/// Feed-forward units of one layer that cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ItemClass {
    pub(super) profile: Profile,
    /// How many of them one layer has.
    pub(super) per_layer: usize,
}

/// Layers that cannot be told apart but by their position.
#[derive(Clone, Debug)]
pub(super) struct LayerClass {
    pub(super) home: Profile,
    pub(super) items: Vec<ItemClass>,
    /// Layer numbers, ascending.
    pub(super) layers: Vec<usize>,
}

/// A problem, compiled for counting.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    /// Without components when the problem has no embedding: it then costs nothing wherever it is, so
    /// that the chain may as well begin at the first layer's home.
    pub(super) embedding: Unit,
    /// `None` when the head is tied to the embedding.
    pub(super) head: Option<Unit>,
    pub(super) layers: Vec<Layer>,
    pub(super) by_kind: Vec<LayerClass>,
    /// Per origin and device: weight bytes of one unit that are there now. All zero without a current
    /// placement.
    pub(super) stays: Vec<Vec<u64>>,
    /// Where sends are per device.
    pub(super) sends: Option<Prices>,
}

impl Classes {
    /// Groups the components of `problem`.
    ///
    /// # Errors
    /// When the problem does not [hold together](Problem::validate), lacks a head or a layer's attention, or ties components together
    /// that no formulation here can keep together.
    pub(super) fn of(problem: &Problem) -> Result<Self, Error> {
        Self::grouped(problem, problem.current.as_ref())
    }

    /// As [`Self::of`], but units are alike wherever they are now, and nothing that is done costs a move.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(super) fn unmoved(problem: &Problem) -> Result<Self, Error> {
        Self::grouped(problem, None)
    }

    fn grouped(problem: &Problem, current: Option<&Placement>) -> Result<Self, Error> {
        problem.validate()?;
        if problem.is_replicated() {
            return Err(Error::new("plan with one home for each layer's attention")
                .found("a problem of replicated attention")
                .hint("frontiers, programs, certificates and explanations are of `--attention single`"));
        }
        let mut origins = Origins { current, seen: BTreeMap::new() };
        let mut units = units(problem, &mut origins)?;
        let mut take = |id: ComponentId| units.remove(&id).ok_or_else(|| missing(id));
        let embedding = take(ComponentId::Embedding);
        let embedding = match problem.index_of(ComponentId::Embedding) {
            Some(_) => embedding?,
            None => nowhere(problem, &mut origins),
        };
        let head = if problem.tied_head { None } else { Some(take(ComponentId::OutputHead)?) };
        let homes = (0..problem.layers())
            .map(|l| take(ComponentId::Attention(l)))
            .collect::<Result<Vec<_>, _>>()?;
        if homes.is_empty() {
            return Err(missing(ComponentId::Attention(0)));
        }
        let mut layers: Vec<Layer> =
            homes.into_iter().map(|home| Layer { home, items: Vec::new(), class: 0 }).collect();
        for (id, unit) in units {
            let layer = id.layer().and_then(|l| layers.get_mut(usize::try_from(l).ok()?));
            match layer {
                Some(layer) if id.kind().is_feed_forward() => layer.items.push(unit),
                _ => return Err(missing(id)),
            }
        }
        let by_kind = classify(&mut layers);
        let mut stays = vec![Vec::new(); origins.seen.len()];
        for (places, origin) in origins.seen {
            stays[origin] = places;
        }
        Ok(Self { embedding, head, layers, by_kind, stays, sends: Prices::of(problem) })
    }

    /// What leaves other devices when a unit of this profile is on `device`.
    pub(super) fn moved_bytes(&self, profile: &Profile, device: usize) -> u64 {
        profile.moved_bytes - self.stays[profile.origin][device]
    }

    /// The embedding, and the head where it is on its own.
    pub(super) fn ends(&self) -> impl Iterator<Item = &Unit> {
        [Some(&self.embedding), self.head.as_ref()].into_iter().flatten()
    }

    /// All units.
    pub(super) fn units(&self) -> impl Iterator<Item = &Unit> {
        let layers = self.layers.iter();
        self.ends().chain(layers.flat_map(|l| std::iter::once(&l.home).chain(&l.items)))
    }

    /// Every distinct presence, sorted, without those that cost nothing.
    pub(super) fn presences(&self) -> Vec<Presence> {
        let mut found: Vec<Presence> = self.profiles().map(|p| p.presence).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The profile of every class.
    pub(super) fn profiles(&self) -> impl Iterator<Item = &Profile> {
        let layers = self.by_kind.iter();
        let items = layers.clone().flat_map(|c| c.items.iter().map(|i| &i.profile));
        self.ends().map(|u| &u.profile).chain(layers.map(|c| &c.home)).chain(items)
    }
}

/// Where units are now.
struct Origins<'a> {
    current: Option<&'a Placement>,
    /// Weight bytes per device that a unit has there, numbered in order of discovery.
    seen: BTreeMap<Vec<u64>, usize>,
}

/// Stands for the embedding of a problem that has none.
fn nowhere(problem: &Problem, origins: &mut Origins<'_>) -> Unit {
    let profile =
        Profile { allowed: DeviceSet::first(problem.devices.len()), ..Profile::default() };
    with_origin(problem, Unit { profile, components: Vec::new() }, origins)
}

/// Notes where the unit's weights are now.
fn with_origin(problem: &Problem, mut unit: Unit, origins: &mut Origins<'_>) -> Unit {
    let mut stays = vec![0; problem.devices.len()];
    if let Some(current) = origins.current {
        for &component in &unit.components {
            let weights_bytes = problem.components[component].demand.weights_bytes;
            // What is nowhere stays nowhere: it moves whatever is decided.
            if let Some(stays) = stays.get_mut(current.device_of[component]) {
                *stays += weights_bytes;
            }
            unit.profile.moved_bytes += weights_bytes;
        }
    }
    let next = origins.seen.len();
    unit.profile.origin = *origins.seen.entry(stays).or_insert(next);
    unit
}

fn missing(id: ComponentId) -> Error {
    Error::new("state the problem")
        .object(id.to_string())
        .found("it is missing, or tied to a component of another layer or kind")
}

/// One unit per group of components that live together, keyed by the group's leader.
fn units(
    problem: &Problem,
    origins: &mut Origins<'_>,
) -> Result<BTreeMap<ComponentId, Unit>, Error> {
    let everywhere = DeviceSet::first(problem.devices.len());
    let mut units: BTreeMap<ComponentId, Unit> = BTreeMap::new();
    let followers = problem.components.iter().filter(|c| c.lives_with != c.demand.id);
    let shared: BTreeSet<ComponentId> = followers.map(|c| c.lives_with).collect();
    for (index, component) in problem.components.iter().enumerate() {
        let id = component.demand.id;
        let leader = component.lives_with;
        let follows = id != leader;
        let carried = matches!(leader.kind(), ComponentKind::Attention | ComponentKind::Expert);
        if follows && component.visits > 0 && !(carried && leader.layer() == id.layer()) {
            return Err(missing(id));
        }
        // What lives at home is never sent for.
        let visits = if leader.kind() == ComponentKind::Attention { 0 } else { component.visits };
        let unit = units.entry(leader).or_insert_with(|| Unit {
            profile: Profile { allowed: everywhere, ..Profile::default() },
            components: Vec::new(),
        });
        unit.components.push(index);
        let profile = &mut unit.profile;
        profile.weights_bytes += component.demand.weights_bytes + component.demand.rounding_bytes;
        profile.kv_cache_bytes += component.demand.kv_cache_bytes;
        let presence = &mut profile.presence;
        presence.workspace_bytes =
            presence.workspace_bytes.max(workspace_bytes(problem, id.kind()));
        presence.staging_bytes = presence.staging_bytes.max(component.demand.staging_bytes);
        profile.allowed = profile.allowed.and(component.allowed);
        profile.visits = profile.visits.saturating_add(visits);
        // Sent for together they are sent for by every token, or not told apart from that.
        let routed = problem.sends != Sends::PerExpert && leader.kind() == ComponentKind::Expert;
        profile.routed = routed && !follows && !shared.contains(&leader);
    }
    let located = units.into_iter().map(|(id, unit)| (id, with_origin(problem, unit, origins)));
    Ok(located.collect())
}

/// The workspace of the kind of work a component is.
pub(super) fn workspace_bytes(problem: &Problem, kind: ComponentKind) -> u64 {
    let workspace = &problem.workspace;
    match kind {
        ComponentKind::Embedding if problem.tied_head => {
            workspace.embedding_bytes.max(workspace.head_bytes)
        }
        ComponentKind::Embedding => workspace.embedding_bytes,
        ComponentKind::Attention | ComponentKind::Router => workspace.attention_bytes,
        ComponentKind::Mlp
        | ComponentKind::SharedExpert
        | ComponentKind::Expert
        | ComponentKind::ExpertMatrix => workspace.feed_forward_bytes,
        ComponentKind::FinalNorm => 0,
        ComponentKind::OutputHead => workspace.head_bytes,
    }
}

/// Sorts layers into classes, in order of first appearance, and notes each layer's class.
fn classify(layers: &mut [Layer]) -> Vec<LayerClass> {
    let mut classes: Vec<LayerClass> = Vec::new();
    for (number, layer) in layers.iter_mut().enumerate() {
        let items = item_classes(&layer.items);
        let same = |c: &LayerClass| c.home == layer.home.profile && c.items == items;
        let class = classes.iter().position(same).unwrap_or_else(|| {
            classes.push(LayerClass { home: layer.home.profile, items, layers: Vec::new() });
            classes.len() - 1
        });
        classes[class].layers.push(number);
        layer.class = class;
    }
    classes
}

fn item_classes(items: &[Unit]) -> Vec<ItemClass> {
    let mut counts: BTreeMap<Profile, usize> = BTreeMap::new();
    for item in items {
        *counts.entry(item.profile).or_default() += 1;
    }
    counts.into_iter().map(|(profile, per_layer)| ItemClass { profile, per_layer }).collect()
}
