//! Counts which experts are chosen while a model runs.

use std::collections::BTreeMap;

use crate::load::decoder::Observer;
use crate::routing::{Statistics, possible_sets};

/// Choices so far: of every expert, of sets where few are possible, and of pairs in consecutive layers that have experts.
#[derive(Clone, Debug)]
pub struct RoutingCounts {
    per_token: u64,
    tokens: u64,
    counts: Vec<Vec<u64>>,
    /// By layer; `None` where more sets are possible than a file may list.
    sets: Option<Vec<BTreeMap<Vec<u32>, u64>>>,
    /// By the earlier of the two layers.
    pairs: Vec<Vec<Vec<u64>>>,
    /// The layer that chose last, and what it chose for each token.
    last: Option<(usize, Vec<Vec<u32>>)>,
}

impl RoutingCounts {
    /// Nothing chosen yet in `layers` decoder layers with `experts` each, `per_token` of them per token.
    pub fn new(layers: usize, experts: usize, per_token: usize) -> Self {
        Self {
            per_token: u64::try_from(per_token).unwrap_or(u64::MAX),
            tokens: 0,
            counts: vec![vec![0; experts]; layers],
            sets: possible_sets(experts, per_token).map(|_| vec![BTreeMap::new(); layers]),
            pairs: vec![vec![vec![0; experts]; experts]; layers.saturating_sub(1)],
            last: None,
        }
    }

    /// What a layer has chosen for each token of a forward pass, in the order of the tokens.
    ///
    /// To be called once per pass for every layer that has experts, front to back; a layer that is not
    /// behind the one before begins the next pass. Every layer must be told all tokens of the pass.
    ///
    /// # Panics
    /// A layer or an expert that does not exist.
    pub fn chosen(&mut self, layer: usize, per_token: &[Vec<u32>]) {
        let place = |expert: u32| usize::try_from(expert).unwrap_or(usize::MAX);
        let before = self.last.take().filter(|&(before, _)| before < layer);
        if before.is_none() {
            self.tokens += u64::try_from(per_token.len()).unwrap_or(u64::MAX);
        }
        for &expert in per_token.iter().flatten() {
            self.counts[layer][place(expert)] += 1;
        }
        if let Some(sets) = self.sets.as_mut().and_then(|layers| layers.get_mut(layer)) {
            for chosen in per_token {
                let mut set = chosen.clone();
                set.sort_unstable();
                *sets.entry(set).or_default() += 1;
            }
        }
        if let Some((before, earlier)) = &before {
            let pairs = &mut self.pairs[*before];
            for (from, to) in earlier.iter().zip(per_token) {
                for (&from, &to) in from.iter().flat_map(|from| to.iter().map(move |to| (from, to)))
                {
                    pairs[place(from)][place(to)] += 1;
                }
            }
        }
        self.last = Some((layer, per_token.to_vec()));
    }

    /// Adds what somebody else counted of the same model.
    pub fn add(&mut self, other: &Self) {
        self.tokens = self.tokens.saturating_add(other.tokens);
        let add = |own: &mut Vec<Vec<u64>>, more: &[Vec<u64>]| {
            let each = own.iter_mut().flatten().zip(more.iter().flatten());
            each.for_each(|(own, more)| *own = own.saturating_add(*more));
        };
        add(&mut self.counts, &other.counts);
        for (own, more) in self.pairs.iter_mut().zip(&other.pairs) {
            add(own, more);
        }
        if let (Some(own), Some(more)) = (&mut self.sets, &other.sets) {
            for (own, more) in own.iter_mut().zip(more) {
                for (set, count) in more {
                    *own.entry(set.clone()).or_default() += count;
                }
            }
        }
    }

    /// Tokens so far.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// How often each expert was chosen, `[layer][expert]`.
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// As they are written to a file: a layer that chose nothing has no experts.
    pub fn statistics(&self, model: &str, text: &str) -> Statistics {
        let chose = |layer: usize| self.counts[layer].iter().any(|&count| count > 0);
        let kept =
            |layer: usize| if chose(layer) { self.counts[layer].clone() } else { Vec::new() };
        let layers = self.counts.len();
        let of_layer = |sets: &BTreeMap<Vec<u32>, u64>| {
            sets.iter().map(|(set, &count)| (set.clone(), count)).collect()
        };
        let sets = self.sets.as_ref().map(|layers| layers.iter().map(of_layer).collect());
        let pairs = self.pairs.iter().enumerate().map(|(layer, pairs)| {
            let there = chose(layer) && (layer + 1..layers).any(chose);
            if there { pairs.clone() } else { Vec::new() }
        });
        Statistics {
            model: model.to_owned(),
            text: text.to_owned(),
            source: None,
            tokens: self.tokens,
            top_k: self.per_token,
            counts: (0..layers).map(kept).collect(),
            set_counts: sets,
            pair_counts: Some(pairs.collect()),
        }
    }
}

impl Observer for RoutingCounts {
    fn chosen(&mut self, layer: u32, experts: &[Vec<u32>]) {
        Self::chosen(self, usize::try_from(layer).unwrap_or(usize::MAX), experts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three layers, the middle one dense; a pass of two tokens and one of one.
    fn counted() -> RoutingCounts {
        let mut counts = RoutingCounts::new(3, 3, 2);
        counts.chosen(0, &[vec![0, 1], vec![0, 2]]);
        counts.chosen(2, &[vec![1, 2], vec![2, 1]]);
        counts.chosen(0, &[vec![2, 1]]);
        counts.chosen(2, &[vec![0, 1]]);
        counts
    }

    #[test]
    fn experts_and_pairs_of_a_pass_are_counted() {
        let statistics = counted().statistics("m", "t");
        assert_eq!((statistics.tokens, statistics.top_k), (3, 2));
        assert_eq!(statistics.counts, [vec![2, 2, 2], vec![], vec![1, 3, 2]]);
        let sets = statistics.set_counts.clone().unwrap();
        assert_eq!(sets[0], [(vec![0, 1], 1), (vec![0, 2], 1), (vec![1, 2], 1)]);
        assert_eq!(sets[1..], [vec![], vec![(vec![0, 1], 1), (vec![1, 2], 2)]]);
        let pairs = statistics.pair_counts.clone().unwrap();
        assert_eq!(pairs, [vec![vec![0, 2, 2], vec![1, 2, 1], vec![1, 2, 1]], vec![]]);
        // The reader holds the sums against each other.
        assert_eq!(Statistics::from_json(&statistics.to_json(), "x").unwrap(), statistics);
    }

    #[test]
    fn what_two_counted_adds_up_to_what_one_would_have() {
        let mut twice = counted();
        twice.chosen(0, &[vec![0, 1], vec![0, 2]]);
        twice.chosen(2, &[vec![1, 2], vec![2, 1]]);
        twice.chosen(0, &[vec![2, 1]]);
        twice.chosen(2, &[vec![0, 1]]);
        let mut sum = counted();
        sum.add(&counted());
        assert_eq!(sum.statistics("m", "t"), twice.statistics("m", "t"));
    }

    #[test]
    fn a_pass_through_one_layer_is_a_pass() {
        let mut counts = RoutingCounts::new(1, 2, 1);
        counts.chosen(0, &[vec![1]]);
        counts.chosen(0, &[vec![1], vec![0]]);
        assert_eq!((counts.tokens(), counts.counts()), (3, &[vec![1, 2]][..]));
        let statistics = counts.statistics("m", "t");
        assert_eq!(Statistics::from_json(&statistics.to_json(), "x").unwrap(), statistics);
    }

    #[test]
    fn sets_are_left_out_where_too_many_are_possible() {
        // 64 choose 2 are 2016 sets, 64 choose 3 are 41664.
        for (per_token, counted) in [(2, true), (3, false)] {
            let mut counts = RoutingCounts::new(1, 64, per_token);
            let chosen = (0..u32::try_from(per_token).unwrap()).map(|expert| 63 - expert);
            counts.chosen(0, &[chosen.collect()]);
            let statistics = counts.statistics("m", "t");
            assert_eq!(statistics.set_counts.is_some(), counted);
            assert_eq!(Statistics::from_json(&statistics.to_json(), "x").unwrap(), statistics);
        }
    }
}
