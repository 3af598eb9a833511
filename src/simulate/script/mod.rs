//! What a load asks for, in order: one list over all devices.

mod load;
mod run;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::choices::Choices;
use crate::error::Error;
use crate::hardware::DeviceKind;
use crate::memory::Demand;
use crate::model::{ComponentId, Tensor};
use crate::placement::Record;
use crate::scenario::{Attention, Scenario};

/// What the load is about at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Weights come.
    Load,
    /// The cache is made, where it is made at once.
    Cache,
    /// The prompt is read.
    Prefill,
    /// Tokens are generated.
    Decode,
}

impl Phase {
    /// The name in texts and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Cache => "cache",
            Self::Prefill => "prefill",
            Self::Decode => "decode",
        }
    }
}

/// What memory is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The driver's context, which no allocator deals out.
    Context,
    /// All weights of the device at once, to have the memory.
    WarmUp,
    /// The 16-bit matrix that is being quantized.
    Staging,
    /// Statistics on the way to what stays.
    Passing,
    /// What stays of a tensor.
    Weights,
    /// Keys, values or recurrent state.
    Cache,
    /// What is computed in.
    Workspace,
    /// A 4-bit matrix in 16 bit, for a product of many tokens.
    Unpacked,
    /// The workspace of the matrix library.
    Library,
}

impl Purpose {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Context => "driver_context",
            Self::WarmUp => "warm_up",
            Self::Staging => "staging",
            Self::Passing => "passing",
            Self::Weights => "weights",
            Self::Cache => "kv_cache",
            Self::Workspace => "workspace",
            Self::Unpacked => "unpacked",
            Self::Library => "matrix_library",
        }
    }

    /// What it is, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Context => "the driver's context",
            Self::WarmUp => "all weights at once, to warm up",
            Self::Staging => "the 16-bit matrix that is quantized",
            Self::Passing => "statistics of a matrix that is quantized",
            Self::Weights => "weights",
            Self::Cache => "KV cache",
            Self::Workspace => "workspace",
            Self::Unpacked => "a 4-bit matrix in 16 bit, for a product",
            Self::Library => "the matrix library's workspace",
        }
    }
}

/// Why something is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The component it belongs to, if to one.
    pub component: Option<ComponentId>,
    /// The index of the tensor among the script's, if it is about one.
    pub tensor: Option<u32>,
    /// What it is for.
    pub purpose: Purpose,
}

/// One step of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request to the allocator of a device.
    Alloc {
        /// Index of the device.
        device: usize,
        /// What is asked for.
        bytes: u64,
        /// The name by which it is freed; each is given once.
        slot: u32,
        /// Why.
        cause: Cause,
    },
    /// What the slot holds is not needed any more.
    Free {
        /// Which request.
        slot: u32,
    },
    /// Memory that no allocator deals out is taken for good.
    Outside {
        /// Index of the device.
        device: usize,
        /// How much.
        bytes: u64,
        /// Why.
        cause: Cause,
    },
}

/// What a device of the load is and has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub id: String,
    /// GPU or host memory.
    pub kind: DeviceKind,
    /// What the load may take there.
    pub usable_bytes: u64,
}

impl Machine {
    /// The devices of a record, each with all its capacity.
    pub fn of(record: &Record) -> Vec<Self> {
        let devices = record.scenario.hardware.devices.iter();
        let machine = |device: &crate::hardware::Device| Self {
            id: device.id.clone(),
            kind: device.kind,
            usable_bytes: device.capacity_bytes,
        };
        devices.map(machine).collect()
    }
}

/// Everything a load asks for.
#[derive(Clone, Debug)]
pub struct Script {
    /// The steps, in order.
    pub events: Vec<Event>,
    /// Where phases begin: index of their first step.
    pub phases: Vec<(Phase, usize)>,
    /// How many slots there are.
    pub slots: u32,
    /// The tensors that causes name.
    pub tensors: Arc<[Tensor]>,
}

impl Script {
    /// The load of a recorded map under a scenario, which may have another runtime or staging than the recorded one.
    ///
    /// The map need not fit: that is what a replay is for.
    ///
    /// # Errors
    /// A scenario that states no demand, a map without a device for something the runtime places, as many decode
    /// steps as there is context, more than 4 billion requests.
    pub fn of(
        record: &Record,
        scenario: &Scenario,
        machines: &[Machine],
        choices: &Choices,
    ) -> Result<Self, Error> {
        check(scenario, choices)?;
        let demand = scenario.demand()?;
        let homes = homes(record, scenario, &demand)?;
        let mut writer = Writer {
            scenario,
            demand: &demand,
            homes,
            machines,
            choices,
            touched: vec![false; machines.len()],
            multiplied: vec![false; machines.len()],
            script: Self {
                events: Vec::new(),
                phases: vec![(Phase::Load, 0)],
                slots: 0,
                tensors: Arc::clone(&demand.storage.tensors),
            },
        };
        writer.load()?;
        writer.run()?;
        Ok(writer.script)
    }

    /// The name of a cause's tensor.
    pub fn tensor_name(&self, cause: &Cause) -> Option<&str> {
        let index = usize::try_from(cause.tensor?).ok()?;
        self.tensors.get(index).map(|tensor| tensor.name.as_str())
    }
}

fn check(scenario: &Scenario, choices: &Choices) -> Result<(), Error> {
    let context = scenario.load.context;
    let most = Choices::DECODE_MAX.min(context.saturating_sub(1));
    if choices.decode > most {
        return Err(Error::new("generate the tokens of --decode")
            .object(choices.decode.to_string())
            .expected(format!("at most {most}: the context is {context}, and a prompt is in it")));
    }
    if choices.warm_up && !choices.allocator.is_torch() {
        return Err(Error::new("use --warm-up")
            .expected("an allocator that keeps what is freed: torch or torch-expandable")
            .found(choices.allocator.name()));
    }
    Ok(())
}

/// The devices of every component of the demand; none for an embedding that stays outside of all of them.
fn homes(
    record: &Record,
    scenario: &Scenario,
    demand: &Demand,
) -> Result<BTreeMap<ComponentId, Vec<usize>>, Error> {
    let recorded: BTreeMap<ComponentId, usize> = record.homes.iter().copied().collect();
    let replicated = scenario.limits.attention == Attention::Replicated;
    let outside = demand.embedding_on_host && !scenario.hardware.has_cpu();
    let everywhere: Vec<usize> = (0..scenario.hardware.devices.len()).collect();
    let home = |id: ComponentId| match recorded.get(&id) {
        Some(&device) => Ok((id, vec![device])),
        None if id == ComponentId::Embedding && outside => Ok((id, Vec::new())),
        None if replicated => Ok((id, everywhere.clone())),
        None => Err(Error::new("replay the load of")
            .object(id.to_string())
            .expected("a device for everything that the runtime places")
            .found("none in the map, which was made for another runtime")
            .hint("solve again with that --runtime")),
    };
    demand.components.iter().map(|component| home(component.id)).collect()
}

/// Writes a script.
struct Writer<'a> {
    scenario: &'a Scenario,
    demand: &'a Demand,
    homes: BTreeMap<ComponentId, Vec<usize>>,
    machines: &'a [Machine],
    choices: &'a Choices,
    /// Devices that have a driver context.
    touched: Vec<bool>,
    /// Devices on which matrices were multiplied.
    multiplied: Vec<bool>,
    script: Script,
}

impl Writer<'_> {
    fn phase(&mut self, phase: Phase) {
        let at = self.script.events.len();
        // What has no steps is no phase.
        if self.script.phases.last().is_some_and(|&(_, begin)| begin == at) {
            self.script.phases.pop();
        }
        self.script.phases.push((phase, at));
    }

    /// A request of something; the first on a device makes the driver's context.
    fn alloc(&mut self, device: usize, bytes: u64, cause: Cause) -> Result<u32, Error> {
        self.touch(device);
        let slot = self.script.slots;
        self.script.slots = slot.checked_add(1).ok_or_else(|| {
            Error::new("replay the load").expected("fewer than 4 billion requests").found("more")
        })?;
        self.script.events.push(Event::Alloc { device, bytes, slot, cause });
        Ok(slot)
    }

    fn free(&mut self, slot: u32) {
        self.script.events.push(Event::Free { slot });
    }

    /// Frees what was asked for together, the latest first.
    fn free_all(&mut self, slots: Vec<u32>) {
        slots.into_iter().rev().for_each(|slot| self.free(slot));
    }

    fn touch(&mut self, device: usize) {
        if std::mem::replace(&mut self.touched[device], true) || !self.is_gpu(device) {
            return;
        }
        let bytes = self.demand.per_device.driver_context_bytes;
        self.outside(device, bytes, Purpose::Context);
    }

    fn outside(&mut self, device: usize, bytes: u64, purpose: Purpose) {
        let cause = Cause { component: None, tensor: None, purpose };
        if bytes > 0 {
            self.script.events.push(Event::Outside { device, bytes, cause });
        }
    }

    fn is_gpu(&self, device: usize) -> bool {
        self.machines.get(device).is_some_and(|machine| machine.kind == DeviceKind::Gpu)
    }

    fn homes_of(&self, id: ComponentId) -> Vec<usize> {
        self.homes.get(&id).cloned().unwrap_or_default()
    }
}
