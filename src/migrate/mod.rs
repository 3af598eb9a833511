//! From one placement to the next: what changes, what moves, and in which order.
//!
//! Circumstances change while a model lives: memory is taken away, a GPU comes or goes, the context grows, other
//! experts are asked for. [`Changes`] says how; [`rebalance()`] asks the planner for the placement that is best now,
//! bytes moved among its objectives; [`Plan::between`] finds an order of moves such that no device ever holds more
//! than it may. Nothing of it is trusted: [`Plan::replay`] moves everything again, step by step, with the memory rule
//! of [`crate::verify`] and none of the code that found the order.
//!
//! # What a step does
//!
//! A step takes one component from one [`Place`] to another. It is made there first, then given up where it was: both
//! devices hold it for a moment, and the model is whole at any time. A device may receive only what leaves it within
//! its limit (capacity without headroom); one that is over its limit when the plan begins only gives. Where devices
//! are too full for that, a component waits on another device that has room, or in host memory, and moves twice.
//!
//! What is on no device as it is wanted (its device is gone, or it is wanted in another quantization) is loaded from
//! the files of the model. Where there is no room for its old form beside the new one, the old one is given up first:
//! until it is loaded the model is not whole, and the plan says so.
//!
//! Where the context, the batch or the type of the KV cache changes, caches are made anew: before all steps if no
//! layer's grows, else after them. Attention then moves with a cache of the size that it has at that time.
//!
//! # plan.yaml, version 1
//!
//! Three YAML documents in one file: the plan, the placement it begins with, the placement it leads to. The latter two
//! are placement files as [`crate::placement`] describes them, behind lines `--- # from` and `--- # to`.
//!
//! | key | holds |
//! |---|---|
//! | `apportion`, `version` | `migration-plan`, `1` |
//! | `caches` | `kept`, or made anew `first` or `last` |
//! | `moved_bytes` | weights and caches that go from one memory to another, twice where they wait on the way |
//! | `loaded_bytes` | weights that are read from files |
//! | `host_bytes` | the most that waits in host memory at once |
//! | `whole` | whether the model can run after every step |
//! | `devices[]` | `id`, and bytes: `limit_bytes`, `start_bytes`, `peak_bytes`, `end_bytes` |
//! | `steps[]` | one line each: `layers.3.experts.5 gpu0 -> gpu1`; for places that are no device `(host)` and `(files)` |

mod books;
mod change;
mod exact;
mod facts;
mod floor;
mod order;
mod read;
mod rebalance;
mod replay;
mod slack;
mod weigh;
mod write;

use crate::error::Error;
use crate::model::ComponentId;
use crate::placement::Record;

pub use change::Changes;
pub use order::Stuck;
pub use rebalance::{Goal, Next, rebalance};
pub use replay::{Replayed, StepUse};
pub use slack::{Slack, slack};
pub use weigh::Horizon;

use facts::Facts;

/// Where a component can be while things move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A device, by its index in [`Plan::devices`].
    Device(usize),
    /// Host memory, on the way.
    Host,
    /// In no memory: it is loaded from the files of the model.
    Files,
}

/// One component on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub component: ComponentId,
    /// Where it is.
    pub from: Place,
    /// Where it will be.
    pub to: Place,
    /// Its weights, as they arrive; as they were where they go back to [`Place::Files`].
    pub weights_bytes: u64,
    /// The cache of its layer that comes along; 0 unless it is attention.
    pub kv_cache_bytes: u64,
}

impl Step {
    /// Bytes that go from one memory to another; 0 where it is loaded, or given up.
    pub fn moved_bytes(&self) -> u64 {
        match (self.from, self.to) {
            (Place::Files, _) | (_, Place::Files) => 0,
            _ => self.weights_bytes.saturating_add(self.kv_cache_bytes),
        }
    }
}

/// When caches are made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caches {
    /// Never: they are as large as before.
    Kept,
    /// Before the first step: none grows.
    First,
    /// After the last step.
    Last,
}

impl Caches {
    /// All of them.
    const ALL: [Self; 3] = [Self::Kept, Self::First, Self::Last];

    /// The word in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::First => "first",
            Self::Last => "last",
        }
    }
}

/// A device of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanDevice {
    /// Its name.
    pub id: String,
    /// What it may hold, its reserve included.
    pub limit_bytes: u64,
    /// What is kept free of that, by the machine and by the runtime.
    pub reserve_bytes: u64,
}

/// What a plan says about itself; [`Plan::replay`] finds out whether it is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Weights and caches that go from one memory to another.
    pub moved_bytes: u64,
    /// Weights that are read from files.
    pub loaded_bytes: u64,
    /// The most that waits in host memory at once.
    pub host_bytes: u64,
    /// Whether the model can run after every step.
    pub whole: bool,
    /// Per device, bytes required at the start, at most, and at the end.
    pub devices: Vec<[u64; 3]>,
}

/// An order of moves from one placement to another.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The placement it begins with.
    pub from: Record,
    /// The placement it leads to; its `current` map is the one it begins with.
    pub to: Record,
    /// The devices of the placement it leads to, in its order.
    pub devices: Vec<PlanDevice>,
    /// When caches are made anew.
    pub caches: Caches,
    /// One component at a time.
    pub steps: Vec<Step>,
    /// What it says about itself.
    pub claims: Claims,
    facts: Facts,
}

impl Plan {
    /// An order of moves that leads from one placement to the other; at most `host_bytes` wait in host memory at
    /// once, without a limit as many as need be.
    ///
    /// The order is found greedily, what makes room first, and by complete search where few components have to move
    /// and some would move twice.
    ///
    /// # Errors
    /// `Err` for placements that do not belong together or that the verifier refuses; `Ok(Err)` where no order was
    /// found, with what is in the way.
    pub fn between(
        from: &Record,
        to: &Record,
        host_bytes: Option<u64>,
    ) -> Result<Result<Self, Stuck>, Error> {
        let facts = Facts::of(from, to)?;
        let steps = match order::order(&facts, host_bytes) {
            Ok(steps) => steps,
            Err(stuck) => return Ok(Err(stuck)),
        };
        let claims =
            Claims { moved_bytes: 0, loaded_bytes: 0, host_bytes: 0, whole: true, devices: vec![] };
        let mut plan = Self::assembled(from.clone(), to.clone(), facts, steps, claims);
        let replayed = plan.replay().map_err(|wrong| {
            Error::new("trust the order of moves")
                .found(wrong)
                .hint("this is a defect of apportion, not of the question; please report it")
        })?;
        plan.claims = replayed.claims();
        Ok(Ok(plan))
    }

    fn assembled(from: Record, to: Record, facts: Facts, steps: Vec<Step>, claims: Claims) -> Self {
        let device = |device: &facts::Room| PlanDevice {
            id: device.id.clone(),
            limit_bytes: device.limit_bytes,
            reserve_bytes: device.reserve_bytes,
        };
        let devices = facts.rooms.iter().map(device).collect();
        Self { devices, caches: facts.caches, from, to, steps, claims, facts }
    }

    /// Where everything is after so many steps; after all of them where there are fewer.
    pub fn after(&self, steps: usize) -> Vec<(ComponentId, Place)> {
        let mut places: Vec<(ComponentId, Place)> =
            self.facts.pieces.iter().map(|piece| (piece.id, piece.start)).collect();
        for step in self.steps.iter().take(steps) {
            if let Ok(index) = places.binary_search_by(|(id, _)| id.cmp(&step.component)) {
                places[index].1 = step.to;
            }
        }
        places
    }

    /// What a place is called: the device's name, `(host)` or `(files)`.
    pub fn name(&self, place: Place) -> &str {
        match place {
            Place::Device(device) => self.devices.get(device).map_or("?", |d| d.id.as_str()),
            Place::Host => write::HOST,
            Place::Files => write::FILES,
        }
    }

    /// What a step takes by the links of the machine, in picoseconds; `None` where they are not known, and for
    /// what is loaded from files.
    pub fn step_ps(&self, step: &Step) -> Option<u64> {
        if step.to == Place::Files {
            return Some(0);
        }
        if step.from == Place::Files {
            return None;
        }
        let name = |place: Place| match place {
            Place::Host => "host",
            place => self.name(place),
        };
        let link = self.to.scenario.hardware.network.link(name(step.from), name(step.to))?;
        let bytes = u128::from(step.moved_bytes()) * 1_000_000_000_000;
        let sent = bytes.div_ceil(u128::from(link.bytes_per_second));
        u64::try_from(sent).ok()?.checked_add(link.latency_ps)
    }

    /// What all steps take one after the other, in picoseconds, where that is known of each.
    pub fn total_ps(&self) -> Option<u64> {
        self.steps.iter().try_fold(0_u64, |sum, step| sum.checked_add(self.step_ps(step)?))
    }
}
