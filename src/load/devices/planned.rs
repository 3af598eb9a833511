//! What a placement says is on each device, checked anew.

use super::bind::host_id;
use crate::error::Error;
use crate::hardware::{DeviceKind, Hardware};
use crate::load::migrate::Route;
use crate::memory::ComponentDemand;
use crate::migrate::Plan;
use crate::placement::{Record, differences};
use crate::scenario::Attention;
use crate::verify::{DeviceUse, Load, verify};

/// One device as a placement plans it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its name in the placement.
    pub id: String,
    /// Accelerator or host.
    pub kind: DeviceKind,
    /// What it has, in bytes.
    pub capacity_bytes: u64,
    /// What of that stays free: the user's reserve, and what the planned runtime keeps for itself.
    pub reserve_bytes: u64,
    /// What lives there, by purpose.
    pub on_it: DeviceUse,
}

impl Planned {
    /// Every device of the placement, in its order.
    ///
    /// # Errors
    /// A placement that [`verify`] refuses or that records other figures than it finds, with the first of these,
    /// and a scenario that states no problem.
    pub fn of(record: &Record) -> Result<Vec<Self>, Error> {
        refuse_replicated(record)?;
        let problem = record.scenario.problem()?;
        let refuse = |found: String| {
            Error::new("use the placement")
                .found(found)
                .hint("`apportion check` lists all that is wrong with it; solve again")
        };
        let measured = verify(&problem, &record.placement(&problem)?)
            .map_err(|all| refuse(all.first().map_or_else(String::new, ToString::to_string)))?;
        if let Some(difference) = differences(record, &problem, &measured).first() {
            return Err(refuse(difference.to_string()));
        }
        let devices = problem.devices.iter().zip(&measured.devices);
        let planned = devices.map(|(device, on_it)| Self {
            id: device.id.clone(),
            kind: device.kind,
            capacity_bytes: device.capacity_bytes,
            reserve_bytes: device.reserve_bytes,
            on_it: *on_it,
        });
        Ok(planned.collect())
    }

    /// Every device of the placement that a plan begins with, with what is on it after so many steps, and behind them
    /// host memory where components are parked on the way.
    ///
    /// # Errors
    /// As [`of`](Self::of) and [`Route::of`]; more steps than there are.
    pub fn after(plan: &Plan, route: &Route, steps: usize) -> Result<Vec<Self>, Error> {
        let mut planned = Self::of(&plan.from)?;
        let problem = plan.from.scenario.problem()?;
        let homes = route.homes(plan, steps)?;
        let there = |device: usize| -> Vec<&ComponentDemand> {
            let components = problem.components.iter().map(|component| &component.demand);
            components.filter(|demand| homes.get(&demand.id) == Some(&device)).collect()
        };
        for (index, device) in planned.iter_mut().enumerate() {
            let mut load = Load::empty(&problem, index);
            for demand in there(index) {
                load.add(demand);
            }
            device.on_it = load.device_use();
        }
        if route.parks(plan) {
            let parked = there(route.host());
            let sum = |bytes: fn(&ComponentDemand) -> u64| {
                parked.iter().map(|demand| bytes(demand)).fold(0, u64::saturating_add)
            };
            let on_it = DeviceUse {
                weights_bytes: sum(|demand| demand.weights_bytes),
                kv_cache_bytes: sum(|demand| demand.kv_cache_bytes),
                ..DeviceUse::default()
            };
            let id = host_id(planned.iter().map(|device| device.id.as_str())).to_owned();
            let (capacity_bytes, reserve_bytes) = (plan.claims.host_bytes, 0);
            planned.push(Self { id, kind: DeviceKind::Cpu, capacity_bytes, reserve_bytes, on_it });
        }
        Ok(planned)
    }

    /// Every device of a machine, with nothing on it.
    pub fn empty(hardware: &Hardware) -> Vec<Self> {
        let planned = hardware.devices.iter().map(|device| Self {
            id: device.id.clone(),
            kind: device.kind,
            capacity_bytes: device.capacity_bytes,
            reserve_bytes: device.reserve_bytes,
            on_it: DeviceUse::default(),
        });
        planned.collect()
    }

    /// What may be put on it unless told otherwise: its capacity without what stays free.
    pub fn budget_bytes(&self) -> u64 {
        self.capacity_bytes.saturating_sub(self.reserve_bytes)
    }
}

/// This runtime keeps each layer's attention at one home.
fn refuse_replicated(record: &Record) -> Result<(), Error> {
    match record.scenario.limits.attention {
        Attention::Single => Ok(()),
        Attention::Replicated => Err(Error::new("use the placement")
            .expected("one where each layer's attention has one home, as this runtime keeps it")
            .found("replicated attention")
            .hint("such placements are for serving engines; solve with `--attention single`")),
    }
}
