//! A scenario: everything that determines a placement problem, as the user states it.
//!
//! The command line and placement files both end here, and [`Scenario::problem`] is the only way from
//! the words of the user (a model, a quantization, patterns over names) to the plain data that is
//! planned and verified. Remedies are found by changing one word and asking again, so a scenario is a
//! value that is cheap to copy.

mod case;
mod fingerprint;
mod objectives;
mod rules;

use crate::error::Error;
use crate::hardware::{Device, DeviceKind, Hardware};
use crate::memory::{ComponentDemand, Demand, Load, PerDevice};
use crate::model::{ComponentId, ComponentKind, Model};
use crate::problem::{Component, DeviceSet, Objective, Problem, Sends};
use crate::quant::{Scheme, Storage};
use crate::units::BYTES_MAX;

pub use fingerprint::fingerprint;
pub use objectives::{default_objectives, parse_objectives, parse_tolerance, with_spill_first};
pub use rules::{Constraint, ConstraintKind};

/// A model, how it is stored and used, the machine, and the user's wishes.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What is placed.
    pub model: Model,
    /// How its weights are stored.
    pub scheme: Scheme,
    /// How it is used and loaded.
    pub load: Load,
    /// Where it can go.
    pub hardware: Hardware,
    /// Pins and forbidden places, in the order they were typed.
    pub constraints: Vec<Constraint>,
    /// Whether the embedding and the feed-forward part of layer 0 are pinned to the first GPU unless
    /// a constraint says otherwise.
    pub default_pins: bool,
    /// What is minimised, most important first. A CPU without `spill_bytes` here puts it first.
    pub objectives: Vec<Objective>,
}

impl Scenario {
    /// What each component needs under this quantization and load.
    pub fn demand(&self) -> Result<Demand, Error> {
        checked(Demand::of(&self.model, &self.scheme, &self.load)?)
    }

    /// As [`Self::demand`], from what its scheme stores of its model.
    pub fn demand_of_stored(&self, storage: Storage) -> Result<Demand, Error> {
        checked(Demand::of_stored(&self.model, &self.scheme, storage, &self.load)?)
    }

    /// States the placement problem.
    pub fn problem(&self) -> Result<Problem, Error> {
        self.problem_of(&self.demand()?)
    }

    /// As [`Self::problem`], from a demand of this scenario that is already known: machines and wishes
    /// do not change it.
    pub fn problem_of(&self, demand: &Demand) -> Result<Problem, Error> {
        let everywhere = DeviceSet::first(self.hardware.devices.len());
        let outside = demand.embedding_on_host && !self.hardware.has_cpu();
        let tied_head = demand.tied_head;
        let mut components: Vec<Component> = demand
            .components
            .iter()
            .filter(|c| c.id != ComponentId::Embedding || !outside)
            .map(|d| self.component(d.clone(), everywhere, tied_head))
            .collect();
        let rules = rules::apply(self, &mut components)?;
        Ok(Problem {
            components,
            devices: self.devices(&demand.per_device),
            workspace: demand.workspace,
            host_staging_bytes: demand.host_staging_bytes,
            tied_head,
            traffic_denominator: self.traffic_denominator(),
            rules,
            objectives: with_spill_first(&self.objectives, self.hardware.has_cpu()),
            headroom_bytes: Vec::new(),
            devices_max: None,
            sends: Sends::PerExpert,
            current: None,
        })
    }

    /// The devices, with what the runtime keeps on them added to what is kept free.
    fn devices(&self, per_device: &PerDevice) -> Vec<Device> {
        let devices = &self.hardware.devices;
        let gpus = devices.iter().filter(|device| device.kind == DeviceKind::Gpu).count();
        let with = |device: &Device| {
            let kept = per_device.reserve_bytes(device, gpus);
            Device { reserve_bytes: device.reserve_bytes.saturating_add(kept), ..device.clone() }
        };
        devices.iter().map(with).collect()
    }

    /// The components that are placed, in canonical order: the model's, but for an embedding that the
    /// runtime keeps in host memory where that is no device, and with the head's copy of it.
    pub fn component_ids(&self) -> Vec<ComponentId> {
        let on_host = self.load.runtime.rules().embedding_on_host;
        let found = self.model.found.as_ref().filter(|_| self.scheme.is_stored());
        let tensors = found.map_or(&self.model.tensors, |found| &found.tensors);
        let mut ids: Vec<_> = tensors.iter().map(|tensor| tensor.component).collect();
        if on_host && self.model.geometry.tied_head {
            ids.push(ComponentId::OutputHead);
        }
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|&id| id != ComponentId::Embedding || !on_host || self.hardware.has_cpu());
        ids
    }

    fn component(&self, demand: ComponentDemand, allowed: DeviceSet, tied: bool) -> Component {
        let lives_with = lives_with(demand.id, tied);
        let visits = match demand.id.kind() {
            ComponentKind::Mlp | ComponentKind::SharedExpert => self.traffic_denominator(),
            ComponentKind::Expert => u64::from(self.model.geometry.experts_per_token),
            _ => 0,
        };
        Component { demand, allowed, lives_with, visits }
    }

    /// Chances that a token visits an expert are multiples of one over this.
    fn traffic_denominator(&self) -> u64 {
        u64::from(self.model.geometry.experts).max(1)
    }
}

/// A router reads its attention's output and is tiny; the final norm works on what the head reads.
fn lives_with(id: ComponentId, tied_head: bool) -> ComponentId {
    match id {
        ComponentId::Router(layer) => ComponentId::Attention(layer),
        ComponentId::FinalNorm if tied_head => ComponentId::Embedding,
        ComponentId::FinalNorm => ComponentId::OutputHead,
        other => other,
    }
}

/// Planner and verifier add demands without checking; this is what entitles them to.
fn checked(demand: Demand) -> Result<Demand, Error> {
    let per_device = demand.workspace.kinds().into_iter().chain([demand.host_staging_bytes]);
    let of_component = |c: &ComponentDemand| {
        [c.weights_bytes, c.rounding_bytes, c.kv_cache_bytes, c.staging_bytes]
    };
    let total = demand
        .components
        .iter()
        .flat_map(of_component)
        .chain(per_device)
        .fold(0_u64, u64::saturating_add);
    if total >= BYTES_MAX {
        return Err(Error::new("plan for this model and load")
            .expected("a total demand below 1024 PiB")
            .found("more")
            .hint("a smaller --context or --batch"));
    }
    Ok(demand)
}
