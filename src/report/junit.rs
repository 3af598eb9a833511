//! Outcomes of expectations as JUnit XML, which most services that run tests read.
//!
//! By hand: three elements are needed, and the crates there are bring a dozen others. There are no times in
//! it, so that equal outcomes give equal files.

use std::fmt::Write;

use super::expectations::{Counts, NOTHING, details, line};
use crate::error::printable;
use crate::expectations::{Outcome, Verdict};

/// Lines of details are broken here.
const WIDTH: usize = 100;

/// One suite called `name` with a test for every case.
pub fn junit(name: &str, outcomes: &[Outcome]) -> String {
    let Counts { failed, broken, .. } = Counts::of(outcomes);
    let counts = format!("tests=\"{}\" failures=\"{failed}\" errors=\"{broken}\"", outcomes.len());
    let name = escaped(name);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let head = format!("<testsuites name=\"apportion ci\" {counts}>\n");
    xml += &head;
    // Writing to a string cannot fail.
    let _ = writeln!(xml, "  <testsuite name=\"{name}\" {counts} skipped=\"0\">");
    for outcome in outcomes {
        let case = format!("<testcase name=\"{}\" classname=\"{name}\"", escaped(&outcome.name));
        match &outcome.verdict {
            Verdict::Holds => drop(writeln!(xml, "    {case}/>")),
            Verdict::Differs { differences, reasons } => {
                let kind = reasons.first().map_or("difference", |reason| reason.class.name());
                let message = differences.first().map(line).unwrap_or_default();
                xml += &element(&case, "failure", (&message, kind), outcome);
            }
            Verdict::Empty => xml += &element(&case, "failure", (NOTHING, "empty"), outcome),
            Verdict::Broken(broken) => {
                xml += &element(&case, "error", (&broken.message, "not asked"), outcome);
            }
        }
    }
    xml + "  </testsuite>\n</testsuites>\n"
}

fn element(case: &str, kind: &str, (message, of): (&str, &str), outcome: &Outcome) -> String {
    let details = details(outcome, "FAIL", WIDTH);
    format!(
        "    {case}>\n      <{kind} type=\"{}\" message=\"{}\">{}</{kind}>\n    </testcase>\n",
        escaped(of),
        escaped(message),
        escaped_lines(details.trim())
    )
}

/// Text for XML: what no XML may hold is written as Rust escapes, quotes and brackets as entities.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in printable(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // Two characters that are in no XML though they are no control characters.
            '\u{fffe}' | '\u{ffff}' => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

fn escaped_lines(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_is_markup() {
        assert_eq!(escaped("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&apos;");
        assert_eq!(escaped("\u{0}\u{1b}\u{ffff}\u{85}"), "\\u{0}\\u{1b}\\u{ffff}\\u{85}");
        assert_eq!(escaped_lines("a\n]]>"), "a\n]]&gt;");
    }
}
