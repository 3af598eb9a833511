//! Comparing many names: which appear twice, which appear in one list and not in another.
//!
//! Names of tensors share long beginnings, which makes sorting them by letters slow; by a hash first it
//! is five times as fast. The order is used for finding equal names only and never shows.

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hasher};

/// Names in an order of no meaning that is the same for every list.
pub(super) struct Names<'a>(Vec<(u64, &'a str, usize)>);

impl<'a> Names<'a> {
    /// Of names with their indices.
    pub fn new(names: impl Iterator<Item = &'a str>) -> Self {
        let hashed = |(index, name): (usize, &'a str)| {
            let mut hasher = DefaultHasher::new();
            hasher.write(name.as_bytes());
            (hasher.finish(), name, index)
        };
        let mut names: Vec<_> = names.enumerate().map(hashed).collect();
        names.sort_unstable();
        Self(names)
    }

    /// The first index whose name appeared before, with the index where it did.
    pub fn first_repeated(&self) -> Option<(usize, usize)> {
        let repeated = self.0.windows(2).filter(|pair| pair[0].1 == pair[1].1);
        repeated.map(|pair| (pair[1].2, pair[0].2)).min()
    }

    /// Pairs the names of two lists without repetitions: equal ones together, others alone.
    pub fn pair(&self, other: &Names<'_>, mut each: impl FnMut(Option<usize>, Option<usize>)) {
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        loop {
            let order = match (ours.peek(), theirs.peek()) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => (a.0, a.1).cmp(&(b.0, b.1)),
            };
            let our = if order.is_le() { ours.next() } else { None };
            let their = if order.is_ge() { theirs.next() } else { None };
            each(our.map(|name| name.2), their.map(|name| name.2));
        }
    }
}

/// Compares texts with numbers in them as people count: `x-2` before `x-10`.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let key = |text: &str| {
        let mut parts: Vec<(String, Option<u128>)> = vec![(String::new(), None)];
        for c in text.chars() {
            let last = parts.len() - 1;
            let (word, number) = &mut parts[last];
            match c.to_digit(10) {
                Some(digit) => {
                    let tens = number.unwrap_or(0).saturating_mul(10);
                    *number = Some(tens.saturating_add(u128::from(digit)));
                }
                None if number.is_some() => parts.push((c.to_string(), None)),
                None => word.push(c),
            }
        }
        parts
    };
    key(a).cmp(&key(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_are_found_at_their_first_repetition() {
        let repeated = |names: &[&str]| Names::new(names.iter().copied()).first_repeated();
        assert_eq!(repeated(&["a", "b", "c"]), None);
        assert_eq!(repeated(&["a", "b", "b", "a", "a"]), Some((2, 1)));
    }

    #[test]
    fn two_lists_are_paired() {
        let (ours, theirs) = (["a", "c", "b"], ["d", "b", "a"]);
        let mut found = Vec::new();
        let pairs = Names::new(ours.into_iter());
        pairs.pair(&Names::new(theirs.into_iter()), |a, b| found.push((a, b)));
        found.sort_unstable();
        let expected = [(None, Some(0)), (Some(0), Some(2)), (Some(1), None), (Some(2), Some(1))];
        assert_eq!(found, expected);
    }

    #[test]
    fn numbers_count() {
        let mut names = ["x-10", "x-2", "y", "x", "x-2-b", "x-02"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["x", "x-02", "x-2", "x-2-b", "x-10", "y"]);
    }
}
