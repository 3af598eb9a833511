//! What is on the devices while an order is looked for: the memory rule once more, kept up to date move by move.
//!
//! [`Plan::replay`](super::Plan::replay) adds everything up anew by the rule of the verifier and shares nothing with this.

use super::facts::{Bytes, Facts, Piece};
use super::{Place, Step};
use crate::hardware::DeviceKind;
use crate::model::ComponentId;

/// What is on the devices, as the rule of the final check has it.
#[derive(Clone, Debug)]
pub(super) struct Books<'a> {
    facts: &'a Facts,
    /// Weights as allocated.
    held: Vec<u128>,
    /// Caches.
    cached: Vec<u128>,
    /// Per device, how many pieces need each kind of workspace.
    kinds: Vec<[u32; 4]>,
    counts: Vec<u32>,
    pub(super) host_bytes: u64,
    host_limit: Option<u64>,
}

impl<'a> Books<'a> {
    pub(super) fn new(facts: &'a Facts, host_limit: Option<u64>) -> Self {
        let rooms = facts.rooms.len();
        let mut books = Self {
            facts,
            held: vec![0; rooms],
            cached: vec![0; rooms],
            kinds: vec![[0; 4]; rooms],
            counts: vec![0; rooms],
            host_bytes: 0,
            host_limit,
        };
        for piece in &facts.pieces {
            if let Place::Device(device) = piece.start {
                books.add(device, piece, !piece.loads);
            }
        }
        books
    }

    pub(super) fn bytes(&self, piece: &Piece, fresh: bool) -> Bytes {
        piece.bytes(fresh, self.facts.resized_first())
    }

    /// The kinds of workspace that the piece needs where it is, as bits.
    pub(super) fn kinds_of(&self, piece: &Piece) -> [bool; 4] {
        let tied = self.facts.problem.tied_head;
        match piece.id {
            ComponentId::Embedding => [true, false, false, tied],
            ComponentId::Attention(_) | ComponentId::Router(_) => [false, true, false, false],
            ComponentId::Mlp(_)
            | ComponentId::SharedExpert(_)
            | ComponentId::Expert(..)
            | ComponentId::ExpertMatrix(..) => [false, false, true, false],
            ComponentId::FinalNorm => [false; 4],
            ComponentId::OutputHead => [false, false, false, true],
        }
    }

    pub(super) fn add(&mut self, device: usize, piece: &Piece, fresh: bool) {
        let bytes = self.bytes(piece, fresh);
        self.held[device] += resident(bytes);
        self.cached[device] += u128::from(bytes.kv_cache);
        self.counts[device] += 1;
        let kinds = self.kinds_of(piece);
        for (count, needed) in self.kinds[device].iter_mut().zip(kinds) {
            *count += u32::from(needed);
        }
    }

    pub(super) fn remove(&mut self, device: usize, piece: &Piece, fresh: bool) {
        let bytes = self.bytes(piece, fresh);
        self.held[device] -= resident(bytes);
        self.cached[device] -= u128::from(bytes.kv_cache);
        self.counts[device] -= 1;
        let kinds = self.kinds_of(piece);
        for (count, needed) in self.kinds[device].iter_mut().zip(kinds) {
            *count -= u32::from(needed);
        }
    }

    /// What the device would hold with so much more, and with workspace for these kinds.
    fn required(&self, device: usize, more: Bytes, kinds: [bool; 4]) -> u128 {
        let problem = &self.facts.problem;
        let of_kind = problem.workspace.kinds();
        let present = self.kinds[device].iter().zip(kinds).zip(of_kind);
        let needed = present.filter(|((count, more), _)| **count > 0 || *more);
        let workspace = needed.map(|(_, bytes)| bytes).max().unwrap_or(0);
        // Host memory stages what passes through it, whether or not it stays there.
        let host = problem.devices[device].kind == DeviceKind::Cpu;
        let staged = if host { u128::from(problem.host_staging_bytes) } else { 0 };
        if self.counts[device] == 0 && total(more) == 0 && staged == 0 {
            return 0;
        }
        let running = self.cached[device] + u128::from(more.kv_cache) + u128::from(workspace);
        let held = self.held[device] + resident(more);
        held + running.max(staged) + u128::from(self.facts.rooms[device].reserve_bytes)
    }

    /// How much the device lacks to receive the piece; 0 where it fits.
    pub(super) fn lacks(&self, device: usize, piece: &Piece, loads: bool) -> u128 {
        let staged = if loads { u128::from(piece.staging_bytes) } else { 0 };
        let coming = self.bytes(piece, true);
        let required = self.required(device, coming, self.kinds_of(piece)) + staged;
        required.saturating_sub(u128::from(self.facts.rooms[device].limit_bytes))
    }

    pub(super) fn is_over(&self, device: usize) -> bool {
        self.required(device, Bytes::default(), [false; 4])
            > u128::from(self.facts.rooms[device].limit_bytes)
    }

    /// Whether host memory has room for the piece.
    pub(super) fn host_fits(&self, piece: &Piece) -> bool {
        let bytes = self.moved(piece);
        let sum = self.host_bytes.checked_add(bytes);
        sum.is_some_and(|sum| self.host_limit.is_none_or(|limit| sum <= limit))
    }

    /// Bytes that a move of the piece copies.
    pub(super) fn moved(&self, piece: &Piece) -> u64 {
        let bytes = self.bytes(piece, true);
        bytes.weights.saturating_add(bytes.kv_cache)
    }

    /// The step as a plan has it.
    pub(super) fn step(&self, piece: &Piece, from: Place, to: Place) -> Step {
        let bytes = self.bytes(piece, to != Place::Files);
        Step {
            component: piece.id,
            from,
            to,
            weights_bytes: bytes.weights,
            kv_cache_bytes: bytes.kv_cache,
        }
    }
}

/// Without the cache.
fn resident(bytes: Bytes) -> u128 {
    u128::from(bytes.weights) + u128::from(bytes.rounding)
}

/// All of it.
pub(super) fn total(bytes: Bytes) -> u128 {
    resident(bytes) + u128::from(bytes.kv_cache)
}
