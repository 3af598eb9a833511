//! The places of a plan as devices of a decoder.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::load::decoder::Decoder;
use crate::load::devices::host_id;
use crate::migrate::{Caches, Place, Plan};
use crate::model::ComponentId;

/// Completes "cannot ...".
pub(super) const OPERATION: &str = "apply the migration plan";

/// Which device of a decoder each device of a plan is; host memory is behind all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// By device of the plan; `None` for one that the decoder does not have, which no step may name.
    devices: Vec<Option<usize>>,
    host: usize,
}

impl Route {
    /// The way of a plan through the devices of the placement that it begins with.
    ///
    /// # Errors
    /// A plan whose replay says otherwise than it does; steps that load from files; caches made anew; devices that
    /// are not among those of the placement it begins with.
    pub fn of(plan: &Plan) -> Result<Self, Error> {
        let refuse = || Error::new(OPERATION);
        let replayed = plan.replay().map_err(|wrong| refuse().found(wrong))?;
        if let Some(wrong) = plan.differences(&replayed).first() {
            return Err(refuse().found(wrong).hint("`apportion check` lists all that is wrong"));
        }
        let from_files = |place: &Place| *place == Place::Files;
        let loads = plan.steps.iter().find(|step| from_files(&step.from) || from_files(&step.to));
        if let Some(step) = loads {
            return Err(refuse()
                .place(format!("step `{}`", plan.line(step)))
                .expected("steps between memories, which a running model can take")
                .found("one that gives up or loads weights")
                .hint("end the program and load the placement that the plan leads to"));
        }
        if plan.caches != Caches::Kept {
            return Err(refuse()
                .expected("caches of the size they have, while a model runs")
                .found("another context, batch or type of the KV cache")
                .hint("end the program and load the placement that the plan leads to"));
        }
        let hardware = &plan.from.scenario.hardware;
        let devices: Vec<Option<usize>> =
            plan.devices.iter().map(|device| hardware.index_of(&device.id)).collect();
        let route = Self { devices, host: hardware.devices.len() };
        for place in plan.steps.iter().flat_map(|step| [step.from, step.to]) {
            route.device(place).ok_or_else(|| {
                refuse()
                    .object(plan.name(place))
                    .expected("a device of the placement it begins with")
                    .found("one that is new")
                    .hint("end the program and load the placement that the plan leads to")
            })?;
        }
        Ok(route)
    }

    /// The decoder's device; `None` for files, and for a device that the decoder does not have.
    pub fn device(&self, place: Place) -> Option<usize> {
        match place {
            Place::Device(device) => self.devices.get(device).copied().flatten(),
            Place::Host => Some(self.host),
            Place::Files => None,
        }
    }

    /// The index of host memory: the number of devices of the placement the plan begins with.
    pub fn host(&self) -> usize {
        self.host
    }

    /// Whether anything waits in host memory on the way.
    pub fn parks(&self, plan: &Plan) -> bool {
        plan.steps.iter().any(|step| step.to == Place::Host)
    }

    /// Where everything is after so many steps of the plan.
    ///
    /// # Errors
    /// More steps than there are.
    pub fn homes(&self, plan: &Plan, steps: usize) -> Result<BTreeMap<ComponentId, usize>, Error> {
        if steps > plan.steps.len() {
            return Err(Error::new(OPERATION)
                .expected(format!("at most its {} steps", plan.steps.len()))
                .found(steps.to_string()));
        }
        let home = |(id, place): (ComponentId, Place)| {
            let device = self.device(place).ok_or_else(|| {
                Error::new(OPERATION)
                    .object(id.to_string())
                    .expected("a device of the placement it begins with")
                    .found(plan.name(place))
            });
            device.map(|device| (id, device))
        };
        plan.after(steps).into_iter().map(home).collect()
    }

    /// Whether a decoder is where the plan is after so many steps: the same devices, components, homes and bytes.
    pub(super) fn check(&self, plan: &Plan, steps: usize, decoder: &Decoder) -> Result<(), Error> {
        let refuse = || Error::new(OPERATION);
        let planned = &plan.from.scenario.hardware.devices;
        let planned: Vec<&str> = planned.iter().map(|device| device.id.as_str()).collect();
        let loaded = decoder.placed().devices.iter();
        let loaded: Vec<&str> = loaded.map(|device| device.id.as_str()).collect();
        // Where things were parked before, the host is behind them.
        let parked = [&planned[..], &[host_id(planned.iter().copied())]].concat();
        if loaded != planned && loaded != parked {
            return Err(refuse()
                .expected(format!("a model on {}", planned.join(", ")))
                .found(loaded.join(", ")));
        }
        let homes = self.homes(plan, steps)?;
        let names = |index: Option<&usize>| {
            let device = index.and_then(|index| decoder.placed().devices.get(*index));
            device.map_or_else(|| "nowhere".to_owned(), |device| format!("on `{}`", device.id))
        };
        let loaded = decoder.placed().homes();
        let all = homes.keys().chain(loaded.keys());
        if let Some(id) = all.into_iter().find(|id| homes.get(id) != loaded.get(id)) {
            return Err(refuse()
                .place(id.to_string())
                .expected(format!("it {} after {steps} steps", names(homes.get(id))))
                .found(format!("it {}", names(loaded.get(id))))
                .hint("the plan begins with another placement, or is done already"));
        }
        for component in &plan.from.scenario.problem()?.components {
            let planned = &component.demand;
            let (least, most, kv_bytes) = decoder.planned_bytes(planned.id);
            let agrees = (least..=most).contains(&planned.weights_bytes);
            if !agrees || kv_bytes != planned.kv_cache_bytes {
                let both = |weights: u64, kv: u64| format!("{weights} bytes and {kv} of its cache");
                return Err(refuse()
                    .place(planned.id.to_string())
                    .expected(both(planned.weights_bytes, planned.kv_cache_bytes))
                    .found(both(most, kv_bytes)));
            }
        }
        Ok(())
    }
}
