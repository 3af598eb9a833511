//! What the model is asked to do, as far as memory is concerned.

use super::{KvType, Staging};
use crate::error::Error;

/// How the model will be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Tokens one sequence may have; by default 4096.
    pub context: u64,
    /// Sequences at once; by default 1.
    pub batch: u64,
    /// The type of the KV cache; by default f16.
    pub kv_type: KvType,
    /// Where quantizing stages; by default (`None`) where the scheme's runtime does.
    pub staging: Option<Staging>,
}

impl Default for Load {
    fn default() -> Self {
        Self { context: 4096, batch: 1, kv_type: KvType::F16, staging: None }
    }
}

impl Load {
    /// The longest context, in tokens.
    pub const CONTEXT_MAX: u64 = 1 << 31;
    /// The most sequences at once.
    pub const BATCH_MAX: u64 = 1 << 20;

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
