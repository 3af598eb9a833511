//! Binary searches over an amount, where more of it can only help or only harm.
//!
//! Both ends of the answer are always asked, never inferred, so an answer holds even for a question
//! that is not monotone; it is then one place where the answer changes.

/// Amounts `from < to`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bracket {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The most questions one search asks; enough for any 58-bit range.
const PROBES_MAX: u32 = 60;

/// The least amount in `(from, to]` that works; `from` is known not to. `None` when `to` does not work
/// either.
pub(super) fn least(bracket: Bracket, works: impl Fn(u64) -> bool) -> Option<u64> {
    let Bracket { from: mut fails, to: mut good } = bracket;
    if good <= fails || !works(good) {
        return None;
    }
    let mut probes = 1;
    while good - fails > 1 {
        if probes == PROBES_MAX {
            return None;
        }
        probes += 1;
        let middle = fails + (good - fails) / 2;
        if works(middle) { good = middle } else { fails = middle }
    }
    Some(good)
}

/// The largest amount in `[from, to)` that works; `to` is known not to. `None` when `from` does not.
pub(super) fn most(bracket: Bracket, works: impl Fn(u64) -> bool) -> Option<u64> {
    let Bracket { from, to } = bracket;
    // Counting down from `to` turns the largest that works into the least.
    let distance = to.checked_sub(from)?;
    least(Bracket { from: 0, to: distance }, |down| works(to - down)).map(|down| to - down)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn finds_every_threshold_in_few_questions() {
        for threshold in 1..=100 {
            let asked = Cell::new(0);
            let found = least(Bracket { from: 0, to: 100 }, |x| {
                asked.set(asked.get() + 1);
                x >= threshold
            });
            assert_eq!(found, Some(threshold));
            assert!(asked.get() <= 8, "{}", asked.get());
            let found = most(Bracket { from: 1, to: 101 }, |x| x <= threshold);
            assert_eq!(found, Some(threshold));
        }
    }

    #[test]
    fn says_none_when_nothing_works() {
        assert_eq!(least(Bracket { from: 0, to: 100 }, |_| false), None);
        assert_eq!(most(Bracket { from: 1, to: 9 }, |_| false), None);
        assert_eq!(most(Bracket { from: 1, to: 1 }, |_| true), None);
        assert_eq!(most(Bracket { from: 1, to: 0 }, |_| true), None);
    }

    #[test]
    fn the_widest_bracket_stays_within_the_questions_allowed() {
        let widest = Bracket { from: 0, to: 1 << 58 };
        assert_eq!(least(widest, |x| x >= 12_345), Some(12_345));
    }
}
