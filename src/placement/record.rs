//! What a placement file says, as a value.
//!
//! A record is a claim: the words of the scenario, the map, and what the solver said about it. It holds
//! wire facts only, apart from the types the planner works with, so that the file format has one home.

use super::check::cap;
use super::wishes::named;
use crate::error::Error;
use crate::model::{ComponentId, Model};
use crate::plan::{LimitReached, Solved, StageReport};
use crate::problem::{Objective, ObjectiveKind, ObjectiveValue, Placement, Problem};
use crate::scenario::{Current, Scenario, fingerprint};
use crate::units::Ratio;
use crate::verify::{DeviceUse, Measured};

/// How far the proof went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Every objective is proven within its gap limit.
    Optimal,
    /// A limit stopped the proof.
    Feasible(LimitReached),
}

impl Status {
    /// The name in files and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Optimal => "optimal",
            Self::Feasible(_) => "feasible",
        }
    }

    /// Of a solved problem.
    pub fn of(solved: &Solved) -> Self {
        solved.limit.map_or(Self::Optimal, Self::Feasible)
    }
}

/// The name of a limit in files and JSON.
pub(crate) fn limit_name(limit: LimitReached) -> &'static str {
    match limit {
        LimitReached::Nodes => "nodes",
        LimitReached::Time => "time",
        LimitReached::Precision => "precision",
    }
}

/// What the file says about one objective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectiveRecord {
    /// Which objective, and its tolerance.
    pub objective: Objective,
    /// Its value in the recorded map.
    pub value: ObjectiveValue,
    /// The best value found for it.
    pub optimum: ObjectiveValue,
    /// The proven lower bound.
    pub bound: ObjectiveValue,
    /// What later objectives might spend of it.
    pub cap: ObjectiveValue,
    /// (optimum - bound) / optimum, in nine decimals.
    pub gap: String,
}

impl ObjectiveRecord {
    fn of(stage: &StageReport) -> Self {
        Self {
            objective: Objective { kind: stage.kind, tolerance: stage.tolerance },
            value: stage.value,
            optimum: stage.optimum,
            bound: stage.bound,
            cap: stage.cap,
            gap: format_gap(stage.optimum, stage.bound),
        }
    }

    /// Which objective.
    pub fn kind(&self) -> ObjectiveKind {
        self.objective.kind
    }
}

/// The gap as files state it: nine decimals, of the exact values.
pub(super) fn format_gap(optimum: ObjectiveValue, bound: ObjectiveValue) -> String {
    let (optimum, bound) = (optimum.as_f64(), bound.as_f64());
    let gap = if optimum > 0.0 { ((optimum - bound) / optimum).max(0.0) } else { 0.0 };
    format!("{gap:.9}")
}

/// What the file says about the traffic of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficRecord {
    /// Consecutive steps of the chain on different devices.
    pub hand_overs: u64,
    /// Experts away from their layer's attention.
    pub remote_experts: u64,
    /// Expected activation transfers per token.
    pub expected: Ratio,
}

/// What the file says one device holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// The device.
    pub id: String,
    /// All that must fit.
    pub used_bytes: u64,
    /// Resident weights.
    pub weights_bytes: u64,
    /// What the allocator adds to them.
    pub rounding_bytes: u64,
    /// KV cache of the attention blocks there.
    pub kv_cache_bytes: u64,
    /// Activations and compute buffers.
    pub workspace_bytes: u64,
    /// Kept free.
    pub reserve_bytes: u64,
    /// Held only while loading.
    pub staging_bytes: u64,
}

impl DeviceRecord {
    /// What was measured for the device of this name.
    pub fn of(id: &str, measured: &DeviceUse) -> Self {
        Self {
            id: id.to_owned(),
            used_bytes: measured.used_bytes,
            weights_bytes: measured.weights_bytes,
            rounding_bytes: measured.rounding_bytes,
            kv_cache_bytes: measured.kv_cache_bytes,
            workspace_bytes: measured.workspace_bytes,
            reserve_bytes: measured.reserve_bytes,
            staging_bytes: measured.staging_bytes,
        }
    }
}

/// The content of a placement file.
#[derive(Clone, Debug)]
pub struct Record {
    /// The scenario it answers.
    pub scenario: Scenario,
    /// The fingerprint of the problem it states.
    pub problem: String,
    /// How far the proof went.
    pub status: Status,
    /// One per objective, in order.
    pub objectives: Vec<ObjectiveRecord>,
    /// What the map costs per token.
    pub traffic: TrafficRecord,
    /// The solver's name.
    pub solver: String,
    /// Branch-and-bound nodes over all programs.
    pub nodes: u64,
    /// What each device holds, in the order of the hardware.
    pub devices: Vec<DeviceRecord>,
    /// The map: each component's device index, in canonical order.
    pub homes: Vec<(ComponentId, usize)>,
}

impl Record {
    /// Records a solved and measured placement.
    pub fn of(
        scenario: &Scenario,
        problem: &Problem,
        solved: &Solved,
        measured: &Measured,
    ) -> Self {
        let ids = problem.components.iter().map(|c| c.demand.id);
        let devices = problem.devices.iter().zip(&measured.devices);
        Self {
            scenario: scenario.clone(),
            problem: fingerprint(problem),
            status: Status::of(solved),
            objectives: solved.stages.iter().map(ObjectiveRecord::of).collect(),
            traffic: traffic_record(measured),
            solver: solved.solver.name.to_owned(),
            nodes: solved.solver.nodes,
            devices: devices.map(|(device, used)| DeviceRecord::of(&device.id, used)).collect(),
            homes: ids.zip(solved.placement.device_of.iter().copied()).collect(),
        }
    }

    /// Records a map that was not solved for, such as a habit of people, whether it fits or not. Nothing is proven
    /// of it: each objective's bound is zero. `name` stands where a solver's would.
    pub fn of_map(
        scenario: &Scenario,
        problem: &Problem,
        placement: &Placement,
        measured: &Measured,
        name: &str,
    ) -> Self {
        let objective = |&objective: &Objective| {
            let value = measured.value(objective.kind);
            let bound = nothing(value);
            let cap = cap(value, objective.tolerance);
            let gap = format_gap(value, bound);
            ObjectiveRecord { objective, value, optimum: value, bound, cap, gap }
        };
        let objectives: Vec<_> = problem.objectives.iter().map(objective).collect();
        // Of what cannot be less even zero is a proof.
        let proven = objectives.iter().all(|objective| objective.bound >= objective.optimum);
        let ids = problem.components.iter().map(|c| c.demand.id);
        let devices = problem.devices.iter().zip(&measured.devices);
        Self {
            scenario: scenario.clone(),
            problem: fingerprint(problem),
            status: if proven { Status::Optimal } else { Status::Feasible(LimitReached::Nodes) },
            objectives,
            traffic: traffic_record(measured),
            solver: name.to_owned(),
            nodes: 0,
            devices: devices.map(|(device, used)| DeviceRecord::of(&device.id, used)).collect(),
            homes: ids.zip(placement.device_of.iter().copied()).collect(),
        }
    }

    /// The map as what is where now, for a question about `model`; `source` names the file in messages.
    ///
    /// # Errors
    /// A placement of another model.
    pub fn current_of(&self, model: &Model, source: &str) -> Result<Current, Error> {
        if self.scenario.model.fingerprint != model.fingerprint {
            return Err(Error::new("move from the placement")
                .object(source)
                .expected(format!("one of `{}`", model.name))
                .found(format!("one of `{}`", self.scenario.model.name)));
        }
        Ok(named(&self.homes, &self.scenario.hardware))
    }

    /// The map as the verifier wants it; refuses one for other components than the problem's.
    pub fn placement(&self, problem: &Problem) -> Result<Placement, Error> {
        let ids = problem.components.iter().map(|c| c.demand.id);
        if !ids.eq(self.homes.iter().map(|&(id, _)| id)) {
            return Err(Error::new("use the map").found("it was made for other components"));
        }
        Ok(Placement { device_of: self.homes.iter().map(|&(_, device)| device).collect() })
    }
}

/// Zero in the unit of a value.
fn nothing(value: ObjectiveValue) -> ObjectiveValue {
    match value {
        ObjectiveValue::Bytes(_) => ObjectiveValue::Bytes(0),
        ObjectiveValue::Count(_) => ObjectiveValue::Count(0),
        ObjectiveValue::Time(_) => ObjectiveValue::Time(0),
        ObjectiveValue::Ratio(_) => ObjectiveValue::Ratio(Ratio::ZERO),
    }
}

pub(super) fn traffic_record(measured: &Measured) -> TrafficRecord {
    TrafficRecord {
        hand_overs: measured.traffic.hand_overs,
        remote_experts: measured.traffic.remote_experts,
        expected: measured.traffic.expected_transfers_per_token(),
    }
}
