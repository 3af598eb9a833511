//! Whether figures can come from a run: sums that must agree.

use std::fmt;

use super::read::OPERATION;
use super::{SetCount, Statistics};
use crate::error::Error;

impl Statistics {
    /// Whether the figures can come from a run.
    pub(super) fn check(&self) -> Result<(), Error> {
        let experts = self.experts();
        let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        if !(1..=Self::TOKENS_MAX).contains(&self.tokens) {
            let expected = format!("at least 1 and at most {}", Self::TOKENS_MAX);
            return Err(differs("tokens", &expected, self.tokens));
        }
        if !(1..=experts).contains(&whole(self.top_k)) {
            let expected = format!("1 to {experts}, the experts of a layer");
            return Err(differs("top_k", &expected, self.top_k));
        }
        let sum = u128::from(self.tokens) * u128::from(self.top_k);
        for (layer, row) in self.counts.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
            let place = format!("counts, layer {layer}");
            if row.len() != experts {
                return Err(differs(&place, &format!("{experts} experts, or none"), row.len()));
            }
            if let Some(&most) = row.iter().find(|&&count| count > self.tokens) {
                let expected = format!("at most {} tokens for an expert", self.tokens);
                return Err(differs(&place, &expected, most));
            }
            if total(row) != sum {
                let expected = format!("a sum of {sum}, tokens x top_k");
                return Err(differs(&place, &expected, total(row)));
            }
        }
        self.set_counts.as_ref().map_or(Ok(()), |sets| self.check_sets(sets))?;
        self.pair_counts.as_ref().map_or(Ok(()), |pairs| self.check_pairs(pairs))
    }

    fn check_sets(&self, layers: &[Vec<SetCount>]) -> Result<(), Error> {
        if layers.len() != self.counts.len() {
            let expected = format!("{} entries, one for each layer", self.counts.len());
            return Err(differs("set_counts", &expected, layers.len()));
        }
        for (layer, (sets, row)) in layers.iter().zip(&self.counts).enumerate() {
            let place = format!("set_counts, layer {layer}");
            let mut seen = std::collections::BTreeSet::new();
            let mut counts = vec![0_u128; row.len()];
            for (set, count) in sets {
                self.check_set(&place, set, row.len())?;
                if !seen.insert(set) {
                    return Err(differs(&place, "each set once", format!("{set:?} twice")));
                }
                for &expert in set {
                    let at = usize::try_from(expert).ok();
                    if let Some(sum) = at.and_then(|expert| counts.get_mut(expert)) {
                        *sum += u128::from(*count);
                    }
                }
            }
            let tokens = sets.iter().fold(0, |sum, (_, count)| sum + u128::from(*count));
            let wanted = if row.is_empty() { 0 } else { self.tokens };
            if tokens != u128::from(wanted) {
                return Err(differs(&place, &format!("a sum of {wanted}, the tokens"), tokens));
            }
            let mut pairs = counts.iter().zip(row).enumerate();
            if let Some((expert, (found, count))) =
                pairs.find(|&(_, (found, count))| *found != u128::from(*count))
            {
                let place = format!("{place}, expert {expert}");
                return Err(differs(&place, &format!("a sum of {count}, its count"), found));
            }
        }
        Ok(())
    }

    /// As many experts of the layer as a token chooses, ascending.
    fn check_set(&self, place: &str, set: &[u32], experts: usize) -> Result<(), Error> {
        let size = u64::try_from(set.len()).unwrap_or(u64::MAX);
        let known = |&expert: &u32| usize::try_from(expert).is_ok_and(|expert| expert < experts);
        let ascending = set.windows(2).all(|pair| pair[0] < pair[1]);
        if size == self.top_k && ascending && set.iter().all(known) {
            return Ok(());
        }
        let last = experts.saturating_sub(1);
        let expected = match experts {
            0 => "no set, as the layer has no experts".to_owned(),
            _ => format!("{} experts of 0 to {last}, ascending", self.top_k),
        };
        // A set of a hostile file may be long.
        let shown = &set[..set.len().min(16)];
        let more = if set.len() > shown.len() { " and more" } else { "" };
        Err(differs(place, &expected, format!("{shown:?}{more}")))
    }

    fn check_pairs(&self, pairs: &[Vec<Vec<u64>>]) -> Result<(), Error> {
        let expected = self.counts.len().saturating_sub(1);
        if pairs.len() != expected {
            let expected = format!("{expected} entries, one less than layers");
            return Err(differs("pair_counts", &expected, pairs.len()));
        }
        for (layer, rows) in pairs.iter().enumerate() {
            let place = format!("pair_counts, layer {layer}");
            let next = self.counts[layer + 1..].iter().find(|row| !row.is_empty());
            let there = next.filter(|_| !self.counts[layer].is_empty());
            let size = there.map_or(0, Vec::len);
            if rows.len() != size {
                return Err(differs(&place, &format!("{size} x {size} counts"), rows.len()));
            }
            let Some(next) = there else { continue };
            for (expert, row) in rows.iter().enumerate() {
                let columns = rows.iter().map(|row| row[expert]);
                let column = columns.fold(0, |sum, count| sum + u128::from(count));
                for (found, count) in
                    [(total(row), self.counts[layer][expert]), (column, next[expert])]
                {
                    let sum = u128::from(count) * u128::from(self.top_k);
                    if found != sum {
                        let place = format!("{place}, expert {expert}");
                        let expected = format!("a sum of {sum}, its count x top_k");
                        return Err(differs(&place, &expected, found));
                    }
                }
            }
        }
        Ok(())
    }
}

fn differs(place: &str, expected: &str, found: impl fmt::Display) -> Error {
    Error::new(OPERATION).place(place).expected(expected).found(found.to_string())
}

fn total(row: &[u64]) -> u128 {
    row.iter().fold(0, |sum, &count| sum + u128::from(count))
}
