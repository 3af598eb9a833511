//! Variations of a scenario, for whoever looks for a way out of an infeasible one.
//!
//! Each changes one word of the scenario and states the problem again from scratch, so a remedy is what
//! the user would get by typing it.

use super::Scenario;
use crate::error::Error;
use crate::hardware::{Device, DeviceKind};
use crate::problem::Problem;
use crate::quant::Scheme;
use crate::remedy::Case;

impl Scenario {
    /// On these devices; those that are not there now are like `like`.
    fn with_devices(&self, devices: Vec<Device>, like: &str) -> Result<Problem, Error> {
        Self { hardware: self.hardware.with_devices(devices, like)?, ..self.clone() }.problem()
    }

    /// A device name that is not taken yet.
    fn free_id(&self) -> String {
        let taken = |id: &String| self.hardware.index_of(id).is_some();
        // One of more names than there are devices is free.
        let mut names = (0..=self.hardware.devices.len()).map(|n| format!("gpu{n}"));
        names.find(|id| !taken(id)).unwrap_or_default()
    }
}

impl Case for Scenario {
    fn problem(&self) -> Result<Problem, Error> {
        Self::problem(self)
    }

    fn with_scheme(&self, name: &str) -> Result<Problem, Error> {
        let overrides = self.scheme.overrides().to_vec();
        let scheme = Scheme::parse(name)?.with_overrides(overrides)?;
        Self { scheme, ..self.clone() }.problem()
    }

    fn alternative_schemes(&self) -> Vec<String> {
        let bytes = |scheme: &Scheme| scheme.store(&self.model).ok().map(|storage| storage.bytes());
        let Some(asked) = bytes(&self.scheme) else { return Vec::new() };
        let others = self.scheme.alternatives().into_iter();
        let mut lighter: Vec<(u64, String)> = others
            .filter_map(|scheme| Some((bytes(&scheme)?, scheme.name())))
            .filter(|(bytes, _)| *bytes < asked)
            .collect();
        // The heaviest first; of equal ones only the first is worth trying.
        lighter.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        lighter.dedup_by_key(|(bytes, _)| *bytes);
        lighter.into_iter().map(|(_, name)| name).collect()
    }

    fn context(&self) -> u64 {
        self.load.context
    }

    fn with_context(&self, tokens: u64) -> Result<Problem, Error> {
        let mut scenario = self.clone();
        scenario.load.context = tokens;
        scenario.problem()
    }

    fn batch(&self) -> u64 {
        self.load.batch
    }

    fn with_batch(&self, sequences: u64) -> Result<Problem, Error> {
        let mut scenario = self.clone();
        scenario.load.batch = sequences;
        scenario.problem()
    }

    fn with_headroom_percent(&self, percent: u64) -> Result<Problem, Error> {
        let mut scenario = self.clone();
        for headroom in &mut scenario.limits.headrooms {
            *headroom = headroom.scaled(percent);
        }
        scenario.problem()
    }

    fn with_extra_capacity(&self, per_device_bytes: &[u64]) -> Result<Problem, Error> {
        let mut devices = self.hardware.devices.clone();
        for (device, extra) in devices.iter_mut().zip(per_device_bytes) {
            device.capacity_bytes = device.capacity_bytes.saturating_add(*extra);
        }
        self.with_devices(devices, "")
    }

    fn with_added_device_like(&self, device: usize) -> Result<Problem, Error> {
        let mut devices = self.hardware.devices.clone();
        let like = devices
            .get(device)
            .filter(|d| d.kind == DeviceKind::Gpu)
            .ok_or_else(|| Error::new("add a device").expected("one like a GPU of this machine"))?
            .clone();
        devices.push(Device { id: self.free_id(), ..like.clone() });
        self.with_devices(devices, &like.id)
    }

    /// Rules are the constraints in their order, then the default pins, which only go together.
    fn without_rule(&self, rule: usize) -> Result<Problem, Error> {
        if rule >= self.constraints.len() {
            return Self { default_pins: false, ..self.clone() }.problem();
        }
        let mut scenario = self.clone();
        scenario.constraints.remove(rule);
        scenario.problem()
    }

    fn without_default_pins(&self) -> Result<Problem, Error> {
        Self { default_pins: false, ..self.clone() }.problem()
    }
}
