//! From routing statistics to what a step visits: [`Draw`]s, layer by layer.
//!
//! Without statistics every set of `k` experts is as likely as any other (`even`). With them, a token's
//! set is drawn from the sets that were counted, where the file has them. Where it has only counts of
//! single experts, sets are as independent as those counts allow: of all distributions of sets with these
//! counts the one of maximum entropy (`independent`), listed in full where there are at most 4096 sets
//! and by 1024 samples otherwise (`samples`). The tokens of a batch choose independently of each other,
//! and a step visits the union of their sets (`unions`).

mod even;
mod independent;
mod samples;
mod unions;

use super::{SetCount, Statistics};
use crate::error::Error;
use crate::problem::Draw;

pub(crate) use even::uniform;
use independent::Independent;
#[cfg(feature = "candle")]
pub(crate) use independent::possible_sets;

/// The most experts of a layer for which all sets are listed that a batch may visit.
const UNION_EXPERTS_MAX: usize = 12;

/// The most experts a token may choose: beyond it, figures are summed over more sets than is sensible.
const PER_TOKEN_MAX: u64 = 64;

/// The sum of a layer's weights, about.
const WEIGHT: u64 = 1 << 40;

/// How far what a step visits is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Every set of experts is as likely as any other, by assumption; what follows is exact.
    Exact,
    /// By how often sets of experts were chosen together.
    Measured,
    /// By how often single experts were chosen, as if they were independent, or by samples.
    Modelled,
}

impl Kind {
    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Measured => "measured",
            Self::Modelled => "modelled",
        }
    }
}

/// How far what a step of `batch` tokens visits is known; without statistics, exactly.
pub(crate) fn kind(statistics: Option<&Statistics>, batch: u64) -> Kind {
    let Some(statistics) = statistics else { return Kind::Exact };
    let listed = batch <= 1 || statistics.experts() <= UNION_EXPERTS_MAX;
    if statistics.set_counts.is_some() && listed { Kind::Measured } else { Kind::Modelled }
}

/// What a step of `batch` tokens visits in each layer that the statistics have a row for.
///
/// The same figures give the same draws on every machine.
///
/// # Errors
/// No tokens, or more experts per token than can be priced.
pub(crate) fn measured(statistics: &Statistics, batch: u64) -> Result<Vec<Draw>, Error> {
    let refuse = || Error::new("use the routing statistics").object(&statistics.text);
    if statistics.tokens == 0 {
        return Err(refuse().expected("a token at least").found("none"));
    }
    if statistics.top_k > PER_TOKEN_MAX {
        return Err(refuse()
            .expected(format!("at most {PER_TOKEN_MAX} experts for a token"))
            .found(statistics.top_k.to_string()));
    }
    let layers = statistics.counts.iter().zip(0_u64..);
    let of_layer = |(counts, seed): (&Vec<u64>, u64)| {
        let (tokens, per_token) = (statistics.tokens, statistics.top_k);
        let layer = Layer { counts, tokens, per_token, seed };
        let index = usize::try_from(seed).unwrap_or(usize::MAX);
        let sets = statistics.set_counts.as_ref().and_then(|layers| layers.get(index));
        layer.draw(sets.map(Vec::as_slice), batch.max(1))
    };
    Ok(layers.map(of_layer).collect())
}

/// What was counted in one layer.
struct Layer<'a> {
    /// By expert.
    counts: &'a [u64],
    tokens: u64,
    per_token: u64,
    /// Where random numbers begin.
    seed: u64,
}

impl Layer<'_> {
    fn draw(&self, counted: Option<&[SetCount]>, batch: u64) -> Draw {
        if self.counts.is_empty() {
            return Draw::Even(Vec::new());
        }
        if let Some(sets) = counted {
            let chosen = sets.iter().filter(|set| set.1 > 0).cloned().collect();
            return Draw::Sets(self.of_listed(chosen, batch));
        }
        let independent = Independent::fit(self.counts, self.tokens, self.per_token);
        Draw::Sets(match independent.all_sets() {
            Some(sets) => self.of_listed(sets, batch),
            None => unions::sampled(&samples::of_independent(&independent, self.seed), self, batch),
        })
    }

    /// What a batch visits when one token chooses among these.
    fn of_listed(&self, sets: Vec<SetCount>, batch: u64) -> Vec<SetCount> {
        if batch == 1 {
            sets
        } else if self.counts.len() <= UNION_EXPERTS_MAX {
            unions::all(&sets, self.counts.len(), batch)
        } else {
            unions::sampled(&samples::of_listed(&sets, self.seed), self, batch)
        }
    }
}

#[cfg(test)]
mod tests;
