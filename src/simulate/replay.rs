//! A script run through allocators, one per device, to its end or to the first request without room.

use super::allocator::{Allocator, AllocatorKind, Handle};
use super::script::{Cause, Event, Machine, Phase, Purpose, Script};
use super::timeline::{Point, Timeline};
use crate::hardware::DeviceKind;

/// Why and when something was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What for.
    pub purpose: Purpose,
    /// The component's name, where it is about one.
    pub component: Option<String>,
    /// The tensor's, where it is about one.
    pub tensor: Option<String>,
    /// When.
    pub phase: Phase,
}

/// The fullest a device was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peak {
    /// What there was then.
    pub point: Point,
    /// What was asked for; `None` on a device that nothing was asked of.
    pub reason: Option<Reason>,
}

/// One device over the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRun {
    /// Its name.
    pub id: String,
    /// GPU or host memory.
    pub kind: DeviceKind,
    /// What the load may take there.
    pub usable_bytes: u64,
    /// How many requests were made to its allocator.
    pub requests: u64,
    /// The fullest it was, the first time.
    pub peak: Peak,
    /// What it held in the end.
    pub end: Point,
    /// How full it was, in at most [`super::POINTS_MAX`] points.
    pub timeline: Vec<Point>,
}

/// The request that found no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Index of the device.
    pub device: usize,
    /// What was asked for.
    pub reason: Reason,
    /// How much.
    pub request_bytes: u64,
    /// What the allocator would have had to get from the driver for it.
    pub asked_bytes: u64,
    /// What there was on the device, after everything unused was given back.
    pub point: Point,
    /// What of it was there only while loading: 16-bit matrices that are quantized.
    pub staged_bytes: u64,
    /// And statistics on the way to what stays.
    pub passing_bytes: u64,
    /// What the driver had left.
    pub free_bytes: u64,
    /// The largest piece that the allocator had and nobody used.
    pub largest_free_bytes: u64,
}

/// Where a phase begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseStart {
    /// Which.
    pub phase: Phase,
    /// Its first step.
    pub step: usize,
}

/// What came of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// One per device, in order.
    pub devices: Vec<DeviceRun>,
    /// The request that found no room; `None` when the last token came.
    pub failure: Option<Failure>,
    /// The phases there are, those that were not reached too.
    pub phases: Vec<PhaseStart>,
    /// Steps that were taken.
    pub steps: usize,
    /// Steps there are.
    pub steps_in_all: usize,
}

/// A device while it is replayed.
struct Running {
    allocator: Box<dyn Allocator>,
    outside_bytes: u64,
    staged_bytes: u64,
    passing_bytes: u64,
    requests: u64,
    peak: Option<(Point, usize)>,
    timeline: Timeline,
}

impl Running {
    fn point(&self, step: usize) -> Point {
        let usage = self.allocator.usage();
        Point {
            step,
            reserved_bytes: usage.reserved_bytes,
            allocated_bytes: usage.allocated_bytes,
            outside_bytes: self.outside_bytes,
        }
    }

    /// The sum of what is there for this, where that is only while loading.
    fn passing(&mut self, purpose: Purpose) -> Option<&mut u64> {
        match purpose {
            Purpose::Staging => Some(&mut self.staged_bytes),
            Purpose::Passing => Some(&mut self.passing_bytes),
            _ => None,
        }
    }

    fn note(&mut self, step: usize) {
        let point = self.point(step);
        if self.peak.is_none_or(|(peak, _)| point.filled_bytes() > peak.filled_bytes()) {
            self.peak = Some((point, step));
        }
        self.timeline.add(point);
    }
}

/// Runs a script on these devices; deterministic.
pub fn replay(script: &Script, machines: &[Machine], kind: AllocatorKind) -> Simulation {
    let fresh = |machine: &Machine| Running {
        allocator: kind.fresh(machine.kind, machine.usable_bytes),
        outside_bytes: 0,
        staged_bytes: 0,
        passing_bytes: 0,
        requests: 0,
        peak: None,
        timeline: Timeline::new(),
    };
    let mut devices: Vec<Running> = machines.iter().map(fresh).collect();
    let mut slots: Vec<Option<Held>> = Vec::new();
    slots.resize_with(usize::try_from(script.slots).unwrap_or(0), || None);
    let mut failure = None;
    let mut steps = 0;
    for (step, event) in script.events.iter().enumerate() {
        match take(event, machines, &mut devices, &mut slots) {
            Ok(device) => devices[device].note(step),
            Err(found) => {
                let device = found.device;
                failure = Some(failed(script, &found, &devices[device], step, machines));
                break;
            }
        }
        steps = step + 1;
    }
    let runs = devices.into_iter().zip(machines).map(|(device, machine)| {
        let end = device.point(steps.saturating_sub(1));
        let (point, at) = device.peak.unwrap_or((end, 0));
        DeviceRun {
            id: machine.id.clone(),
            kind: machine.kind,
            usable_bytes: machine.usable_bytes,
            requests: device.requests,
            peak: Peak { point, reason: device.peak.and_then(|_| reason_at(script, at)) },
            end,
            timeline: device.timeline.finish(end),
        }
    });
    Simulation {
        devices: runs.collect(),
        phases: phases(script),
        failure,
        steps,
        steps_in_all: script.events.len(),
    }
}

/// What a slot holds.
struct Held {
    device: usize,
    handle: Handle,
    purpose: Purpose,
    bytes: u64,
}

/// A request without room.
struct Found {
    device: usize,
    cause: Cause,
    request_bytes: u64,
    asked_bytes: u64,
}

/// Takes one step and says on which device.
fn take(
    event: &Event,
    machines: &[Machine],
    devices: &mut [Running],
    slots: &mut [Option<Held>],
) -> Result<usize, Found> {
    match *event {
        Event::Alloc { device, bytes, slot, cause } => {
            let running = &mut devices[device];
            running.requests += 1;
            let found = |asked_bytes| Found { device, cause, request_bytes: bytes, asked_bytes };
            let handle =
                running.allocator.alloc(bytes).map_err(|refused| found(refused.asked_bytes))?;
            if let Some(place) = usize::try_from(slot).ok().and_then(|at| slots.get_mut(at)) {
                if let Some(sum) = running.passing(cause.purpose) {
                    *sum = sum.saturating_add(bytes);
                }
                *place = Some(Held { device, handle, purpose: cause.purpose, bytes });
            }
            Ok(device)
        }
        Event::Free { slot } => {
            let place = usize::try_from(slot).ok().and_then(|at| slots.get_mut(at));
            let held = place.and_then(Option::take);
            Ok(held.map_or(0, |Held { device, handle, purpose, bytes }| {
                let running = &mut devices[device];
                running.allocator.free(handle);
                if let Some(sum) = running.passing(purpose) {
                    *sum = sum.saturating_sub(bytes);
                }
                device
            }))
        }
        Event::Outside { device, bytes, cause } => {
            let running = &mut devices[device];
            let outside = running.outside_bytes.saturating_add(bytes);
            let left = machines[device].usable_bytes.checked_sub(outside);
            let left = left.filter(|&left| running.allocator.usage().reserved_bytes <= left);
            let Some(left) = left else {
                return Err(Found { device, cause, request_bytes: bytes, asked_bytes: bytes });
            };
            running.outside_bytes = outside;
            running.allocator.set_limit(left);
            Ok(device)
        }
    }
}

fn failed(
    script: &Script,
    found: &Found,
    device: &Running,
    step: usize,
    machines: &[Machine],
) -> Failure {
    let Found { device: index, cause, request_bytes, asked_bytes } = *found;
    let point = device.point(step);
    Failure {
        device: index,
        reason: reason(script, &cause, step),
        request_bytes,
        asked_bytes,
        staged_bytes: device.staged_bytes,
        passing_bytes: device.passing_bytes,
        free_bytes: machines[index].usable_bytes.saturating_sub(point.filled_bytes()),
        largest_free_bytes: device.allocator.largest_free_bytes(),
        point,
    }
}

fn reason_at(script: &Script, step: usize) -> Option<Reason> {
    match script.events.get(step)? {
        Event::Alloc { cause, .. } | Event::Outside { cause, .. } => {
            Some(reason(script, cause, step))
        }
        Event::Free { .. } => None,
    }
}

fn reason(script: &Script, cause: &Cause, step: usize) -> Reason {
    Reason {
        purpose: cause.purpose,
        component: cause.component.map(|id| id.to_string()),
        tensor: script.tensor_name(cause).map(str::to_owned),
        phase: phase_at(script, step),
    }
}

fn phase_at(script: &Script, step: usize) -> Phase {
    let begun = script.phases.iter().rev().find(|&&(_, begin)| begin <= step);
    begun.map_or(Phase::Load, |&(phase, _)| phase)
}

fn phases(script: &Script) -> Vec<PhaseStart> {
    script.phases.iter().map(|&(phase, step)| PhaseStart { phase, step }).collect()
}
