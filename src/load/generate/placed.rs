//! The decoder as a model that continues sequences.

use super::Runs;
use crate::error::Error;
use crate::load::decoder::{Decoder, Transfers, Wanted};

impl Runs for Decoder {
    fn forward(&mut self, sequence: usize, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        let logits = Self::forward(self, sequence, tokens, Wanted::Last)?;
        logits.into_iter().next().ok_or_else(|| Error::new("run the model").found("no logits"))
    }

    fn reset(&mut self, sequence: usize) {
        Self::reset(self, sequence);
    }

    fn context(&self) -> usize {
        self.placed().context
    }

    fn vocabulary(&self) -> usize {
        self.placed().architecture.vocabulary
    }

    fn transfers(&self) -> Transfers {
        Self::transfers(self)
    }
}
