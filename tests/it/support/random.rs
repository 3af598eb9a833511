//! Random small problems and placements, the same ones everywhere.

use apportion::hardware::DeviceKind;
use apportion::memory::Workspace;
use apportion::placement::Placement;
use apportion::problem::Problem;

use super::{Tiny, placements};

/// A deterministic generator (xorshift64*): the same seed gives the same tests everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number in `[0, end)`; `end` must be positive.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number in `[from, to]`.
    pub fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    pub fn coin(&mut self) -> bool {
        self.below(2) == 1
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// An index below `len`.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap())).unwrap()
    }

    /// A small problem of any shape: dense or not, tied or not, equal sizes or not, with workspace, KV
    /// cache, reserves, perhaps staging, a CPU, default pins. Capacities are about what is needed.
    pub fn tiny(&mut self) -> Tiny {
        let layers = u32::try_from(self.within(1, 3)).unwrap();
        let experts = u32::try_from(self.below(4)).unwrap();
        let mut tiny = Tiny::new(layers, experts);
        tiny.experts_per_token = self.within(1, u64::from(experts.max(1)));
        tiny.dense_layers = u32::try_from(self.below(2)).unwrap();
        tiny.shared_expert = self.coin();
        tiny.tied = self.coin();
        tiny.kv_cache_bytes = self.below(3);
        tiny.workspace = Workspace {
            embedding_bytes: self.below(3),
            attention_bytes: self.below(3),
            feed_forward_bytes: self.below(3),
            head_bytes: self.below(6),
        };
        if self.coin() {
            for id in tiny.ids() {
                tiny.weights_of.insert(id, self.within(1, 9));
                tiny.staging_of.insert(id, self.below(8));
            }
        }
        let total: u64 = tiny.problem().components.iter().map(|c| c.demand.weights_bytes).sum();
        let gpus = self.within(1, 3);
        for _ in 0..gpus {
            let capacity = self.within(total / gpus, total / gpus * 2 + 10);
            let reserve = self.below(3);
            tiny = tiny.device(DeviceKind::Gpu, capacity, reserve);
        }
        if self.coin() {
            tiny.host_staging_bytes = self.below(8);
            tiny = tiny.cpu(self.within(total / 2, total * 2));
        }
        if self.coin() { tiny.default_pins() } else { tiny }
    }

    /// Like [`Self::tiny`], with at most this many placements to enumerate.
    pub fn enumerable(&mut self, placements_max: u64) -> Problem {
        loop {
            let problem = self.tiny().problem();
            if placements(&problem) <= placements_max {
                return problem;
            }
        }
    }

    /// Any placement, allowed or not.
    pub fn placement(&mut self, problem: &Problem) -> Placement {
        let device = |_| self.index(problem.devices.len());
        Placement { device_of: problem.components.iter().map(device).collect() }
    }
}
