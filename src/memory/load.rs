//! What the model is asked to do, as far as memory is concerned.

use std::sync::Arc;

use super::{KvType, Staging};
use crate::error::Error;
use crate::quant::Scheme;
use crate::runtime::{self, MicroBatch, Profile};

/// How the model will be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Tokens one sequence may have; by default 4096.
    pub context: u64,
    /// Sequences at once; by default 1.
    pub batch: u64,
    /// The type of the KV cache; by default f16.
    pub kv_type: KvType,
    /// Where quantizing stages; by default (`None`) where the runtime or the scheme's loader does.
    pub staging: Option<Staging>,
    /// What runs it; by default the first of [`runtime::NAMES`].
    pub runtime: Arc<Profile>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            context: 4096,
            batch: 1,
            kv_type: KvType::F16,
            staging: None,
            runtime: runtime::shared_default(),
        }
    }
}

impl Load {
    /// The longest context, in tokens.
    pub const CONTEXT_MAX: u64 = 1 << 31;
    /// The most sequences at once.
    pub const BATCH_MAX: u64 = 1 << 20;

    /// Where quantizing to `scheme` stages: as asked, else as the runtime does, else as the scheme's own
    /// loader does.
    pub fn staging_of(&self, scheme: &Scheme) -> Staging {
        let own = || scheme.default_staging();
        self.staging.or(self.runtime.rules().staging).unwrap_or_else(own)
    }

    /// In how many steps prompts as long as the context are read.
    pub fn chunks(&self) -> u64 {
        let rules = self.runtime.rules();
        let most = rules.micro_batch_tokens.max(1);
        match rules.micro_batch {
            MicroBatch::Separate => self.context.div_ceil(most).saturating_mul(self.batch),
            MicroBatch::Together | MicroBatch::Filled => {
                self.context.saturating_mul(self.batch).div_ceil(most)
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        for (name, value, max) in
            [("context", self.context, Self::CONTEXT_MAX), ("batch", self.batch, Self::BATCH_MAX)]
        {
            if !(1..=max).contains(&value) {
                return Err(Error::new("size the memory")
                    .place(name)
                    .expected(format!("1 to {max}"))
                    .found(value.to_string()));
            }
        }
        Ok(())
    }
}
