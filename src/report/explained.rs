//! What `explain` prints of a word.

use serde_json::{Value, json};

use super::{Align, Table, indented, wrap};
use crate::explain::{Explained, Kind, Ruled, Term};
use crate::units::format_bytes;

/// A word for people.
pub fn explained(explained: &Explained, width: usize) -> String {
    let Explained { name, term, rules } = explained;
    let mut text = wrap(&format!("{name} ({}): {}", term.kind.name(), term.about), width);
    let parts = [
        ("formula", &term.formula),
        ("why", &term.why),
        ("source", &term.source),
        ("asked for with", &term.option),
        ("more", &term.page.as_ref().map(|page| format!("page documentation::{page}"))),
    ];
    for (heading, part) in parts {
        if let Some(part) = part {
            text.extend([format!("\n{heading}\n"), indented(part, width)]);
        }
    }
    if !rules.is_empty() {
        text.push_str("\nwhat runtimes do, and the source\n");
        text.extend(rules.iter().map(|rule| ruled(name, rule, width)));
    }
    text
}

fn ruled(name: &str, rule: &Ruled, width: usize) -> String {
    let Ruled { runtime, value, source } = rule;
    let value = match value.parse() {
        Ok(bytes) if name.ends_with("_bytes") => format_bytes(bytes),
        _ => value.clone(),
    };
    indented(&format!("{runtime}: {value}; {source}"), width)
}

/// For programs.
pub fn explained_json(explained: &Explained) -> Value {
    let Explained { name, term, rules } = explained;
    let rule =
        |rule: &Ruled| json!({"runtime": rule.runtime, "value": rule.value, "source": rule.source});
    json!({
        "name": name,
        "kind": term.kind.name(),
        "about": term.about,
        "formula": term.formula,
        "why": term.why,
        "source": term.source,
        "option": term.option,
        "page": term.page,
        "runtimes": rules.iter().map(rule).collect::<Vec<_>>(),
    })
}

/// Every word with its line, by kind.
pub fn terms(terms: &[(&str, &Term)], width: usize) -> String {
    let mut text = String::new();
    let longest = terms.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for kind in Kind::ALL {
        let heading = format!("{}{}\n", if text.is_empty() { "" } else { "\n" }, kind.plural());
        let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
        for (name, term) in terms.iter().filter(|(_, term)| term.kind == kind) {
            // One line each: what is longer is read with the name.
            let room = width.saturating_sub(longest + 4);
            table.row([format!("  {name:longest$}"), cut(&term.about, room)]);
        }
        text.push_str(&heading);
        text.push_str(table.render().trim_start_matches('\n'));
    }
    text
}

fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for word in text.split(' ') {
        // A blank before the word, and the dots behind it.
        if kept.chars().count() + word.chars().count() + 5 > room {
            break;
        }
        if !kept.is_empty() {
            kept.push(' ');
        }
        kept.push_str(word);
    }
    format!("{} ...", kept.trim_end_matches([',', ':', ';']))
}

/// As `terms`, for programs.
pub fn terms_json(terms: &[(&str, &Term)]) -> Value {
    let term = |&(name, term): &(&str, &Term)| json!({"name": name, "kind": term.kind.name(), "about": term.about});
    json!({"terms": terms.iter().map(term).collect::<Vec<_>>()})
}
