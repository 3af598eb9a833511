//! What one device needs for the components on it: the one statement of the memory rule.
//!
//! It can be filled component by component, so that a replay of a load applies the very rule the final
//! check applies. It must not know where components may live or what a good placement is.

use super::{DeviceUse, saturate};
use crate::hardware::{Device, DeviceKind};
use crate::memory::ComponentDemand;
use crate::model::ComponentKind;
use crate::problem::Problem;

/// One device and what has been put on it so far.
#[derive(Clone, Debug)]
pub(crate) struct Load<'a> {
    problem: &'a Problem,
    device: &'a Device,
    limit_bytes: u64,
    hosts_anything: bool,
    weights_bytes: u128,
    rounding_bytes: u128,
    kv_cache_bytes: u128,
    workspace_bytes: u64,
    staging_bytes: u64,
}

impl<'a> Load<'a> {
    /// Nothing on it yet but what every device holds. `device` must be an index into the problem's devices.
    pub(crate) fn empty(problem: &'a Problem, device: usize) -> Self {
        let limit_bytes = problem.limit_bytes(device);
        let device = &problem.devices[device];
        // Host memory stages what passes through it, whether or not it stays there.
        let staging_bytes =
            if device.kind == DeviceKind::Cpu { problem.host_staging_bytes } else { 0 };
        let mut load = Self {
            problem,
            device,
            limit_bytes,
            hosts_anything: false,
            weights_bytes: 0,
            rounding_bytes: 0,
            kv_cache_bytes: 0,
            workspace_bytes: 0,
            staging_bytes,
        };
        problem.everywhere.iter().for_each(|demand| load.add(demand));
        load
    }

    /// Puts a component on it.
    pub(crate) fn add(&mut self, demand: &ComponentDemand) {
        self.hosts_anything = true;
        self.weights_bytes += u128::from(demand.weights_bytes);
        self.rounding_bytes += u128::from(demand.rounding_bytes);
        self.kv_cache_bytes += u128::from(demand.kv_cache_bytes);
        self.workspace_bytes = self.workspace_bytes.max(self.workspace_of(demand.id.kind()));
        self.staging_bytes = self.staging_bytes.max(demand.staging_bytes);
    }

    fn workspace_of(&self, kind: ComponentKind) -> u64 {
        let workspace = &self.problem.workspace;
        match kind {
            // A tied head computes its logits where its matrix lives.
            ComponentKind::Embedding if self.problem.tied_head => {
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

    pub(crate) fn hosts_anything(&self) -> bool {
        self.hosts_anything
    }

    /// Whether anything on it costs bytes: components, or staging in host memory.
    fn in_use(&self) -> bool {
        self.hosts_anything || self.staging_bytes > 0
    }

    fn required(&self) -> u128 {
        if !self.in_use() {
            return 0;
        }
        // Staging exists while loading, KV cache and workspace only after it.
        let running = self.kv_cache_bytes + u128::from(self.workspace_bytes);
        let transient = running.max(u128::from(self.staging_bytes));
        let resident = self.weights_bytes + self.rounding_bytes;
        resident + u128::from(self.device.reserve_bytes) + transient
    }

    /// Whether what it requires is within its capacity, headroom left free.
    pub(crate) fn fits(&self) -> bool {
        self.required() <= u128::from(self.limit_bytes)
    }

    /// What it may require at most.
    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// What it requires, in bytes; saturated.
    pub(crate) fn required_bytes(&self) -> u64 {
        saturate(self.required())
    }

    pub(crate) fn device_use(&self) -> DeviceUse {
        DeviceUse {
            weights_bytes: saturate(self.weights_bytes),
            rounding_bytes: saturate(self.rounding_bytes),
            kv_cache_bytes: saturate(self.kv_cache_bytes),
            workspace_bytes: self.workspace_bytes,
            reserve_bytes: if self.in_use() { self.device.reserve_bytes } else { 0 },
            staging_bytes: self.staging_bytes,
            used_bytes: self.required_bytes(),
            capacity_bytes: self.device.capacity_bytes,
            headroom_bytes: self.device.capacity_bytes - self.limit_bytes,
        }
    }
}
