//! A plan, moved again step by step by the rule of the final check.
//!
//! It knows the plan and the memory rule of [`crate::verify`], and nothing of how the order was found: after every
//! step the device that receives is added up anew from what is on it.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::{Caches, Claims, Place, Plan, Step};
use crate::memory::ComponentDemand;
use crate::units::format_bytes;
use crate::verify::Load;

/// What the devices went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Per device, bytes required before the first step.
    pub start_bytes: Vec<u64>,
    /// Per device, the most that was required at any moment.
    pub peak_bytes: Vec<u64>,
    /// Per device, bytes required after the last step.
    pub end_bytes: Vec<u64>,
    /// The most that waited in host memory at once.
    pub host_bytes: u64,
    /// Weights and caches that went from one memory to another.
    pub moved_bytes: u64,
    /// Weights that were read from files.
    pub loaded_bytes: u64,
    /// Whether the model could run after every step.
    pub whole: bool,
    /// One per step.
    pub steps: Vec<StepUse>,
}

/// What a step required while it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepUse {
    /// Of the device that received, all that was on it, what arrived included; of host memory what waited there.
    pub peak_bytes: u64,
}

impl Replayed {
    pub(super) fn claims(&self) -> Claims {
        let devices = self.start_bytes.iter().zip(&self.peak_bytes).zip(&self.end_bytes);
        Claims {
            moved_bytes: self.moved_bytes,
            loaded_bytes: self.loaded_bytes,
            host_bytes: self.host_bytes,
            whole: self.whole,
            devices: devices.map(|((start, peak), end)| [*start, *peak, *end]).collect(),
        }
    }
}

impl Plan {
    /// Moves everything as the plan says.
    ///
    /// # Errors
    /// The first thing that is not so, as a sentence: a component that is not where a step takes it from, a device
    /// that would hold more than it may, something that is not where the plan leads.
    pub fn replay(&self) -> Result<Replayed, String> {
        let mut state = State::new(&self.facts);
        let mut steps = Vec::with_capacity(self.steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            let peak_bytes = state
                .step(step)
                .map_err(|wrong| format!("step {} ({}): {wrong}", index + 1, self.line(step)))?;
            steps.push(StepUse { peak_bytes });
        }
        state.finish(self)?;
        let rooms = 0..self.facts.rooms.len();
        let end_bytes: Vec<u64> = rooms.map(|device| state.required(device, None)).collect();
        let last = self.facts.caches == Caches::Last;
        for (device, end) in end_bytes.iter().enumerate() {
            let limit = self.facts.rooms[device].limit_bytes;
            if last && *end > limit {
                return Err(state.too_much(device, *end));
            }
            state.peak_bytes[device] = state.peak_bytes[device].max(*end);
        }
        Ok(Replayed {
            start_bytes: state.start_bytes,
            peak_bytes: state.peak_bytes,
            end_bytes,
            host_bytes: state.host_peak_bytes,
            moved_bytes: state.moved_bytes,
            loaded_bytes: state.loaded_bytes,
            whole: state.whole,
            steps,
        })
    }

    /// Every claim of the plan that its replay does not bear out, as sentences.
    pub fn differences(&self, replayed: &Replayed) -> Vec<String> {
        let found = replayed.claims();
        let Claims { moved_bytes, loaded_bytes, host_bytes, whole, devices } = &self.claims;
        let mut wrong = Vec::new();
        let numbers = [
            ("moved_bytes", *moved_bytes, found.moved_bytes),
            ("loaded_bytes", *loaded_bytes, found.loaded_bytes),
            ("host_bytes", *host_bytes, found.host_bytes),
        ];
        for (name, claimed, found) in numbers {
            if claimed != found {
                wrong.push(format!("{name}: the file says {claimed}, recomputed {found}"));
            }
        }
        if *whole != found.whole {
            wrong.push(format!("whole: the file says {whole}, recomputed {}", found.whole));
        }
        for ((device, claimed), found) in self.devices.iter().zip(devices).zip(&found.devices) {
            for (name, (claimed, found)) in
                ["start_bytes", "peak_bytes", "end_bytes"].iter().zip(claimed.iter().zip(found))
            {
                if claimed != found {
                    let id = &device.id;
                    wrong.push(format!(
                        "devices.{id}.{name}: the file says {claimed}, recomputed {found}"
                    ));
                }
            }
        }
        wrong
    }
}

/// Where everything is between two steps.
struct State<'a> {
    facts: &'a Facts,
    places: Vec<Place>,
    /// Whether a piece is there as it is wanted.
    fresh: Vec<bool>,
    /// Pieces by device.
    there: Vec<BTreeSet<usize>>,
    resized: bool,
    host_bytes: u64,
    host_peak_bytes: u64,
    start_bytes: Vec<u64>,
    peak_bytes: Vec<u64>,
    moved_bytes: u64,
    loaded_bytes: u64,
    whole: bool,
}

impl<'a> State<'a> {
    fn new(facts: &'a Facts) -> Self {
        let rooms = facts.rooms.len();
        let mut state = Self {
            facts,
            places: facts.pieces.iter().map(|piece| piece.start).collect(),
            fresh: facts.pieces.iter().map(|piece| !piece.loads).collect(),
            there: vec![BTreeSet::new(); rooms],
            resized: facts.resized_first(),
            host_bytes: 0,
            host_peak_bytes: 0,
            start_bytes: vec![0; rooms],
            peak_bytes: vec![0; rooms],
            moved_bytes: 0,
            loaded_bytes: 0,
            whole: facts.pieces.iter().all(|piece| piece.start != Place::Files),
        };
        for (index, place) in state.places.iter().enumerate() {
            if let Place::Device(device) = place {
                state.there[*device].insert(index);
            }
        }
        state.start_bytes = (0..rooms).map(|device| state.required(device, None)).collect();
        state.peak_bytes.clone_from(&state.start_bytes);
        state
    }

    /// What a device requires, and with one more piece, as it is wanted, coming.
    fn required(&self, device: usize, coming: Option<usize>) -> u64 {
        let mut load = Load::empty(&self.facts.problem, device);
        let here = self.there[device].iter().map(|&index| (index, self.fresh[index]));
        for (index, fresh) in here.chain(coming.map(|index| (index, true))) {
            let piece = &self.facts.pieces[index];
            let bytes = piece.bytes(fresh, self.resized);
            load.add(&ComponentDemand {
                id: piece.id,
                weights_bytes: bytes.weights,
                rounding_bytes: bytes.rounding,
                kv_cache_bytes: bytes.kv_cache,
                // What is staged while something is loaded comes on top, below.
                staging_bytes: 0,
            });
        }
        load.required_bytes()
    }

    fn step(&mut self, step: &Step) -> Result<u64, String> {
        let found = self.facts.pieces.binary_search_by(|piece| piece.id.cmp(&step.component));
        let index = found.map_err(|_| "there is no such component".to_owned())?;
        let piece = &self.facts.pieces[index];
        let is_there = match step.from {
            // What is there in another form is loaded too.
            Place::Files => !self.fresh[index],
            place => self.places[index] == place && (self.fresh[index] || step.to == Place::Files),
        };
        if !is_there || step.from == step.to {
            return Err("it is not there as the step takes it".to_owned());
        }
        let fresh = step.to != Place::Files;
        let bytes = piece.bytes(fresh, self.resized);
        if (bytes.weights, bytes.kv_cache) != (step.weights_bytes, step.kv_cache_bytes) {
            return Err(format!("it is of {} and {} bytes", bytes.weights, bytes.kv_cache));
        }
        let peak = match step.to {
            Place::Device(device) => self.arrive(device, index, step.from)?,
            Place::Host if step.from == Place::Files => {
                return Err("what is loaded does not wait on the host".to_owned());
            }
            Place::Host => {
                self.host_bytes = self.host_bytes.saturating_add(step.moved_bytes());
                self.host_peak_bytes = self.host_peak_bytes.max(self.host_bytes);
                self.host_bytes
            }
            Place::Files if piece.loads => 0,
            Place::Files => return Err("it would be given up".to_owned()),
        };
        self.leave(index, step);
        Ok(peak)
    }

    /// What the device requires at most while the piece arrives.
    fn arrive(&mut self, device: usize, index: usize, from: Place) -> Result<u64, String> {
        let Some(room) = self.facts.rooms.get(device) else {
            return Err("there is no such device".to_owned());
        };
        let staged = if from == Place::Files { self.facts.pieces[index].staging_bytes } else { 0 };
        // A form that goes when the new one is there is still there while that comes.
        let required = self.required(device, Some(index)).saturating_add(staged);
        if required > room.limit_bytes {
            return Err(self.too_much(device, required));
        }
        self.peak_bytes[device] = self.peak_bytes[device].max(required);
        Ok(required)
    }

    fn leave(&mut self, index: usize, step: &Step) {
        match self.places[index] {
            Place::Device(device) => drop(self.there[device].remove(&index)),
            Place::Host => self.host_bytes = self.host_bytes.saturating_sub(step.moved_bytes()),
            Place::Files => {}
        }
        match step.from {
            Place::Files => {
                self.fresh[index] = true;
                self.loaded_bytes = self.loaded_bytes.saturating_add(step.weights_bytes);
            }
            _ => self.moved_bytes = self.moved_bytes.saturating_add(step.moved_bytes()),
        }
        if step.to == Place::Files {
            self.whole = false;
        }
        if let Place::Device(device) = step.to {
            self.there[device].insert(index);
        }
        self.places[index] = step.to;
    }

    fn too_much(&self, device: usize, required: u64) -> String {
        let room = &self.facts.rooms[device];
        format!(
            "{} would require {} of the {} it may hold",
            room.id,
            format_bytes(required),
            format_bytes(room.limit_bytes)
        )
    }

    /// Whether everything is where the plan leads.
    fn finish(&mut self, plan: &Plan) -> Result<(), String> {
        let pieces = self.facts.pieces.iter().zip(&self.places).zip(&self.fresh);
        for ((piece, place), fresh) in pieces {
            if *place != Place::Device(piece.end) || !fresh {
                return Err(format!(
                    "{} ends at {} and not at {} as it is wanted",
                    piece.id,
                    plan.name(*place),
                    plan.name(Place::Device(piece.end))
                ));
            }
        }
        self.resized = true;
        Ok(())
    }
}
