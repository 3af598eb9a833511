//! Lists of modules that are not quantized, as overrides.

use std::collections::BTreeMap;

use super::OPERATION;
use super::fields::Fields;
use crate::error::Error;
use crate::quant::{Override, Scheme};

/// How a list's entries are compared with a module's name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Matching {
    /// As `should_convert_module` of transformers: the beginning up to a dot, or the end.
    Ends,
    /// As AutoAWQ: anywhere.
    Anywhere,
    /// As compressed-tensors: the whole name, or `re:` and an expression for its beginning.
    Whole,
}

/// Patterns that published lists come down to are a few dozen at most; each is compared with every
/// tensor.
const PATTERNS_MAX: usize = 1000;

impl Fields<'_> {
    /// The scheme with the modules of a list left in 16 bit.
    pub(super) fn skipping(
        &self,
        scheme: Scheme,
        entries: &[&str],
        matching: Matching,
    ) -> Result<Scheme, Error> {
        let (expressions, names): (Vec<&str>, Vec<&str>) =
            entries.iter().partition(|entry| entry.starts_with("re:") || entry.contains(".*"));
        let mut modules =
            expressions.into_iter().map(expression).collect::<Result<Vec<String>, Error>>()?;
        let names: Vec<(&str, String)> =
            names.into_iter().map(|name| (name, "skip".to_owned())).collect();
        modules.extend(self.by_layers(&names).into_iter().map(|(module, _)| module));
        let patterns = modules.iter().flat_map(|module| tensors_of(module, matching));
        let patterns: Vec<_> = patterns.map(|pattern| (pattern, "skip".to_owned())).collect();
        departing(scheme, &patterns)
    }

    /// Names of modules as patterns, each with what it gets; those that differ only in their layer are
    /// one.
    pub(super) fn by_layers(&self, names: &[(&str, String)]) -> Vec<(String, String)> {
        let mut grouped: BTreeMap<(String, String, &str), Vec<u64>> = BTreeMap::new();
        let mut patterns = Vec::new();
        for (name, wanted) in names {
            match around_layer(name) {
                Some((before, layer, after)) => {
                    grouped.entry((before, after, wanted)).or_default().push(layer);
                }
                None => patterns.push((escaped(name), wanted.clone())),
            }
        }
        for ((before, after, wanted), mut layers) in grouped {
            layers.sort_unstable();
            layers.dedup();
            let all = self.layers().is_some_and(|count| (0..count).eq(layers.iter().copied()));
            let numbers: Vec<String> = layers.iter().map(u64::to_string).collect();
            let layer = match numbers.as_slice() {
                _ if all => "*".to_owned(),
                [one] => one.clone(),
                several => format!("{{{}}}", several.join(",")),
            };
            let module = format!("{}{layer}{}", escaped(&before), escaped(&after));
            patterns.push((module, wanted.to_owned()));
        }
        patterns
    }
}

/// The scheme with overrides that may match nothing.
pub(super) fn departing(scheme: Scheme, patterns: &[(String, String)]) -> Result<Scheme, Error> {
    if patterns.len() > PATTERNS_MAX {
        return Err(Error::new(OPERATION)
            .expected(format!("at most {PATTERNS_MAX} kinds of modules of their own"))
            .found(patterns.len().to_string()));
    }
    let overrides = patterns
        .iter()
        .map(|(pattern, wanted)| Override::parse(&format!("{pattern}={wanted}?")))
        .collect::<Result<_, _>>()?;
    scheme.with_overrides(overrides)
}

/// The text around the first part that is a number: `model.layers.`, 3, `.mlp.gate`.
fn around_layer(entry: &str) -> Option<(String, u64, String)> {
    let mut before = String::new();
    let mut parts = entry.split('.');
    loop {
        let part = parts.next()?;
        if let Some(layer) = part.parse().ok().filter(|n: &u64| n.to_string() == part) {
            let after: String = parts.flat_map(|part| [".", part]).collect();
            return Some((before, layer, after));
        }
        before.push_str(part);
        before.push('.');
    }
}

/// Patterns over tensor names for one over module names.
fn tensors_of(module: &str, matching: Matching) -> Vec<String> {
    match matching {
        Matching::Anywhere => vec![format!("*{module}*.weight")],
        Matching::Whole => vec![format!("{module}.weight")],
        Matching::Ends => vec![format!("{module}.*"), format!("*{module}.weight")],
    }
}

/// An expression as a glob, if it uses only the few things that occur in such lists.
fn expression(entry: &str) -> Result<String, Error> {
    let Some(expression) = entry.strip_prefix("re:") else {
        // Transformers reads entries as expressions too; in published lists only `.*` occurs.
        return Ok(entry.split(".*").map(escaped).collect::<Vec<_>>().join("*"));
    };
    let refuse = || {
        Error::new(OPERATION)
            .object(entry)
            .expected("an expression of names, dots, `.*` and `(a|b)`")
            .hint("--quant NAME and --quant-override say it instead")
    };
    let (expression, open) = match expression.strip_suffix('$') {
        Some(expression) => (expression, ""),
        // `re.match` asks only for the beginning.
        None => (expression, "*"),
    };
    let mut glob = String::new();
    let mut rest = expression.strip_prefix('^').unwrap_or(expression);
    while let Some(c) = rest.chars().next() {
        let (taken, pattern) = match c {
            '\\' if rest.starts_with("\\.") => (2, ".".to_owned()),
            '\\' if rest.starts_with("\\d+") => (3, "*".to_owned()),
            '.' if rest.starts_with(".*") => (2, "*".to_owned()),
            '.' if rest.starts_with(".+") => (2, "?*".to_owned()),
            '.' => (1, "?".to_owned()),
            '(' => (if rest.starts_with("(?:") { 3 } else { 1 }, "{".to_owned()),
            '|' => (1, ",".to_owned()),
            ')' => (1, "}".to_owned()),
            _ if c.is_ascii_alphanumeric() || c == '_' || c == '-' => (1, c.to_string()),
            _ => return Err(refuse()),
        };
        glob.push_str(&pattern);
        rest = rest.get(taken..).ok_or_else(refuse)?;
    }
    // An alternative outside of parentheses would divide the whole expression.
    if glob.contains(',') && !glob.contains('{') {
        glob = format!("{{{glob}}}");
    }
    glob.push_str(open);
    Ok(glob)
}

/// Text that a glob takes literally.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if "*?[]{}\\,!=".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
