//! From routing statistics to what a step visits: [`Draw`]s, layer by layer.

use super::Statistics;
use crate::error::Error;
use crate::problem::Draw;

/// What a step of `batch` tokens visits when every expert is as likely as any other.
pub(crate) fn uniform(experts: u32, per_token: u32, batch: u64) -> Draw {
    let _ = batch;
    if experts == 0 { Draw::Even(Vec::new()) } else { Draw::Even(vec![(per_token, 1)]) }
}

/// What a step of `batch` tokens visits in each layer of a model, as measured.
pub(crate) fn measured(statistics: &Statistics, batch: u64) -> Result<Vec<Draw>, Error> {
    if statistics.tokens == 0 {
        return Err(Error::new("use the routing statistics").found("no tokens"));
    }
    let _ = batch;
    let of = |row: &Vec<u64>| {
        let experts = u32::try_from(row.len()).unwrap_or(0);
        uniform(experts, u32::try_from(statistics.top_k).unwrap_or(1), 1)
    };
    Ok(statistics.counts.iter().map(of).collect())
}
