//! Small infeasible questions, and their variations, decided by trying every placement.

use apportion::error::Error;
use apportion::problem::Problem;
use apportion::remedy::{Case, NotEnough, Remedy, remedies};
use apportion::verify::verify;

use crate::support::{Tiny, enumerate};

pub const MIB: u64 = 1 << 20;

/// A model whose KV cache grows by a byte count per 256 tokens and whose schemes divide the weights.
pub struct Fake {
    pub tiny: Tiny,
    pub context: u64,
    pub batch: u64,
    pub kv_cache_bytes_per_step: u64,
    /// Name and divisor of the weights.
    pub schemes: Vec<(&'static str, u64)>,
}

impl Fake {
    pub fn new(tiny: Tiny) -> Self {
        Self { tiny, context: 256, batch: 1, kv_cache_bytes_per_step: 0, schemes: Vec::new() }
    }

    fn make(&self, tiny: &Tiny, context: u64, divisor: u64) -> Problem {
        let mut tiny = tiny.clone();
        tiny.kv_cache_bytes = context * self.kv_cache_bytes_per_step / 256;
        let weights = &mut tiny.weights;
        for bytes in [&mut weights.attention, &mut weights.mlp, &mut weights.expert] {
            *bytes /= divisor;
        }
        tiny.problem()
    }

    pub fn remedies(&self) -> Vec<Remedy> {
        remedies(self, &feasible).enough.into_iter().map(|offer| offer.remedy).collect()
    }

    pub fn not_enough(&self) -> Vec<NotEnough> {
        remedies(self, &feasible).not_enough
    }
}

impl Case for Fake {
    fn problem(&self) -> Result<Problem, Error> {
        Ok(self.make(&self.tiny, self.context, 1))
    }

    fn with_scheme(&self, name: &str) -> Result<Problem, Error> {
        let scheme = self.schemes.iter().find(|scheme| scheme.0 == name);
        let divisor = scheme.ok_or_else(|| Error::new("find the scheme").object(name))?.1;
        Ok(self.make(&self.tiny, self.context, divisor))
    }

    fn alternative_schemes(&self) -> Vec<String> {
        // One that cannot be made comes first; it must be passed over.
        let known = self.schemes.iter().map(|scheme| scheme.0);
        ["unknown"].into_iter().chain(known).map(ToOwned::to_owned).collect()
    }

    fn context(&self) -> u64 {
        self.context
    }

    fn with_context(&self, tokens: u64) -> Result<Problem, Error> {
        Ok(self.make(&self.tiny, tokens, 1))
    }

    fn batch(&self) -> u64 {
        self.batch
    }

    fn with_batch(&self, sequences: u64) -> Result<Problem, Error> {
        Ok(self.make(&self.tiny, self.context * sequences / self.batch, 1))
    }

    fn with_extra_capacity(&self, per_device_bytes: &[u64]) -> Result<Problem, Error> {
        let mut problem = self.problem()?;
        for (device, extra) in problem.devices.iter_mut().zip(per_device_bytes) {
            device.capacity_bytes += extra;
        }
        Ok(problem)
    }

    fn with_headroom_percent(&self, _: u64) -> Result<Problem, Error> {
        self.problem()
    }

    fn with_added_device_like(&self, device: usize) -> Result<Problem, Error> {
        let like = self.tiny.devices[device].clone();
        let mut tiny = self.tiny.clone();
        let at = tiny.devices.iter().filter(|d| d.kind == like.kind).count();
        tiny.devices.insert(at, like);
        Ok(self.make(&tiny, self.context, 1))
    }

    fn without_rule(&self, rule: usize) -> Result<Problem, Error> {
        Ok(self.make(&self.tiny.clone().without_rule(rule), self.context, 1))
    }

    fn without_default_pins(&self) -> Result<Problem, Error> {
        Ok(self.make(&self.tiny.clone().without_default_pins(), self.context, 1))
    }
}

/// A case whose problem has limits of its own.
pub struct Limited {
    pub fake: Fake,
    pub headroom_bytes: Vec<u64>,
    pub devices_max: Option<usize>,
}

impl Limited {
    fn limit(&self, mut problem: Problem) -> Problem {
        problem.headroom_bytes.clone_from(&self.headroom_bytes);
        problem.devices_max = self.devices_max;
        problem
    }
}

impl Case for Limited {
    fn problem(&self) -> Result<Problem, Error> {
        Ok(self.limit(self.fake.problem()?))
    }

    fn with_scheme(&self, name: &str) -> Result<Problem, Error> {
        Ok(self.limit(self.fake.with_scheme(name)?))
    }

    fn alternative_schemes(&self) -> Vec<String> {
        self.fake.alternative_schemes()
    }

    fn context(&self) -> u64 {
        self.fake.context()
    }

    fn with_context(&self, tokens: u64) -> Result<Problem, Error> {
        Ok(self.limit(self.fake.with_context(tokens)?))
    }

    fn batch(&self) -> u64 {
        self.fake.batch()
    }

    fn with_batch(&self, sequences: u64) -> Result<Problem, Error> {
        Ok(self.limit(self.fake.with_batch(sequences)?))
    }

    fn with_extra_capacity(&self, bytes: &[u64]) -> Result<Problem, Error> {
        Ok(self.limit(self.fake.with_extra_capacity(bytes)?))
    }

    fn with_headroom_percent(&self, percent: u64) -> Result<Problem, Error> {
        let mut problem = self.problem()?;
        for bytes in &mut problem.headroom_bytes {
            *bytes = *bytes * percent / 100;
        }
        Ok(problem)
    }

    fn with_added_device_like(&self, device: usize) -> Result<Problem, Error> {
        Ok(self.limit(self.fake.with_added_device_like(device)?))
    }

    fn without_rule(&self, rule: usize) -> Result<Problem, Error> {
        Ok(self.limit(self.fake.without_rule(rule)?))
    }

    fn without_default_pins(&self) -> Result<Problem, Error> {
        Ok(self.limit(self.fake.without_default_pins()?))
    }
}

pub fn feasible(problem: &Problem) -> bool {
    enumerate(problem).any(|placement| verify(problem, &placement).is_ok())
}

/// One dense layer: attention 3, mlp 8; embedding 5, norm with head 6; in MiB.
pub fn dense() -> Tiny {
    Tiny::new(1, 0).with(|tiny| {
        let weights = &mut tiny.weights;
        for bytes in [
            &mut weights.embedding,
            &mut weights.attention,
            &mut weights.mlp,
            &mut weights.final_norm,
            &mut weights.output_head,
        ] {
            *bytes *= MIB;
        }
    })
}
