//! Components that cannot be told apart, counted together.
//!
//! What lives together is one *unit*. A layer is its home (the unit of its attention) and its items (the
//! units of its feed-forward part). Units are alike when every number the argument uses agrees; layers are
//! alike when their homes are and their items are, one for one. Exchanging alike layers as a whole, or
//! alike items within one, changes no byte and no cost that is counted here, so a device is described by
//! *how many* of each class it holds.

use std::collections::BTreeMap;

use super::refuse;
use crate::error::Error;
use crate::model::{ComponentId, ComponentKind};
use crate::problem::{Component, DeviceSet, Problem, Sends};
use crate::verify::Load;

/// Everything about a unit that the argument uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Facts {
    /// As allocated.
    pub weights_bytes: i64,
    pub kv_bytes: i64,
    pub workspace_bytes: i64,
    pub staging_bytes: i64,
    pub allowed: DeviceSet,
    /// Of an item: units of traffic each way while it is away from home, added up over the unit.
    pub visits: u64,
    /// Of an item, where sends are per device: whether only some tokens visit it.
    pub routed: bool,
    /// Where migration counts: device and weight bytes of each member now, sorted.
    pub current: Vec<(usize, u64)>,
}

/// What a class is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Embedding,
    Head,
    /// The attention blocks of alike layers.
    Home,
    /// Items of alike layers: so many in each, whose homes are the class of this index.
    Item {
        home: usize,
        per_layer: i64,
    },
}

/// Units that cannot be told apart.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// What certificates call it.
    pub first: ComponentId,
    pub role: Role,
    pub count: i64,
    pub facts: Facts,
}

/// A problem as classes.
#[derive(Clone, Debug)]
pub(super) struct Kinds {
    pub classes: Vec<Class>,
    /// The class of each layer's home, front to back.
    pub layers: Vec<usize>,
    /// Whether the head shares the embedding's device by definition.
    pub head_is_embedding: bool,
}

impl Kinds {
    /// `migration`: whether bytes moved are counted, so that where a unit is now tells it from others;
    /// `zones`: the first layers of zones, and layers of different zones are not alike.
    pub(super) fn of(problem: &Problem, migration: bool, zones: &[u32]) -> Result<Self, Error> {
        let mut kinds =
            Self { classes: Vec::new(), layers: Vec::new(), head_is_embedding: problem.tied_head };
        let mut homes: BTreeMap<u32, Facts> = BTreeMap::new();
        let mut items: BTreeMap<u32, Vec<(ComponentId, Facts)>> = BTreeMap::new();
        for (leader, members) in units(problem)? {
            let facts = facts(problem, &members, migration);
            let has = |kind| members.iter().any(|&c| kind_of(problem, c) == kind);
            let layer = members.iter().map(|&c| problem.components[c].demand.id.layer());
            let layer = layer.reduce(|a, b| if a == b { a } else { None }).flatten();
            let leader = problem.components[leader].demand.id;
            match layer {
                Some(layer) if has(ComponentKind::Attention) => {
                    homes.insert(layer, Facts { visits: 0, routed: false, ..facts });
                }
                Some(layer) if !has(ComponentKind::Router) => {
                    items.entry(layer).or_default().push((leader, facts));
                }
                _ => kinds.add_end(leader, facts, &has)?,
            }
        }
        kinds.add_layers(homes, items, zones)?;
        Ok(kinds)
    }

    /// The embedding, the head, or both where they are one.
    fn add_end(
        &mut self,
        leader: ComponentId,
        facts: Facts,
        has: &impl Fn(ComponentKind) -> bool,
    ) -> Result<(), Error> {
        let facts = Facts { visits: 0, routed: false, ..facts };
        let layered = [
            ComponentKind::Attention,
            ComponentKind::Router,
            ComponentKind::Mlp,
            ComponentKind::SharedExpert,
            ComponentKind::Expert,
            ComponentKind::ExpertMatrix,
        ];
        let (first, role) = match (has(ComponentKind::Embedding), has(ComponentKind::OutputHead)) {
            (true, head) => {
                self.head_is_embedding |= head;
                (ComponentId::Embedding, Role::Embedding)
            }
            (false, true) if !self.head_is_embedding => (ComponentId::OutputHead, Role::Head),
            _ => {
                return refuse(
                    "components living together that no certificate can describe",
                    leader,
                );
            }
        };
        if layered.into_iter().any(has) {
            return refuse("a layer that lives with an end of the chain", leader);
        }
        self.classes.push(Class { first, role, count: 1, facts });
        Ok(())
    }

    fn add_layers(
        &mut self,
        homes: BTreeMap<u32, Facts>,
        mut items: BTreeMap<u32, Vec<(ComponentId, Facts)>>,
        zones: &[u32],
    ) -> Result<(), Error> {
        let mut known: BTreeMap<(usize, Facts, Vec<Facts>), usize> = BTreeMap::new();
        for (layer, home) in homes {
            let items = items.remove(&layer).unwrap_or_default();
            let mut all: Vec<Facts> = items.iter().map(|(_, facts)| facts.clone()).collect();
            all.sort();
            let zone = zones.iter().filter(|&&first| first <= layer).count();
            let index = *known.entry((zone, home.clone(), all)).or_insert_with(|| {
                let index = self.classes.len();
                let first = ComponentId::Attention(layer);
                self.classes.push(Class { first, role: Role::Home, count: 0, facts: home });
                for (first, facts) in items {
                    self.add_item(index, first, facts);
                }
                index
            });
            self.layers.push(index);
            self.classes[index].count += 1;
        }
        for index in 0..self.classes.len() {
            if let Role::Item { home, per_layer } = self.classes[index].role {
                self.classes[index].count = per_layer * self.classes[home].count;
            }
        }
        match items.into_iter().next() {
            Some((layer, _)) => refuse("a layer without attention", ComponentId::Attention(layer)),
            None => Ok(()),
        }
    }

    /// One more item of the layer whose home class was added last.
    fn add_item(&mut self, home: usize, first: ComponentId, facts: Facts) {
        if let Some(class) = self.classes[home + 1..].iter_mut().find(|c| c.facts == facts)
            && let Role::Item { per_layer, .. } = &mut class.role
        {
            *per_layer += 1;
            return;
        }
        self.classes.push(Class {
            first,
            role: Role::Item { home, per_layer: 1 },
            count: 0,
            facts,
        });
    }

    /// The class a certificate calls by this name.
    pub(super) fn named(&self, id: ComponentId) -> Result<usize, Error> {
        match self.classes.iter().position(|class| class.first == id) {
            Some(index) => Ok(index),
            None => refuse("a name that is not the first of a class", id),
        }
    }

    pub(super) fn with_role(&self, role: Role) -> Option<usize> {
        self.classes.iter().position(|class| class.role == role)
    }

    pub(super) fn homes(&self) -> impl Iterator<Item = usize> {
        (0..self.classes.len()).filter(|&c| self.classes[c].role == Role::Home)
    }

    /// Every item class with its home class and its number in a layer.
    pub(super) fn items(&self) -> impl Iterator<Item = (usize, usize, i64)> {
        self.classes.iter().enumerate().filter_map(|(index, class)| match class.role {
            Role::Item { home, per_layer } => Some((index, home, per_layer)),
            _ => None,
        })
    }
}

fn kind_of(problem: &Problem, component: usize) -> ComponentKind {
    problem.components[component].demand.id.kind()
}

/// Each leader with the components that share its device, in the problem's order.
fn units(problem: &Problem) -> Result<BTreeMap<usize, Vec<usize>>, Error> {
    let mut units: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, component) in problem.components.iter().enumerate() {
        let mut leader = index;
        for _ in 0..problem.components.len() {
            let with = problem.components[leader].lives_with;
            leader = problem.index_of(with).unwrap_or(leader);
            if problem.components[leader].lives_with == problem.components[leader].demand.id {
                break;
            }
        }
        if problem.components[leader].lives_with != problem.components[leader].demand.id {
            return refuse("components that live with each other in a circle", component.demand.id);
        }
        units.entry(leader).or_default().push(index);
    }
    Ok(units)
}

fn facts(problem: &Problem, members: &[usize], migration: bool) -> Facts {
    // The rule for workspace is stated where loads are: this asks it about any device.
    let mut load = Load::empty(problem, 0);
    for &component in members {
        load.add(&problem.components[component].demand);
    }
    let load = load.device_use();
    let components = || members.iter().map(|&c| &problem.components[c]);
    let of = |bytes: fn(&Component) -> u64| small(components().map(bytes).sum());
    let current = problem.current.as_ref().filter(|_| migration);
    let mut current: Vec<(usize, u64)> = current.map_or_else(Vec::new, |now| {
        let weights = |&c: &usize| (now.device_of[c], problem.components[c].demand.weights_bytes);
        members.iter().map(weights).collect()
    });
    current.sort_unstable();
    let per_device = problem.sends != Sends::PerExpert;
    let always = |c: &Component| c.demand.id.kind() != ComponentKind::Expert;
    Facts {
        weights_bytes: of(|c| c.demand.weights_bytes + c.demand.rounding_bytes),
        kv_bytes: of(|c| c.demand.kv_cache_bytes),
        workspace_bytes: small(load.workspace_bytes),
        staging_bytes: small(components().map(|c| c.demand.staging_bytes).max().unwrap_or(0)),
        allowed: components().fold(DeviceSet(u64::MAX), |all, c| all.and(c.allowed)),
        visits: components().map(|c| c.visits).sum(),
        routed: per_device && !components().any(always),
        current,
    }
}

/// A problem's numbers stay below 2^60, all of them together: [`Problem::validate`] says so.
pub(super) fn small(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
