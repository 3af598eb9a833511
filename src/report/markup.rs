//! Text inside HTML and SVG: whatever a name contains, it stays text and can be seen.
//!
//! Names are only ever written as text of an element or as a quoted attribute, never into styles, scripts or
//! addresses; [`shown`] makes them fit for both.

/// The most characters of a name that are drawn.
pub(super) const NAME_MAX: usize = 64;

/// A name as markup: cut, what cannot be seen made visible, and escaped.
pub(super) fn shown(text: &str) -> String {
    escaped(&visible(text, NAME_MAX))
}

/// At most so many characters, with what controls a terminal, turns the direction of writing, has no width or is
/// no character in XML spelled out.
pub(super) fn visible(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == most {
            out.push('\u{2026}');
            break;
        }
        if is_hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Controls, separators of lines, marks of direction, what has no width, tags, and what XML does not allow.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Text that cannot leave its place, in an element or between double or single quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place() {
        assert_eq!(escaped("a<b>&\"c\"'d'"), "a&lt;b&gt;&amp;&quot;c&quot;&#39;d&#39;");
        assert_eq!(shown("</style><script>"), "&lt;/style&gt;&lt;script&gt;");
    }

    #[test]
    fn what_cannot_be_seen_is_spelled_out() {
        assert_eq!(
            visible("a\u{202e}b\nc\u{ffff}\u{1b}", 64),
            "a\\u{202e}b\\u{a}c\\u{ffff}\\u{1b}"
        );
        assert_eq!(visible("\u{e0041}\u{61c}\u{2028}", 64), "\\u{e0041}\\u{61c}\\u{2028}");
        assert_eq!(visible("Größe 模型", 64), "Größe 模型");
    }

    #[test]
    fn long_names_are_cut() {
        let cut = visible(&"x".repeat(10_000), NAME_MAX);
        assert_eq!(cut.chars().count(), NAME_MAX + 1);
        assert!(cut.ends_with('\u{2026}'));
    }
}
