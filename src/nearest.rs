//! The known names closest to one that is not known: the second half of a helpful refusal.

use crate::error::printable;

/// Names that may have been meant, best first, at most three; empty when nothing is close.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const ENOUGH: u32 = 700;
    // A hostile name of a megabyte would make the comparison quadratic in it.
    let wanted: String = wanted.to_lowercase().chars().take(80).collect();
    let mut scored: Vec<(u32, &str)> = known
        .into_iter()
        .map(|name| (similarity(&wanted, &name.to_lowercase()), name))
        .filter(|&(score, _)| score >= ENOUGH)
        .collect();
    scored.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup();
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// `did you mean `a` or `b`?`; `None` when nothing is close.
pub fn did_you_mean<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let names: Vec<String> =
        nearest(wanted, known).iter().map(|n| format!("`{}`", printable(n))).collect();
    (!names.is_empty()).then(|| format!("did you mean {}?", names.join(" or ")))
}

/// In thousandths, so that names are ordered by integers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the similarity of strsim lies between 0 and 1"
)]
fn similarity(a: &str, b: &str) -> u32 {
    (strsim::jaro_winkler(a, b) * 1000.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_comes_first() {
        let known = ["mixtral-8x7b", "mixtral-8x22b", "llama-3.1-8b"];
        assert_eq!(nearest("mixtral-8x7", known)[0], "mixtral-8x7b");
        assert!(nearest("zzz", known).is_empty());
    }
}
