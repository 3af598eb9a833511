//! How circumstances differ from those a placement was made for.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::Error;
use crate::hardware::{Device, DeviceKind, Hardware, Network, Spec};
use crate::nearest::did_you_mean;
use crate::quant::Override;
use crate::routing::Statistics;
use crate::scenario::{ConstraintKind, Headroom, HeadroomSize, Scenario};
use crate::units::format_bytes;

const OPERATION: &str = "change the circumstances";

/// What is different now; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Bytes of devices that may be used from now on, at most their capacity: the rest stays free.
    pub usable: Vec<(String, u64)>,
    /// Devices that are gone.
    pub lost: Vec<String>,
    /// GPUs that are there now; they get the next free names, and links like those of the last GPU.
    pub added: Vec<Spec>,
    /// Another machine altogether: what has the same name is the same device.
    pub hardware: Option<Hardware>,
    /// Tokens per sequence.
    pub context: Option<u64>,
    /// Sequences at once.
    pub batch: Option<u64>,
    /// Routing statistics instead of those before.
    pub routing: Option<Vec<Arc<Statistics>>>,
    /// Tensors or components that are wanted in another type, on top of those before.
    pub overrides: Vec<Override>,
}

impl Changes {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        let Self { usable, lost, added, hardware, context, batch, routing, overrides } = self;
        let machine =
            usable.is_empty() && lost.is_empty() && added.is_empty() && hardware.is_none();
        machine && context.is_none() && batch.is_none() && routing.is_none() && overrides.is_empty()
    }

    /// The scenario under these circumstances; what is minimised, and from where, stays as it was.
    ///
    /// # Errors
    /// Devices that are not there, named twice, or both changed and gone; more of a device than it has, or nothing
    /// of it; a machine without a GPU; types that cannot be.
    pub fn apply(&self, scenario: &Scenario) -> Result<Scenario, Error> {
        self.check_names(scenario)?;
        let mut next = scenario.clone();
        next.hardware = self.machine(&scenario.hardware)?;
        // What must stay free of devices that are gone asks nothing any more.
        let there = |id: &String| next.hardware.index_of(id).is_some();
        next.limits.headrooms.retain(|headroom| headroom.device.as_ref().is_none_or(there));
        // Nothing can be where it must not be.
        next.constraints.retain(|rule| rule.kind == ConstraintKind::Pin || there(&rule.device));
        for (id, usable_bytes) in &self.usable {
            let headroom = headroom(&next.hardware, id, *usable_bytes)?;
            next.limits.headrooms.retain(|other| other.device.as_ref() != Some(id));
            next.limits.headrooms.push(headroom);
        }
        next.limits.check(&next.hardware)?;
        next.load.context = self.context.unwrap_or(next.load.context);
        next.load.batch = self.batch.unwrap_or(next.load.batch);
        if let Some(routing) = &self.routing {
            next.limits.routing.clone_from(routing);
        }
        if !self.overrides.is_empty() {
            let mut overrides = next.scheme.overrides().to_vec();
            overrides.extend(self.overrides.iter().cloned());
            next.scheme = next.scheme.with_overrides(overrides)?;
        }
        Ok(next)
    }

    fn check_names(&self, scenario: &Scenario) -> Result<(), Error> {
        let hardware = self.hardware.as_ref().unwrap_or(&scenario.hardware);
        let ids = || hardware.devices.iter().map(|device| device.id.as_str());
        let mut seen = BTreeSet::new();
        let usable = self.usable.iter().map(|(id, _)| ("usable memory of", id));
        for (what, id) in usable.chain(self.lost.iter().map(|id| ("the loss of", id))) {
            let refuse = || Error::new(OPERATION).place(format!("{what} `{id}`"));
            if hardware.index_of(id).is_none() {
                let list = || {
                    let names: Vec<&str> = ids().collect();
                    format!("the devices are {}", names.join(", "))
                };
                return Err(refuse()
                    .expected("a device of the machine")
                    .found(format!("`{id}`"))
                    .hint(did_you_mean(id, ids()).unwrap_or_else(list)));
            }
            if !seen.insert(id) {
                return Err(refuse().expected("each device once").found("it twice"));
            }
        }
        Ok(())
    }

    fn machine(&self, before: &Hardware) -> Result<Hardware, Error> {
        let base = self.hardware.as_ref().unwrap_or(before);
        if self.lost.is_empty() && self.added.is_empty() {
            return Ok(base.clone());
        }
        let gpu = |device: &&Device| device.kind == DeviceKind::Gpu;
        let like = base.devices.iter().rfind(gpu).map(|device| device.id.clone());
        let like = like.unwrap_or_default();
        let mut devices = base.devices.clone();
        let mut speeds = Vec::new();
        for spec in &self.added {
            let id = free_id(&devices);
            speeds.extend(spec.speed.clone().map(|speed| (id.clone(), speed)));
            devices.push(Device {
                id,
                kind: DeviceKind::Gpu,
                capacity_bytes: spec.capacity_bytes,
                reserve_bytes: base.devices.first().map_or(0, |device| device.reserve_bytes),
            });
        }
        // The names of those that are gone are not given to new ones: a name is a device.
        devices.retain(|device| !self.lost.contains(&device.id));
        let machine = base.with_devices(devices, &like)?;
        if speeds.is_empty() {
            return Ok(machine);
        }
        let mut network = Network::clone(&machine.network);
        network.speeds.extend(speeds);
        machine.with_network(network)
    }
}

/// A GPU name that is not taken.
fn free_id(devices: &[Device]) -> String {
    let taken = |id: &String| devices.iter().any(|device| device.id == *id);
    let mut names = (0..=devices.len()).map(|number| format!("gpu{number}"));
    // One of more names than there are devices is free.
    names.find(|id| !taken(id)).unwrap_or_default()
}

/// What must stay free so that only so much is used.
fn headroom(hardware: &Hardware, id: &str, usable_bytes: u64) -> Result<Headroom, Error> {
    let capacity = hardware.devices.iter().find(|device| device.id == id);
    let capacity_bytes = capacity.map_or(0, |device| device.capacity_bytes);
    let refuse = || Error::new(OPERATION).place(format!("usable memory of `{id}`"));
    if usable_bytes == 0 {
        return Err(refuse()
            .expected("more than nothing")
            .found("0 B")
            .hint(format!("a device that is gone is `--lose {id}`")));
    }
    let Some(bytes) = capacity_bytes.checked_sub(usable_bytes) else {
        return Err(refuse()
            .expected(format!("at most its {}", format_bytes(capacity_bytes)))
            .found(format_bytes(usable_bytes))
            .hint(
                "a device that is larger than the placement says is another machine: --hardware",
            ));
    };
    Ok(Headroom { device: Some(id.to_owned()), size: HeadroomSize::Bytes(bytes) })
}
