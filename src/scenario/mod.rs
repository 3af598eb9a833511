//! A scenario: everything that determines a placement problem, as the user states it.
//!
//! The command line and placement files both end here, and [`Scenario::problem`] is the only way from
//! the words of the user (a model, a quantization, patterns over names) to the plain data that is
//! planned and verified. Remedies are found by changing one word and asking again, so a scenario is a
//! value that is cheap to copy.

mod case;
mod fingerprint;
mod limits;
mod matrices;
mod objectives;
mod replicated;
mod routing;
mod rules;
mod timing;

use crate::error::Error;
use crate::hardware::{Device, DeviceKind, Hardware};
use crate::memory::{ComponentDemand, Demand, Load, PerDevice};
use crate::model::{ComponentId, ComponentKind, Geometry, Model};
use crate::problem::{Component, DeviceSet, Objective, ObjectiveKind, Placement, Problem, Sends};
use crate::quant::{Scheme, Storage};
use crate::runtime::SendRule;
use crate::units::BYTES_MAX;

pub use fingerprint::fingerprint;
pub(crate) use fingerprint::hex;
pub use limits::{
    Attention, Current, Granularity, Headroom, HeadroomSize, Limits, parse_devices_max,
};
pub use objectives::{default_objectives, parse_objectives, parse_tolerance, with_spill_first};
pub use replicated::{affinity_of, default_objectives_replicated};
pub use rules::{Constraint, ConstraintKind};

/// Units of a transfer in which chances of visiting a device are counted.
const CHANCE_UNITS: u64 = 1_000_000_000;

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
    /// What else it must respect.
    pub limits: Limits,
    /// What is minimised, most important first. A CPU without `spill_bytes` here puts it first.
    pub objectives: Vec<Objective>,
}

impl Scenario {
    /// What each component needs under this quantization and load.
    pub fn demand(&self) -> Result<Demand, Error> {
        self.demand_of_stored(self.scheme.store(&self.model)?)
    }

    /// As [`Self::demand`], from what its scheme stores of its model.
    pub fn demand_of_stored(&self, storage: Storage) -> Result<Demand, Error> {
        let storage = self.grouped(storage);
        checked(Demand::of_stored(&self.model, &self.scheme, storage, &self.load)?)
    }

    /// States the placement problem.
    pub fn problem(&self) -> Result<Problem, Error> {
        self.problem_of(&self.demand()?)
    }

    /// As [`Self::problem`], from a demand of this scenario that is already known: machines and wishes
    /// do not change it.
    pub fn problem_of(&self, demand: &Demand) -> Result<Problem, Error> {
        if self.limits.attention == Attention::Replicated {
            return self.replicated(demand);
        }
        replicated::refuse_crossings(&self.objectives)?;
        self.check_routing()?;
        self.check_matrices()?;
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
        let current = self.current(&components)?;
        let [decode, prefill] = self.timings(demand, &components)?;
        Ok(Problem {
            components,
            devices: self.devices(&demand.per_device),
            workspace: demand.workspace,
            host_staging_bytes: demand.host_staging_bytes,
            tied_head,
            traffic_denominator: self.traffic_denominator(),
            rules,
            objectives: with_spill_first(&self.objectives, self.hardware.has_cpu()),
            headroom_bytes: limits::headroom_bytes(&self.limits.headrooms, &self.hardware)?,
            devices_max: self.limits.devices_max,
            moved_bytes_max: self.limits.moved_bytes_max,
            sends: self.sends()?,
            current,
            decode,
            prefill,
            everywhere: Vec::new(),
            affinity: None,
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
    /// runtime keeps in host memory where that is no device, and with the head's copy of it. Where attention
    /// is replicated only the routed experts.
    pub fn component_ids(&self) -> Vec<ComponentId> {
        let on_host = self.load.runtime.rules().embedding_on_host;
        let found = self.model.found.as_ref().filter(|_| self.scheme.is_stored());
        let tensors = found.map_or(&self.model.tensors, |found| &found.tensors);
        let mut ids: Vec<_> = if self.by_matrix() {
            matrices::by_matrix(tensors)
        } else {
            tensors.iter().map(|tensor| tensor.component).collect()
        };
        if on_host && self.model.geometry.tied_head {
            ids.push(ComponentId::OutputHead);
        }
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|&id| id != ComponentId::Embedding || !on_host || self.hardware.has_cpu());
        if self.limits.attention == Attention::Replicated {
            ids.retain(|id| id.kind() == ComponentKind::Expert);
        }
        ids
    }

    fn component(&self, demand: ComponentDemand, allowed: DeviceSet, tied: bool) -> Component {
        let lives_with = lives_with(demand.id, tied, self.limits.granularity);
        let visits = match demand.id {
            ComponentId::Mlp(_) | ComponentId::SharedExpert(_) => self.traffic_denominator(),
            ComponentId::Expert(..) => {
                self.counted_visits(demand.id).unwrap_or_else(|| self.expert_visits())
            }
            ComponentId::ExpertMatrix(_, matrix) => {
                self.handed_on(matrix, self.traffic_denominator())
            }
            _ => 0,
        };
        Component { demand, allowed, lives_with, visits }
    }

    /// How a token reaches experts away from home: as asked, else as the runtime does. Without experts
    /// there is no difference.
    fn send_rule(&self) -> SendRule {
        let asked = self.limits.sends.unwrap_or(self.load.runtime.rules().sends);
        if self.model.geometry.experts == 0 { SendRule::PerExpert } else { asked }
    }

    fn sends(&self) -> Result<Sends, Error> {
        let Geometry { experts, experts_per_token, .. } = self.model.geometry;
        let per_token = 1..=Sends::PER_TOKEN_MAX.min(experts);
        match self.send_rule() {
            SendRule::PerExpert => Ok(Sends::PerExpert),
            SendRule::PerDevice
                if experts <= Sends::EXPERTS_MAX && per_token.contains(&experts_per_token) =>
            {
                Ok(Sends::PerDevice { experts, experts_per_token })
            }
            SendRule::PerDevice => Err(Error::new("price sends per device")
                .object(&self.model.name)
                .expected(format!(
                    "up to {} of up to {} experts per token",
                    Sends::PER_TOKEN_MAX,
                    Sends::EXPERTS_MAX
                ))
                .found(format!("{experts_per_token} of {experts}"))
                .hint("--sends per-expert has no such limit")),
        }
    }

    /// Per expert, chances are multiples of one over the number of experts, or of the tokens by which experts
    /// were counted. Those of visiting a device are
    /// fractions of many denominators, rounded up at a billionth.
    fn traffic_denominator(&self) -> u64 {
        match self.send_rule() {
            SendRule::PerExpert => match self.counted() {
                Some(statistics) => statistics.tokens,
                None => u64::from(self.model.geometry.experts).max(1),
            },
            SendRule::PerDevice => CHANCE_UNITS,
        }
    }

    /// How often a token visits one expert, rounded up to units of one over the denominator.
    fn expert_visits(&self) -> u64 {
        let Geometry { experts, experts_per_token, .. } = self.model.geometry;
        let chosen = self.traffic_denominator().saturating_mul(u64::from(experts_per_token));
        chosen.div_ceil(u64::from(experts).max(1))
    }

    /// The current placement, where something is to be minimised against it.
    fn current(&self, components: &[Component]) -> Result<Option<Placement>, Error> {
        let migrates = self.objectives.iter().any(|o| o.kind == ObjectiveKind::Migration);
        if self.limits.moved_bytes_max.is_some() && self.limits.current.is_none() {
            return Err(Error::new("limit what moves")
                .expected("a placement to move from")
                .found("none"));
        }
        match (&self.limits.current, migrates) {
            (None, false) => Ok(None),
            (Some(current), true) => {
                let ids = components.iter().map(|c| c.demand.id);
                current.placement(ids, &self.hardware).map(Some)
            }
            (Some(_), false) => Err(Error::new("count what moves")
                .expected("`migration` among the objectives")
                .found("a current placement that nothing is measured against")
                .hint("add `--objective migration,...`")),
            (None, true) => Err(Error::new("minimise migration")
                .expected("a placement to move from")
                .found("none")
                .hint("add `--migrate-from PLACEMENT.yaml`")),
        }
    }
}

/// A router reads its attention's output and is tiny; the final norm works on what the head reads.
fn lives_with(id: ComponentId, tied_head: bool, granularity: Granularity) -> ComponentId {
    match (id, granularity) {
        (
            ComponentId::Mlp(layer)
            | ComponentId::SharedExpert(layer)
            | ComponentId::Expert(layer, _),
            Granularity::Layer,
        ) => {
            return ComponentId::Attention(layer);
        }
        (ComponentId::Expert(layer, _), Granularity::Experts) => {
            return ComponentId::Expert(layer, 0);
        }
        _ => {}
    }
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
