//! When it is time to move again: not for chance, and not to and fro.
//!
//! Experts are counted in windows of tokens. What was seen calls for another placement when two windows in a row are
//! far from what the placement was made for, and farther than from each other: neither the chance of few tokens nor a
//! signal that changes from window to window calls for anything. What was asked and found not worth moving for is not asked again until it has changed as much. And
//! a placement that was left is returned to only after twice as many tokens as the last time.

use std::collections::BTreeSet;

use crate::model::ComponentId;
use crate::routing::distance;
use crate::units::Ratio;

/// The longest wait is so many times the shortest.
const WAIT_TIMES_MAX: u64 = 1 << 10;

/// Counts of experts, `[layer][expert]`.
type Counts = Vec<Vec<u64>>;

/// A map, by component.
type Map = Vec<(ComponentId, usize)>;

/// Watches one decoder.
#[derive(Clone, Debug)]
pub struct Steady {
    every: u64,
    drift: Option<Ratio>,
    /// What the placement was made for, and what was asked since.
    known: Vec<Counts>,
    previous: Option<Counts>,
    moved_at: Option<u64>,
    /// Tokens from one migration to the next, at least.
    wait: u64,
    left: BTreeSet<Map>,
}

impl Steady {
    /// Windows of `every` tokens; routing counts as another beyond that `drift`, never without one. `made_for` is what
    /// the placement was made for: all experts alike, where it was made for none.
    pub fn new(every: u64, drift: Option<Ratio>, made_for: Counts) -> Self {
        Self {
            every: every.max(1),
            drift,
            known: vec![made_for],
            previous: None,
            moved_at: None,
            wait: every.max(1),
            left: BTreeSet::new(),
        }
    }

    /// Tokens of a window.
    pub fn every(&self) -> u64 {
        self.every
    }

    /// Whether there may be a migration at that token.
    pub fn may_move(&self, token: u64) -> bool {
        self.moved_at.is_none_or(|moved| token.saturating_sub(moved) >= self.wait)
    }

    /// What was counted in a window that ended at that token: how far it is from what the placement was made for,
    /// where it calls for another one.
    pub fn window(&mut self, token: u64, counts: Counts) -> Option<Ratio> {
        let drift = self.drift?;
        let apart = |one: &Counts, other: &Counts| distance(one, other).unwrap_or(Ratio::ZERO);
        let previous = self.previous.replace(counts);
        let (previous, now) = (previous?, self.previous.as_ref()?);
        let least = drift.max(apart(&previous, now));
        let unknown = |counts: &Counts| self.known.iter().all(|known| apart(known, counts) > least);
        let steady = unknown(&previous) && unknown(now);
        let from_known = self.known.first().map(|known| apart(known, now));
        from_known.filter(|_| steady && self.may_move(token))
    }

    /// It was asked what would be best for such counts, and was not worth moving for.
    pub fn declined(&mut self, counts: Counts) {
        self.known.truncate(1);
        self.known.push(counts);
    }

    /// A migration began at that token, from one map to another that was made for such counts.
    pub fn moved(&mut self, token: u64, from: Map, to: &Map, made_for: Option<Counts>) {
        self.wait = if self.left.contains(to) {
            self.wait.saturating_mul(2).min(self.every.saturating_mul(WAIT_TIMES_MAX))
        } else {
            self.wait
        };
        self.left.insert(from);
        self.moved_at = Some(token);
        self.previous = None;
        self.known.truncate(1);
        if let Some(made_for) = made_for {
            self.known = vec![made_for];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: u64 = 10;

    fn a() -> Counts {
        vec![vec![18, 1, 1]]
    }

    fn b() -> Counts {
        vec![vec![1, 1, 18]]
    }

    fn map(device: usize) -> Map {
        vec![(ComponentId::Expert(0, 0), device)]
    }

    /// Runs a signal through windows, moving whenever it is called for; the tokens at which it moved.
    fn moves(signal: &mut dyn FnMut(u64) -> Counts, windows: u64) -> Vec<u64> {
        let mut steady = Steady::new(EVERY, Some(Ratio::new(1, 5)), vec![vec![1, 1, 1]]);
        let mut home = 0;
        let mut moved = Vec::new();
        for window in 1..=windows {
            let (token, counts) = (window * EVERY, signal(window));
            if steady.window(token, counts.clone()).is_some() {
                let to = if counts == a() { 1 } else { 2 };
                steady.moved(token, map(home), &map(to), Some(counts));
                home = to;
                moved.push(token);
            }
        }
        moved
    }

    #[test]
    fn what_stays_calls_once() {
        assert_eq!(moves(&mut |_| a(), 50), [20]);
        assert_eq!(moves(&mut |window| if window < 20 { a() } else { b() }, 50), [20, 210]);
        assert_eq!(moves(&mut |_| vec![vec![7, 6, 7]], 50), [0; 0]);
    }

    #[test]
    fn a_signal_that_changes_from_window_to_window_calls_for_nothing() {
        assert!(moves(&mut |window| if window % 2 == 0 { a() } else { b() }, 1000).is_empty());
    }

    #[test]
    fn to_and_fro_takes_longer_every_time() {
        // Each stays for four windows, longer than what is demanded before it counts.
        let moved = moves(&mut |window| if window / 4 % 2 == 0 { a() } else { b() }, 2000);
        let gaps: Vec<u64> = moved.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.len() < 16, "2000 windows: {moved:?}");
        assert!(gaps.iter().all(|gap| *gap >= EVERY), "{gaps:?}");
        // Each of the two is left once before a return to it is one.
        for pair in gaps[3..].windows(2) {
            assert!(pair[1] >= pair[0] * 3 / 2, "{gaps:?}");
        }
    }

    #[test]
    fn what_was_declined_is_not_asked_again() {
        let mut steady = Steady::new(EVERY, Some(Ratio::new(1, 5)), vec![vec![1, 1, 1]]);
        assert!(steady.window(10, a()).is_none());
        assert!(steady.window(20, a()).is_some());
        steady.declined(a());
        for window in 3..20 {
            assert!(steady.window(window * 10, a()).is_none());
        }
        assert!(steady.window(200, b()).is_none());
        assert!(steady.window(210, b()).is_some());
    }

    #[test]
    fn no_drift_no_calls() {
        let mut steady = Steady::new(EVERY, None, vec![vec![1, 1, 1]]);
        assert!((1..9).all(|window| steady.window(window * 10, a()).is_none()));
        assert!(steady.may_move(0) && steady.every() == EVERY);
    }
}
