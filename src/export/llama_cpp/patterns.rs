//! Names of tensors as anchored patterns, short ones: what `-ot` reads.
//!
//! llama.cpp searches with `std::regex` (ECMAScript) and splits its option at every comma, so a pattern has
//! neither commas nor counted repetitions: ranges are classes and alternatives only.

use std::collections::{BTreeMap, BTreeSet};

/// A pattern that matches exactly these names in these layers: `^blk\.(3|1[0-5])\.ffn_(down|up)_exps\.weight$`.
/// `names` are without the `blk.N.` before them.
pub(super) fn of_layers(layers: &BTreeSet<u32>, names: &BTreeSet<&str>) -> String {
    let numbers = alternatives(&numbers(layers));
    format!(r"^blk\.{numbers}\.{}$", of_names(names))
}

/// A pattern that matches exactly these names.
pub(super) fn of_whole(names: &BTreeSet<&str>) -> String {
    format!("^{}$", of_names(names))
}

fn of_names(names: &BTreeSet<&str>) -> String {
    let mut endings: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for name in names {
        let (base, ending) = name.rsplit_once('.').unwrap_or((name, ""));
        endings.entry(base).or_default().insert(ending);
    }
    let mut bases: BTreeMap<BTreeSet<&str>, Vec<&str>> = BTreeMap::new();
    for (base, endings) in endings {
        bases.entry(endings).or_default().push(base);
    }
    let one = |(endings, bases): (BTreeSet<&str>, Vec<&str>)| {
        let dotted = |ending: &&str| if ending.is_empty() { String::new() } else { escape(ending) };
        let endings: Vec<String> = endings.iter().map(dotted).collect();
        let dot = if endings == [""] { "" } else { r"\." };
        format!("{}{dot}{}", of_bases(&bases), alternatives(&endings))
    };
    alternatives(&bases.into_iter().map(one).collect::<Vec<_>>())
}

/// `ffn_(down|gate|up)_exps` for names that differ in one word, else all of them.
fn of_bases(bases: &[&str]) -> String {
    let words: Vec<Vec<&str>> = bases.iter().map(|base| base.split('_').collect()).collect();
    let length = words.first().map_or(0, Vec::len);
    let alike = words.iter().all(|words| words.len() == length);
    let same = |at: &usize| words.iter().all(|other| other[*at] == words[0][*at]);
    let differ: Vec<usize> = (0..length).filter(|at| alike && !same(at)).collect();
    if bases.len() > 1 && alike && differ.len() == 1 {
        let word = |at: usize| {
            let words: Vec<String> = words.iter().map(|words| escape(words[at])).collect();
            if differ == [at] { alternatives(&words) } else { words[0].clone() }
        };
        return (0..length).map(word).collect::<Vec<_>>().join("_");
    }
    alternatives(&bases.iter().map(|base| escape(base)).collect::<Vec<_>>())
}

fn alternatives(parts: &[String]) -> String {
    match parts {
        [one] => one.clone(),
        parts => format!("({})", parts.join("|")),
    }
}

/// Characters that mean something in a pattern, taken literally.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if r"\.^$|()[]{}*+?/".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Alternatives that together match exactly these numbers, written without leading zeros.
fn numbers(of: &BTreeSet<u32>) -> Vec<String> {
    // Which last digits follow which beginnings.
    let mut digits: BTreeMap<Option<u32>, u16> = BTreeMap::new();
    for &number in of {
        let before = (number >= 10).then_some(number / 10);
        *digits.entry(before).or_default() |= 1 << (number % 10);
    }
    let mut beginnings: BTreeMap<(bool, u16), BTreeSet<u32>> = BTreeMap::new();
    for (before, last) in digits {
        let entry = beginnings.entry((before.is_some(), last)).or_default();
        entry.extend(before);
    }
    let one = |((more, last), before): ((bool, u16), BTreeSet<u32>)| {
        let before = if more { alternatives(&numbers(&before)) } else { String::new() };
        before + &class(last)
    };
    beginnings.into_iter().map(one).collect()
}

/// A class of digits, given as bits.
fn class(bits: u16) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for digit in (0..10).filter(|digit| bits >> digit & 1 == 1) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == digit => *last = digit,
            _ => runs.push((digit, digit)),
        }
    }
    let run = |&(first, last): &(u16, u16)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}{last}"),
        _ => format!("{first}-{last}"),
    };
    let inner: String = runs.iter().map(run).collect();
    if bits.is_power_of_two() { inner } else { format!("[{inner}]") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
        items.into_iter().collect()
    }

    #[test]
    fn ranges_are_short() {
        let written = |layers: BTreeSet<u32>| alternatives(&numbers(&layers));
        assert_eq!(written(set([12])), "12");
        assert_eq!(written(set(0..=9)), "[0-9]");
        assert_eq!(written(set(8..=15)), "([89]|1[0-5])");
        assert_eq!(written(set(0..=31)), "([0-9]|3[01]|[12][0-9])");
        assert_eq!(written(set([1, 3, 21])), "([13]|21)");
    }

    #[test]
    fn names_that_differ_in_a_word_share_a_pattern() {
        let exps = ["ffn_down_exps.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight"];
        let pattern = of_layers(&set([12]), &set(exps));
        assert_eq!(pattern, r"^blk\.12\.ffn_(down|gate|up)_exps\.weight$");
        let with_bias = ["ffn_up_exps.weight", "ffn_up_exps.bias"];
        assert_eq!(of_layers(&set([1]), &set(with_bias)), r"^blk\.1\.ffn_up_exps\.(bias|weight)$");
        let output = ["output.weight", "output_norm.weight"];
        assert_eq!(of_whole(&set(output)), r"^(output|output_norm)\.weight$");
        let mixed = ["output.weight", "output_norm.bias", "output_norm.weight"];
        assert_eq!(of_whole(&set(mixed)), r"^(output_norm\.(bias|weight)|output\.weight)$");
    }

    /// Every set of numbers matches itself and nothing else.
    #[test]
    fn numbers_match_exactly() {
        for seed in 1..400_u32 {
            let layers: BTreeSet<u32> = (0..130_u32)
                .filter(|n| n.wrapping_mul(seed).wrapping_add(seed) % 97 % 3 == 0)
                .collect();
            if layers.is_empty() {
                continue;
            }
            let pattern = of_layers(&layers, &set(["x.weight"]));
            let regex = regex::Regex::new(&pattern).unwrap();
            for layer in 0..1400 {
                let name = format!("blk.{layer}.x.weight");
                assert_eq!(regex.is_match(&name), layers.contains(&layer), "{pattern} {name}");
            }
            assert!(!regex.is_match("blk.1.x_weight") && !pattern.contains([',', '=']));
        }
    }
}
