//! A problem as a matter of time: layers of a few kinds, devices with room, ways between them.

use super::float;
use crate::model::{ComponentId, ComponentKind};
use crate::objective::{LayerParts, Pieces, feed_forward_ps, layer_parts};
use crate::plan::caps::Caps;
use crate::plan::classes::{Classes, Profile, Unit};
use crate::plan::presolve;
use crate::problem::{Draw, ObjectiveKind, Problem, Timing};

/// A unit of the chain: what it needs and how long a step stays with it, per device.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    pub(super) profile: Profile,
    pub(super) visit_ps: Vec<f64>,
}

/// Items of a layer that need the same memory and may be on the same devices.
#[derive(Clone, Debug)]
pub(super) struct Sort {
    pub(super) profile: Profile,
    /// Places among the layer's items.
    pub(super) items: Vec<usize>,
    /// Whether exchanging two of them changes no time either.
    pub(super) alike: bool,
}

/// Layers between which nothing tells the difference, by the first of them.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) home: Stop,
    pub(super) sorts: Vec<Sort>,
    /// Number of items.
    pub(super) items: usize,
    parts: LayerParts,
    /// Component indices of the feed-forward part, ascending, each with its item; `None` at home.
    owners: Vec<(usize, Option<usize>)>,
    /// Per set of statistics.
    draws: Vec<Draw>,
}

/// The problem, compiled.
pub(super) struct Field<'a> {
    pub(super) problem: &'a Problem,
    pub(super) timing: &'a Timing,
    /// What a device may require at most.
    pub(super) limits: Vec<u64>,
    /// What it can hold at most, weights and caches, beside what it must have then.
    pub(super) rooms: Vec<f64>,
    /// `None` when the problem has no embedding.
    pub(super) embedding: Option<Stop>,
    /// `None` when it is the embedding.
    pub(super) head: Option<Stop>,
    /// Per layer, its place in `kinds`.
    pub(super) layers: Vec<usize>,
    pub(super) kinds: Vec<Kind>,
    pub(super) hand_over_ps: Vec<Vec<f64>>,
}

impl<'a> Field<'a> {
    pub(super) fn of(
        problem: &'a Problem,
        classes: &'a Classes,
        timing: &'a Timing,
        caps: &Caps,
    ) -> Self {
        let devices = problem.devices.len();
        let parts = layer_parts(problem);
        let mut layers = Vec::new();
        let mut kinds: Vec<Kind> = Vec::new();
        for (number, parts) in parts.into_iter().enumerate() {
            let kind = Kind::of(problem, classes, timing, number, parts);
            let known = kinds.iter().position(|known| known.same(&kind, timing));
            layers.push(known.unwrap_or(kinds.len()));
            if known.is_none() {
                kinds.push(kind);
            }
        }
        let stop = |unit: &Unit| Stop::of(problem, timing, unit, |_| true);
        let embedding = &classes.embedding;
        let present = !embedding.components.is_empty();
        let from =
            |from: usize| (0..devices).map(|to| float(timing.hand_over_ps(from, to))).collect();
        Self {
            problem,
            timing,
            limits: caps.device_bytes.clone(),
            rooms: rooms(problem, classes, caps),
            embedding: present.then(|| stop(embedding)),
            head: classes.head.as_ref().map(stop),
            layers,
            kinds,
            hand_over_ps: (0..devices).map(from).collect(),
        }
    }

    pub(super) fn devices(&self) -> std::ops::Range<usize> {
        0..self.problem.devices.len()
    }
}

impl Stop {
    fn of(
        problem: &Problem,
        timing: &Timing,
        unit: &Unit,
        visited: impl Fn(ComponentId) -> bool,
    ) -> Self {
        let components = unit.components.iter().copied();
        let visited = components.filter(|&index| visited(problem.components[index].demand.id));
        let mut visit_ps = vec![0.0; problem.devices.len()];
        for index in visited {
            for (sum, &ps) in visit_ps.iter_mut().zip(&timing.visit_ps[index]) {
                *sum += float(ps);
            }
        }
        Self { profile: unit.profile, visit_ps }
    }
}

impl Kind {
    fn of(
        problem: &Problem,
        classes: &Classes,
        timing: &Timing,
        number: usize,
        parts: LayerParts,
    ) -> Self {
        let layer = &classes.layers[number];
        let draws = timing.draws.iter().map(|set| set[number].clone()).collect();
        let home = Stop::of(problem, timing, &layer.home, |id| !id.kind().is_feed_forward());
        let mut owners: Vec<(usize, Option<usize>)> = Vec::new();
        for &index in &layer.home.components {
            owners.push((index, None));
        }
        for (item, unit) in layer.items.iter().enumerate() {
            owners.extend(unit.components.iter().map(|&index| (index, Some(item))));
        }
        owners.sort_unstable();
        let mut kind =
            Self { home, sorts: Vec::new(), items: layer.items.len(), parts, owners, draws };
        kind.sorts = kind.sorts_of(problem, timing, &layer.items);
        kind
    }

    fn sorts_of(&self, problem: &Problem, timing: &Timing, items: &[Unit]) -> Vec<Sort> {
        let mut sorts: Vec<Sort> = Vec::new();
        let memory = |profile: &Profile| {
            (profile.weights_bytes, profile.kv_cache_bytes, profile.presence, profile.allowed)
        };
        let matrix = |unit: &Unit| {
            unit.components
                .iter()
                .any(|&index| problem.components[index].demand.id.matrix().is_some())
        };
        // A shared expert is no expert, though it may be as large as one, and no matrix is like another.
        let routed = |unit: &Unit| {
            let kind = |&index: &usize| problem.components[index].demand.id.kind();
            unit.components.iter().all(|index| kind(index) == ComponentKind::Expert)
        };
        for (item, unit) in items.iter().enumerate() {
            let same = |sort: &&mut Sort| {
                !matrix(unit)
                    && !matrix(&items[sort.items[0]])
                    && memory(&sort.profile) == memory(&unit.profile)
                    && routed(&items[sort.items[0]]) == routed(unit)
            };
            if let Some(sort) = sorts.iter_mut().find(same) {
                sort.items.push(item);
            } else {
                sorts.push(Sort { profile: unit.profile, items: vec![item], alike: true });
            }
        }
        let even = self.draws.iter().all(|draw| matches!(draw, Draw::Even(_)));
        let all_chosen = |draw: &Draw| match draw {
            Draw::Sets(sets) => sets.iter().all(|(set, _)| set.len() == self.parts.experts.len()),
            Draw::Even(_) => true,
        };
        let single_experts = |sort: &Sort| {
            sort.items.iter().all(|&item| {
                let components = &items[item].components;
                let expert = |&index: &usize| {
                    problem.components[index].demand.id.kind() == ComponentKind::Expert
                };
                components.len() == 1 && components.iter().all(expert)
            })
        };
        let same_times = |sort: &Sort| {
            let first = items[sort.items[0]].components[0];
            sort.items.iter().all(|&item| {
                let index = items[item].components[0];
                timing.visit_ps[index] == timing.visit_ps[first]
                    && timing.expert_tokens_milli[index] == timing.expert_tokens_milli[first]
            })
        };
        let symmetric = even || self.draws.iter().all(all_chosen);
        for sort in &mut sorts {
            let exchangeable = symmetric && single_experts(sort) && same_times(sort);
            sort.alike = sort.items.len() == 1 || exchangeable;
        }
        sorts
    }

    /// Whether nothing but the number tells the two layers apart.
    fn same(&self, other: &Self, timing: &Timing) -> bool {
        let home =
            (self.home.profile, &self.home.visit_ps) == (other.home.profile, &other.home.visit_ps);
        let memory = |sorts: &[Sort]| -> Vec<_> {
            sorts.iter().map(|sort| (sort.profile, sort.items.clone(), sort.alike)).collect()
        };
        let shape = |kind: &Self| -> Vec<Option<usize>> {
            kind.owners.iter().map(|&(_, item)| item).collect()
        };
        let numbers = |parts: &LayerParts| -> Vec<u32> {
            parts.experts.iter().map(|&(number, _)| number).collect()
        };
        let times = || {
            self.owners.iter().zip(&other.owners).all(|(a, b)| {
                timing.visit_ps[a.0] == timing.visit_ps[b.0]
                    && timing.expert_tokens_milli[a.0] == timing.expert_tokens_milli[b.0]
            })
        };
        home && memory(&self.sorts) == memory(&other.sorts)
            && shape(self) == shape(other)
            && numbers(&self.parts) == numbers(&other.parts)
            && self.draws == other.draws
            && times()
    }

    /// The draws, one per set of statistics.
    pub(super) fn draws(&self) -> &[Draw] {
        &self.draws
    }

    /// The same layer where a step visits these experts and no others.
    pub(super) fn only(&self, set: usize, experts: &[u32]) -> Self {
        let mut kind = self.clone();
        kind.draws[set] = Draw::Sets(vec![(experts.to_vec(), 1)]);
        kind
    }

    /// Experts by number and component, and what every token visits by component.
    pub(super) fn parts(&self) -> &LayerParts {
        &self.parts
    }

    /// The item a component of the feed-forward part belongs to; `None` at home.
    pub(super) fn item_of(&self, component: usize) -> Option<usize> {
        let place = self.owners.binary_search_by_key(&component, |owner| owner.0);
        place.ok().and_then(|place| self.owners[place].1)
    }

    /// What the feed-forward part takes with its items on these devices, under one set of statistics.
    pub(super) fn ps(&self, timing: &Timing, set: usize, home: usize, devices: &[usize]) -> u64 {
        let device = |component: usize| self.item_of(component).map_or(home, |item| devices[item]);
        let pieces = Pieces::of(&self.parts, device);
        feed_forward_ps(timing, &self.draws[set], home, &pieces)
    }
}

/// Weights and caches that fit on each device at all. Whatever is there brings at least the smallest
/// workspace there is; kinds of work that must be there bring theirs.
fn rooms(problem: &Problem, classes: &Classes, caps: &Caps) -> Vec<f64> {
    let forced = presolve::forced(problem, classes, caps);
    let workspaces = classes.profiles().map(|profile| profile.presence.workspace_bytes);
    let least = workspaces.min().unwrap_or(0);
    let spill = caps.most(ObjectiveKind::SpillBytes);
    let room = |device: usize| {
        let workspace = forced[device].iter().map(|presence| presence.workspace_bytes).max();
        let beside = workspace.unwrap_or(least).max(least);
        let kept = problem.devices[device].reserve_bytes.saturating_add(beside);
        let room = caps.device_bytes[device].saturating_sub(kept);
        let cpu = problem.cpus().any(|cpu| cpu == device);
        float(room.min(spill.filter(|_| cpu).unwrap_or(u64::MAX)))
    };
    (0..problem.devices.len()).map(room).collect()
}
