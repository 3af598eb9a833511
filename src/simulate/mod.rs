//! A load, replayed: every allocation in order, dealt out as the runtime's allocator would, until the last token or
//! the first request that finds no room.
//!
//! [`crate::verify`] says whether the bytes of a placement add up. An allocator holds more than it was asked for: it
//! rounds, it keeps what was freed, and it leaves gaps. So this room replays:
//!
//! 1. [`Script`] turns a recorded placement into requests, device by device, in the order of the load: driver
//!    contexts, weights in the parts that a loader really asks for (with what is staged beside them), the cache, and
//!    what is computed in, for a prompt and some tokens after it;
//! 2. an [`Allocator`] deals out each device's memory by published rules;
//! 3. [`replay()`] runs the one through the other and keeps what people ask about: how full, why, and what failed;
//! 4. [`advise`] replays variants and says which of them help.
//!
//! [`Trace`] holds the models of PyTorch's allocator to what the real one did.
//!
//! # What is not in it
//!
//! One process loads on one stream per device. Kernels that load lazily, communication buffers and graphs take
//! memory that nobody states; what the plan keeps in reserve is there for the load to use, as a driver context is
//! charged by itself. candle pads quantized tensors on GPUs by 512 weights, less than a KiB each. transformers 5 stacks
//! experts of a layer before they are one tensor; where they wait is not modelled.

mod advice;
mod allocator;
mod choices;
mod replay;
mod script;
mod timeline;
mod torch;
mod trace;

pub use advice::{Advice, Variant, advise};
pub use allocator::{Allocator, AllocatorKind, Handle, Refused, Usage};
pub use choices::{Choices, Order};
pub use replay::{DeviceRun, Failure, Peak, PhaseStart, Reason, Simulation, replay};
pub use script::{Cause, Event, Machine, Phase, Purpose, Script};
pub use timeline::{POINTS_MAX, Point};
pub use torch::{Caching, Policy};
pub use trace::{Comparison, Trace, TraceEvent};
